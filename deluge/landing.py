"""What becomes of an attempt that came back: settled, counted, and judged. Pure."""

from __future__ import annotations

from deluge.lanes import NEVER
from deluge.spreading import Spreading
from deluge.tasks import Flight, Misfit, Outcome, Task, attempt_of, unfit
from deluge.usage import Usage
from deluge.wire import Verdict

CROWDED_WAIT = 0.2  # seconds before a prompt tries again to get a file descriptor
HOPPING = ("verdict", "patience", "final")  # why the policy gives a model up where another one may still answer


class Landing(Spreading):
    """Gives slots back, settles reservations, and decides whether a failed prompt goes on. ``_again`` is the scheduler's."""

    def _again(self, task: Task, other: str | None, wait: float, now: float) -> None:
        raise TypeError("a Landing needs a scheduler that waits")

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
        if outcome.limits is not None and not flight.polling and lane.hear(outcome.limits, flight, now):
            self.tracker.learned[lane.model], self.tracker.promised[lane.model] = lane.quota.limits(), lane.quota.promised
            self.tell(lane, limits=lane.quota.limits())

    def _settle(self, flight: Flight, outcome: Outcome, now: float) -> None:
        quota, shared, own = flight.lane.quota, flight.shared, flight.own
        if not outcome.sent and not flight.polling:
            quota.refund(own)
            if shared is not None:
                self.bucket.refund(shared)
        else:
            sent_at = flight.switch.sent_at or now
            quota.sent(own, sent_at)
            if shared is not None:
                self.bucket.sent(shared, sent_at)
            usage = self._known_usage(outcome)
            if usage is None:
                quota.close(own)
            else:
                quota.settle(own, usage, flight.task.template_for(flight.task.model).params.max_new_tokens, now)
                if shared is not None:
                    self.bucket.settle(shared, usage.total_tokens, now)
        self.recheck()

    def _known_usage(self, outcome: Outcome) -> Usage | None:
        """What the attempt used; None while it is under way, or where it is lost: it stays charged as it was reserved."""
        response = outcome.response
        if response is None or outcome.lost or response.status_code is None:
            return None
        return response.usage if response.is_error or response.usage.total_tokens else None

    def _conclude(self, flight: Flight, outcome: Outcome, now: float) -> None:
        task, lane, response = flight.task, flight.lane, outcome.response
        assert response is not None
        task.attempts += (attempt_of(flight, outcome, now, self.wall),)
        verdict = response._verdict
        if response.status_code is not None and (verdict is None or verdict.kind != "rate_limit"):
            lane.health.good(now)
        dry = None if outcome.limits is None else lane.quota.dry_for(now)
        if dry is not None and lane.health.nothing_left(now, dry):
            self.tell(lane, cooling=True)
        if verdict is not None:
            self._judge(flight, outcome, verdict, now)
        else:
            if not response.is_error:
                lane.good(flight, response.usage.output_tokens, now)
                if lane.suspects or lane.blocked is not None:
                    self._reopen(lane)
            _remember(flight, now, 0.0, again=outcome.misfit is not None and task.repairs < task.call.max_repairs)
            if outcome.misfit is not None:
                self._unfit(flight, outcome, outcome.misfit, now)
            else:
                self._end(task, response, now)

    def _unfit(self, flight: Flight, outcome: Outcome, misfit: Misfit, now: float) -> None:
        """An answer in the wrong form: the same model is told so, a few times. That burns no attempt."""
        task, response = flight.task, outcome.response
        assert response is not None
        again = task.repairs < task.call.max_repairs and not outcome.streamed
        self.tracker.attempt_failed("parse", will_retry=again)
        if not again:
            self._end(task, unfit(response, misfit.problem), now)
            return
        task.repairs += 1
        task.unfit = misfit
        task.size += misfit.more
        task.poll_until = 0.0
        values = {"client": task.call.name, "task": task.id, "model": task.model, "repair": task.repairs}
        self.messages.append(("DEBUG", "an answer does not fit: asked again", values))
        self._again(task, None, 0.0, now)

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
        _remember(flight, now, wait or 0.0, again=other is None and wait is not None)
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
            lane.cooled()
            self.tell(lane, cooling=True)
            self._reroute(lane, [queue for queue in lane.queues() if queue.call.fallbacks], now)
        lane.quota.pace.limited(now, flight.switch.sent_at or flight.started_at, after)

    def _say_retry(self, task: Task, verdict: Verdict, wait: float) -> None:
        attempt = task.attempts[-1]
        self.messages.append(("DEBUG", "an attempt failed", {
            "client": task.call.name, "task": task.id, "model": attempt.model, "kind": verdict.kind,
            "attempt": f"{len(task.attempts)}/{task.call.policy.max_attempts}", "status": attempt.status_code,
            "retry_in": round(wait, 3), "request_id": attempt.request_id,
        }))


def _remember(flight: Flight, now: float, wait: float, again: bool) -> None:
    """What the attempt took, for estimates. A job that is polled held its slot for moments only."""
    took = now - flight.started_at
    if flight.polling:
        flight.lane.experience.add(0.0, took + wait, again)
    else:
        flight.lane.experience.add(took, wait, again)
