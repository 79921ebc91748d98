"""A client's display: opened by the first call that shows progress, closed by the last, or kept open between calls."""

from __future__ import annotations

import threading
from collections.abc import Callable

from deluge.engine import Engine
from deluge.progress import Ticker, display
from deluge.status import StatusSnapshot
from deluge.tracker import StatusTracker


class Showing:
    """Trackers and the display of one client. Without ``open`` each batch counts anew; calls that overlap share."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.tracker = engine.tracker
        self.name = name
        self._engine = engine
        self._lock = threading.RLock()  # a loop that was dropped may leave while its thread joins another
        self._ticker: Ticker | None = None
        self._opened = False
        self._viewers = 0
        self._calls = 0

    def open(self, total: int | None, style: str | None) -> None:
        """A new tracker that later calls share, with its display."""
        self.close()
        with self._lock:
            self._renew(total, anew=True)
            self._opened = True
            if style is not None:
                self._show(style)

    def close(self) -> None:
        """Draws a last time. The tracker stays readable."""
        with self._lock:
            ticker, self._ticker, self._opened, self._viewers = self._ticker, None, False, 0
        if ticker is not None:
            ticker.close()

    def join(self, count: int | None, style: str | None, batch: bool = True) -> Callable[[], None]:
        """A call begins: ``count`` prompts, if that is known. The function returned ends its part."""
        with self._lock:
            if batch and not self._opened and not self._calls and not self._engine.unfinished():
                self._renew(None)
            if count is not None:
                self.tracker.add_to_total(count)
            self._calls += 1
            viewer = style is not None and not self._opened
            if viewer:
                self._viewers += 1
                if self._ticker is None and style is not None:
                    self._show(style)
        return self._leaver(viewer)

    def reset(self) -> None:
        """Zeroes the counters; the display goes on."""
        self._engine.reset_tracker()
        with self._lock:
            ticker = self._ticker
        if ticker is not None:
            ticker.refresh()

    def snapshot(self) -> StatusSnapshot:
        """The counters, with the limits in force."""
        return self._engine.snapshot()

    def after_fork(self) -> None:
        """In a forked child: a new lock, no display."""
        self._lock = threading.RLock()
        self._ticker, self._viewers, self._calls, self._opened = None, 0, 0, False

    def _leaver(self, viewer: bool) -> Callable[[], None]:
        left = False

        def leave() -> None:
            nonlocal left
            ticker: Ticker | None = None
            with self._lock:
                if left:
                    return
                left = True
                self._calls -= 1
                if viewer and self._viewers:
                    self._viewers -= 1
                    if not self._viewers and not self._opened:
                        ticker, self._ticker = self._ticker, None
            if ticker is not None:
                ticker.close()

        return leave

    def _renew(self, total: int | None, anew: bool = False) -> None:
        self.tracker = StatusTracker(self.name, total)
        self._engine.replace_tracker(self.tracker, anew)

    def _show(self, style: str) -> None:
        self._ticker = Ticker(display(style), self._engine.snapshot)
        self._ticker.open()
