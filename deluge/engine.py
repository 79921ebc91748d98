"""The threads around the scheduler: workers that send, a courier that delivers, a keeper of time.

The scheduler's state has one owner at a time: whoever holds the engine's lock. A worker that comes back steps the
scheduler itself and takes its next flight from it, which saves two hand-offs between threads per prompt. From a few
attempts on their replies are awaited in the lobby, so that thousands of slots take no thousands of threads.
"""

from __future__ import annotations

import functools
import itertools
import logging
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from deluge import lifecycle
from deluge.courier import Courier, renew_couriers
from deluge.crew import MOST, SOON, Crew
from deluge.errors import ClosedError
from deluge.lanes import NEVER
from deluge.leasing import Leasing
from deluge.lobby import Lobby, available
from deluge.models.model import AUTO
from deluge.quota.words import Quota
from deluge.stepping import Stepping, unsent
from deluge.response import APIResponse
from deluge.surroundings import allowed_slots, check_threads
from deluge.tasks import ENDED, Call, Flight, Outcome, Task, failed
from deluge.tracker import StatusTracker
from deluge.transport import LeanTransport
from deluge.transport.signers import signers
from deluge.wire import Verdict
from deluge.worker import Pilot, rule

logger = logging.getLogger("deluge.engine")

IDLE_AFTER = 30.0  # seconds without work after which the threads end
SWEEP_EVERY = 15.0
LAST_WORD = 0.25  # seconds at the interpreter's end for giving back what is on lease
CROWD = 4  # attempts in flight from which replies are awaited together


