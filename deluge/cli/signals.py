"""Ctrl-C and TERM for the command line; the library itself never sets a signal handler."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

BROKEN_PIPE = 141


class Signals:
    """While it is entered, TERM interrupts the main thread as Ctrl-C does; ``exit_code`` tells them apart.

    The handler notes the signal and raises ``KeyboardInterrupt``, nothing more: everything else happens where that
    is caught. Ctrl-C keeps Python's own handler, so that a command started with ``nohup`` goes on ignoring it.
    """

    def __init__(self) -> None:
        self._terminated = False
        self._before: Any = None

    @property
    def exit_code(self) -> int:
        """143 after TERM, else 130."""
        return 143 if self._terminated else 130

    @property
    def word(self) -> str:
        """How a message names what happened."""
        return "terminated" if self._terminated else "interrupted"

    def _terminate(self, signum: int, frame: FrameType | None) -> None:
        self._terminated = True
        raise KeyboardInterrupt

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._terminate)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
