"""An open socket between two exchanges."""

from __future__ import annotations

import select
import socket
import struct
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deluge.wire import Cutoff

_SLACK_BELOW, _SLACK_ABOVE = 0.1, 0.02
_FOREVER = 1e7


class Aborted(Exception):
    """The attempt was aborted while nothing else had gone wrong yet."""


class Connection:
    """A socket that speaks HTTP to one origin.

    A plain socket stays in blocking mode with the kernel's own timeouts, which saves a poll before every read; a TLS
    socket would ignore those and gets Python's.
    """

    __slots__ = ("sock", "raw", "used", "idle_at", "_kernel", "_limit", "_poll", "_pending", "watched")

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.raw: socket.socket = getattr(sock, "socket", sock)  # TLS inside TLS wraps a socket without being one
        self.used = False
        self.idle_at = 0.0
        # A class of another module (gevent's) waits in its own way, which the kernel's timeouts would not reach.
        self._kernel = sys.platform != "win32" and type(sock) is socket.socket and socket.socket.__module__ == "socket"
        self._limit = -1.0
        self._poll: Any = None
        self.watched: Any = None  # whoever waits for it elsewhere
        self._pending: Any = getattr(self.raw, "pending", None)
        if self._kernel:
            sock.settimeout(None)
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(self.raw.fileno(), select.POLLIN)

    def limit(self, deadline: float) -> None:
        """Bounds the next reads and writes; ``TimeoutError`` when the deadline (monotonic seconds) has passed.

        They may end a little early, so that requests with the same timeout need no system call here.
        """
        seconds = deadline - monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline has passed")
        if -_SLACK_BELOW <= self._limit - seconds <= _SLACK_ABOVE:
            return
        self._limit = seconds = min(max(seconds, 0.001), _FOREVER)
        if self._kernel:
            value = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
        else:
            self.sock.settimeout(seconds)

    def unblock(self) -> int:
        """From now on reads do not wait; the flags that ``recv`` needs for that."""
        if self._kernel:
            return socket.MSG_DONTWAIT
        self.raw.setblocking(False)
        return 0

    def block(self) -> None:
        """Reads wait again."""
        if not self._kernel:
            self._limit = -1.0  # the next exchange sets its own
            self.raw.settimeout(_FOREVER)

    def receive(self, attempt: Cutoff, size: int, until: float = float("inf")) -> bytes:
        """The next bytes, empty at the end; ``TimeoutError`` at the attempt's deadline or ``until``, ``Aborted``."""
        while True:
            self.limit(min(attempt.deadline, until))
            try:
                data: bytes = self.sock.recv(size)
            except (TimeoutError, BlockingIOError):
                continue  # a little early: limit() says when it is over
            if not data and attempt.aborted:
                raise Aborted  # our own doing, and not the end of a body
            return data

    def send_watching(self, data: bytes, deadline: float) -> bytes:
        """Sends a large body, but stops when a reply begins before its end: the first bytes of that, else nothing."""
        if not self._kernel or self._poll is None:
            self.sock.sendall(data)
            return b""
        rest, events = memoryview(data), select.poll()
        events.register(self.sock.fileno(), select.POLLIN | select.POLLOUT)
        while rest:
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError("the deadline has passed")
            ready = events.poll(min(left, 1_000.0) * 1_000 + 1)
            if ready and ready[0][1] & ~select.POLLOUT:
                early: bytes = self.sock.recv(16_384)
                if early.startswith(b"HTTP/1.1 1"):  # an interim reply: it wants the body all the same
                    self.sock.sendall(rest)
                return early
            if ready:
                with suppress(BlockingIOError):
                    rest = rest[self.sock.send(rest[:1 << 18], socket.MSG_DONTWAIT):]
        return b""

    def readable(self) -> bool:
        """Whether something arrived that nobody asked for: the end of the connection, or a stray byte."""
        if self._pending is not None and self._pending():
            return True  # decrypted already, so that the kernel no longer shows it
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(select.select([self.raw], [], [], 0)[0])

    def close(self) -> None:
        """Closes the socket; says nothing to the peer on the TLS level."""
        try:
            self.sock.close()
        except OSError:
            pass

    def __del__(self) -> None:
        self.close()  # a connection that came back after its pool was closed, and that nobody asked for again
