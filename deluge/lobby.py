"""Where sent requests wait for their replies together, on one thread.

A thread that waits for one reply costs a switch for every prompt, and a thousand of them that wake at the same instant
stand in each other's way for seconds. From a few dozen on they wait here instead: the workers send, this thread takes
the replies as they come, asks the scheduler what is next, and sends it where a connection is free. Nothing here blocks:
what has to connect, to sign, to judge a failure or to stream goes to a worker.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import Any, Protocol

from deluge.surroundings import greenlets
from deluge.tasks import Flight, Outcome
from deluge.worker import Parked, Pilot, broken

MOST = 256  # replies that are taken before the waiting list is looked at again
EVENTS = select.EPOLLIN | select.EPOLLONESHOT if hasattr(select, "epoll") else 0


def available() -> bool:
    """Whether replies can be awaited together here. Greenlets wait each by itself, which costs them little."""
    return hasattr(select, "epoll") and not greenlets()


class Desk(Protocol):
    """What the lobby needs of the engine."""

    def landed(self, flight: Flight, outcome: Outcome, lobby: Lobby) -> Flight | None:
        """Takes an outcome; gives the next flight, if there is one and the lobby is still in use."""

    def hand_over(self, flight: Flight, outcome: Outcome | None) -> None:
        """Gives a flight, or its failed outcome, to a worker."""

    def leave(self) -> None:
        """What a thread does last."""


class Lobby:
    """Waits for many replies at once. ``open`` and ``fly`` may be called from any thread."""

    def __init__(self, pilot: Pilot, desk: Desk) -> None:
        self._pilot = pilot
        self._desk = desk
        self._waiting: dict[int, Parked] = {}
        self._poll: Any = None
        self._lock = threading.Lock()
        self._bell = (-1, -1)  # a pipe: closing one end wakes the thread, which closes the other
        self._closed = False

    def open(self) -> bool:
        """Whether replies can be awaited here: not after ``stop``, nor without a thread or a file descriptor for it."""
        if self._poll is None and available():
            with self._lock:
                if self._poll is None and not self._closed:
                    self._start()
        return self._poll is not None

    def fly(self, flight: Flight) -> Outcome | None:
        """One attempt, sent by the calling worker; None when its reply is awaited here, else its judged outcome."""
        result = self._pilot.launch(flight, connect=True)
        if isinstance(result, Parked):
            result = self._park(result)
            if result is None:
                return None
        return self._pilot.fly(flight) if result is None else self._pilot.judged(flight, result)

    def stop(self) -> None:
        """Ends the thread; the connections of those who still wait are closed."""
        with self._lock:
            poll, self._poll, self._closed = self._poll, None, True
        if poll is not None:
            os.close(self._bell[1])

    def forget(self) -> None:
        """In a forked child: closes what was inherited; the parent's waiting goes on undisturbed."""
        poll, self._poll, self._closed = self._poll, None, True
        self._waiting.clear()
        if poll is not None:
            poll.close()
            for end in self._bell:
                os.close(end)

    def _start(self) -> None:
        """Leaves everything as it was where the process has no thread or file descriptor left."""
        with contextlib.ExitStack() as undo, contextlib.suppress(OSError, RuntimeError):
            poll = select.epoll()
            undo.callback(poll.close)
            self._bell = ear, bell = os.pipe()
            undo.callback(os.close, ear)
            undo.callback(os.close, bell)
            poll.register(ear, select.EPOLLIN)
            threading.Thread(target=self._run, args=(poll, ear), name="deluge-lobby", daemon=True).start()
            undo.pop_all()
            self._poll = poll

    def _park(self, parked: Parked) -> Outcome | None:
        """Takes over the waiting for a reply; the outcome where that is not possible (any more)."""
        pending, poll = parked.pending, self._poll
        number, connection = pending.fileno(), pending.connection
        self._waiting[number] = parked
        try:
            if poll is None:
                raise OSError("the client was closed")
            if connection.watched is poll:
                poll.modify(number, EVENTS)
            else:
                connection.watched = poll
                poll.register(number, EVENTS)
        except FileExistsError:  # it waited here before it waited elsewhere
            poll.modify(number, EVENTS)
        except (OSError, ValueError) as error:
            if self._waiting.pop(number, None) is parked:  # else the thread has seen to it at its end
                return self._pilot.lost(parked, OSError(f"nobody can wait for this reply: {error}"))
        return None

    def _run(self, poll: Any, ear: int) -> None:
        waiting = self._waiting
        try:
            while not self._closed:
                for number, _ in poll.poll(-1, MOST):
                    parked = waiting.pop(number, None)
                    if parked is not None:
                        self._serve(parked)
                        parked = None
        finally:
            self._poll = None
            poll.close()
            os.close(ear)
            while waiting:
                self._let_go(waiting.popitem()[1])
            self._desk.leave()

    def _let_go(self, parked: Parked) -> None:
        """Gives back the slot of one whose prompt has ended already: threads do not end before all prompts have."""
        flight, outcome = parked.flight, self._pilot.lost(parked, OSError("the client was closed"))
        self._desk.landed(flight, self._pilot.judged(flight, outcome), self)

    def _serve(self, parked: Parked) -> None:
        """A reply has come, or a part of it; then the next flight is sent from here if that needs no waiting.

        Whatever is wrong with one of them, the others are served.
        """
        pilot, desk, flight = self._pilot, self._desk, parked.flight
        try:
            outcome = pilot.land(parked) or self._park(parked)
            while outcome is not None:
                if outcome.response is not None and outcome.response.is_error:
                    desk.hand_over(flight, outcome)
                    return
                following = desk.landed(flight, outcome, self)
                if following is None:
                    return
                flight = following
                result = pilot.launch(flight, connect=False)
                if result is None:
                    desk.hand_over(flight, None)
                    return
                outcome = self._park(result) if isinstance(result, Parked) else result
        except Exception as error:
            desk.hand_over(flight, broken(flight, error))
