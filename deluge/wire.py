"""What crosses the wire, as values: a dialect makes and reads them, a transport carries them.

None of these classes touches a socket, a clock or the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from deluge.errors import ErrorKind
from deluge.usage import Usage

Framing = Literal["none", "sse", "eventstream"]
FailureKind = Literal["connection", "timeout", "cancelled", "too_large", "config"]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the user asked for and that this model does not get, said once in a warning."""

    parameter: str
    reason: str


class HttpCall(NamedTuple):
    """One HTTP request, complete but for signing.

    ``headers`` must not change any more: their identity stands for them. ``delay`` (seconds) > 0 means: give slot and
    worker back and send it that much later (polling). ``sign`` names a signer that the transport applies when it sends
    (``"aws"``, ``"google"``), with ``sign_args``.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    delay: float = 0.0
    stream: bool = False
    sign: str | None = None
    sign_args: Mapping[str, Any] | None = None
    notes: tuple[Note, ...] = ()


@dataclass(slots=True)
class HttpReply:
    """What came back. Either ``status`` is set, or ``failure`` says why nothing usable came.

    ``headers`` has lower-case names; repeated fields are joined with ``", "``. ``body`` is decoded (gzip, deflate …).
    ``sent``: at least one byte of the request may have reached the provider (so that it may be billed).
    ``reused``: the connection had carried an earlier exchange; ``replied``: at least one byte of the reply arrived.
    A truncated or unframed body is a ``failure`` of kind ``connection`` with ``replied=True``, never a short body.
    Times are those of the transport's clock (monotonic seconds).
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: FailureKind | None = None
    message: str = ""
    sent: bool = False
    reused: bool = False
    replied: bool = False
    sent_at: float = 0.0
    first_byte_at: float = 0.0
    finished_at: float = 0.0
    chunks: Iterator[bytes] | None = None

    @property
    def ok(self) -> bool:
        """A 2xx status with its whole body."""
        return self.failure is None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed attempt means for the prompt, the model and the key.

    ``retry``: the same model may answer later. ``retry_after``: seconds that the provider asked for.
    ``switch_model``: another model of the pool may answer. ``blocklist``: the key or the model itself is refused.
    """

    kind: ErrorKind
    retry: bool = False
    retry_after: float | None = None
    switch_model: bool = False
    blocklist: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream: an SSE event, or a frame of an AWS event stream."""

    data: str
    event: str = ""
    id: str = ""
    retry: int | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class StreamDelta:
    """A piece of a streamed answer.

    ``kind`` ``text`` and ``thinking`` carry ``text``; ``tool_call`` carries ``index``, and ``id``, ``name`` or a piece of the
    arguments in ``text``; ``refusal`` carries ``text``. ``usage`` may come with any of them.
    """

    kind: Literal["text", "thinking", "tool_call", "refusal"]
    text: str = ""
    index: int = 0
    id: str = ""
    name: str = ""
    usage: Usage | None = None

    def __str__(self) -> str:
        return self.text


class Cancelled(Exception):
    """Thrown into an exchange whose task has ended: it may yield one last call (the provider's cancel)."""


class Transport(Protocol):
    """Sends calls. Never raises: what goes wrong is in the reply."""

    def send(self, call: HttpCall, attempt: Cutoff) -> HttpReply:
        """The whole reply."""

    def stream(self, call: HttpCall, attempt: Cutoff) -> HttpReply:
        """Status and headers, with ``chunks`` still to be read."""


class Cutoff(Protocol):
    """One attempt's deadline and off switch, given to the transport by the engine. ``fresh``: on a new connection."""

    deadline: float
    aborted: bool
    fresh: bool

    def own(self, sock: Any) -> bool:
        """Registers the raw socket; False when the attempt was aborted already (then close it)."""

    def disown(self) -> bool:
        """Forgets the socket before it goes back to the idle ones; False when it was aborted meanwhile."""

    def sending(self) -> bool:
        """Called right before the first byte goes out; False when it must not go out any more."""
