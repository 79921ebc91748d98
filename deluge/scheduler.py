"""The state machine that decides: events and ``now`` in, flights to start and responses to deliver out.

Pure: no lock, no clock, no sleep, no I/O, no user code. One thread at a time may use it; the engine sees to that.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from deluge.lanes import NEVER
from deluge.response import APIResponse
from deluge.routing import Routing
from deluge.tasks import ENDED, QUEUED, RUNNING, WAITING, Call, Flight, Outcome, Task, attempt_of, failed
from deluge.status import Capacity, LimitingFactor
from deluge.tracker import StatusTracker
from deluge.wire import Verdict

GRACE = 0.5  # seconds that a stopped attempt has to come back before its worker is given up (a name look-up cannot be stopped)
HEADER_WAIT = 60.0  # a header that says "nothing left" is believed for so long; then a 429 has to say it
CROWDED_WAIT = 0.2  # seconds before a prompt tries again to get a file descriptor

BACKOFF, POLL, CALL_ENDS = range(3)
HOPPING = ("verdict", "patience", "final")  # why the policy gives a model up where another one may still answer


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
            task.model = self._pick(task)
            self._admit(task, now)

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
            self._wait_for_poll(flight, outcome, outcome.next_call.delay, now)
        else:
            self._conclude(flight, outcome, now)

    def cancel(self, task: Task, now: float, kind: Verdict | None = None) -> bool:
        """Ends one task at once; False when it had ended. A running attempt is stopped, its reservation stays charged."""
        if task.state == ENDED:
            return False
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

    def ends_at(self, call: Call, at: float) -> None:
        """The call's ``timeout=``: what has not ended by then is cancelled. A call that is over is not kept for it."""
        self._at(at, CALL_ENDS, weakref.ref(call))

    def set_limits(
        self, now: float, *, requests_per_minute: float | None, tokens_per_minute: float | None, slots: int,
    ) -> None:
        """New client-wide limits, in force at once. Defaults that stay as they are remain defaults."""
        self.slots = slots
        if (requests_per_minute, tokens_per_minute) == (self.bucket.requests_per_minute, self.bucket.tokens_per_minute):
            return
        self.bucket.set_limits(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, now=now)
        self.default_limits = False
        for lane in self.lanes.values():
            lane.follow(requests_per_minute)
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
            if response is None or outcome.lost or response.status_code is None:
                continue  # under way, or lost: it stays charged as it was reserved
            used = response.usage.total_tokens
            if used or response.is_error:
                bucket.settle(reservation, used, now)
        self.recheck()

    def _conclude(self, flight: Flight, outcome: Outcome, now: float) -> None:
        task, lane, response = flight.task, flight.lane, outcome.response
        assert response is not None
        task.attempts += (attempt_of(flight, outcome, now, self.wall),)
        verdict = response._verdict
        if response.status_code is not None and (verdict is None or verdict.kind != "rate_limit"):
            lane.health.good(now)
        if outcome.nothing_left is not None:
            lane.health.nothing_left(now, min(outcome.nothing_left, HEADER_WAIT))
        if verdict is not None:
            self._judge(flight, outcome, verdict, now)
        else:
            if not response.is_error:
                lane.ramp.good()
                if lane.suspects or lane.blocked is not None:
                    self._reopen(lane)
            self._end(task, response, now)

    def _judge(self, flight: Flight, outcome: Outcome, verdict: Verdict, now: float) -> None:
        """What a failed attempt leads to: the same model later, another model, or the end."""
        task, ruling, response = flight.task, outcome.ruling, outcome.response
        assert response is not None and ruling is not None
        other: str | None = None
        wait = self._free_wait(task, outcome)
        if wait is None:
            wait = ruling.wait
            if verdict.kind == "rate_limit":
                self._limited(flight, verdict, now)
            else:
                task.burned += 1
                task.timeouts += verdict.kind == "timeout"
                if verdict.blocklist and not flight.polling:
                    self._suspect(flight.lane, task, verdict, now)
            if flight.polling and flight.abandon_at == NEVER:
                wait = None  # its worker is lost with the exchange: the job may be done, and is not started again
            else:
                other = self._hop(flight, outcome, verdict, now)
        again = other is not None or wait is not None
        self.tracker.attempt_failed(verdict.kind, will_retry=again, possibly_billed=task.attempts[-1].possibly_billed)
        if again:
            self._say_retry(task, verdict, 0.0 if other else wait or 0.0)
            self._again(task, other, wait or 0.0, now)
        else:
            self._end(task, response, now)

    def _hop(self, flight: Flight, outcome: Outcome, verdict: Verdict, now: float) -> str | None:
        """The other model that is to answer, when the verdict, the policy and the pool allow it."""
        task, ruling = flight.task, outcome.ruling
        assert ruling is not None
        if outcome.streamed:
            return None
        if verdict.kind == "rate_limit" and ruling.wait is not None:
            return self._fallback(task, now) if now < flight.lane.health.cooling_until else None
        gives_up = ruling.reason in HOPPING and task.burned < task.call.policy.max_attempts
        if gives_up and verdict.kind == "rate_limit":
            return self._other(task, now)
        return self._other(task, now) if verdict.switch_model and (gives_up or ruling.wait is not None) else None

    def _free_wait(self, task: Task, outcome: Outcome) -> float | None:
        """Seconds to wait for an attempt that does not count: a dead idle connection (once), or no file descriptor left."""
        if outcome.crowded and task.idle < task.call.policy.rate_limit_patience:
            return CROWDED_WAIT
        ruling = outcome.ruling
        if outcome.stale and not task.resent and ruling is not None and ruling.reason != "billed":
            task.resent = True
            return 0.0
        return None

    def _limited(self, flight: Flight, verdict: Verdict, now: float) -> None:
        """A 429: this prompt waits; the lane only when the evidence says so, or closes when it is asked to wait too long."""
        task, lane, after = flight.task, flight.lane, verdict.retry_after
        task.rate_limited += 1
        task.cooled_at = now
        if after is not None and after > task.call.policy.rate_limit_patience:
            self._close(lane, now + after, now)
            return
        if lane.health.limited(now, after, flight.switch.sent_at):
            values = {"model": lane.model, "cooldown_in": round(lane.health.cooling_until - now, 3)}
            self.messages.append(("INFO", "a lane cools down", values))
            self._reroute(lane, [queue for queue in lane.queues() if queue.call.fallbacks], now)
        lane.pace.limited(now)

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
        task.state = WAITING
        self._at(now + delay, POLL, task)

    def _lose(self, flight: Flight, verdict: Verdict, now: float) -> None:
        """Records an attempt that is given up while it, or its job, may be under way at the provider."""
        task = flight.task
        sent = flight.switch.sent_at > 0.0 or flight.polling or flight not in self.flights
        attempt = attempt_of(flight, Outcome(failed(task, verdict), sent=sent), now, self.wall)
        task.attempts += (attempt,)
        self.tracker.attempt_failed(verdict.kind, will_retry=False, possibly_billed=attempt.possibly_billed)

    def _came_late(self, flight: Flight, outcome: Outcome) -> None:
        """What comes after a task has ended, or after its attempt was given up: an answer was paid for, so it is counted
        and kept; a job is told to stop."""
        task, response = flight.task, outcome.response
        if task.state == ENDED and (outcome.next_call is not None or (flight.polling and task.exchange is not None)):
            task.exchange = outcome.exchange or task.exchange
            self.cleanups.append(task)
        if response is None:
            return
        if not response.is_error or response.usage.total_tokens:
            self.tracker.late(response.usage, response.cost)
        if not response.is_error:
            self.late.append((task, response))

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
