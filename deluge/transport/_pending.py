"""Requests whose reply is awaited by somebody else: sent by one thread, read by another as far as it has come."""

from __future__ import annotations

import ssl
from time import monotonic
from typing import TYPE_CHECKING

from deluge.transport._codings import decoder
from deluge.transport._connection import Aborted, Connection
from deluge.transport._reply import ReplyError, ReplyReader, whole_reply

if TYPE_CHECKING:
    from deluge.transport._exchange import Exchanger
    from deluge.transport._origin import Head
    from deluge.wire import Cutoff, HttpReply

READ = 65_536
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Pending:
    """A request that has been sent. ``fileno`` becomes readable when there is something for ``read``."""

    __slots__ = ("connection", "head", "attempt", "reply", "_exchanger", "_reader", "_pieces", "_flags")

    def __init__(self, exchanger: Exchanger, connection: Connection, head: Head, attempt: Cutoff, reply: HttpReply) -> None:
        self.connection = connection
        self.head = head
        self.attempt = attempt
        self.reply = reply
        self._exchanger = exchanger
        self._reader: ReplyReader | None = None
        self._pieces: list[bytes] = []
        self._flags = connection.unblock()

    def fileno(self) -> int:
        """The socket's."""
        return self.connection.raw.fileno()

    def read(self) -> bool:
        """Takes what has come; True when the reply is whole. What goes wrong is raised, and the connection closed."""
        keep = done = False
        try:
            done, keep = self._read()
        except BaseException:
            done = True
            raise
        finally:
            if done:
                self.connection.block()
                self._exchanger.release(self.head.origin, self.connection, self.attempt, keep)
        return done

    def drop(self) -> None:
        """Closes the connection: nobody reads the reply."""
        self._exchanger.release(self.head.origin, self.connection, self.attempt, False)

    def _read(self) -> tuple[bool, bool]:
        receive, flags = self.connection.sock.recv, self._flags
        while True:
            try:
                data = receive(READ, flags) if flags else receive(READ)
            except _NOT_YET:
                return False, False
            if not data and self.attempt.aborted:
                raise Aborted
            if self._reader is None:
                done, keep = self._begin(data)
                if done:
                    return True, keep
            else:
                self._pieces.append(self._reader.feed_or_end(data))
            if self._reader is not None and self._reader.done:
                return True, self._finish(self._reader)

    def _begin(self, data: bytes) -> tuple[bool, bool]:
        """The first bytes: most replies are whole with them."""
        if not data:
            raise ReplyError("the connection was closed without a reply")
        reply, exchanger = self.reply, self._exchanger
        reply.first_byte_at, reply.replied = monotonic(), True
        if not self.head.bodiless:
            whole = whole_reply(data, exchanger.max_wire)
            if whole is not None and "content-encoding" not in whole[1]:
                reply.status, reply.headers, reply.body = whole
                return True, True
        self._reader = ReplyReader(bodiless=self.head.bodiless, max_wire=exchanger.max_wire)
        self._pieces.append(self._reader.feed(data))
        return False, False

    def _finish(self, reader: ReplyReader) -> bool:
        body = b"".join(self._pieces)
        undo = decoder(reader.headers.get("content-encoding", ""), reader.codings, self._exchanger.max_body)
        if undo is not None:
            body = undo.feed(body)
            undo.end()
        reply = self.reply
        reply.status, reply.headers, reply.body = reader.status, reader.headers, body
        return reader.reusable
