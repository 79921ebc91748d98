"""The state machine that decides: events and ``now`` in, flights to start and responses to deliver out.

Pure: no lock, no clock, no sleep, no I/O, no user code. One thread at a time may use it; the engine sees to that.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import Any

from deluge.admission import promised
from deluge.lanes import NEVER, Lane
from deluge.limits.leased import LeasedBucket
from deluge.models.model import AUTO, Auto, Limit
from deluge.response import APIResponse
from deluge.sharing import BACKOFF, CALL_ENDS, POLL
from deluge.spending import Spending
from deluge.tasks import ENDED, QUEUED, RUNNING, WAITING, Call, Flight, Outcome, Task, attempt_of, complete, failed
from deluge.status import Capacity, LaneLimits, LimitingFactor
from deluge.tracker import StatusTracker
from deluge.wire import Verdict

GRACE = 0.5  # seconds that a stopped attempt has to come back before its worker is given up (a name look-up cannot be stopped)


class Scheduler(Spending):
    """Owns every task from submission to its one end.

    Out: ``starts`` (flights for workers), ``ended`` (task and response, for the courier), ``late`` (task and answer that came
    after the end), ``abandoned`` (flights whose worker did not come back), ``cleanups`` (exchanges to be told of their end),
    ``messages`` (level, text, values for the log), ``wake_at`` (when ``advance`` wants to be called again).
    """

    def __init__(self, tracker: StatusTracker, *, wall: float = 0.0, **admission: Any) -> None:
        super().__init__(tracker, wall=wall, **admission)
        self.late: list[tuple[Task, APIResponse]] = []
        self.abandoned: list[Flight] = []
        self.cleanups: list[Task] = []
        self.wake_at = NEVER
        self._timers: list[tuple[float, int, int, Any]] = []
        self._timer_number = 0
        self._timers_left = 0  # of tasks that have ended meanwhile

    # ------------------------------------------------------------------ events

    def submit(self, tasks: Sequence[Task], now: float) -> None:
        """New tasks, in order."""
        self.tracker.started(len(tasks))
        for task in tasks:
            task.created_at = now
            task.call.unfinished.add(task)
            if task.call.closed is not None:
                self._end(task, failed(task, Verdict("cancelled", message=task.call.closed)), now)
                continue
            if task.call.spent is not None:
                self._end(task, failed(task, Verdict("budget", message=task.call.spent)), now)
                continue
            task.model = self._pick(task)
            self._admit(task, now)

    def submit_left(self, tasks: Sequence[Task], now: float) -> None:
        """Those of the tasks whose caller was interrupted before he had submitted them: others may follow them."""
        self.submit([task for task in tasks if task.state == QUEUED and task not in task.call.unfinished], now)

    def finished(self, flight: Flight, outcome: Outcome, now: float) -> None:
        """A worker came back."""
        task = flight.task
        if flight not in self.flights:
            self._came_late(flight, outcome, now)
            return
        self._land(flight, outcome, now)
        if task.state == ENDED:
            self._came_late(flight, outcome, now)
        elif outcome.next_call is not None:
            self._wait_for_poll(flight, outcome, outcome.next_call.delay, now)
        else:
            self._conclude(flight, outcome, now)

    def cancel(self, task: Task, now: float, kind: Verdict | None = None) -> bool:
        """Ends one task at once; False when it had ended. A running attempt is stopped, its reservation stays charged."""
        if task.state == ENDED:
            return False
        if self._pass_on(task, now):
            self._end(task, failed(task, kind or Verdict("cancelled", message="cancelled")), now)
            return True
        flight = task.flight
        if flight is not None:
            if flight in self.flights:
                flight.switch.abort("cancelled")
            else:
                self.cleanups.append(task)
            self._lose(flight, Verdict("cancelled", message="cancelled"), now)
        self._leave_timers(task)
        self._end(task, failed(task, kind or Verdict("cancelled", message="cancelled")), now)
        return True

    def cancel_call(self, call: Call, now: float, message: str = "cancelled") -> int:
        """Ends all tasks of a call; how many there were."""
        call.closed = message
        for lane, queue in list(call.ready.items()):
            lane.leave(queue)
        tasks = sorted(call.unfinished)
        for task in tasks:
            self.cancel(task, now, Verdict("cancelled", message=message))
        return len(tasks)

    def stop_unsent(self, call: Call, now: float, message: str) -> None:
        """Takes nothing more of this call, and ends what of it is not under way; the rest goes on to its end."""
        call.closed = call.closed or message
        for task in sorted(call.unfinished):
            if task.flight is None:
                self.cancel(task, now, Verdict("cancelled", message=message))

    def ends_at(self, call: Call, at: float) -> None:
        """The call's ``timeout=``: what has not ended by then is cancelled. A call that is over is not kept for it."""
        self._at(at, CALL_ENDS, weakref.ref(call))

    def set_limits(
        self, now: float, *, requests_per_minute: Limit | None, tokens_per_minute: Limit | None, slots: int | Auto,
    ) -> None:
        """New client-wide limits, in force at once. Defaults that stay as they are remain defaults."""
        self.auto_slots = slots == AUTO
        self.slots = self.rules.slots_most if isinstance(slots, str) else slots
        auto = AUTO in (requests_per_minute, tokens_per_minute)
        rpm, tpm = promised(requests_per_minute), promised(tokens_per_minute)
        if (rpm, tpm, auto) != (self.bucket.requests_per_minute, self.bucket.tokens_per_minute, self.auto):
            self.auto = auto
            self.bucket.set_limits(requests_per_minute=rpm, tokens_per_minute=tpm, now=now)
            self.default_limits = False
        settings = self.lane_settings()
        for lane in self.lanes.values():
            lane.follow(settings, now)
        self.recheck()

    def advance(self, now: float) -> None:
        """Fires what is due, starts what may start, and says when to come back."""
        if self._timers and self._timers[0][0] <= now:
            self._fire(now)
        if now >= self.deadline_at:
            self._enforce_deadlines(now)
        self.fill(now)
        wake = min(self.deadline_at, self.retry_at)
        if self._timers:
            wake = min(wake, self._timers[0][0])
        self.wake_at = wake
        self.tracker.gauge(self.running, self.waiting, self.backing_off, self._factor(), now)

    def measure(self, now: float) -> None:
        """Tells the tracker which limits are in force and what is left of them."""
        left = self.bucket.snapshot(now)
        limits = (left.requests_per_minute, left.tokens_per_minute, self.slots, left.remaining_requests, left.remaining_tokens)
        rpm, tpm, slots, requests, tokens = (math.inf if limit is None else limit for limit in limits)
        capacity = Capacity(rpm, tpm, int(slots), requests, tokens, self.default_limits)
        self.tracker.gauge(self.running, self.waiting, self.backing_off, self._factor(), now, capacity)

    def limits(self, now: float) -> tuple[LaneLimits, ...]:
        """The limits of every model that was used so far, with what is left of the client-wide ones."""
        shared = self.bucket.snapshot(now)
        share = self.bucket.share() if isinstance(self.bucket, LeasedBucket) else None
        reports = []
        for lane in self.lanes.values():
            report = lane.report(now, self.wall)
            changes: dict[str, Any] = {}
            if not lane.exempt:
                changes["share"] = share
                for name, left, counts in (("remaining_requests", shared.remaining_requests, lane.shared_requests),
                                           ("remaining_tokens", shared.remaining_tokens, lane.shared_tokens(1))):
                    own = getattr(report, name)
                    if left is not None and counts and (own is None or left < own):
                        changes[name] = float(left)
            reports.append(replace(report, **changes))
        return tuple(reports)

    def __repr__(self) -> str:
        factor = self._factor()
        limited = f" | limited by {factor}" if factor else ""
        return f"<Scheduler {self.running}/{self.slots} running | {self.waiting} ready{limited}>"

    # ------------------------------------------------------------------ waiting and ending

    def _again(self, task: Task, other: str | None, wait: float, now: float) -> None:
        """Tries once more: another model at once, or the same one after a wait."""
        self._leave_probe(task)
        task.exchange = task.next_call = task.flight = None
        if other is not None:
            task.model = other
        elif wait > 0.0:
            task.state = WAITING
            task.idle += wait
            task.due_at = now + wait
            self.backing_off += 1
            self._at(now + wait, BACKOFF, task)
            return
        self._admit(task, now)

    def _wait_for_poll(self, flight: Flight, outcome: Outcome, delay: float, now: float) -> None:
        task = flight.task
        task.exchange, task.next_call = outcome.exchange, outcome.next_call
        limit = task.call.background_timeout
        if not task.poll_until:
            task.poll_until = now + limit if limit else NEVER
        if now + delay > task.poll_until:
            verdict = Verdict("timeout", message=f"the job took longer than {limit:g} s")
            self.cleanups.append(task)
            self._lose(flight, verdict, now)
            self._end(task, failed(task, verdict), now)
            return
        task.state, task.due_at = WAITING, now + delay
        self._at(now + delay, POLL, task)

    def _lose(self, flight: Flight, verdict: Verdict, now: float) -> None:
        """Records an attempt that is given up while it, or its job, may be under way at the provider."""
        task = flight.task
        sent = flight.switch.sent_at > 0.0 or flight.polling or flight not in self.flights
        attempt = attempt_of(flight, Outcome(failed(task, verdict), sent=sent), now, self.wall)
        if flight.charge is not None and flight not in self.flights:
            flight.charge.keep()  # a job that nobody asks about any more
        task.attempts += (attempt,)
        self.tracker.attempt_failed(verdict.kind, will_retry=False, possibly_billed=attempt.possibly_billed)

    def _came_late(self, flight: Flight, outcome: Outcome, now: float) -> None:
        """What comes after a task has ended, or after its attempt was given up: an answer was paid for, so it is counted
        and kept; a job is told to stop."""
        task, response = flight.task, outcome.response
        if flight.charge is not None:
            flight.charge.keep()  # of a job that goes on without us: all others are settled
        if task.state == ENDED and (outcome.next_call is not None or (flight.polling and task.exchange is not None)):
            task.exchange = outcome.exchange or task.exchange
            self.cleanups.append(task)
        if response is None:
            return
        if task.state != ENDED and not response.is_error and outcome.misfit is None:
            self._overtake(flight, outcome, now)
            return
        if not response.is_error or response.usage.total_tokens:
            self.tracker.late(response.usage, response.cost)
        if not response.is_error and outcome.misfit is None:
            attempt = attempt_of(flight, outcome, now, self.wall)
            complete(task, response, now, self.wall, (attempt,))
            task.attempts += (attempt,)
            task.told = len(task.attempts)
            self.late.append((task, response))

    def _overtake(self, late: Flight, outcome: Outcome, now: float) -> None:
        """An attempt that was given up has brought the answer after all: whatever was tried since is stopped."""
        task, response, flight = late.task, outcome.response, late.task.flight
        assert response is not None
        attempt = attempt_of(late, outcome, now, self.wall)
        if flight is not None:
            if flight in self.flights:
                flight.switch.abort("cancelled")
            else:
                self.cleanups.append(task)
            self._lose(flight, Verdict("cancelled", message="an earlier attempt was answered"), now)
        self._leave_timers(task)
        task.attempts += (attempt,)
        self._end(task, response, now)

    def _at(self, at: float, what: int, item: Any) -> None:
        self._timer_number += 1
        heappush(self._timers, (at, self._timer_number, what, item))

    def _leave_timers(self, task: Task) -> None:
        """A task that waits for its time is about to end. Sweeps when most are gone, so that they are not kept."""
        if task.state != WAITING:
            return
        self.backing_off -= task.flight is None
        task.state = RUNNING
        self._timers_left += 1
        if 2 * self._timers_left > len(self._timers):
            timers = [timer for timer in self._timers if timer[2] == CALL_ENDS or timer[3].state == WAITING]
            heapify(timers)
            self._timers, self._timers_left = timers, 0

    def _lanes_in_use(self) -> set[Lane | None]:
        return super()._lanes_in_use() | {timer[3].lane for timer in self._timers if timer[2] == POLL}

    def _fire(self, now: float) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now:
            _, _, what, item = heappop(timers)
            if what == CALL_ENDS:
                call = item()
                if call is not None:
                    self.cancel_call(call, now, "the call's timeout has passed")
                    timers = self._timers
            elif item.state != WAITING:
                self._timers_left -= 1
            elif what == POLL:
                self.polls.append(item)
            else:
                self.backing_off -= 1
                item.state, item.lane = QUEUED, None
                self._admit(item, now)

    def _enforce_deadlines(self, now: float) -> None:
        """Stops the attempts whose time is up; gives up those whose worker did not come back from being stopped."""
        earliest = NEVER
        for flight in list(self.flights):
            deadline = flight.abandon_at or flight.switch.deadline
            if deadline > now:
                earliest = min(earliest, deadline)
            elif flight.abandon_at:
                self.abandoned.append(flight)
                flight.abandon_at = NEVER
            else:
                flight.switch.abort("timeout")
                flight.abandon_at = now + GRACE
                earliest = min(earliest, flight.abandon_at)
        self.deadline_at = earliest

    def _factor(self) -> LimitingFactor | None:
        """What keeps the ready tasks from starting."""
        if not self.waiting:
            return "budget" if self.holding else None
        if self.shared_refusal is not None:
            return self.shared_refusal
        for lane in self.lanes.values():
            if lane.waiting and lane.refusal is not None:
                return lane.refusal
        return None
