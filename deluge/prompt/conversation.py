"""A conversation: messages in order. A builder until it is frozen; a prompt on its way is always frozen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from deluge._plugins import load
from deluge.errors import ConfigError
from deluge.prompt._builders import begins
from deluge.prompt._foreign import messages_of
from deluge.prompt._shapes import Shape, shape_of
from deluge.prompt.fingerprint import fingerprint
from deluge.prompt.log import LOG_VERSION, messages_from_log, messages_to_log
from deluge.prompt.media import Audio, File, Image
from deluge.prompt.message import Content, Message, tool_result
from deluge.prompt.parts import Text, ToolResult
from deluge.prompt.show import print_transcript
from deluge.prompt.size import FIRST_RATIO, OVERHEAD, size_of
from deluge.prompt.sources import Source

if TYPE_CHECKING:
    from deluge.params import CachePattern


class Conversation:
    """Messages in order. ``Conversation.system("Be brief.").user("Hi")`` builds one; every builder returns it.

    It grows until it is frozen. What is sent is a frozen copy (``freeze()``), so that it may grow on meanwhile.
    ``model_used``: the model that answered last (``prefer_model="last"`` goes back to it).
    """

    __slots__ = ("messages", "model_used", "frozen", "_fingerprint")

    messages: list[Message] | tuple[Message, ...]
    model_used: str | None
    frozen: bool
    _fingerprint: str | None

    def __init__(self, messages: Iterable[Message] = (), *, model_used: str | None = None) -> None:
        given = list(messages) if not isinstance(messages, (str, Mapping)) else _read(messages)
        self.messages = given if all(type(message) is Message for message in given) else _read(given)
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
        """Appends a message (or a message dict in OpenAI's or Anthropic's shape)."""
        if self.frozen or not isinstance(self.messages, list):
            raise ConfigError("this Conversation is frozen; .copy() gives one that can grow")
        self.messages += (message,) if type(message) is Message else _read([message])
        return self

    @begins
    def system(self, content: Content) -> Conversation:
        """Appends a system message; on the class, begins a conversation with it (as ``user`` and ``ai`` do)."""
        return self.add(Message.system(content))

    @begins
    def user(
        self, content: Content = (), *, image: Source | Image | None = None, file: Source | File | None = None,
        audio: Source | Audio | None = None,
    ) -> Conversation:
        """Appends a user message; ``image``, ``file`` and ``audio`` take what ``Image``, ``File`` and ``Audio`` take."""
        return self.add(Message.user(content, image=image, file=file, audio=audio))

    @begins
    def ai(
        self, content: Content = (), *, image: Source | Image | None = None, file: Source | File | None = None,
    ) -> Conversation:
        """Appends a message of the model's."""
        return self.add(Message.ai(content, image=image, file=file))

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
        """Appends the result of one tool call: any JSON type, dataclass, pydantic model, bytes, picture, or parts."""
        return self.with_tool_results([(tool_call_id, content)], is_error=is_error)

    def with_tool_results(
        self, results: Iterable[tuple[str, Any] | ToolResult] | Mapping[str, Any], *, is_error: bool = False
    ) -> Conversation:
        """Appends the results of several calls as one message: pairs of id and content, a mapping, or ToolResults."""
        pairs = results.items() if isinstance(results, Mapping) else results
        made = (item if isinstance(item, ToolResult) else tool_result(item[0], item[1], is_error) for item in pairs)
        return self.add(Message("tool", tuple(made)))

    @property
    def fingerprint(self) -> str:
        """A hash of the whole content (64 hex digits), the same in every process."""
        if self._fingerprint is not None:
            return self._fingerprint
        value = fingerprint(self.messages)
        if self.frozen:
            self._fingerprint = value
        return value

    def count_tokens(self, max_new_tokens: int = 0) -> int:
        """About how many input tokens this is, plus ``max_new_tokens``: a guess from its bytes, without any tokenizer."""
        return math.ceil(size_of(self) * FIRST_RATIO) + OVERHEAD + max_new_tokens

    def print(self, max_text_length: int | None = 500, *, file: TextIO | None = None) -> None:
        """Prints a transcript to stdout or ``file``; texts are cut at ``max_text_length`` characters (None: never)."""
        print_transcript(self.messages, max_text_length, file)

    def to_openai(self, *, model: str | None = None) -> list[dict[str, Any]]:
        """The messages of a chat completions request, as the client sends them. ``model``: in the words of this model.

        ``InputError`` for what the format has no words for; so do the other ``to_`` methods.
        """
        return list(_dialect("openai_chat").exported(self, model))

    def to_openai_responses(self, *, model: str | None = None) -> dict[str, Any]:
        """``{"input": [...]}``: the part of a Responses API request that is the conversation."""
        return {"input": _dialect("openai_responses").exported(self, model)}

    def to_anthropic(
        self, cache_pattern: CachePattern | None = None, *, model: str | None = None
    ) -> tuple[str | list[dict[str, Any]] | None, list[dict[str, Any]]]:
        """``system`` and ``messages`` of a Messages API request. ``system`` is a str where there is one text, else blocks."""
        system, messages = _dialect("anthropic").exported(self, model, cache_pattern)
        return system, messages

    def to_gemini(self, *, model: str | None = None) -> tuple[str | dict[str, Any] | None, list[dict[str, Any]]]:
        """System instruction and ``contents`` for Gemini. The former is a str where there is one text, else has parts."""
        system, contents = _dialect("gemini").exported(self, model)
        return system, contents

    def to_bedrock(
        self, cache_pattern: CachePattern | None = None, *, model: str | None = None
    ) -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]]]:
        """``system`` and ``messages`` of a Converse request."""
        system, messages = _dialect("bedrock").exported(self, model, cache_pattern)
        return system, messages

    @classmethod
    def from_openai_chat(cls, messages: Iterable[Any]) -> Conversation:
        """A conversation of chat completions messages: dicts, or the SDK's own objects."""
        return cls(_read(messages))

    @classmethod
    def from_openai_responses(cls, items: str | Iterable[Any], instructions: Any = None) -> Conversation:
        """A conversation of the Responses API's input and output items (dicts or the SDK's objects) and ``instructions``."""
        return cls(_dialect("openai_responses").imported(items, instructions))

    @classmethod
    def from_anthropic(cls, messages: Iterable[Any], system: Any = None) -> Conversation:
        """A conversation of Messages API messages (dicts or the SDK's objects), and the ``system`` beside them."""
        first = [{"role": "system", "content": system}] if system else []
        return cls(_read(messages, first))

    @classmethod
    def from_gemini(cls, contents: Any, system: Any = None) -> Conversation:
        """A conversation of Gemini's contents (dicts or the SDK's objects), and the ``system`` instruction beside them."""
        return cls(_dialect("gemini").imported(contents, system))

    @classmethod
    def from_unknown(cls, messages: Any) -> tuple[Conversation, Shape]:
        """A conversation of messages, items or contents, of a request's body, or of a log of ours; and which it was.

        Messages that both OpenAI and Anthropic could have written are called ``openai``.
        """
        shape, items, system = shape_of(messages)
        if shape == "log":
            return cls.from_log(messages), shape
        if shape == "openai_responses":
            return cls.from_openai_responses(items, system), shape
        if shape == "gemini":
            return cls.from_gemini(items, system), shape
        return cls.from_anthropic(items, system), shape

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
        """The conversation that ``to_log`` wrote; in a compact log a text stands where a medium was.

        ``ConfigError`` for another version.
        """
        if data.get("version") != LOG_VERSION:
            raise ConfigError(f"a conversation log of version {data.get('version')!r}; this release reads {LOG_VERSION}")
        return cls(messages_from_log(data["messages"]), model_used=data.get("model_used"))


def _dialect(name: str) -> Any:
    """The format's own conversion, which lives on a higher floor."""
    return load("dialects", name)


def _read(messages: Iterable[Any], first: Iterable[Any] = ()) -> list[Message]:
    if isinstance(messages, (str, Mapping)):
        raise ConfigError(f"messages are a list of messages, not a {type(messages).__name__}")
    try:
        return messages_of([*first, *messages])
    except ConfigError as error:
        raise ConfigError(f"the conversation {error}") from None


def _restore(messages: tuple[Message, ...], model_used: str | None, frozen: bool) -> Conversation:
    made = Conversation(messages, model_used=model_used)
    return made.freeze() if frozen else made
