"""A request that waits for its reply, and the switch that ends such waits from another thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any

from deluge.errors import MCPError
from deluge.mcp.protocol import Message

_SLICE = 1.0  # seconds of one wait, so that Ctrl-C gets through wherever a lock cannot be interrupted


class Lost(Exception):
    """The way to the server ended before the reply. ``sent``: the server may have seen the request.

    ``over``: the process or the session is gone, so that a new one is needed.
    """

    def __init__(self, message: str, *, sent: bool, over: bool = True) -> None:
        super().__init__(message)
        self.sent, self.over = sent, over


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call has come: ``done`` of ``total`` (None when the server does not know), and its words."""

    done: float
    total: float | None = None
    message: str | None = None


class Pending:
    """One request. Any thread may end it, once; the one that waits for it hears of progress meanwhile."""

    __slots__ = ("id", "sent", "cancelled", "_changed", "_reply", "_error", "_ended", "_news", "_on_progress", "_stop")

    def __init__(self, id: int, on_progress: Callable[[Progress], object] | None = None) -> None:
        self.id = id
        self.sent = False
        self.cancelled = False
        self._changed = threading.Condition()
        self._reply: Message | None = None
        self._error: Exception | None = None
        self._ended = False
        self._news: deque[Progress] = deque()
        self._on_progress = on_progress
        self._stop: Callable[[], object] | None = None

    @property
    def ended(self) -> bool:
        """Whether there is a reply or an error."""
        return self._ended

    def resolve(self, reply: Message) -> None:
        """The reply has come."""
        self._end(reply, None)

    def fail(self, error: Exception) -> None:
        """No reply will come."""
        if self._end(None, error):
            self._stopped()

    def cancel(self) -> None:
        """The one who waits does not want it any more."""
        with self._changed:
            if self._ended:
                return
            self.cancelled = True
        self.fail(MCPError("the call was cancelled", kind="cancelled"))

    def _end(self, reply: Message | None, error: Exception | None) -> bool:
        with self._changed:
            if self._ended:
                return False
            self._ended, self._reply, self._error = True, reply, error
            self._changed.notify_all()
            return True

    def stops(self, stop: Callable[[], object]) -> None:
        """What ends the wait of a thread that reads from a socket; called at once when it is too late already."""
        self._stop = stop
        if self._ended and self._error is not None:
            stop()

    def _stopped(self) -> None:
        if self._stop is not None:
            self._stop()

    def note(self, progress: Progress) -> None:
        """News for the one who waits."""
        if self._on_progress is not None:
            with self._changed:
                self._news.append(progress)
                self._changed.notify_all()

    def tell(self) -> None:
        """Calls the callback with what is new, in the thread that waits."""
        while self._news and self._on_progress is not None:
            self._on_progress(self._news.popleft())

    def wait(self, until: float) -> bool:
        """Waits for the end, telling progress; False when the time (monotonic seconds) has come before it."""
        while True:
            self.tell()
            with self._changed:
                if self._news:
                    continue
                left = until - monotonic()
                if self._ended or left <= 0:
                    return self._ended
                self._changed.wait(min(left, _SLICE))

    def outcome(self) -> Message:
        """The reply; raises what ended it instead."""
        if self._error is not None:
            raise self._error
        assert self._reply is not None
        return self._reply

    def forsake(self) -> None:
        """In a forked child: whoever held the lock is not there any more."""
        self._changed = threading.Condition()
        self._end(None, MCPError("the process was forked during the call", kind="cancelled"))


class Cancellation:
    """Ends calls from another thread: what runs in a ``with cancellation.covers():`` block ends at ``cancel()``.

    The servers are told. A call that begins after ``cancel()`` ends at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._covered: set[Pending] = set()
        self.cancelled = False

    def cancel(self) -> None:
        """Ends every call that is covered, from any thread."""
        with self._lock:
            self.cancelled = True
            covered = list(self._covered)
        for pending in covered:
            pending.cancel()

    @contextmanager
    def covers(self) -> Iterator[None]:
        """Calls in this block (and in copies of its context, on other threads) belong to this cancellation."""
        before = _cancellation.set(self)
        try:
            yield
        finally:
            _cancellation.reset(before)

    def add(self, pending: Pending) -> None:
        """One more call."""
        with self._lock:
            self._covered.add(pending)
            cancelled = self.cancelled
        if cancelled:
            pending.cancel()

    def remove(self, pending: Pending) -> None:
        """A call has ended."""
        with self._lock:
            self._covered.discard(pending)


_cancellation: ContextVar[Cancellation | None] = ContextVar("deluge_mcp_cancellation", default=None)


def is_cancelled() -> bool:
    """Whether the caller's ``Cancellation`` has been cancelled."""
    cancellation = _cancellation.get()
    return cancellation is not None and cancellation.cancelled


@contextmanager
def cancellable(pending: Pending) -> Iterator[None]:
    """The request belongs to the caller's ``Cancellation`` while the block runs."""
    cancellation = _cancellation.get()
    if cancellation is None:
        yield
        return
    cancellation.add(pending)
    try:
        yield
    finally:
        cancellation.remove(pending)


def progress_of(params: Any) -> Progress | None:
    """What a progress notification says; None when it is not one."""
    done = params.get("progress") if isinstance(params, dict) else None
    if not isinstance(done, (int, float)):
        return None
    total, message = params.get("total"), params.get("message")
    return Progress(float(done), float(total) if isinstance(total, (int, float)) else None,
                    message if isinstance(message, str) else None)
