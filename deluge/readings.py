"""What may be asked of an engine from any thread, and waited for."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from deluge.courier import SLICE, Courier
from deluge.scheduler import Scheduler
from deluge.status import LaneLimits, StatusSnapshot
from deluge.tasks import Call
from deluge.tracker import StatusTracker


PAUSE = 0.05  # seconds between two looks, should nobody say that something has changed


class Readings:
    """The scheduler's state, read under its lock."""

    scheduler: Scheduler
    calls: weakref.WeakSet[Call]
    awake: bool
    courier: Courier
    _lock: Any  # a reentrant lock, only so that it can be asked whether this thread has it
    _room: threading.Condition
    _max_queued: int

    @property
    def tracker(self) -> StatusTracker:
        """The counters."""
        return self.scheduler.tracker

    def replace_tracker(self, tracker: StatusTracker, anew: bool = False) -> None:
        """From now on another tracker counts; ``anew``: under a cap that nothing was spent of yet."""
        with self._lock:
            tracker.started(0)
            self.scheduler.tracker = tracker
            if anew:
                self.scheduler.budget.begin_anew()

    def reset_tracker(self) -> None:
        """Zeroes the counters; what is under way counts in the new totals."""
        with self._lock:
            self.scheduler.tracker.reset(self.unfinished())
            self.scheduler.budget.begin_anew()

    def snapshot(self) -> StatusSnapshot:
        """The counters, with the limits in force and what is left of them."""
        with self._lock:
            now = time.monotonic()
            tracker = self.scheduler.tracker
            self.scheduler.measure(now)
        return tracker.snapshot()

    def limits(self) -> tuple[LaneLimits, ...]:
        """The limits of every model that was used so far."""
        with self._lock:
            return self.scheduler.limits(time.monotonic())

    def reading(self, read: Callable[[Scheduler], Any]) -> Any:
        """What ``read`` says of the scheduler, while nobody changes it."""
        with self._lock:
            return read(self.scheduler)

    def unfinished(self) -> int:
        """How many tasks have not ended."""
        return sum(len(call.unfinished) for call in list(self.calls))

    def stuck(self, call: Call) -> int:
        """How many of the call's tasks wait in lanes that cool down, while another lane of the call could start."""
        with self._lock:
            now = time.monotonic()
            queues = [(lane.health.cooling_until > now, len(heap)) for lane, heap in call.ready.items()]
            stuck = sum(size for cooling, size in queues if cooling)
            return stuck

    def wait_for_room(self) -> None:
        """Blocks until fewer than ``max_queued`` tasks wait for their turn."""
        with self._room:
            while self.scheduler.waiting >= self._max_queued and self.awake:
                self._room.wait(SLICE)

    def wait_until_done(self, calls: list[Call], timeout: float | None) -> bool:
        """Blocks until every task of these calls is delivered; False when that takes longer than ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        if self._lock._is_owned():  # in the middle of a step: see ``Engine._deferred``
            return False
        with self._room:
            while self._under_way(calls):
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._room.wait(PAUSE if left is None else min(PAUSE, left))
            courier = self.courier
        return courier.settle(None if end is None else max(0.0, end - time.monotonic()))

    def _under_way(self, calls: list[Call]) -> bool:
        """Whether a task of these calls has not ended, or a worker is not back from one."""
        return any(call.unfinished for call in calls) or any(f.task.call in calls for f in self.scheduler.flights)
