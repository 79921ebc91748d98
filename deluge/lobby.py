"""Where sent requests wait for their replies together, on one thread.

A thread that waits for one reply costs a switch for every prompt, and a thousand of them that wake at the same instant
stand in each other's way for seconds. From a few dozen on they wait here instead: the workers send, this thread takes
the replies as they come, asks the scheduler what is next, and sends it where a connection is free. Nothing here blocks:
what has to connect, to sign, to judge a failure or to stream goes to a worker.
"""

from __future__ import annotations

import select
import threading
from typing import Any, Protocol

from deluge.tasks import Flight, Outcome
from deluge.worker import Parked, Pilot, broken

AVAILABLE = hasattr(select, "epoll") and threading.Thread.__module__ == "threading"
MOST = 256  # replies that are taken before the waiting list is looked at again


class Desk(Protocol):
    """What the lobby needs of the engine."""

    def landed(self, flight: Flight, outcome: Outcome) -> Flight | None:
        """Takes an outcome; gives the next flight, if there is one."""

    def hand_over(self, flight: Flight, outcome: Outcome | None) -> None:
        """Gives a flight, or its failed outcome, to a worker."""


class Lobby:
    """Waits for many replies at once. ``park`` may be called from any thread."""

    def __init__(self, pilot: Pilot, desk: Desk) -> None:
        self._pilot = pilot
        self._desk = desk
        self._waiting: dict[int, Parked] = {}
        self._poll: Any = None
        self._lock = threading.Lock()
        self._bell: tuple[int, int] | None = None
        self._closed = False

    def park(self, parked: Parked) -> None:
        """Takes over the waiting for a reply; ``OSError`` when that is not possible (any more)."""
        pending = parked.pending
        number = pending.fileno()
        poll = self._poll or self._start()
        self._waiting[number] = parked
        events = select.EPOLLIN | select.EPOLLONESHOT
        try:
            if pending.connection.watched is poll:
                poll.modify(number, events)
            else:
                pending.connection.watched = poll
                poll.register(number, events)
        except (OSError, ValueError) as error:
            if self._waiting.pop(number, None) is not None:  # else the thread has seen to it at its end
                raise OSError(f"nobody can wait for this reply: {error}") from None

    def stop(self) -> None:
        """Ends the thread; the connections of those who still wait are closed."""
        with self._lock:
            poll, self._poll, self._closed = self._poll, None, True
        if poll is not None:
            self._ring(poll)

    def _start(self) -> Any:
        with self._lock:
            if self._closed:
                raise OSError("the client was closed")
            if self._poll is None:
                self._poll = select.epoll()
                threading.Thread(target=self._run, args=(self._poll,), name="deluge-lobby", daemon=True).start()
            return self._poll

    def _ring(self, poll: Any) -> None:
        """Wakes the thread once more, to find that it is over: a pipe with nobody at its other end is always readable."""
        import os

        read, write = os.pipe()
        poll.register(read, select.EPOLLIN)
        os.close(write)
        self._bell = (read, write)

    def _run(self, poll: Any) -> None:
        waiting = self._waiting
        try:
            while self._poll is poll:
                for number, _ in poll.poll(-1, MOST):
                    parked = waiting.pop(number, None)
                    if parked is not None:
                        self._attend(parked)
                        parked = None
        finally:
            poll.close()
            if self._bell is not None:
                import os

                os.close(self._bell[0])
            while waiting:
                self._let_go(waiting.popitem()[1])

    def _let_go(self, parked: Parked) -> None:
        """Gives back the slot of one whose prompt has ended already: threads do not end before all prompts have."""
        flight = self._desk.landed(parked.flight, self._pilot.lost(parked, OSError("the client was closed")))
        if flight is not None:
            self._desk.hand_over(flight, None)

    def _attend(self, parked: Parked) -> None:
        """Serves one; whatever is wrong with it, the others are served."""
        try:
            self._serve(parked)
        except Exception as error:
            self._desk.hand_over(parked.flight, broken(parked.flight, error))

    def _serve(self, parked: Parked) -> None:
        """A reply has come, or a part of it; then the next flight is sent from here if that needs no waiting."""
        pilot, desk = self._pilot, self._desk
        outcome = pilot.land(parked)
        if outcome is None:
            self.park(parked)
            return
        flight: Flight | None = parked.flight
        while flight is not None:
            if outcome.response is not None and outcome.response.is_error:
                desk.hand_over(flight, outcome)
                return
            flight = desk.landed(flight, outcome)
            if flight is None:
                return
            result = pilot.launch(flight, connect=False)
            if isinstance(result, Parked):
                self.park(result)
                return
            if result is None:
                desk.hand_over(flight, None)
                return
            outcome = result
