"""One line every 30 seconds: on a terminal to standard error, elsewhere through logging."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import TextIO

from deluge import _log
from deluge.progress import _terminal, _words
from deluge.status import StatusSnapshot

_log_room = _log.logger("progress")
_EVERY = 30.0


class ManualDisplay:
    """Says where the run stands, every ``every`` seconds of its clock, and once more when it ends.

    With ``logged`` it speaks at INFO through ``deluge.progress``; a run that ends before its first line says nothing.
    """

    needs_terminal = True
    interval = 1.0

    def __init__(self, stream: TextIO | None = None, logged: bool = False, every: float = _EVERY,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._logged = logged
        self._every = every
        self._clock = clock
        self._next_at = 0.0
        self._spoke = False

    def open(self, now: StatusSnapshot) -> None:
        """Starts to wait."""
        self._next_at = self._clock() + self._every

    def show(self, now: StatusSnapshot) -> None:
        """Speaks when it is time."""
        if self._clock() >= self._next_at:
            self._next_at = self._clock() + self._every
            self._say(now, _words.progress(now) + _words.traffic(now) + _words.spending(now))

    def close(self, now: StatusSnapshot) -> None:
        """Says how it ended."""
        if self._spoke or not self._logged:
            self._say(now, _words.outcome(now))

    def _say(self, now: StatusSnapshot, parts: list[_words.Part]) -> None:
        self._spoke = True
        if self._logged:
            text = ", ".join(part for part, _ in parts)
            _log.event(_log_room, logging.INFO, text, client=now.client_name, done=now.done, total=now.total,
                       failed=now.failed, running=now.running, queued=now.queued, cost=now.cost)
        else:
            text = f"[{_words.name(now)}] {', '.join(part for part, _ in parts)}\n"
            _terminal.write(self._stream or sys.stderr, text)


DISPLAY = ManualDisplay
