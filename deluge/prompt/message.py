"""One message of a conversation: a role and its parts. Frozen; ``with_…`` give longer copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from deluge._plugins import room
from deluge.prompt.media import Audio, File, Image
from deluge.prompt.parts import Part, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.sources import Source

Role = Literal["system", "user", "assistant", "tool"]
Content = Union[str, Part, Iterable[Union[str, Part]]]


def as_parts(content: Content) -> tuple[Part, ...]:
    """A string, one part or several, as a tuple of parts."""
    if isinstance(content, str):
        return (Text(content),)
    if isinstance(content, Iterable):
        return tuple(Text(part) if isinstance(part, str) else part for part in content)
    return (content,)


@dataclass(frozen=True, slots=True)
class Message:
    """``role`` is system, user, assistant or tool; ``parts`` are frozen data.

    ``name``: who speaks, where a provider takes it.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None

    def __post_init__(self) -> None:
        if type(self.parts) is not tuple:  # a str, one part, or a list of them
            object.__setattr__(self, "parts", as_parts(self.parts))

    @classmethod
    def system(cls, content: Content) -> Message:
        """What the model is told before the conversation."""
        return cls("system", as_parts(content))

    @classmethod
    def user(
        cls, content: Content = (), *, image: Source | Image | None = None, file: Source | File | None = None,
        audio: Source | Audio | None = None,
    ) -> Message:
        """What the user says; ``image``, ``file`` and ``audio`` take what ``Image.of`` takes."""
        return cls("user", (*as_parts(content), *_media(image, file, audio)))

    @classmethod
    def ai(
        cls, content: Content = (), *, image: Source | Image | None = None, file: Source | File | None = None,
    ) -> Message:
        """What the model said."""
        return cls("assistant", (*as_parts(content), *_media(image, file, None)))

    @classmethod
    def tool(cls, tool_call_id: str, content: Any, *, is_error: bool = False, name: str | None = None) -> Message:
        """What one tool gave back: any JSON type, dataclass, pydantic model, bytes, picture, or a list of parts."""
        return cls("tool", (tool_result(tool_call_id, content, is_error, name),))

    def with_part(self, part: Part) -> Message:
        """A copy with this part at its end."""
        return Message(self.role, (*self.parts, part), self.name)

    def with_text(self, text: str) -> Message:
        """A copy with this text at its end."""
        return self.with_part(Text(text))

    def with_image(self, image: Source | Image, media_type: str | None = None, detail: str = "auto") -> Message:
        """A copy with this image at its end (as ``Image.of`` takes it)."""
        return self.with_part(Image.of(image, media_type, detail))

    def with_file(self, file: Source | File, media_type: str | None = None, name: str | None = None) -> Message:
        """A copy with this file at its end (as ``File.of`` takes it)."""
        return self.with_part(File.of(file, media_type, name))

    def with_audio(self, audio: Source | Audio, media_type: str | None = None, name: str | None = None) -> Message:
        """A copy with this sound at its end (as ``Audio.of`` takes it)."""
        return self.with_part(Audio.of(audio, media_type, name))

    def with_tool_call(self, id: str, name: str, arguments: Mapping[str, Any]) -> Message:
        """A copy with this tool call at its end."""
        return self.with_part(ToolCall(id, name, dict(arguments)))

    def with_tool_result(
        self, tool_call_id: str, content: Any, *, is_error: bool = False, name: str | None = None
    ) -> Message:
        """A copy with this tool result at its end (as ``Message.tool`` takes it)."""
        return self.with_part(tool_result(tool_call_id, content, is_error, name))

    def with_thinking(self, text: str, signature: str | None = None) -> Message:
        """A copy with this thought at its end."""
        return self.with_part(Thinking(text, signature))

    @property
    def completion(self) -> str | None:
        """All text parts joined; None when there is no text."""
        texts = [part.text for part in self.parts if type(part) is Text]
        return "".join(texts) if texts else None

    @property
    def thinking(self) -> str | None:
        """All thoughts that can be read, joined; None when there are none."""
        texts = [part.text for part in self.parts if type(part) is Thinking and part.text]
        return "\n".join(texts) if texts else None

    @property
    def refusal(self) -> str | None:
        """The model's refusal; None when it did not refuse."""
        texts = [part.text for part in self.parts if type(part) is Refusal]
        return "".join(texts) if texts else None

    @property
    def fingerprint(self) -> str:
        """A hash of the whole content (64 hex digits), the same in every process."""
        return str(room("prompt.fingerprint").fingerprint((self,)))

    def to_log(self, *, lossless: bool = True) -> dict[str, Any]:
        """A JSON-ready dict, as in the log of a conversation."""
        return dict(room("prompt.log").messages_to_log((self,), lossless=lossless)[0])

    @classmethod
    def from_log(cls, data: Mapping[str, Any]) -> Message:
        """The message that ``to_log`` wrote."""
        (message,) = room("prompt.log").messages_from_log((data,))
        return message  # type: ignore[no-any-return]

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures in this message."""
        return tuple(part for part in self.parts if type(part) is Image)

    @property
    def files(self) -> tuple[File, ...]:
        """The documents in this message."""
        return tuple(part for part in self.parts if type(part) is File)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that this message asks for, built-in ones included."""
        return tuple(part for part in self.parts if type(part) is ToolCall)

    @property
    def tool_results(self) -> tuple[ToolResult, ...]:
        """The tool results that this message carries."""
        return tuple(part for part in self.parts if type(part) is ToolResult)


def tool_result(tool_call_id: str, content: Any, is_error: bool = False, name: str | None = None) -> ToolResult:
    """A tool result of whatever a function gave back; a str, a mapping and a tuple of parts stay as they are."""
    if not isinstance(content, (str, Mapping)):
        content = room("tools.result").result_content(content)  # it is built on this room
    return ToolResult(tool_call_id, content, is_error, name)


def _media(
    image: Source | Image | None, file: Source | File | None, audio: Source | Audio | None
) -> tuple[Part, ...]:
    given: list[Part] = [] if image is None else [Image.of(image)]
    given += [] if file is None else [File.of(file)]
    given += [] if audio is None else [Audio.of(audio)]
    return tuple(given)
