"""One attempt's deadline, off switch and socket."""

from __future__ import annotations

import os
import socket
import threading
from time import monotonic

from deluge.wire import FailureKind


class Attempt:
    """One HTTP try, as the scheduler sees it from outside: when it must end, when it was sent, and how to stop it.

    ``deadline`` is in monotonic seconds; ``gap`` (streams) bounds every wait after the first byte, in seconds;
    ``fresh`` takes no idle connection.
    The worker registers its socket here and takes it back before anybody else may use it. Taking it back and aborting
    exclude each other, so that an abort that comes too late finds no socket and never hits the next request on it.
    """

    __slots__ = ("deadline", "gap", "fresh", "aborted", "reason", "sent_at", "_lock", "_sock", "__weakref__")

    def __init__(self, deadline: float = float("inf"), *, gap: float | None = None) -> None:
        self.deadline = deadline
        self.gap = gap
        self.fresh = False
        self.aborted = False
        self.reason: FailureKind = "cancelled"
        self.sent_at = 0.0
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None

    def own(self, sock: socket.socket) -> bool:
        """Registers the raw socket; False when the attempt was aborted already (then close it)."""
        self._sock = sock  # before the look at ``aborted``, as abort() sets that before it looks here: no lock needed
        return not self.aborted

    def disown(self) -> bool:
        """Forgets the socket before anybody else may have it; False when it was aborted meanwhile (then close it)."""
        with self._lock:
            self._sock = None
            return not self.aborted

    def sending(self) -> bool:
        """Notes the time right before the first byte goes out; False when it must not go out any more."""
        if self.aborted:
            return False
        self.sent_at = monotonic()
        return True

    def abort(self, reason: FailureKind = "cancelled") -> bool:
        """Stops the attempt from any thread, within milliseconds; False when that was done before."""
        with self._lock:
            if self.aborted:
                return False
            self.reason = reason
            self.aborted = True
            if self._sock is not None:
                try:
                    # The plain socket's method: that of an SSL socket would pull the session away under its reader.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
                except OSError:
                    pass  # not connected yet, or closed by the peer: its owner notices by itself
            return True

    def extend(self, deadline: float) -> None:
        """Moves the deadline; a stream's reader follows at its next read."""
        self.deadline = deadline

    def forget(self) -> None:
        """In a forked child: lets go of the parent's socket without a word to the peer, whoever held the lock."""
        self._lock = threading.Lock()
        sock, self._sock = self._sock, None
        self.aborted = True
        if sock is not None and (fd := sock.detach()) >= 0:
            os.close(fd)

    def __repr__(self) -> str:
        state = f"aborted ({self.reason})" if self.aborted else "sent" if self.sent_at else "not sent"
        return f"<Attempt {state} | {self.deadline - monotonic():.1f} s left>"
