"""What happens to open connections when the interpreter exits or the process is forked."""

from __future__ import annotations

import os
import threading
import weakref
from concurrent.futures import thread  # noqa: F401 - imported before our handler is registered, so that ours runs first
from time import monotonic
from typing import Protocol

EXIT_GRACE = 0.2  # seconds for servers to end by themselves when the interpreter exits, and again after they were told to
TERMINATE, KILL = 15, 9  # signals by number: this room sets no handlers


class Channel(Protocol):
    """What is needed of an open connection here."""

    def leave(self) -> None:
        """Ends whatever waits on it, without waiting itself."""

    def gone(self, until: float) -> bool:
        """Whether nothing of it is left at that time (monotonic seconds)."""

    def signal(self, number: int) -> None:
        """Passes a signal on to the server's process."""

    def after_fork(self) -> None:
        """In the child: lets go of what is the parent's."""


class Owner(Protocol):
    """Who opens connections."""

    def after_fork(self) -> None:
        """In the child."""


channels: weakref.WeakSet[Channel] = weakref.WeakSet()
owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def _at_exit() -> None:
    """An exiting interpreter waits for no call, and for no server longer than a moment; it leaves none behind."""
    left = list(channels)
    for channel in left:
        channel.leave()
    for number in (TERMINATE, KILL):
        until = monotonic() + EXIT_GRACE
        left = [channel for channel in left if not channel.gone(until)]
        for channel in left:
            channel.signal(number)
    for channel in left:
        channel.gone(monotonic() + EXIT_GRACE)


def _after_fork() -> None:
    for channel in list(channels):
        channel.after_fork()
    channels.clear()
    for owner in list(owners):
        owner.after_fork()


_register = getattr(threading, "_register_atexit", None)
if _register is not None:
    _register(_at_exit)
else:  # pragma: no cover - every CPython that we support has it
    import atexit

    atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
