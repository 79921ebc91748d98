"""A tqdm bar: one line, for terminals and notebooks."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

from deluge import _env
from deluge.progress import _words
from deluge.status import StatusSnapshot

if TYPE_CHECKING:
    from tqdm import tqdm

_OWN_WIDTH, _UNKNOWN_WIDTH = 64, 160  # of bar, counts, times and speed; where the terminal does not say
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


class TqdmDisplay:
    """Draws on a terminal or in a notebook. ``TQDM_DISABLE`` and tqdm's other variables work as usual."""

    needs_terminal = True
    interval = 0.1

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        self._stream = stream
        self._width = width
        self._bar: tqdm[Any] | None = None

    def open(self, now: StatusSnapshot) -> None:
        """Draws for the first time. ``ImportError`` where tqdm is not installed."""
        stream = self._stream or sys.stderr
        self._bar = _bar_class()(
            total=now.total, desc=_words.name(now), file=stream, unit=" prompts", ncols=self._width, initial=0,
            dynamic_ncols=self._width is None, mininterval=0, leave=True,
        )
        if not self._bar.disable:
            self._bar.start_t -= now.seconds  # the run began before its bar
        self.show(now)

    def show(self, now: StatusSnapshot) -> None:
        """Draws again."""
        bar = self._bar
        if bar is None or bar.disable:
            return
        bar.n = now.done
        bar.total = now.total
        parts = [part for part in _words.traffic(now) if "prompts/" not in part[0]] + _words.spending(now)
        parts = _words.fit(parts, (bar.ncols or _UNKNOWN_WIDTH) - len(bar.desc) - _OWN_WIDTH)
        bar.set_postfix_str(", ".join(_coloured(part) for part in parts), refresh=False)
        self._safely(bar.refresh)

    def close(self, now: StatusSnapshot) -> None:
        """Draws a last time and leaves the bar."""
        self.show(now)
        bar, self._bar = self._bar, None
        if bar is not None:
            self._safely(bar.close)

    def forget(self) -> None:
        """In a forked child: the bar is the parent's."""
        if self._bar is not None:
            self._bar.disable = True  # its finaliser draws nothing
        self._bar = None

    def _safely(self, draw: Any) -> None:
        try:
            draw()
        except (OSError, ValueError):  # the terminal is gone
            self.forget()


def _coloured(part: _words.Part) -> str:
    text, style = part
    return f"{_RED}{text}{_PLAIN}" if style == "red" and _env.get("NO_COLOR") is None else text


def _bar_class() -> type[tqdm[Any]]:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        """Without tqdm's monitor thread, and with a lock that is no semaphore of the system."""

        monitor_interval = 0
        _lock = threading.RLock()

    return Bar


DISPLAY = TqdmDisplay
