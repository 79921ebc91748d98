"""Sends calls over idle or new connections; the exchange on the open socket is done here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from deluge.errors import ConfigError
from deluge.transport._attempt import Attempt
from deluge.transport._codings import decoder
from deluge.transport._failure import describe
from deluge.transport._reply import ReplyReader, TooLargeError
from deluge.wire import Cutoff, HttpCall, HttpReply

if TYPE_CHECKING:
    from deluge.transport._adapter import LeanAdapter
    from deluge.transport._connection import Connection
    from deluge.transport._origin import Head

Signer = Callable[[HttpCall], Mapping[str, str]]
_READ = 16_384


class LeanTransport:
    """Sends calls and never raises: what goes wrong is in the reply. One is shared by all workers."""

    def __init__(
        self, *, max_idle: int = 1000, signers: Mapping[str, Signer] | None = None,
        max_wire: int = 64 << 20, max_body: int = 256 << 20,
    ) -> None:
        self._max_idle = max_idle
        self._signers = dict(signers or {})
        self._max_wire = max_wire
        self._max_body = max_body
        self._lock = Lock()
        self._lean: LeanAdapter | None = None
        self._live: set[Cutoff] = set()

    def send(self, call: HttpCall, attempt: Cutoff) -> HttpReply:
        """The whole reply, or why there is none."""
        reply = HttpReply()
        self._live.add(attempt)
        try:
            self._exchange(call, attempt, reply)
        except Exception as error:
            reply.status, reply.headers, reply.body = 0, {}, b""
            reply.failure, reply.message = describe(error, attempt)
        finally:
            self._live.discard(attempt)
        reply.finished_at = monotonic()
        return reply

    @property
    def adapter(self) -> LeanAdapter:
        """The connections; made (and requests imported) when the first call is sent."""
        lean = self._lean
        if lean is None:
            from deluge.transport._adapter import LeanAdapter

            with self._lock:
                lean = self._lean = self._lean or LeanAdapter(max_idle=self._max_idle)
        return lean

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
        if self._lean:
            for origin in self._lean.origins:
                origin.drop()

    def sweep(self, now: float) -> int:
        """Closes connections that have been idle for more than 50 s."""
        return sum(origin.sweep(now) for origin in self._lean.origins) if self._lean else 0

    def _exchange(self, call: HttpCall, attempt: Cutoff, reply: HttpReply) -> None:
        head = self._head(call)
        origin = head.origin
        connection = origin.take(monotonic())
        if connection is None:
            connection = self.adapter.connect(origin, attempt)
        elif not attempt.own(connection.raw):
            connection.idle_at = monotonic()
            origin.idle.append(connection)
            raise TimeoutError
        keep = False
        try:
            keep = self._converse(connection, head, call.body, attempt, reply)
        finally:
            if attempt.disown() and keep and len(origin.idle) < self._max_idle:
                connection.idle_at = monotonic()
                connection.used = True
                origin.idle.append(connection)
            else:
                connection.close()

    def _converse(
        self, connection: Connection, head: Head, body: bytes, attempt: Cutoff, reply: HttpReply,
    ) -> bool:
        connection.limit(attempt.deadline)
        reply.reused = connection.used
        if not attempt.sending():
            raise TimeoutError
        reply.sent_at = monotonic()
        reply.sent = True
        sock = connection.sock
        sock.sendall(b"%b%d\r\n\r\n%b" % (head.data, len(body), body) if head.sized else head.data)
        data = sock.recv(_READ)
        reply.first_byte_at = monotonic()
        reply.replied = bool(data)
        reader = ReplyReader(bodiless=head.bodiless, max_wire=self._max_wire)
        pieces = []
        while True:
            if data:
                pieces.append(reader.feed(data))
            else:
                reader.end()
            if reader.done:
                break
            connection.limit(attempt.deadline)
            data = sock.recv(_READ if reader.left < _READ else 262_144)
        reply.status, reply.headers = reader.status, reader.headers
        reply.body = self._content(pieces[0] if len(pieces) == 1 else b"".join(pieces), reader)
        return reader.reusable

    def _content(self, body: bytes, reader: ReplyReader) -> bytes:
        coding = reader.headers.get("content-encoding", "")
        if not coding and not reader.codings:
            return body
        undo = decoder(coding, reader.codings, self._max_body)
        if undo is None:
            return body
        body = undo.feed(body)
        undo.end()
        return body

    def _head(self, call: HttpCall) -> Head:
        if call.sign is None:
            try:
                return self.adapter.head(call.method, call.url, tuple(call.headers.items()), bool(call.body))
            except TypeError:
                raise ConfigError("a header is not a string") from None
        signer = self._signers.get(call.sign)
        if signer is None:
            raise ConfigError(f"no signer named {call.sign!r} is installed")
        try:
            signed = {**call.headers, **signer(call)}
        except Exception as error:
            raise ConfigError(f"signing for {call.sign!r} failed: {type(error).__name__}") from None
        return self.adapter.build_head(call.method, call.url, tuple(signed.items()), bool(call.body))

    def __repr__(self) -> str:
        return f"<LeanTransport {len(self._live)} in flight | {self.idle} idle>"
