"""An open socket between two exchanges."""

from __future__ import annotations

import select
import socket
import struct
import sys
from time import monotonic
from typing import Any

_SLACK_BELOW, _SLACK_ABOVE = 0.1, 0.02
_FOREVER = 1e7


class Connection:
    """A socket that speaks HTTP to one origin.

    A plain socket stays in blocking mode with the kernel's own timeouts, which saves a poll before every read; a TLS socket
    ignores those and gets Python's.
    """

    __slots__ = ("sock", "raw", "used", "idle_at", "_kernel", "_limit", "_poll")

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.raw: socket.socket = getattr(sock, "socket", sock)  # TLS inside TLS wraps a socket without being one
        self.used = False
        self.idle_at = 0.0
        # A class of another module (gevent's) waits in its own way, which the kernel's timeouts would not reach.
        self._kernel = sys.platform != "win32" and type(sock) is socket.socket and socket.socket.__module__ == "socket"
        self._limit = 0.0
        self._poll: Any = None
        if self._kernel:
            sock.settimeout(None)
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(self.raw.fileno(), select.POLLIN)

    def limit(self, deadline: float, gap: float | None = None) -> None:
        """Bounds the next reads and writes; ``TimeoutError`` when the deadline (monotonic seconds) has passed."""
        seconds = deadline - monotonic()
        if gap is not None and gap < seconds:
            seconds = gap
        if seconds <= 0:
            raise TimeoutError("the deadline has passed")
        if not self._kernel:
            self.sock.settimeout(min(seconds, _FOREVER))
        elif not -_SLACK_BELOW <= self._limit - seconds <= _SLACK_ABOVE:
            self._limit = seconds = min(max(seconds, 0.001), _FOREVER)
            value = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def readable(self) -> bool:
        """Whether something arrived that nobody asked for: the end of the connection, or a stray byte."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(select.select([self.raw], [], [], 0)[0])

    def close(self) -> None:
        """Closes the socket; says nothing to the peer on the TLS level."""
        try:
            self.sock.close()
        except OSError:
            pass
