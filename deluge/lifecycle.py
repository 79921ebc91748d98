"""What happens to engines around their work: the keeper of time, the exit of the interpreter, a fork."""

from __future__ import annotations

import _thread
import os
import queue
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import thread  # imported before our exit handler is registered, so that ours runs first
from typing import Any, Protocol


class Engine(Protocol):
    """What is needed of an engine here."""

    @property
    def alarm(self) -> queue.SimpleQueue[None]:
        """What wakes its keeper of time."""

    def tick(self) -> float | None:
        """One round; seconds until the next."""

    def at_exit(self) -> None:
        """Shuts the sockets, lets the workers go."""

    def after_fork(self) -> None:
        """In the child."""


class Client(Protocol):
    """What is needed of a client here."""

    def after_fork(self) -> None:
        """In the child."""


engines: weakref.WeakSet[Engine] = weakref.WeakSet()
clients: weakref.WeakSet[Client] = weakref.WeakSet()
exiting = False
_made_for: tuple[int, Any] = (os.getpid(), _thread.start_new_thread)
_making: dict[int, object] = {}  # by process: whoever makes everything anew


def keep_time(engine_ref: weakref.ref[Engine], alarm: queue.SimpleQueue[None]) -> None:
    """The keeper of time. It holds the engine only while it works, so that a forgotten client can go."""
    while True:
        engine = engine_ref()
        if engine is None or engine.alarm is not alarm:
            return
        timeout = engine.tick()
        del engine
        if timeout is None:
            return
        for _ in rung(alarm, timeout):
            pass


def rung(alarm: queue.SimpleQueue[None], timeout: float) -> Iterator[None]:
    """Waits for the alarm or the time, then takes all alarms that rang meanwhile."""
    try:
        yield alarm.get(timeout=timeout)
        while True:
            yield alarm.get_nowait()
    except queue.Empty:
        return


def _at_exit() -> None:
    """An exiting interpreter never waits for a request."""
    global exiting
    exiting = True
    for engine in list(engines):
        engine.at_exit()
    _disown_daemons()


def _disown_daemons() -> None:
    """Our workers are daemons; the executor's own exit handler would wait for them, also for one lost in a look-up."""
    queues: Any = getattr(thread, "_threads_queues", None)
    for worker in list(queues or ()):
        if worker.name.startswith("deluge-worker") and worker.daemon:
            queues.pop(worker, None)


def _after_fork() -> None:
    global _made_for
    try:
        for engine in list(engines):
            engine.after_fork()
        for client in list(clients):
            client.after_fork()
    finally:
        _made_for = (os.getpid(), _thread.start_new_thread)


def fit_in() -> None:
    """Before a call: everything is made anew where this is no longer the process that it was made for.

    uWSGI forks without a word to Python. gevent may have taken the threads' place, as in gunicorn's gevent workers after
    ``--preload``: there a lock of before would stop the whole process.
    """
    if _made_for != (os.getpid(), _thread.start_new_thread):
        _make_anew()


def _make_anew() -> None:
    """One thread does it, the others wait: what they would ask for meanwhile would be lost. A lock might be of before."""
    mine, process = object(), os.getpid()
    while _making.setdefault(process, mine) is not mine:
        time.sleep(0.001)
    try:
        if _made_for != (process, _thread.start_new_thread):
            _after_fork()
    finally:
        del _making[process]


_register = getattr(threading, "_register_atexit", None)
if _register is not None:
    _register(_at_exit)
else:  # pragma: no cover - every CPython that we support has it
    import atexit

    atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
