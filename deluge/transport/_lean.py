"""The transport that the engine gets: calls in, replies out, nothing raised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING

from deluge.errors import ConfigError
from deluge.transport._attempt import Attempt
from deluge.transport._failure import describe
from deluge.wire import Cutoff, HttpCall, HttpReply

if TYPE_CHECKING:
    from deluge.transport._adapter import LeanAdapter
    from deluge.transport._fetch import Fetcher
    from deluge.transport._origin import Head
    from deluge.transport._pending import Pending

HEADS = 256  # heads that are found again by the identity of their headers
SMALL = 65_536  # bytes that a socket takes without waiting for its peer

Signer = Callable[[HttpCall], Mapping[str, str]]


class LeanTransport:
    """Sends calls and never raises: what goes wrong is in the reply. One is shared by all workers.

    ``max_idle``: connections kept for each server. ``signers``: what a call's ``sign`` names, called at send time for
    the headers to add. ``max_wire`` and ``max_body``: the largest reply in bytes, as it comes and decoded.
    """

    def __init__(
        self, *, max_idle: int = 1000, signers: Mapping[str, Signer] | None = None,
        max_wire: int = 64 << 20, max_body: int = 256 << 20,
    ) -> None:
        self._limits = (max_idle, max_wire, max_body)
        self._signers = dict(signers or {})
        self._lock = threading.Lock()
        self._lean: LeanAdapter | None = None
        self._fetcher: Fetcher | None = None
        self._live: set[Cutoff] = set()
        self._heads: dict[int, tuple[Mapping[str, str], str, str, Head]] = {}

    def send(self, call: HttpCall, attempt: Cutoff) -> HttpReply:
        """The whole reply, or why there is none."""
        reply = HttpReply()
        self._live.add(attempt)
        try:
            lean = self._lean or self.adapter
            lean.run(self._head(lean, call), call.body, attempt, reply)
        except Exception as error:
            reply.failure, reply.message = describe(error, attempt)
        finally:
            self._live.discard(attempt)
        reply.finished_at = monotonic()
        return reply

    def begin(self, call: HttpCall, attempt: Cutoff, connect: bool = True) -> Pending | HttpReply | None:
        """Sends a small request and leaves its reply to ``proceed``; the reply at once when sending failed.

        None when it cannot be sent that way: it is large, a stream, must be signed, or needs a connection while
        ``connect`` is False. Then ``send`` is for it.
        """
        if call.sign is not None or call.stream or len(call.body) >= SMALL:
            return None
        reply = HttpReply()
        self._live.add(attempt)
        try:
            lean = self._lean or self.adapter
            pending = lean.begin(self._head(lean, call), call.body, attempt, reply, connect)
        except Exception as error:
            return self._failed(error, attempt, reply)
        if pending is None:
            self._live.discard(attempt)
        return pending

    def proceed(self, pending: Pending) -> HttpReply | None:
        """Reads what has come, without waiting; the reply when it is whole, or has failed."""
        reply, attempt = pending.reply, pending.attempt
        try:
            if not pending.read():
                return None
        except Exception as error:
            return self._failed(error, attempt, reply)
        self._live.discard(attempt)
        reply.finished_at = monotonic()
        return reply

    def drop(self, pending: Pending, error: OSError) -> HttpReply:
        """Gives a pending request up: its connection is closed."""
        pending.drop()
        return self._failed(error, pending.attempt, pending.reply)

    def _failed(self, error: Exception, attempt: Cutoff, reply: HttpReply) -> HttpReply:
        self._live.discard(attempt)
        reply.failure, reply.message = describe(error, attempt)
        reply.finished_at = monotonic()
        return reply

    def stream(self, call: HttpCall, attempt: Cutoff) -> HttpReply:
        """Status and headers, or why there are none; ``chunks`` reads the body, which is there when it is no 2xx.

        ``chunks`` raises ``StreamCut`` when the body does not come to its end; close it to stop early.
        """
        reply = HttpReply()

        def ended() -> None:
            self._live.discard(attempt)
            reply.finished_at = monotonic()

        self._live.add(attempt)
        try:
            lean = self._lean or self.adapter
            lean.open(self._head(lean, call), call.body, attempt, reply, ended)
            if not 200 <= reply.status < 300 and reply.chunks is not None:
                reply.body = b"".join(reply.chunks)
                reply.chunks = iter((reply.body,))
        except Exception as error:
            ended()
            reply.status, reply.headers, reply.body, reply.chunks = 0, {}, b"", None
            reply.failure, reply.message = describe(error, attempt)
        except BaseException:
            ended()
            raise
        return reply

    def fetch(self, url: str, attempt: Cutoff, most: int, private: bool = False) -> HttpReply:
        """What is behind a URL, of ``most`` bytes at most; redirects are followed. ``private``: private addresses too.

        Failure ``config``: the URL must not be fetched. The attempt does not count as sent by this.
        """
        self._live.add(attempt)
        try:
            return self._fetching().get(url, attempt, most, private)
        finally:
            self._live.discard(attempt)

    def _fetching(self) -> Fetcher:
        if self._fetcher is None:
            from deluge.transport._fetch import Fetcher

            with self._lock:
                self._fetcher = self._fetcher or Fetcher()
        return self._fetcher

    @property
    def adapter(self) -> LeanAdapter:
        """The connections; made, and requests imported, when the first call is sent."""
        if self._lean is None:
            from deluge.transport._adapter import LeanAdapter

            with self._lock:
                if self._lean is None:
                    idle, wire, body = self._limits
                    self._lean = LeanAdapter(max_idle=idle, max_wire=wire, max_body=body)
        return self._lean

    @property
    def idle(self) -> int:
        """How many connections wait to be used again."""
        return sum(len(origin.idle) for origin in self._lean.origins) if self._lean else 0

    def abort_all(self) -> None:
        """Aborts everything that is in flight, from any thread."""
        for attempt in list(self._live):
            if isinstance(attempt, Attempt):
                attempt.abort()

    def close(self) -> None:
        """Closes the idle connections; the next call opens new ones."""
        for lean in self._adapters():
            lean.close()

    def sweep(self, now: float) -> int:
        """Closes connections that have been idle for more than 50 s; how many those were."""
        return sum(origin.sweep(now) for lean in self._adapters() for origin in lean.origins)

    def forget(self) -> None:
        """In a forked child: gives up the parent's sockets without a word to the servers; the child opens its own."""
        self._lock = threading.Lock()
        live, self._live = self._live, set()
        for attempt in live:
            if isinstance(attempt, Attempt):
                attempt.forget()
        for lean in self._adapters():
            lean.forget()

    def _adapters(self) -> tuple[LeanAdapter, ...]:
        own = (self._lean,) if self._lean else ()
        return (*own, *self._fetcher.adapters) if self._fetcher else own

    def _head(self, lean: LeanAdapter, call: HttpCall) -> Head:
        if call.sign is None:
            known = self._heads.get(id(call.headers))
            if known is not None and known[0] is call.headers and known[1:3] == (call.url, call.method) and call.body:
                if not known[3].origin.gone:
                    return known[3]  # the same headers object as before: a dialect makes it once per call
            try:
                head = lean.head(call.method, call.url, tuple(call.headers.items()), bool(call.body))
            except TypeError:  # not hashable
                raise ConfigError("a header, the URL or the method is not a string") from None
            if call.body:
                if len(self._heads) >= HEADS:
                    self._heads.clear()
                self._heads[id(call.headers)] = (call.headers, call.url, call.method, head)
            return head
        return lean.build_head(call.method, call.url, tuple(self._signed(call.sign, call).items()), bool(call.body))

    def _signed(self, name: str, call: HttpCall) -> dict[str, str]:
        """The call's headers with those of its signer."""
        signer = self._signers.get(name)
        if signer is None:
            raise ConfigError(f"no signer named {name!r} is installed")
        try:
            return {**call.headers, **signer(call)}
        except ConfigError:  # it says itself what is missing
            raise
        except Exception as error:
            raise ConfigError(f"signing as {name!r} failed: {type(error).__name__}") from None

    def __repr__(self) -> str:
        return f"<LeanTransport {len(self._live)} in flight | {self.idle} idle>"
