"""What is behind a URL of the user's: fetched with a size cap, and from public addresses only unless told.

The addresses behind a name are checked where the connection is made, and it is made to the very address that was
checked: a name that answers differently the second time gains nothing. Every redirect is a new connection with a check
of its own.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin

from deluge.errors import ConfigError
from deluge.transport._adapter import LeanAdapter
from deluge.transport._failure import describe
from deluge.transport._reply import TooLargeError
from deluge.wire import HttpReply

if TYPE_CHECKING:
    from deluge.wire import Cutoff

LARGEST = 100 << 20  # bytes that are never exceeded, whatever the caller allows
_REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_ACCEPT = (("accept", "image/*, application/pdf, text/*, audio/*, */*;q=0.5"),)


class Fetcher:
    """Fetches URLs. ``get`` never raises: what goes wrong is in the reply."""

    def __init__(self) -> None:
        self._public = LeanAdapter(max_idle=8, max_wire=LARGEST, max_body=LARGEST, public_only=True)
        self._any = LeanAdapter(max_idle=8, max_wire=LARGEST, max_body=LARGEST)

    @property
    def adapters(self) -> tuple[LeanAdapter, LeanAdapter]:
        """Those for public addresses, and for all."""
        return self._public, self._any

    def get(self, url: str, attempt: Cutoff, most: int, private: bool) -> HttpReply:
        """The reply with the whole body, of ``most`` bytes at most. Failure ``config``: it must not be fetched."""
        lean = self._any if private else self._public
        reply = _followed(lean, url, attempt, most, fresh=False)
        if reply.failure == "connection" and reply.reused and not reply.replied:  # it was dead before it was used
            reply = _followed(lean, url, attempt, most, fresh=True)
        reply.sent = False  # nothing went to the provider
        reply.finished_at = monotonic()
        return reply


def _followed(lean: LeanAdapter, url: str, attempt: Cutoff, most: int, fresh: bool) -> HttpReply:
    """The reply at the end of all redirects."""
    reply, errand = HttpReply(), _Errand(attempt, fresh)
    try:
        for _ in range(_REDIRECTS + 1):
            reply = HttpReply()
            _get(lean, url, cast("Cutoff", errand), reply, most)
            place = reply.headers.get("location")
            if reply.status not in _MOVED or not place:
                return reply
            url = urljoin(url, place)
        raise ConfigError(f"there are more than {_REDIRECTS} redirects")
    except Exception as error:
        reply.status, reply.body, reply.chunks = 0, b"", None
        reply.failure, reply.message = describe(error, attempt)
    return reply


class _Errand:
    """An attempt's deadline and off switch for a request that is not the attempt's own: it is not sent yet."""

    __slots__ = ("_attempt", "fresh")

    def __init__(self, attempt: Cutoff, fresh: bool) -> None:
        self._attempt = attempt
        self.fresh = fresh

    @property
    def deadline(self) -> float:
        return self._attempt.deadline

    @property
    def aborted(self) -> bool:
        return self._attempt.aborted

    @property
    def reason(self) -> Any:
        return getattr(self._attempt, "reason", "cancelled")

    def own(self, sock: Any) -> bool:
        return self._attempt.own(sock)

    def disown(self) -> bool:
        return self._attempt.disown()

    def sending(self) -> bool:
        return not self._attempt.aborted


def _get(lean: LeanAdapter, url: str, errand: Cutoff, reply: HttpReply, most: int) -> None:
    """Fills the reply; a body that turns out to be too large is not read to its end."""
    lean.open(lean.build_head("GET", url, _ACCEPT, False), b"", errand, reply, _no_op)
    chunks: Any = reply.chunks
    try:
        length = reply.headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise TooLargeError(f"it has {int(length):,} bytes")
        pieces, size = [], 0
        for piece in chunks:
            size += len(piece)
            if size > most:
                raise TooLargeError(f"it has more than {most:,} bytes")
            pieces.append(piece)
        reply.body = b"".join(pieces)
    finally:
        chunks.close()
        reply.chunks = None


def _no_op() -> None:
    """Nobody keeps a list of these."""
