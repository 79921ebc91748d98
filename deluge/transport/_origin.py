"""Where requests go: the route to a server, its idle connections, and the heads of the requests sent there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Callable

from deluge._version import __version__
from deluge.errors import ConfigError
from deluge.transport._codings import accepted
from deluge.transport._connection import Connection

if TYPE_CHECKING:
    from urllib3.util import Url

IDLE_FOR = 50.0
USER_AGENT = f"deluge/{__version__}"

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_BAD_VALUE = re.compile(r"[\r\n\0]|[^\x00-\xff]").search
_BAD_URL = re.compile(r"[\x00-\x20\x7f]|[^\x00-\xff]").search
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Route:
    """How a server is reached: directly or through a proxy, and whom TLS trusts.

    ``verify`` is True (requests' own bundle), False, or the path of a bundle or a folder; ``cert`` the path of a client
    certificate, or that and the path of its key. ``public_only``: a private address is never connected to.
    """

    tls: bool
    host: str
    port: int
    proxy: Url | None = None
    proxy_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    public_only: bool = False

    @property
    def absolute(self) -> bool:
        """Whether requests name the whole URL, as a proxy of plain HTTP wants it."""
        return self.proxy is not None and not self.tls


class Origin:
    """One server by one route, with a LIFO of idle connections, so that the fewest are kept warm.

    The list's own append and pop are atomic: no lock is held on the way of a request.
    """

    __slots__ = ("route", "idle", "used_at", "gone")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.idle: list[Connection] = []
        self.used_at = monotonic()
        self.gone = False  # no longer in the table: what comes back to it is closed

    def take(self, now: float) -> Connection | None:
        """A connection that is fit for another request; those that are not are closed on the way."""
        self.used_at = now
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:
                break  # another worker was faster
            if now - connection.idle_at <= IDLE_FOR and not connection.readable():
                return connection
            connection.close()
        return None

    def sweep(self, now: float) -> int:
        """Closes what has been idle for too long, the oldest being first in the list; how many that were."""
        closed = 0
        while self.idle and now - self.idle[0].idle_at > IDLE_FOR:
            try:
                connection = self.idle.pop(0)
            except IndexError:
                break
            if now - connection.idle_at <= IDLE_FOR:  # the oldest was taken in between
                self.idle.insert(0, connection)
                break
            connection.close()
            closed += 1
        return closed

    def drop(self) -> None:
        """Closes every idle connection."""
        while self.idle:
            try:
                self.idle.pop().close()
            except IndexError:
                break


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head, ready to send; ``sized``: the number of body bytes and a blank line still follow."""

    origin: Origin
    data: bytes = field(repr=False)
    sized: bool
    bodiless: bool


def build_head(
    find_origin: Callable[[Url], Origin], method: str, url: str, fields: tuple[tuple[str, str], ...], has_body: bool,
) -> Head:
    """The head of a request; ``ConfigError`` for what must not be sent, which names the field but never its value."""
    from urllib3.util import make_headers

    if not isinstance(method, str) or not _TOKEN(method):
        raise ConfigError("the HTTP method is not a token")
    target = parse_target(url)
    origin = find_origin(target)
    headers = {"host": f"Host: {host_field(target)}", "user-agent": f"User-Agent: {USER_AGENT}",
               "accept": "Accept: */*", "accept-encoding": f"Accept-Encoding: {accepted()}"}
    if target.auth:
        headers["authorization"] = "Authorization: " + make_headers(basic_auth=_unquoted(target.auth))["authorization"]
    if origin.route.absolute:
        for name, value in origin.route.proxy_headers.items():
            headers[name.lower()] = _line(name, value)
    for name, value in fields:
        if not isinstance(name, str) or name.lower() not in ("content-length", "transfer-encoding"):
            line = _line(name, value)
            headers[name.lower()] = line
    path = f"http://{host_field(target)}{target.request_uri}" if origin.route.absolute else target.request_uri
    sized = has_body or method in _BODY_METHODS
    lines = [f"{method} {path} HTTP/1.1", *headers.values(), "Content-Length: " if sized else "\r\n"]
    return Head(origin, "\r\n".join(lines).encode("latin-1"), sized, method == "HEAD")


def parse_target(url: str) -> Url:
    """The URL in its parts, its path quoted; ``ConfigError`` when it is not one that can be called."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    if not isinstance(url, str) or _BAD_URL(url):
        raise ConfigError("the URL has characters that cannot be sent (blank, line break, NUL or not latin-1)")
    try:
        target = parse_url(url)
    except (LocationParseError, UnicodeError, ValueError):
        raise ConfigError("the URL cannot be parsed") from None
    if target.scheme not in ("http", "https") or not target.host:
        raise ConfigError(f"the URL must begin with http:// or https:// and name a host, not {target.scheme!r}")
    return target


def host_field(target: Url) -> str:
    """The value of Host: without the port when it is the usual one."""
    usual = 443 if target.scheme == "https" else 80
    return f"{target.host}" if target.port in (None, usual) else f"{target.host}:{target.port}"


def _line(name: str, value: str) -> str:
    if not isinstance(name, str) or not _TOKEN(name):
        raise ConfigError("a header's name is not a token")
    if not isinstance(value, str):
        raise ConfigError(f"the header {name} is not a string")
    if _BAD_VALUE(value):
        raise ConfigError(f"the header {name} has characters that cannot be sent (line break, NUL or not latin-1)")
    return f"{name}: {value}"


def _unquoted(auth: str) -> str:
    from urllib.parse import unquote

    return unquote(auth)
