"""A conversation: messages in order. A builder until it is frozen; a prompt on its way is always frozen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TextIO

from deluge.errors import ConfigError
from deluge.prompt._foreign import has_anthropic_blocks, messages_of
from deluge.prompt.fingerprint import fingerprint
from deluge.prompt.log import LOG_VERSION, messages_from_log, messages_to_log
from deluge.prompt.media import Audio, File, Image
from deluge.prompt.message import Content, Message
from deluge.prompt.parts import Text, ToolResult
from deluge.prompt.show import print_transcript
from deluge.prompt.size import FIRST_RATIO, OVERHEAD, size_of
from deluge.prompt.sources import Source


class Conversation:
    """Messages in order. ``Conversation().system("Be brief.").user("Hi")`` builds one; every builder returns it.

    ``model_used``: the model that answered last (``prefer_model="last"`` goes back to it).
    """

    __slots__ = ("messages", "model_used", "frozen", "_fingerprint")

    messages: list[Message] | tuple[Message, ...]
    model_used: str | None
    frozen: bool
    _fingerprint: str | None

    def __init__(self, messages: Iterable[Message] = (), *, model_used: str | None = None) -> None:
        self.messages = list(messages)
        self.model_used = model_used
        self.frozen = False
        self._fingerprint = None

    @classmethod
    def of_text(cls, text: str) -> Conversation:
        """A frozen prompt of one user message."""
        return cls._frozen((Message("user", (Text(text),)),))

    @classmethod
    def _frozen(cls, messages: tuple[Message, ...], model_used: str | None = None, key: str | None = None) -> Conversation:
        made = cls.__new__(cls)
        made.messages, made.model_used, made.frozen, made._fingerprint = messages, model_used, True, key
        return made

    def freeze(self) -> Conversation:
        """A copy that cannot change any more; itself when it is frozen."""
        return self if self.frozen else self._frozen(tuple(self.messages), self.model_used)

    def keyed(self, key: str) -> Conversation:
        """A frozen copy whose ``fingerprint`` is this key (what a response cache gets to see)."""
        return self._frozen(tuple(self.messages), self.model_used, key)

    def copy(self) -> Conversation:
        """A copy that can grow without changing this one."""
        return Conversation(self.messages, model_used=self.model_used)

    def add(self, message: Message) -> Conversation:
        """Appends a message."""
        if self.frozen or not isinstance(self.messages, list):
            raise ConfigError("this Conversation is frozen; .copy() gives one that can grow")
        self.messages.append(message)
        return self

    def system(self, text: str) -> Conversation:
        """Appends a system message."""
        return self.add(Message.system(text))

    def user(
        self, content: Content = (), *, image: Source | Image | None = None, file: Source | File | None = None,
        audio: Source | Audio | None = None,
    ) -> Conversation:
        """Appends a user message; ``image``, ``file`` and ``audio`` take what ``Image.of`` takes."""
        return self.add(Message.user(content, image=image, file=file, audio=audio))

    def ai(self, content: Content = ()) -> Conversation:
        """Appends a message of the model's."""
        return self.add(Message.ai(content))

    def with_message(self, message: Message, *, model_used: str | None = None) -> Conversation:
        """Appends a message and notes who wrote it."""
        self.add(message)
        self.model_used = model_used or self.model_used
        return self

    def with_response(self, response: Any) -> Conversation:
        """Appends the answer of an ``APIResponse`` and notes its model; an answer without content is refused."""
        if response.content is None:
            raise ConfigError("this response has no content to add")
        return self.with_message(response.content, model_used=response.model_internal)

    def with_tool_result(self, tool_call_id: str, content: Any, *, is_error: bool = False) -> Conversation:
        """Appends the result of one tool call."""
        return self.with_tool_results([(tool_call_id, content)], is_error=is_error)

    def with_tool_results(self, results: Iterable[tuple[str, Any]], *, is_error: bool = False) -> Conversation:
        """Appends the results of several calls as one message."""
        return self.add(Message("tool", tuple(ToolResult(id, content, is_error) for id, content in results)))

    @property
    def fingerprint(self) -> str:
        """A hash of the whole content (64 hex digits), the same in every process."""
        if self._fingerprint is not None:
            return self._fingerprint
        value = fingerprint(self.messages)
        if self.frozen:
            self._fingerprint = value
        return value

    def count_tokens(self) -> int:
        """About how many input tokens this is: a guess from its bytes, without any model's tokenizer."""
        return math.ceil(size_of(self) * FIRST_RATIO) + OVERHEAD

    def print(self, max_text_length: int | None = 500, *, file: TextIO | None = None) -> None:
        """Prints a transcript to stdout or ``file``; texts are cut at ``max_text_length`` characters (None: never)."""
        print_transcript(self.messages, max_text_length, file)

    @classmethod
    def from_openai_chat(cls, messages: Iterable[Any]) -> Conversation:
        """A conversation of chat completions messages: dicts, or the SDK's own objects."""
        return cls(_read(messages))

    @classmethod
    def from_anthropic(cls, messages: Iterable[Any], system: Any = None) -> Conversation:
        """A conversation of Messages API messages (dicts or the SDK's objects), and the ``system`` beside them."""
        first = [{"role": "system", "content": system}] if system else []
        return cls(_read([*first, *messages]))

    @classmethod
    def from_unknown(cls, messages: Any) -> tuple[Conversation, Literal["openai", "anthropic", "log"]]:
        """A conversation of messages, a request body, or a log of ours; and which of the shapes it was.

        Messages that both providers could have written are called ``openai``.
        """
        if isinstance(messages, Mapping):
            if "version" in messages:
                return cls.from_log(messages), "log"
            if "messages" not in messages:
                raise ConfigError("this is neither a list of messages, nor a dict with 'messages', nor a log")
            items, system = list(messages["messages"]), messages.get("system")
        else:
            items, system = list(messages), None
        anthropic = system is not None or has_anthropic_blocks(items)
        return cls.from_anthropic(items, system), "anthropic" if anthropic else "openai"

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conversation) and tuple(self.messages) == tuple(other.messages)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        roles = " ".join(message.role for message in self.messages[:8])
        return f"<Conversation {len(self.messages)} messages{': ' + roles if roles else ''}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (tuple(self.messages), self.model_used, self.frozen)

    def to_log(self, *, lossless: bool = True) -> dict[str, Any]:
        """A JSON-ready dict, versioned. Lossless: media as base64; else media by hash only."""
        return {
            "version": LOG_VERSION,
            "model_used": self.model_used,
            "messages": messages_to_log(self.messages, lossless=lossless),
        }

    @classmethod
    def from_log(cls, data: Mapping[str, Any]) -> Conversation:
        """The conversation that a lossless ``to_log`` wrote; ``ConfigError`` for another version."""
        if data.get("version") != LOG_VERSION:
            raise ConfigError(f"a conversation log of version {data.get('version')!r}; this release reads {LOG_VERSION}")
        return cls(messages_from_log(data["messages"]), model_used=data.get("model_used"))


def _read(messages: Iterable[Any]) -> list[Message]:
    if isinstance(messages, (str, Mapping)):
        raise ConfigError(f"messages are a list of messages, not a {type(messages).__name__}")
    try:
        return messages_of(messages)
    except ConfigError as error:
        raise ConfigError(f"the conversation {error}") from None


def _restore(messages: tuple[Message, ...], model_used: str | None, frozen: bool) -> Conversation:
    made = Conversation(messages, model_used=model_used)
    return made.freeze() if frozen else made
