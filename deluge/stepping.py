"""How the scheduler is stepped: by whoever comes back with an outcome, under the engine's lock."""

from __future__ import annotations

import functools
import logging
import queue
import time
from typing import Any

from deluge.crew import Crew, Job, Jobs
from deluge.leasing import Leasing
from deluge.lobby import Lobby
from deluge.readings import Readings
from deluge.scheduler import Scheduler
from deluge.tasks import ENDED, Flight, Outcome, failed
from deluge.tracker import StatusTracker
from deluge.transport import Attempt
from deluge.wire import Verdict
from deluge.worker import Pilot

logger = logging.getLogger("deluge.engine")


class Stepping(Readings):
    """Hands out what the scheduler decided, and takes back what became of it."""

    wall: float
    crowd: float
    _settings: dict[str, Any]
    _crew: Crew
    _lobby: Lobby
    _pilot: Pilot
    _alarm: queue.SimpleQueue[None]
    _alarm_at: float
    _leasing: Leasing | None

    def settled(self, keys: list[object]) -> None:
        """The caches have the answers of these shares."""
        raise TypeError("Stepping needs an engine that takes part in the sharing")

    def leave(self) -> None:
        """A thread ends."""
        raise TypeError("Stepping needs an engine that owns its threads")

    def _new_scheduler(self, tracker: StatusTracker) -> Scheduler:
        """A scheduler of these settings; in a shared quota its limits are fed with leases."""
        leasing, settings = self._leasing, self._settings
        leased = {} if leasing is None else leasing.settings(settings)
        scheduler = Scheduler(tracker, wall=self.wall, switch=Attempt, **settings, **leased)
        if leasing is not None:
            scheduler.notices = []
        return scheduler

    def _close_accounts(self) -> None:
        """Whatever is reserved is spent: nobody will say what became of it."""
        for budget in (self.scheduler.budget, *(call.budget for call in list(self.calls))):
            if budget is not None:
                budget.close_all()

    def share(self, alarm: queue.SimpleQueue[None]) -> float | None:
        """One exchange with the shared quota; seconds until the next is due, None when the thread is to end."""
        leasing = self._leasing
        if leasing is None:
            return None
        with self._lock:
            mine = leasing.alarm is alarm
            leaves = not self.awake
            due = leasing.due(self.scheduler, time.monotonic(), leaves=leaves) if mine else []
        said = leasing.ask(due) if due else []
        with self._lock:
            now = time.monotonic()
            try:
                more = bool(due) and leasing.hear(due, said, self.scheduler, now)
                if leasing.alarm is not alarm:  # other threads have begun
                    return None
                if not self.awake:
                    return None if leaves else 0.001
                if more:
                    self._step(now)
            except Exception as error:  # also of a quota of the user's that says something else than answers
                self._fail(error)
                if leaves:
                    return None
            return leasing.rest(time.monotonic())

    def _step(self, now: float, worker: bool = False) -> Flight | None:
        """Lets the scheduler decide and hands out what it decided. Called with the lock; gives a worker its next flight."""
        scheduler = self.scheduler
        scheduler.advance(now)
        if scheduler.ended or scheduler.late or scheduler.messages:
            self._hand_over(scheduler)
        mine: Flight | None = None
        starts = scheduler.starts
        if starts:
            scheduler.starts = []
            if worker:
                mine = starts.pop(0)
            if starts:
                self._crew.assign([(flight, None) for flight in starts], now)
        if self._leasing is not None:
            self._leasing.look()
        crew = self._crew
        due = min(scheduler.wake_at, crew.short_at) < self._alarm_at
        if self._alarm_at > 0.0 and (due or crew.wanted or scheduler.abandoned or scheduler.cleanups):
            self._alarm_at = 0.0  # rung already
            self._alarm.put(None)
        return mine

    def _hand_over(self, scheduler: Scheduler) -> None:
        if scheduler.ended:
            self.courier.put(scheduler.ended)
            scheduler.ended = []
        if scheduler.settling:
            self.courier.put_job(functools.partial(self.settled, scheduler.settling))
            scheduler.settling = []
        if scheduler.late:
            self.courier.put_late(scheduler.late)
            scheduler.late = []
        if scheduler.messages:
            self.courier.put_messages(scheduler.messages)
            scheduler.messages = []
        if scheduler.waiting < self._max_queued:
            self._room.notify_all()

    def _work(self, jobs: Jobs) -> None:
        """A worker: one flight after the other, until there is no more work."""
        job: Job | None = None
        while True:
            job = job or jobs.get()
            if job is None:
                self.leave()
                return
            flight, outcome = job
            if outcome is None:
                outcome = self._flown(flight)
            else:
                self._pilot.judged(flight, outcome)
            if outcome is None:
                self._rest(jobs)
                job = None
            else:
                following = self._back(flight, outcome, jobs)
                job = None if following is None else (following, None)
            del flight, outcome

    def _flown(self, flight: Flight) -> Outcome | None:
        """The outcome of an attempt; None when it waits in the lobby."""
        lobby = self._lobby
        if self.scheduler.running > self.crowd and lobby.open():
            return lobby.fly(flight)
        return self._pilot.fly(flight)

    def _rest(self, jobs: Jobs) -> None:
        with self._lock:
            if jobs is self._crew.jobs:
                self._crew.free += 1

    def _back(self, flight: Flight, outcome: Outcome, jobs: Jobs) -> Flight | None:
        """A worker came back; its next flight. None: it has to look for work (and one of before the last rest goes)."""
        with self._lock:
            mine = jobs is self._crew.jobs
            following = self._finished(flight, outcome, mine)
            if mine and following is None:
                self._crew.free += 1
            return following

    def landed(self, flight: Flight, outcome: Outcome, lobby: Lobby) -> Flight | None:
        """The lobby has an outcome; its next flight (none for a lobby of before the last rest)."""
        with self._lock:
            return self._finished(flight, outcome, self.awake and lobby is self._lobby)

    def hand_over(self, flight: Flight, outcome: Outcome | None) -> None:
        """The lobby has something that could take a while: a failure to be judged, a flight that has to connect."""
        with self._lock:
            if flight.task.state == ENDED:  # nothing to send or to judge, and maybe no worker any more
                self._finished(flight, outcome or unsent(flight), False)
                return
            now = time.monotonic()
            self._crew.assign([(flight, outcome)], now)
            try:
                self._step(now)
            except Exception as error:
                self._fail(error)

    def _finished(self, flight: Flight, outcome: Outcome, take: bool) -> Flight | None:
        try:
            now = time.monotonic()
            self.scheduler.finished(flight, outcome, now)
            return self._step(now, worker=take)
        except Exception as error:
            self._fail(error)
            return None

    def _fail(self, error: Exception) -> None:
        """The scheduler itself failed, which is our bug: every live task ends with that error instead of hanging.

        What had come to an end is delivered, late answers are kept, and jobs that nobody asks about any more are stopped.
        """
        logger.error("the scheduler failed", exc_info=error)
        scheduler = self.scheduler
        tasks = [task for call in list(self.calls) for task in call.unfinished]
        message = f"the scheduler failed: {type(error).__name__}: {error}"
        if scheduler.ended:
            self.courier.put(scheduler.ended)
        self.courier.put([(task, failed(task, Verdict("server", message=message))) for task in tasks])
        if scheduler.late:
            self.courier.put_late(scheduler.late)
        if scheduler.messages:
            self.courier.put_messages(scheduler.messages)
        for task in tasks:
            task.state = ENDED
        for call in list(self.calls):
            call.unfinished.clear()
        for flight in list(scheduler.flights):
            flight.switch.abort("cancelled")
        self._close_accounts()
        self.scheduler = self._new_scheduler(scheduler.tracker)
        # a job that is asked right now is told when its worker comes back
        jobs = [task for task in tasks if task.exchange is not None and task.flight not in scheduler.flights]
        self.scheduler.cleanups = [*scheduler.cleanups, *jobs]
        if self.scheduler.cleanups:
            self._alarm.put(None)
        if self._leasing is None:
            self.scheduler.bucket = scheduler.bucket  # what was sent this minute was sent


def unsent(flight: Flight) -> Outcome:
    """The outcome of a flight that never left."""
    return Outcome(failed(flight.task, Verdict("cancelled", message="the client was closed")))
