"""What a provider's batch API has to be able to do: pure generators that yield a call and get its good reply."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from deluge import _json
from deluge.dialects._headers import address, headers
from deluge.errors import BatchError
from deluge.request import RequestTemplate
from deluge.wire import HttpCall, HttpReply

T = TypeVar("T")
Calls = Generator[HttpCall, HttpReply, T]
Ending = Literal["answered", "expired", "cancelled"]

UNDECIDED = "?"  # it may be there: the provider will tell later


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the batches of one lane are asked for, and with which headers."""

    template: RequestTemplate
    own: Mapping[str, str]
    endpoint: str

    def call(
        self, method: str, path: str, body: bytes = b"", *, root: str = "", kind: str = "application/json",
        more: Mapping[str, str] | None = None,
    ) -> HttpCall:
        """A call of this API; ``root`` goes before the whole path of the address."""
        made = headers(self.template, self.own)
        made["content-type"] = kind
        made.update(more or {})
        if not body:
            del made["content-type"]
        return HttpCall(method, with_root(address(self.template, path), root), made, body)

    def posted(self, path: str, data: Mapping[str, Any]) -> HttpCall:
        """A call with a JSON body."""
        return self.call("POST", path, _json.dumps(data))


@dataclass(frozen=True, slots=True)
class Ticket:
    """Which part of which job: what the provider is told, so that it is found again. ``since``: when it was first tried."""

    job: str
    part: int
    count: int
    since: float
    file: str = ""
    known: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of this part where the provider shows it."""
        return f"deluge-{self.job}-{self.part}"

    def custom_id(self, number: int) -> str:
        """How one of its requests is called."""
        return f"{self.job}-{self.part}-{number}"


@dataclass(frozen=True, slots=True)
class Look:
    """A batch as the provider shows it. ``outputs``: where its results are; ``rows``: those that came with it."""

    status: str
    ended: bool
    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    outputs: tuple[str, ...] = ()
    rows: tuple[Any, ...] = ()
    problem: str = ""
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one request: the reply as a live one would have been, or why there is none."""

    custom_id: str
    ending: Ending
    reply: HttpReply = field(default_factory=HttpReply)


class BatchApi(Protocol):
    """One provider's batch API. ``most_lines`` and ``most_bytes`` are its limits for one batch."""

    name: str
    most_lines: int
    most_bytes: int
    dialects: tuple[str, ...]

    def endpoint(self, dialect: str) -> str:
        """The endpoint that its batches name."""

    def size(self, body: bytes) -> int:
        """What a request takes of ``most_bytes``."""

    def upload(self, desk: Desk, ticket: Ticket, requests: Iterable[tuple[str, bytes]], size: int) -> Calls[str]:
        """Brings the requests (custom id, body) to the provider; the id of their file, empty where there is none."""

    def create(self, desk: Desk, ticket: Ticket, requests: Iterable[tuple[str, bytes]]) -> Calls[str]:
        """Creates the batch; its id."""

    def find(self, desk: Desk, ticket: Ticket) -> Calls[str | None]:
        """The id of a batch that an earlier create call has made; None when there is none; ``UNDECIDED``."""

    def look(self, desk: Desk, batch: str) -> Calls[Look]:
        """How far it has come."""

    def cancel(self, desk: Desk, batch: str) -> Calls[None]:
        """Ends it."""

    def results(self, desk: Desk, batch: str, output: str) -> HttpCall:
        """The call that brings one of its ``outputs``, line by line."""

    def read(self, row: Any) -> Result:
        """What a line of the results says. ``ValueError`` when it says nothing."""


def told(reply: HttpReply) -> dict[str, Any]:
    """The object that a reply has. ``BatchError`` when it has none."""
    try:
        data = _json.loads(reply.body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise BatchError("the provider's reply is no JSON object", kind="parse", retry=True)
    return data


def id_of(data: Mapping[str, Any], key: str = "id") -> str:
    """The id that a reply tells."""
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise BatchError("the provider's reply has no id", kind="parse")
    return value


def quoted(id: str) -> str:
    """An id of the provider's as a part of a path."""
    return quote(id, safe="")


def with_root(url: str, root: str) -> str:
    """The address with something before its path: ``/upload``."""
    if not root:
        return url
    parts = urlsplit(url)
    return parts._replace(path=root + parts.path).geturl()


def number_of(value: Any) -> int:
    """A count, which may come as text."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def http_reply(status: int, body: Any, request_id: Any = None) -> HttpReply:
    """A line's reply as if it had come alone."""
    named = {"x-request-id": request_id} if isinstance(request_id, str) else {}
    return HttpReply(status, named, body if isinstance(body, bytes) else _json.dumps(body), sent=True, replied=True)
