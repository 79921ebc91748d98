"""The one thread that keeps a display up to date."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from deluge import _log
from deluge.progress._display import Display
from deluge.status import StatusSnapshot

_log_room = _log.logger("progress")
_FASTEST = 0.1
_PATIENCE = 2.0  # a terminal that blocks (Ctrl-S) costs the end of a run this many seconds at most


class Ticker:
    """Shows snapshots on a display, at most every ``interval`` seconds, from a daemon thread of its own.

    The display is opened by that thread, after the first interval: what is over before never waits for a library to be
    imported. A display that raises is reported once and then left alone. All methods may be called from any thread.
    """

    def __init__(self, display: Display, snapshot: Callable[[], StatusSnapshot], interval: float = _FASTEST) -> None:
        self._display: Display | None = display
        self._snapshot = snapshot
        self._interval = max(_FASTEST, interval)
        self._shown = False
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Starts the thread; a silent display needs none."""
        if self._thread is None and not self._over.is_set() and self._pause() is not None:
            self._thread = threading.Thread(target=self._run, args=(self._over,), name="deluge-progress", daemon=True)
            _open.add(self)
            self._thread.start()

    def refresh(self) -> None:
        """Draws now."""
        with self._lock:
            if not self._over.is_set():
                self._draw("show")

    def close(self) -> None:
        """Draws a last time and ends the thread; a second call does nothing."""
        if self._over.is_set():
            return
        self._over.set()
        _open.discard(self)
        if self._lock.acquire(timeout=_PATIENCE):
            try:
                self._draw("close")
                self._display = None
            finally:
                self._lock.release()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    def forget(self) -> None:
        """In a forked child, where it happens by itself: no thread runs, locks may be held, the terminal is shared."""
        self._lock, self._over, self._thread = threading.RLock(), threading.Event(), None
        self._over.set()
        self._drop()

    def _drop(self) -> None:
        display, self._display = self._display, None
        forget: Any = getattr(display, "forget", None)
        if forget is not None:
            with suppress(Exception):
                forget()

    def _run(self, over: threading.Event) -> None:
        while not over.wait(self._pause() or 1.0):
            self.refresh()

    def _pause(self) -> float | None:
        if not self._shown:
            return self._interval if getattr(self._display, "interval", 0.0) is not None else None
        wanted: float | None = getattr(self._display, "interval", self._interval)
        return None if wanted is None else max(self._interval, wanted)

    def _draw(self, verb: str) -> None:
        display = self._display
        if display is None:
            return
        try:
            now = self._snapshot()
            if not self._shown:
                self._shown = True
                display.open(now)
            if verb == "close":
                display.close(now)
            elif verb == "show":
                display.show(now)
        except Exception as error:
            self._drop()
            _log.event(_log_room, logging.ERROR, "the progress display failed and stays silent from now on",
                       error_class=type(error).__name__)


_open: weakref.WeakSet[Ticker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A thread that draws while the interpreter goes down would hold the lock of standard error."""
    for ticker in list(_open):
        ticker.close()


def _forget_all() -> None:
    for ticker in list(_open):
        ticker.forget()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
