"""What a display is, and which one is used where."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from deluge import _plugins
from deluge.progress import _terminal
from deluge.progress.manual import ManualDisplay
from deluge.progress.silent import SilentDisplay
from deluge.status import StatusSnapshot


class Display(Protocol):
    """Shows snapshots. Its methods are called one at a time, but not always by the same thread.

    Optional: ``interval`` (seconds from one ``show`` to the next, at least and by default
    0.1; None: never), ``forget()`` (called in a forked child, and after an exception:
    drop what is held, draw nothing).
    """

    def open(self, now: StatusSnapshot) -> None:
        """Called once, before anything else."""

    def show(self, now: StatusSnapshot) -> None:
        """Called again and again while the run goes on."""

    def close(self, now: StatusSnapshot) -> None:
        """Called once, at the end."""


def display(name: str | None) -> Display:
    """The display of this name, made for where standard error goes; None is silent. ``ConfigError`` for unknown names.

    rich without its package is tqdm. Where nothing can be drawn (a log file, a pipe) it is a line of logging every
    30 s; where another display draws already it is a line every 30 s.
    """
    if name is None:
        return SilentDisplay()
    factory = _plugins.load("progress", name)
    if getattr(factory, "needs_terminal", False):
        return _OnTerminal(factory)
    made: Display = factory()
    return made


class _OnTerminal:
    """A display that is chosen when it is opened, because streams and terminals change."""

    def __init__(self, factory: Callable[[], Display]) -> None:
        self._factory = factory
        self._inner: Display | None = None

    @property
    def interval(self) -> float | None:
        """That of the display, once it is chosen."""
        return 0.1 if self._inner is None else getattr(self._inner, "interval", 0.1)

    def open(self, now: StatusSnapshot) -> None:
        """Opens the first that can draw here."""
        if not _terminal.draws(sys.stderr):
            candidates: list[Callable[[], Display]] = [lambda: ManualDisplay(logged=True)]
        elif self._factory is ManualDisplay or not _terminal.claim(self):
            candidates = [ManualDisplay]
        else:
            candidates = [self._factory, _tqdm, ManualDisplay]
        self._inner = _opened(candidates, now)

    def show(self, now: StatusSnapshot) -> None:
        """Passes it on."""
        if self._inner is not None:
            self._inner.show(now)

    def close(self, now: StatusSnapshot) -> None:
        """Passes it on and gives the terminal back."""
        try:
            if self._inner is not None:
                self._inner.close(now)
        finally:
            _terminal.release(self)

    def forget(self) -> None:
        """In a forked child."""
        _terminal.release(self)
        forget: Any = getattr(self._inner, "forget", None)
        if forget is not None:
            forget()
        self._inner = SilentDisplay()


def _tqdm() -> Display:
    made: Display = _plugins.load("progress", "tqdm")()
    return made


def _opened(candidates: list[Callable[[], Display]], now: StatusSnapshot) -> Display:
    for factory in candidates[:-1]:
        made = factory()
        try:
            made.open(now)
        except ImportError:  # its library is not installed, or has no use for this terminal
            continue
        return made
    last = candidates[-1]()
    last.open(now)
    return last
