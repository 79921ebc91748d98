"""The answer to one prompt, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Literal, NamedTuple

from pydantic_core import to_jsonable_python

from deluge.errors import ConfigError, ResponseError, error_class
from deluge.params import SamplingParams
from deluge.prompt import Conversation, Message, Text, ToolCall
from deluge.prompt.log import messages_from_log, messages_to_log
from deluge.record import record
from deluge.usage import NO_USAGE, Usage
from deluge.wire import Verdict

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]
Source = Literal["api", "cache", "journal", "dedupe", "batch"]


class Attempt(NamedTuple):
    """One HTTP try. ``kind`` is None when it brought the answer; ``latency`` in seconds, ``started_at`` epoch seconds.

    ``possibly_billed``: the request had left and no answer came, so that the provider may charge for it.
    """

    model: str
    status_code: int | None = None
    kind: str | None = None
    started_at: float = 0.0
    latency: float = 0.0
    usage: Usage = NO_USAGE
    cost: float | None = None
    request_id: str | None = None
    possibly_billed: bool = False


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class APIResponse:
    """What one prompt ended with. ``is_error`` tells an answer from a failure; nothing is ever raised for you.

    ``usage`` and ``cost`` (dollars, None where a price is unknown) cover all attempts. ``latency`` is the time of the last
    attempt, ``queued`` the time before it was first sent (seconds); ``started_at`` and ``finished_at`` are epoch seconds.
    ``paused``: the provider stopped in the middle of its turn, and goes on when the conversation is sent again. An agent
    loop's ``trajectory`` tells its rounds.
    Mutable, so that a ``postprocess`` hook can change it. Compares by identity; pickles.
    """

    id: int = 0
    index: int = 0
    model_internal: str = ""
    model_external: str | None = None
    provider: str | None = None
    prompt: Conversation | None = None
    sampling_params: SamplingParams | None = None
    status_code: int | None = None
    is_error: bool = False
    error_kind: str | None = None
    error_message: str | None = None
    content: Message | None = None
    parsed: Any = None
    logprobs: Any = None
    finish_reason: FinishReason | None = None
    paused: bool = False
    usage: Usage = NO_USAGE
    cost: float | None = None
    service_tier: str | None = None
    region: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    container_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    source: Source = "api"
    local_cache_hit: bool = False
    retry_with_different_model: bool = False
    give_up_if_no_other_models: bool = False
    started_at: float | None = None
    finished_at: float | None = None
    latency: float | None = None
    queued: float | None = None
    time_to_first_token: float | None = None
    metadata: Mapping[str, Any] | None = None
    trajectory: Any = None
    raw_response: Any = None
    headers: Mapping[str, str] | None = None
    _verdict: Verdict | None = None

    @property
    def completion(self) -> str | None:
        """All text of the answer, joined; None when there is none. Set it to replace the text."""
        return None if self.content is None else self.content.completion

    @completion.setter
    def completion(self, text: str | None) -> None:
        rest = () if self.content is None else tuple(part for part in self.content.parts if type(part) is not Text)
        self.content = Message("assistant", rest if text is None else (*rest, Text(text)))

    @property
    def thinking(self) -> str | None:
        """What the model thought, where the provider shows it."""
        return None if self.content is None else self.content.thinking

    @property
    def refusal(self) -> str | None:
        """The model's refusal, in its words."""
        return None if self.content is None else self.content.refusal

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls that the model asks for."""
        return () if self.content is None else self.content.tool_calls

    @property
    def input_tokens(self) -> int:
        """Input tokens without cached ones, over all attempts."""
        return self.usage.input_tokens

    @property
    def output_tokens(self) -> int:
        """Output tokens with reasoning, over all attempts."""
        return self.usage.output_tokens

    @property
    def cache_read_tokens(self) -> int:
        """Input tokens that the provider read from its cache."""
        return self.usage.cache_read_tokens

    @property
    def cache_write_tokens(self) -> int:
        """Input tokens that the provider wrote to its cache."""
        return self.usage.cache_write_tokens

    @property
    def reasoning_tokens(self) -> int:
        """Those of the output tokens that were spent on reasoning."""
        return self.usage.reasoning_tokens

    @property
    def possibly_billed(self) -> bool:
        """Whether an attempt was lost after it had been sent."""
        return any(attempt.possibly_billed for attempt in self.attempts)

    @property
    def cache_hit(self) -> bool:
        """Whether the provider's own prompt cache was read, or the answer came from your response cache."""
        return self.local_cache_hit or self.usage.cache_read_tokens > 0

    @property
    def error(self) -> ResponseError | None:
        """The exception that ``raise_for_error`` would raise; None for an answer."""
        if not self.is_error:
            return None
        return error_class(self.error_kind)(self.error_message or self.error_kind or "failed", response=self)

    def replaced(self, **changes: Any) -> APIResponse:
        """A copy with these fields changed."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return APIResponse(**{**fields, **changes})

    def to_dict(self, *, prompts: bool = True) -> dict[str, Any]:
        """The flat record of a work list (``RECORD_KEYS``): plain data, the same keys for every response."""
        return record(self, id=self.id, prompts=prompts)

    def to_log(self) -> dict[str, Any]:
        """Everything as plain data for ``from_log``; ``parsed``, ``trajectory`` and ``raw_response`` as JSON can say them."""
        data: dict[str, Any] = {"log": LOG_VERSION}
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and name in _LOGGED:
                data[name] = _LOGGED[name](value)
            elif value is not None and value is not False and value != () and name != "_verdict":
                data[name] = value if isinstance(value, _PLAIN) else to_jsonable_python(value, fallback=repr)
        return data

    @classmethod
    def from_log(cls, data: Mapping[str, Any]) -> APIResponse:
        """The response that ``to_log`` wrote; ``ConfigError`` for something else. Typed objects come back as plain data."""
        if data.get("log") != LOG_VERSION:
            raise ConfigError("this is no log of a response, or one of another version")
        fields = {name: value for name, value in data.items() if name in cls.__slots__}
        for name, back in _BACK.items():
            if name in fields:
                fields[name] = back(fields[name])
        return cls(**fields)

    def raise_for_error(self) -> APIResponse:
        """Itself when it is an answer; raises its ``error`` otherwise."""
        error = self.error
        if error is not None:
            raise error
        return self

    def __repr__(self) -> str:
        if self.is_error:
            return f"<APIResponse {self.id} {self.model_internal} error {self.error_kind}: {self.error_message}>"
        text = self.completion or ""
        shown = text if len(text) <= 60 else text[:57] + "..."
        return f"<APIResponse {self.id} {self.model_internal} {self.finish_reason} {shown!r}>"


def _attempts_back(items: Any) -> tuple[Attempt, ...]:
    return tuple(Attempt(**{**item, "usage": Usage.from_dict(item["usage"])}) for item in items)


LOG_VERSION = 1
_PLAIN = (str, int, float, bool)
_LOGGED: dict[str, Callable[[Any], Any]] = {
    "prompt": lambda prompt: prompt.to_log(),
    "sampling_params": lambda params: params.model_dump(mode="json", exclude_unset=True),
    "content": lambda message: messages_to_log((message,))[0],
    "usage": Usage.to_dict,
    "attempts": lambda attempts: [{**attempt._asdict(), "usage": attempt.usage.to_dict()} for attempt in attempts],
}
_BACK: dict[str, Callable[[Any], Any]] = {
    "prompt": Conversation.from_log,
    "sampling_params": lambda data: SamplingParams(**data),
    "content": lambda data: messages_from_log((data,))[0],
    "usage": Usage.from_dict,
    "attempts": _attempts_back,
}
