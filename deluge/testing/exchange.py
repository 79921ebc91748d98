"""What the rehearsal server and its protocols tell each other: requests, replies and the steps that send them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from deluge import _json
from deluge.testing.limits import Decision, RateLimits

After = Literal["", "close", "reset", "hang"]

# Headers that carry keys: the log of a server does not keep them.
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"})

REASONS = {
    200: "OK", 201: "Created", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect",
    308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large",
    422: "Unprocessable Content", 425: "Too Early", 429: "Too Many Requests", 500: "Internal Server Error",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout", 529: "Overloaded",
}


_UNREAD = object()


@dataclass(slots=True)
class Request:
    """One request as it arrived. ``number`` counts from 1 over the server's life; ``headers`` has lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    number: int = 0
    connection: int = 0
    at: float = 0.0
    _json: Any = field(default=_UNREAD, repr=False, init=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        """The body as JSON; None when it is empty or is not JSON."""
        if self._json is _UNREAD:
            try:
                self._json = _json.loads(self.body) if self.body else None
            except ValueError:
                self._json = None
        return self._json

    def key(self) -> str:
        """The API key that came with it, under whichever header the protocols use; empty when there is none."""
        bearer = self.headers.get("authorization", "")
        if bearer.lower().startswith("bearer "):
            return bearer[7:].strip()
        others = map(self.headers.get, ("x-api-key", "api-key", "x-goog-api-key"))
        return next(filter(None, others), "")


@dataclass(slots=True)
class Reply:
    """An answer before it is bytes.

    ``chunks`` makes it a stream (sent with chunked framing); ``mid_error`` is the protocol's error inside a stream.
    ``model`` and ``prompt`` say what was answered (both are empty on errors), ``identity`` is the same for the same
    input. ``charge`` are the tokens that a limit counts: (input, output as it was written, output as the request
    reserves it).
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] | None = None
    mid_error: bytes = b""
    model: str = ""
    prompt: str = ""
    identity: str = ""
    charge: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Step:
    """One act of the server: wait (seconds), send these bytes, and then go on, close, reset or hang.

    A step that closes, resets or hangs is the last one; a plan that ends without one keeps the connection alive.
    """

    data: bytes = b""
    wait: float = 0.0
    then: After = ""


Plan = Iterator[Step]


class Wire(Protocol):
    """A provider's protocol: its paths, its replies, and how it words errors and limits."""

    name: str

    def serves(self, method: str, path: str) -> bool:
        """Whether this protocol answers here."""

    def reply(self, request: Request, service: Any) -> Reply:
        """The answer, which depends on nothing but the request and what the service has seen."""

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
        """The body of an error in this protocol's words."""

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """Rate-limit headers; ``state`` has (limit, remaining, seconds until full) by counter."""

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """What is sent instead of the reply when a limit has no room."""


@dataclass(slots=True)
class Seen:
    """A line of the server's log. ``headers`` leaves keys out; ``prompt`` is the text that was asked.

    ``status`` is what was sent (0 while nothing was, or when nothing is). ``outcome``: ``open`` while it is being
    answered, ``answered`` when a good reply has been handed to the network, ``refused`` for an error reply, ``faulted``
    when the script spoilt it (``fault`` has its kind), ``aborted`` when the client went away first.
    """

    number: int
    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    connection: int
    model: str = ""
    prompt: str = ""
    status: int = 0
    fault: str = ""
    outcome: Literal["open", "answered", "refused", "faulted", "aborted"] = "open"


def head(status: int, headers: tuple[tuple[str, str], ...], reason: str = "") -> bytes:
    """Status line and header block, with the empty line that ends it."""
    lines = [f"HTTP/1.1 {status} {reason or REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """The data as one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def share(*words: object) -> float:
    """A number in [0, 1) that depends on these words and on nothing else."""
    text = "\0".join(map(str, words)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big") / 2**56


def short(prompt: str) -> str:
    """The prompt as a key: whole up to 300 characters, longer ones by their beginning and a hash."""
    if len(prompt) <= 300:
        return prompt
    return f"{prompt[:100]}… {hashlib.sha256(prompt.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
