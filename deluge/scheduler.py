"""The state machine that decides: events and ``now`` in, flights to start and responses to deliver out.

Pure: no lock, no clock, no sleep, no I/O, no user code. One thread at a time may use it; the engine sees to that.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import Any

from deluge.lanes import NEVER, Lane
from deluge.response import APIResponse
from deluge.routing import Routing
from deluge.tasks import ENDED, QUEUED, WAITING, Call, Flight, Outcome, Task, attempt_of, failed
from deluge.status import Capacity, LimitingFactor
from deluge.tracker import StatusTracker
from deluge.wire import Verdict

GRACE = 0.5  # seconds that a stopped attempt has to come back before its worker is given up (a name look-up cannot be stopped)
CROWDED_WAIT = 0.2  # seconds before a prompt tries again to get a file descriptor

BACKOFF, POLL, CALL_ENDS = range(3)


class Scheduler(Routing):
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

    # ------------------------------------------------------------------ events

    def submit(self, tasks: Iterable[Task], now: float) -> None:
        """New tasks, in order."""
        count = 0
        for task in tasks:
            count += 1
            task.created_at = now
            task.call.unfinished.add(task)
            if task.call.closed is not None:
                self._end(task, failed(task, Verdict("cancelled", message=task.call.closed)), now)
                continue
            task.model = self._pick(task)
            self._admit(task, now)
        self.tracker.started(count)

    def finished(self, flight: Flight, outcome: Outcome, now: float) -> None:
        """A worker came back."""
        task = flight.task
        if flight not in self.flights:
            self._came_late(flight, outcome)
            return
        self._land(flight, outcome, now)
        if task.state == ENDED:
            self._came_late(flight, outcome)
        elif outcome.next_call is not None:
            self._wait_for_poll(task, outcome.next_call.delay, now)
        else:
            self._conclude(flight, outcome, now)

    def cancel(self, task: Task, now: float, kind: Verdict | None = None) -> bool:
        """Ends one task at once; False when it had ended. A running attempt is stopped, its reservation stays charged."""
        if task.state == ENDED:
            return False
        flight = task.flight
        if flight is not None and flight in self.flights:
            flight.switch.abort("cancelled")
            task.attempts += (attempt_of(flight, _cancelled_outcome(task, flight), now, self.wall),)
        elif task.exchange is not None:
            self.cleanups.append(task)
        self._end(task, failed(task, kind or Verdict("cancelled", message="cancelled")), now)
        return True

    def cancel_call(self, call: Call, now: float, message: str = "cancelled") -> int:
        """Ends all tasks of a call; how many there were."""
        tasks = sorted(call.unfinished)
        for task in tasks:
            self.cancel(task, now, Verdict("cancelled", message=message))
        call.closed = message
        call.ready.clear()
        if call in self.turns:
            self.turns.remove(call)
        return len(tasks)

    def ends_at(self, call: Call, at: float) -> None:
        """The call's ``timeout=``: what has not ended by then is cancelled."""
        self._at(at, CALL_ENDS, call)

    def set_limits(
        self, now: float, *, requests_per_minute: float | None, tokens_per_minute: float | None, slots: int,
    ) -> None:
        """New client-wide limits, in force at once."""
        self.bucket.set_limits(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, now=now)
        self.slots = slots
        self.default_limits = False
        for lane in self.lanes.values():
            lane.retry_at, lane.exempt = 0.0, False
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
        capacity = Capacity(
            self.bucket.requests_per_minute, self.bucket.tokens_per_minute, self.slots, left.remaining_requests,
            left.remaining_tokens, self.default_limits,
        )
        self.tracker.gauge(self.running, self.waiting, self.backing_off, self._factor(), now, capacity)

    def __repr__(self) -> str:
        factor = self._factor()
        limited = f" | limited by {factor}" if factor else ""
        return f"<Scheduler {self.running}/{self.slots} running | {self.waiting} ready{limited}>"

    # ------------------------------------------------------------------ landings

    def _land(self, flight: Flight, outcome: Outcome, now: float) -> None:
        """Gives the slot back and settles the reservations."""
        self.flights.discard(flight)
        self.running -= 1
        lane = flight.lane
        lane.release(now)
        if self.running == 0:
            self.ramp.ended(now)
        response = outcome.response
        if outcome.sent:
            self.tracker.sent()
        if response is not None and not response.is_error:
            usage = response.usage
            if usage.output_tokens or usage.input_tokens:
                most = flight.task.template_for(flight.task.model).params.max_new_tokens
                lane.estimator.learn(flight.task.size, usage.total_input_tokens, usage.output_tokens, most)
        self._settle(flight, outcome, now)

    def _settle(self, flight: Flight, outcome: Outcome, now: float) -> None:
        response = outcome.response
        lane = flight.lane
        for bucket, reservation in ((lane.bucket, flight.own), (self.bucket, flight.shared)):
            if bucket is None or reservation is None:
                continue
            if not outcome.sent and not flight.polling:
                bucket.refund(reservation)
                continue
            bucket.sent(reservation, flight.switch.sent_at or now)
            if response is None or response.status_code is None:
                continue  # under way, or lost: it stays charged as it was reserved
            used = response.usage.total_tokens
            if used or response.is_error:
                bucket.settle(reservation, used, now)
        self.recheck()

    def _conclude(self, flight: Flight, outcome: Outcome, now: float) -> None:
        task, response = flight.task, outcome.response
        assert response is not None
        task.attempts += (attempt_of(flight, outcome, now, self.wall),)
        lane = flight.lane
        verdict = response._verdict
        limited = verdict is not None and verdict.kind == "rate_limit"
        if response.status_code is not None and not limited:
            lane.health.good(now)
        if outcome.nothing_left is not None:
            lane.health.nothing_left(now, outcome.nothing_left)
        if verdict is None:
            if not response.is_error:
                lane.ramp.good()
                self._reopen(lane)
            self._end(task, response, now)
            return
        self._judge(task, lane, outcome, verdict, now)

    def _judge(self, task: Task, lane: Lane, outcome: Outcome, verdict: Verdict, now: float) -> None:
        """What a failed attempt leads to: the same model later, another model, or the end."""
        ruling, response = outcome.ruling, outcome.response
        assert response is not None and ruling is not None
        lost = task.attempts[-1].possibly_billed
        wait = self._free_wait(task, outcome)
        other: str | None = None
        if wait is None:
            if verdict.kind == "rate_limit":
                wait = self._limited(task, lane, verdict, ruling.wait, now)
                if wait is None or (task.call.fallbacks and now < lane.health.cooling_until):
                    other = self._other(task, now)
            else:
                task.burned += 1
                task.timeouts += verdict.kind == "timeout"
                wait = ruling.wait
                if verdict.blocklist:
                    self._suspect(lane, task, verdict, now)
                if verdict.switch_model and ruling.reason in ("", "verdict") and task.burned < task.call.policy.max_attempts:
                    other = self._other(task, now)
        again = other is not None or wait is not None
        self.tracker.attempt_failed(verdict.kind, will_retry=again, possibly_billed=lost)
        if other is not None:
            task.model = other
            self._again(task, 0.0, now)
        elif wait is not None:
            self._again(task, wait, now)
        else:
            self._end(task, response, now)
        if again:
            self._say_retry(task, verdict, 0.0 if other else wait or 0.0)

    def _free_wait(self, task: Task, outcome: Outcome) -> float | None:
        """Seconds to wait for an attempt that does not count: a dead idle connection (once), or no file descriptor left."""
        if outcome.crowded and task.idle < task.call.policy.rate_limit_patience:
            return CROWDED_WAIT
        ruling = outcome.ruling
        if outcome.stale and not task.resent and ruling is not None and ruling.reason != "billed":
            task.resent = True
            return 0.0
        return None

    def _limited(self, task: Task, lane: Lane, verdict: Verdict, wait: float | None, now: float) -> float | None:
        """A 429: this prompt waits; the lane only when the evidence says so, or closes when it is asked to wait too long."""
        task.rate_limited += 1
        task.cooled_at = now
        after = verdict.retry_after
        if after is not None and after > task.call.policy.rate_limit_patience:
            self._close(lane, now + after, now)
            return None
        flight = task.flight
        sent_at = flight.switch.sent_at if flight is not None else now
        if lane.health.limited(now, after, sent_at):
            values = {"model": lane.model, "cooldown_in": round(lane.health.cooling_until - now, 3)}
            self.messages.append(("INFO", "a lane cools down", values))
        lane.pace.limited(now)
        return wait

    # ------------------------------------------------------------------ waiting and ending

    def _again(self, task: Task, wait: float, now: float) -> None:
        task.exchange = task.next_call = task.flight = None
        if wait <= 0.0:
            self._admit(task, now)
            return
        task.state = WAITING
        task.idle += wait
        self.backing_off += 1
        self._at(now + wait, BACKOFF, task)

    def _wait_for_poll(self, task: Task, delay: float, now: float) -> None:
        limit = task.call.background_timeout
        if not task.poll_until:
            task.poll_until = now + limit if limit else NEVER
        if now + delay > task.poll_until:
            self.cleanups.append(task)
            self._end(task, failed(task, Verdict("timeout", message=f"the job took longer than {limit:g} s")), now)
            return
        task.state = WAITING
        self._at(now + delay, POLL, task)

    def _came_late(self, flight: Flight, outcome: Outcome) -> None:
        """An answer to a task that has ended, or whose attempt was given up: it was paid for, so it is counted and kept."""
        response = outcome.response
        if response is None or response.is_error:
            return
        self.tracker.late(response.usage, response.cost)
        self.late.append((flight.task, response))

    def _at(self, at: float, what: int, item: Any) -> None:
        self._timer_number += 1
        heappush(self._timers, (at, self._timer_number, what, item))

    def _fire(self, now: float) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now:
            _, _, what, item = heappop(timers)
            if what == CALL_ENDS:
                self.cancel_call(item, now, "the call's timeout has passed")
            elif item.state == WAITING:
                if what == BACKOFF:
                    self.backing_off -= 1
                    item.state = QUEUED
                    item.lane = None
                    self._admit(item, now)
                else:
                    self.polls.append(item)

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
            return None
        if self.shared_refusal is not None:
            return self.shared_refusal
        for lane in self.lanes.values():
            if lane.waiting and lane.refusal is not None:
                return lane.refusal
        return None

    def _say_retry(self, task: Task, verdict: Verdict, wait: float) -> None:
        attempt = task.attempts[-1]
        self.messages.append(("DEBUG", "an attempt failed", {
            "client": task.call.name, "task": task.id, "model": attempt.model, "kind": verdict.kind,
            "attempt": f"{len(task.attempts)}/{task.call.policy.max_attempts}", "status": attempt.status_code,
            "retry_in": round(wait, 3), "request_id": attempt.request_id,
        }))


def _cancelled_outcome(task: Task, flight: Flight) -> Outcome:
    verdict = Verdict("cancelled", message="cancelled")
    return Outcome(failed(task, verdict), sent=flight.switch.sent_at > 0.0 or flight.polling)