class Engine(Stepping):
    """Runs tasks. Made without threads; they start with the first task and end when there has been none for a while."""

    def __init__(
        self, *, tracker: StatusTracker, transport: LeanTransport | None = None, max_queued: int = 10_000,
        quota: Quota | None = None, **limits: Any,
    ) -> None:
        self._settings = limits
        self._leasing = None if quota is None else Leasing(quota)
        self._max_queued = max_queued
        self.transport = transport or LeanTransport(signers=signers())
        self.wall = time.time() - time.monotonic()
        self.scheduler = self._new_scheduler(tracker)
        self.ids = itertools.count(1)
        self.call_ids = itertools.count(1)
        self.calls: weakref.WeakSet[Call] = weakref.WeakSet()
        self.idle_after = IDLE_AFTER
        self.crowd: float = CROWD if available() else NEVER  # NEVER: each worker waits for its own reply
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._left: list[Callable[[], object]] = []  # what could not be done when it was to be
        self._pilot = Pilot(self.transport, self.wall)
        self._forget_threads()
        lifecycle.engines.add(self)

    def _forget_threads(self) -> None:
        self.awake = False
        self._crew = Crew(SOON if self.crowd < NEVER else MOST)
        self._alarm: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._alarm_at = NEVER
        self._lobby = Lobby(self._pilot, self)
        self.courier = Courier()
        self._quiet_since = NEVER

    # ------------------------------------------------------------------ what callers do

    def submit(self, tasks: list[Task]) -> None:
        """Takes tasks in, from any thread. Never blocks."""
        if not tasks:
            return
        with self._lock:
            self._wake()
            self.calls.add(tasks[0].call)
            now = time.monotonic()
            self.scheduler.submit(tasks, now)
            self._step(now)

    def claim(self, tasks: list[Task]) -> list[Task]:
        """Those of the tasks that have to be looked up and submitted; equal ones follow one that is under way."""
        if not any(task.share is not None for task in tasks):
            return tasks
        with self._lock:
            self._wake()
            self.calls.add(tasks[0].call)
            now = time.monotonic()
            first = self.scheduler.claim(tasks, now)
            self._step(now)
            return first

    def submit_left(self, tasks: list[Task]) -> None:
        """Takes in what an interrupted caller has left between ``claim`` and ``submit``."""
        with self._lock:
            if self.awake:
                now = time.monotonic()
                self.scheduler.submit_left(tasks, now)
                self._step(now)

    def deliver(self, pairs: list[tuple[Task, APIResponse]]) -> None:
        """Delivers responses that nothing was sent for (cache hits), in the order of the others."""
        if not pairs:
            return
        with self._lock:
            self._wake()
            self.scheduler.tracker.started(len(pairs))
            now = time.monotonic()
            for task, response in pairs:
                task.state = ENDED
                self.scheduler.tracker.finished(response)
                if task.share is not None:
                    self.scheduler.served(task, response, now)
            self.courier.put(pairs)
            self._step(now)

    def settled(self, keys: list[object]) -> None:
        """The caches have the answers of these shares."""
        with self._lock:
            self.scheduler.settled(keys)

    def on_courier(self, job: Callable[[], None]) -> None:
        """Has the courier do this, in turn with the deliveries."""
        with self._lock:
            self._wake()
            self.courier.put_job(job)

    def cancel(self, task: Task) -> APIResponse | None:
        """Ends one task; its response, which the courier delivers too. None when it had ended."""
        if self._deferred(lambda: self.cancel(task)):
            return None
        with self._lock:
            now = time.monotonic()
            cancelled = self.scheduler.cancel(task, now)
            response = self.scheduler.ended[-1][1] if cancelled else None
            self._step(now)
            return response

    def cancel_call(self, call: Call, message: str = "cancelled") -> int:
        """Ends all tasks of a call; how many."""
        if self._deferred(lambda: self.cancel_call(call, message)):
            return 0
        with self._lock:
            now = time.monotonic()
            count = self.scheduler.cancel_call(call, now, message)
            self._step(now)
            return count

    def _deferred(self, job: Callable[[], object]) -> bool:
        """Whether the keeper of time does this job, because this thread is in the middle of a step.

        Garbage is collected on any thread, between any two of its lines: a stream, a loop or a client that was dropped
        in a circle of references may end there.
        """
        if not self._lock._is_owned():
            return False
        self._left.append(job)
        self._alarm.put(None)
        return True

    def _catch_up(self) -> None:
        while self._left:
            try:
                self._left.pop(0)()
            except Exception as error:
                logger.error("what was left to do failed", exc_info=error)

    def take_no_more(self, calls: Iterable[Call], message: str) -> None:
        """From now on new tasks of these calls are cancelled at once; those that were taken go on."""
        with self._lock:
            for call in calls:
                call.closed = call.closed or message

    def stop_unsent(self, call: Call, message: str) -> None:
        """The same for one call, whose tasks that are not under way are cancelled too."""
        with self._lock:
            now = time.monotonic()
            self.scheduler.stop_unsent(call, now, message)
            self._step(now)

    def ends_at(self, call: Call, at: float) -> None:
        """From this monotonic time on the call's unfinished tasks are cancelled."""
        with self._lock:
            self._wake()
            self.scheduler.ends_at(call, at)
            self._step(time.monotonic())

    def set_limits(self, **limits: Any) -> None:
        """New limits, in force at once."""
        with self._lock:
            now = time.monotonic()
            if limits["slots"] != AUTO:
                limits["slots"] = allowed_slots(limits["slots"])
            self.scheduler.set_limits(now, **limits)
            self._settings.update(limits, default_limits=self.scheduler.default_limits)
            if self.awake:
                self._step(now)

    def set_max_cost(self, dollars: float | None) -> None:
        """Another cap of the client's, in force at once for whatever has not ended; None for none."""
        with self._lock:
            self.scheduler.budget.set_cap(dollars)
            if self.awake:
                self._step(time.monotonic())

    # ------------------------------------------------------------------ threads

    def _wake(self) -> None:
        if self.awake:
            return
        if lifecycle.exiting:
            raise ClosedError("the interpreter is shutting down")
        check_threads()
        self.scheduler.slots = allowed_slots(self.scheduler.slots)
        self._forget_threads()
        self.awake = True
        self.courier.start()
        threading.Thread(
            target=lifecycle.keep_time, args=(weakref.ref(self), self._alarm), name="deluge-scheduler", daemon=True
        ).start()
        if self._leasing is not None:
            self._leasing.start(self)

    def tick(self) -> float | None:
        """One round of the keeper of time: seconds until the next one; None when the threads are to end."""
        self._catch_up()
        if not self.awake:
            self.leave()
            return None
        with self._lock:
            now = time.monotonic()
            if not self.awake:  # since a moment ago
                return 0.001
            self._alarm_at = 0.0
            try:
                self._step(now)
            except Exception as error:
                self._fail(error)
            abandoned, self.scheduler.abandoned = self.scheduler.abandoned, []
            cleanups, self.scheduler.cleanups = self.scheduler.cleanups, []
            crew = self._crew
            crew.relieve(now)
            ordered = crew.ordered()
            if self._rested(now):
                self._sleep()
                return None
            self._alarm_at = min(self.scheduler.wake_at, crew.short_at, now + min(SWEEP_EVERY, self.idle_after))
            timeout = self._alarm_at - now
        crew.start(ordered, functools.partial(self._work, crew.jobs))
        for task in cleanups:
            crew.start(1, functools.partial(self._clean_up, task))
        for flight in abandoned:
            self._give_up(flight)
        self.transport.sweep(now)
        return max(0.001, timeout)

    def _clean_up(self, task: Task) -> None:
        self._pilot.clean_up(task)
        self.leave()

    def leave(self) -> None:
        """A thread ends. After a rest it first stops the jobs that nobody waits for any more, and takes its socket along."""
        while not self.awake:
            with self._lock:
                cleanups = self.scheduler.cleanups
                task = cleanups.pop() if cleanups and not self.awake else None
            if task is None:
                self.transport.close()
                return
            self._pilot.clean_up(task)

    def _give_up(self, flight: Flight) -> None:
        """Its worker is lost (in a name look-up, most likely): the prompt goes on without it."""
        task = flight.task
        outcome = Outcome(failed(task, Verdict("timeout", retry=True, message="the attempt did not end in time")))
        outcome.sent = flight.switch.sent_at > 0.0
        outcome.ruling = rule(task, outcome, time.monotonic())
        with self._lock:
            now = time.monotonic()
            self.scheduler.finished(flight, outcome, now)
            self._step(now)

    def _rested(self, now: float) -> bool:
        scheduler = self.scheduler
        if scheduler.running or scheduler.waiting or scheduler.backing_off or self.unfinished():
            self._quiet_since = NEVER
            return False
        if self._quiet_since == NEVER:
            self._quiet_since = now
        return now - self._quiet_since >= self.idle_after

    def _sleep(self) -> None:
        """Ends the threads; the next task starts new ones."""
        self.awake = False
        self.courier.stop()
        self._lobby.stop()
        for flight, outcome in self._crew.dismiss():  # of prompts that were cancelled
            self.scheduler.finished(flight, outcome or unsent(flight), time.monotonic())
        self._alarm.put(None)
        if self._leasing is not None:
            self._leasing.stop()
        self.transport.close()

    def close(self, calls: Iterable[Call] | None = None) -> None:
        """Cancels these calls (or all), and ends the threads when nothing is left to do. Does not wait for workers."""
        if self._deferred(lambda: self.close(calls)):
            return
        with self._lock:
            now = time.monotonic()
            for call in list(self.calls if calls is None else calls):
                self.scheduler.cancel_call(call, now, "the client was closed")
            if not self.awake:
                self.transport.close()  # batch jobs are asked for without threads
                return
            self._step(now)
            if not self.unfinished():
                self._sleep()

    @property
    def alarm(self) -> queue.SimpleQueue[None]:
        """What wakes the keeper of time; a new one for every set of threads."""
        return self._alarm

    def at_exit(self) -> None:
        """The interpreter ends: what is under way is cut and cancelled, so that no thread of the user waits for it."""
        self.transport.abort_all()
        self.close()
        if self._leasing is not None:
            self._leasing.join(LAST_WORD)

    def after_fork(self) -> None:
        """In the child: new locks, no threads; what the parent has under way fails here without a word to anybody."""
        held = not self._lock.acquire(blocking=False)
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._left = []
        if not available():  # any more
            self.crowd = NEVER
        renew_couriers()
        self._lobby.forget()
        self.transport.forget()
        self._pilot.forget()
        old, calls = self.scheduler, list(self.calls)
        self.calls = weakref.WeakSet()
        if self._leasing is not None:
            self._leasing.after_fork()
        self.scheduler = self._new_scheduler(old.tracker)
        if not held and self._leasing is None:  # else another thread was in the middle of changing them, or the parent has it
            self.scheduler.bucket = old.bucket
        old.tracker.reset(0)
        self._close_accounts()
        self._forget_threads()
        for call in calls:
            orphan = getattr(call.receiver, "orphan", None)
            for task in list(call.unfinished):
                if orphan is not None:
                    orphan(task, failed(task, Verdict("cancelled", message="the process was forked; the parent has it")))
            call.unfinished.clear()

    def __repr__(self) -> str:
        return f"<Engine {'awake' if self.awake else 'asleep'} {self._crew.workers} workers | {self.scheduler!r}>"
