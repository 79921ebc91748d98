"""A tqdm bar: one line, for terminals and notebooks."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from deluge import _env
from deluge.progress import _terminal, _words
from deluge.status import StatusSnapshot

if TYPE_CHECKING:
    from tqdm import tqdm

_OWN_WIDTH = 64  # of bar, counts, times and speed
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


class TqdmDisplay:
    """Draws on a terminal or in a notebook. ``TQDM_DISABLE`` and tqdm's other variables work as usual."""

    needs_terminal = True
    interval = 0.1

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        self._stream = stream
        self._width = width
        self._bar: tqdm[Any] | None = None
        self._lock = threading.RLock()
        self._guards = _terminal.Guards()

    def open(self, now: StatusSnapshot) -> None:
        """Draws for the first time. ``ImportError`` where tqdm is not installed."""
        made = _bar_class(self._lock)
        stream = _terminal.original(self._stream or sys.stderr)
        columns, lines = _terminal.size(stream)
        self._bar = made(total=now.total, desc=_words.name(now), file=stream, unit=" prompts", mininterval=0,
                         ncols=self._width or columns, nrows=lines)
        if stream is sys.stderr and not self._bar.disable:
            self._guards = _terminal.Guards(self._cleared)
        self.show(now)

    def show(self, now: StatusSnapshot) -> None:
        """Draws again."""
        bar = self._bar
        if bar is None or bar.disable:
            return
        bar.n = now.done
        bar.total = now.total
        bar.start_t = time.time() - now.seconds  # the run began before its bar
        parts = [part for part in _words.traffic(now) if "prompts/" not in part[0]] + _words.spending(now)
        parts = _words.fit(parts, (bar.ncols or 80) - len(bar.desc) - _OWN_WIDTH)
        bar.set_postfix_str(", ".join(_coloured(part) for part in parts), refresh=False)
        with self._lock:
            if not self._guards.in_line:
                self._safely(bar.refresh)

    def close(self, now: StatusSnapshot) -> None:
        """Draws a last time and leaves the bar."""
        with self._lock:
            if self._guards.close():
                self._safely(lambda: print(file=sys.stderr))
            self.show(now)
            if self._bar is not None:
                self._safely(self._bar.close)
            self._bar = None

    def forget(self) -> None:
        """In a forked child: the bar is the parent's."""
        self._guards.forget()
        self._lock = threading.RLock()
        if self._bar is not None:
            self._bar.disable = True  # its finaliser draws nothing
        self._bar = None

    @contextmanager
    def _cleared(self) -> Iterator[None]:
        with self._lock:
            if self._bar is not None and not self._guards.in_line:
                self._safely(self._bar.clear)
            yield

    def _safely(self, draw: Callable[[], object]) -> None:
        try:
            draw()
        except (OSError, ValueError):  # the terminal is gone
            self._guards.forget()
            if self._bar is not None:
                self._bar.disable = True


def _coloured(part: _words.Part) -> str:
    text, style = part
    return f"{_RED}{text}{_PLAIN}" if style == "red" and _env.get("NO_COLOR") is None else text


def _bar_class(lock: threading.RLock) -> type[tqdm[Any]]:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        """Without tqdm's monitor thread, and with a lock that is no semaphore of the system."""

        monitor_interval = 0
        _lock = lock

    return Bar


DISPLAY = TqdmDisplay
