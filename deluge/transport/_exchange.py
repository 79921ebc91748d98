"""One exchange over an idle or a new connection: the request in one write, the reply framed as it arrives."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from deluge.transport._codings import decoder
from deluge.transport._connection import Aborted, Connection
from deluge.transport._pending import Pending
from deluge.transport._reply import ReplyError, ReplyReader, whole_reply
from deluge.transport._stream import Chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from deluge.transport._origin import Head, Origin
    from deluge.wire import Cutoff, HttpReply

READ = 16_384
READ_MUCH = 262_144
LARGE = 262_144


class Exchanger:
    """Runs exchanges; what goes wrong is raised. A connection goes back to the idle ones only when nothing did."""

    __slots__ = ("_connect", "max_idle", "max_wire", "max_body", "resting")

    def __init__(
        self, connect: Callable[[Origin, Cutoff], Connection], *, max_idle: int, max_wire: int, max_body: int,
    ) -> None:
        self._connect = connect
        self.resting = False  # closed, and not used since: what comes back late is not kept
        self.max_idle = max_idle
        self.max_wire = max_wire
        self.max_body = max_body

    def run(self, head: Head, body: bytes, attempt: Cutoff, reply: HttpReply) -> None:
        """Fills the reply, body and all."""
        origin = head.origin
        connection = self._idle(origin, attempt) or self._connect(origin, attempt)
        keep = False
        try:
            data = _request(connection, head, body, attempt, reply)
            whole = None if head.bodiless else whole_reply(data, self.max_wire)
            if whole is not None and "content-encoding" not in whole[1]:
                reply.status, reply.headers, reply.body = whole
                keep = True
            else:
                keep = self._read(connection, head, data, attempt, reply)
        finally:
            self.release(origin, connection, attempt, keep)

    def open(
        self, head: Head, body: bytes, attempt: Cutoff, reply: HttpReply, ended: Callable[[], None],
    ) -> None:
        """Fills in status and headers; ``reply.chunks`` reads on and owns the connection until it ends."""
        origin = head.origin
        connection = self._idle(origin, attempt) or self._connect(origin, attempt)
        try:
            data = _request(connection, head, body, attempt, reply)
            reader = ReplyReader(bodiless=head.bodiless, max_wire=self.max_wire)
            piece = reader.feed(data)
            while not reader.started:
                piece = reader.feed_or_end(connection.receive(attempt, READ))
            reply.status, reply.headers = reader.status, reader.headers
            undo = decoder(reader.headers.get("content-encoding", ""), reader.codings, self.max_body)

            def release(keep: bool) -> None:
                self.release(origin, connection, attempt, keep)
                ended()

            reply.chunks = Chunks(connection, reader, undo, attempt, piece, release)
        except BaseException:
            self.release(origin, connection, attempt, False)
            raise

    def _idle(self, origin: Origin, attempt: Cutoff) -> Connection | None:
        self.resting = False
        connection = None if attempt.fresh else origin.take(monotonic())
        if connection is not None and not attempt.own(connection.raw):
            attempt.disown()
            connection.close()
            raise Aborted
        return connection

    def release(self, origin: Origin, connection: Connection, attempt: Cutoff, keep: bool) -> None:
        """Puts a connection back to the idle ones, or closes it."""
        if attempt.disown() and keep and not self.resting and len(origin.idle) < self.max_idle:
            connection.idle_at = monotonic()
            connection.used = True
            origin.idle.append(connection)
            if origin.gone:
                origin.drop()
        else:
            connection.close()

    def begin(self, head: Head, body: bytes, attempt: Cutoff, reply: HttpReply, connect: bool) -> Pending | None:
        """Sends the request and leaves the reply to the caller; None when that would take a connection and must not."""
        origin = head.origin
        connection = self._idle(origin, attempt)
        if connection is None:
            if not connect:
                return None
            connection = self._connect(origin, attempt)
        try:
            _announce(connection, attempt, reply)
            try:
                _send_whole(connection, head, body)
            except (TimeoutError, BlockingIOError):
                raise
            except OSError:
                pass  # the server may have answered before it hung up: its reply, or the end, is there to be read
            return Pending(self, connection, head, attempt, reply)
        except BaseException:
            self.release(origin, connection, attempt, False)
            raise

    def _read(self, connection: Connection, head: Head, data: bytes, attempt: Cutoff, reply: HttpReply) -> bool:
        """Reads the reply that begins with these bytes; whether its connection may be used again."""
        reader = ReplyReader(bodiless=head.bodiless, max_wire=self.max_wire)
        pieces = [reader.feed(data)]
        while not reader.done:
            data = connection.receive(attempt, READ_MUCH if reader.left > READ else READ)
            pieces.append(reader.feed_or_end(data))
        body = b"".join(pieces)
        undo = decoder(reader.headers.get("content-encoding", ""), reader.codings, self.max_body)
        if undo is not None:
            body = undo.feed(body)
            undo.end()
        reply.status, reply.headers, reply.body = reader.status, reader.headers, body
        return reader.reusable


def _request(connection: Connection, head: Head, body: bytes, attempt: Cutoff, reply: HttpReply) -> bytes:
    """Sends the request; the first bytes that come back."""
    _announce(connection, attempt, reply)
    data, broken = b"", None
    try:
        if len(body) < LARGE:
            _send_whole(connection, head, body)
        else:
            connection.sock.sendall(b"%b%d\r\n\r\n" % (head.data, len(body)))
            data = connection.send_watching(body, attempt.deadline)
    except (TimeoutError, BlockingIOError):
        raise
    except OSError as error:
        broken = error  # the server may have answered before it hung up: look what came
    if not data:
        data = _first_bytes(connection, attempt, broken)
    reply.first_byte_at = monotonic()
    reply.replied = True
    return data


def _announce(connection: Connection, attempt: Cutoff, reply: HttpReply) -> None:
    connection.limit(attempt.deadline)
    reply.reused = connection.used
    if not attempt.sending():
        raise Aborted
    reply.sent_at = monotonic()
    reply.sent = True


def _send_whole(connection: Connection, head: Head, body: bytes) -> None:
    connection.sock.sendall(b"%b%d\r\n\r\n%b" % (head.data, len(body), body) if head.sized else head.data)


def _first_bytes(connection: Connection, attempt: Cutoff, broken: OSError | None) -> bytes:
    data = b""
    try:
        data = connection.sock.recv(READ)
    except (TimeoutError, BlockingIOError):
        data = connection.receive(attempt, READ)
    except OSError as error:
        raise broken or error
    if not data:
        raise broken or ReplyError("the connection was closed without a reply")
    return data
