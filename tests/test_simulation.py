"""Seeded simulations: the scheduler, a fake clock, and a provider that limits, fails, drops, hangs and is slow.

An oracle that sees only what was sent and when checks the promises: no slot too many, no minute over its limit, every
task ends once, nothing answered is sent again, nobody starves, and all counters and sums agree in the end.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from deluge.response import APIResponse
from deluge.scheduler import GRACE
from deluge.tasks import ENDED, Call, Flight, Outcome, Task
from deluge.usage import NO_USAGE, Usage
from deluge.wire import HttpCall, Verdict
from deluge.worker import rule

from stories import STATUS, Story, model

MINUTE = 60.0
FAULTS = (("server", 0.03), ("overloaded", 0.01), ("connection", 0.02), ("bad_request", 0.01), ("hang", 0.004),
          ("lost", 0.002), ("unsent", 0.01), ("stale", 0.01), ("crowded", 0.005), ("parse", 0.005), ("auth", 0.002),
          ("quota_exhausted", 0.001), ("daily", 0.0005))
KINDS = {"hang": "timeout", "unsent": "connection", "stale": "connection", "crowded": "connection", "daily": "rate_limit"}


@dataclass(slots=True)
class Sent:
    """A request as the provider saw it."""

    at: float
    model: str
    task: int
    reserved: int
    known: list[tuple[float, int]] = field(default_factory=list)  # when its tokens were known to be how many

    def tokens(self, now: float) -> int:
        """What counts of it: what was reserved, or less once its usage is known."""
        return min(self.reserved, next((tokens for at, tokens in reversed(self.known) if at <= now), self.reserved))


class World(Story):
    """A story that tells itself: a provider with its own limits, callers who come, change limits and cancel."""

    def __init__(self, seed: int, *, slice_limit: int = 0, faults: float = 1.0, latency: float = 0.3, **story: Any) -> None:
        super().__init__(seed=seed, **story)
        self.rng = Random(seed)
        self.slice_limit, self.faults, self.latency = slice_limit, faults, latency
        self.sent: list[Sent] = []
        self.tasks: list[Task] = []
        self.answered: set[int] = set()
        self.most_running = 0
        self.wakes = 0
        self.late: list[tuple[Task, APIResponse]] = []
        self._slices: Counter[tuple[str, int]] = Counter()
        self._events: list[tuple[float, int, Any]] = []
        self._number = 0

    def later(self, delay: float, event: Any) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, event))

    def bring(self, call: Call, count: int, **task: Any) -> None:
        self.tasks += self.submit(call, count, **task)

    def step(self) -> list[int]:
        started = super().step()
        scheduler = self.scheduler
        assert scheduler.running <= max(scheduler.slots, self.most_running) and scheduler.running == len(scheduler.flights)
        assert scheduler.waiting == sum(lane.waiting for lane in scheduler.lanes.values())
        assert all(lane.slots is None or lane.running <= lane.slots for lane in scheduler.lanes.values())
        assert scheduler.wake_at > self.now or scheduler.wake_at == pytest.approx(self.now)
        for flight in self.flying[len(self.flying) - len(started):]:
            self._leave(flight)
        self.flying.clear()
        self.late += scheduler.late
        scheduler.late, scheduler.messages, scheduler.cleanups = [], [], []
        abandoned, scheduler.abandoned = scheduler.abandoned, []
        for flight in abandoned:
            self._bring_back(flight, self._failure(flight, "timeout"))
        return started + self.step() if abandoned else started

    def live(self, until: float = math.inf) -> None:
        """Lets everything happen that is due before that time."""
        while True:
            due = self._events[0][0] if self._events else math.inf
            at = min(due, self.scheduler.wake_at)
            if at > until or at == math.inf:
                break
            self.wakes += 1
            self.now = max(self.now + 1e-9, at)
            if due <= self.now:
                heapq.heappop(self._events)[2]()
            self.step()
        if until < math.inf:
            self.now = until

    # ---- the provider

    def _leave(self, flight: Flight) -> None:
        assert flight.task.id not in self.answered, "nothing answered is sent again"
        flight.switch.sent_at = 0.0
        fate = self._fate(flight)
        delay = self.rng.lognormvariate(math.log(self.latency), 0.5)
        if fate in ("unsent", "crowded", "lost"):
            if fate != "lost":  # a lost one never comes back: it hangs in a name look-up
                self.later(0.01, lambda: self._bring_back(flight, self._failure(flight, fate)))
            return
        flight.switch.abort = lambda reason: self._stop(flight, reason)
        self.later(self.rng.uniform(0.0, 0.02), lambda: self._arrive(flight, fate, delay))

    def _stop(self, flight: Flight, reason: str) -> None:
        """Now and then the answer was there already."""
        late = flight.switch.sent_at > 0.0 and self.rng.random() < 0.3
        self.later(0.01, lambda: self._bring_back(flight, self._reply(flight, "answer" if late else reason)))

    def _arrive(self, flight: Flight, fate: str, delay: float) -> None:
        if flight not in self.scheduler.flights:
            return
        flight.switch.sent_at = self.now
        if not flight.polling:
            self.sent.append(Sent(self.now, flight.task.model, flight.task.id, flight.tokens))
        slice_ = (flight.task.model, int(self.now))
        self._slices[slice_] += 1
        if self.slice_limit and self._slices[slice_] > self.slice_limit and not flight.polling:
            fate, delay = "rate_limit", 0.02
        if fate != "hang":
            self.later(delay, lambda: self._bring_back(flight, self._reply(flight, fate)))

    def _fate(self, flight: Flight) -> str:
        dice = self.rng.random()
        for name, share in FAULTS:
            dice -= share * self.faults
            if dice < 0.0:
                return name
        return "job" if flight.task.call.background_timeout and self.rng.random() < 0.7 else "answer"

    def _reply(self, flight: Flight, fate: str) -> Outcome:
        if fate == "job":
            call = HttpCall("GET", "http://hall.invalid/job", {}, delay=self.rng.uniform(0.5, 2.0))
            return Outcome(next_call=call, exchange=iter(()), sent=True)
        if fate != "answer":
            return self._failure(flight, fate)
        most = flight.task.template_for(flight.task.model).params.max_new_tokens
        read, written = max(1, flight.task.size // 4), max(1, int(self.rng.uniform(0.1, 0.9) * most))
        usage = Usage(read, written)
        self.answered.add(flight.task.id)
        cost = usage.total_tokens * 1e-6 / 3
        return Outcome(APIResponse(status_code=200, usage=usage, cost=cost, finish_reason="stop"), sent=True)

    def _failure(self, flight: Flight, fate: str) -> Outcome:
        kind = KINDS.get(fate, fate)
        after = 400.0 if fate == "daily" else self.rng.choice([None, 1.0, 3.0]) if kind == "rate_limit" else None
        usage = Usage(3, 1) if kind == "parse" else NO_USAGE
        retry = kind not in ("bad_request", "cancelled", "auth", "quota_exhausted")
        response = APIResponse(
            status_code=STATUS[kind], is_error=True, error_kind=kind, usage=usage, cost=1e-5 if usage.total_tokens else None,
            _verdict=Verdict(kind, retry, after, kind != "cancelled", kind == "auth", kind),
        )
        return Outcome(response, sent=flight.switch.sent_at > 0.0, stale=fate == "stale", crowded=fate == "crowded")

    def _bring_back(self, flight: Flight, outcome: Outcome) -> None:
        if flight not in self.scheduler.flights:
            return
        response = outcome.response
        if response is not None:
            response.model_internal = flight.task.model
            if response.is_error:
                outcome.ruling = rule(flight.task, outcome, self.now)
        self._know(flight, response)
        self.scheduler.finished(flight, outcome, self.now)

    def _know(self, flight: Flight, response: APIResponse | None) -> None:
        if response is None or response.status_code is None:
            return
        last = next((sent for sent in reversed(self.sent) if sent.task == flight.task.id), None)
        if last is not None and (response.usage.total_tokens or response.is_error):
            last.known.append((self.now, response.usage.total_tokens))

    # ---- the oracle

    def check_ends(self) -> None:
        """Every task ended once, and all counters and sums agree."""
        scheduler, snapshot = self.scheduler, self.tracker.snapshot()
        assert sorted(self.responses) == [task.id for task in self.tasks]
        assert all(task.state == ENDED for task in self.tasks)
        assert (scheduler.running, scheduler.waiting, scheduler.backing_off) == (0, 0, 0)
        assert not scheduler.polls and not scheduler.flights and scheduler._first is None
        for lane in scheduler.lanes.values():
            assert (lane.running, lane.waiting, lane.holder, lane.probe) == (0, 0, None, None)
            assert not list(lane.queues()) and len(lane._turns) <= 1
        assert (snapshot.running, snapshot.queued, snapshot.backing_off) == (0, 0, 0)
        assert snapshot.done == len(self.tasks)
        for task in self.tasks:
            response = self.responses[task.id]
            free = task.rate_limited + task.resent
            crowded = sum(attempt.kind == "connection" and not attempt.possibly_billed for attempt in response.attempts)
            assert len(response.attempts) <= task.call.policy.max_attempts + free + crowded + 1
            assert task.burned <= task.call.policy.max_attempts
            assert all(attempt.kind for attempt in response.attempts[:-1]), "no attempt after an answer"
        paid = [*self.responses.values(), *(response for _, response in self.late)]
        assert sum((response.usage for response in paid), NO_USAGE) == snapshot.usage
        assert math.fsum(response.cost for response in paid if response.cost is not None) == snapshot.cost

    def check_minutes(self, requests: float, tokens: float, since: float = 0.0, name: str | None = None) -> float:
        """No minute over the limits; the largest share of the requests that any minute had."""
        sent = [one for one in self.sent if one.at >= since and name in (None, one.model)]
        times = [one.at for one in sent]
        highest = 0
        for last, now in enumerate(times):
            inside = sent[bisect_left(times, now - MINUTE + 1e-9):last + 1]
            assert len(inside) <= requests
            assert sum(one.tokens(now) for one in inside) <= tokens
            highest = max(highest, len(inside))
        return highest / requests


@pytest.mark.parametrize("seed", range(12))
def test_everything_at_once(seed):
    rng = Random(1_000 + seed)
    own = model("b", requests_per_minute=120, concurrent_requests=8)
    world = World(seed, slots=20, rpm=300, tpm=60_000, slice_limit=rng.choice([0, 4, 30]))
    calls = [
        world.call(["a"], most=200), world.call([own], most=100, max_attempts=3),
        world.call(["a", own, "c"], weights=[2, 1, 0], fallbacks=["c"], most=150),
        world.call(["a"], most=100, background=120.0),
        world.call(["a", own], most=100, retry_possibly_billed=False, timeout=5.0),
    ]
    for number in range(60):
        count, size = rng.choice([1, 1, 5, 20]), rng.choice([40, 400, 400, 4_000, 40_000])
        world.bring(rng.choice(calls), count, size=size)
        if number % 7 == 3:
            for task in rng.sample(world.tasks, min(5, len(world.tasks))):
                world.scheduler.cancel(task, world.now)
            world.step()
        if number == 30:
            world.scheduler.cancel_call(calls[4], world.now)
            calls[4] = world.call(["a"])
        if number == 40:
            world.scheduler.ends_at(calls[0], world.now + 20.0)
            calls[0] = world.call(["a", "b", "c"], most=200)
        world.live(world.now + rng.uniform(0.0, 5.0))
    world.live()
    world.check_ends()
    world.check_minutes(300, 60_000)
    world.check_minutes(120, math.inf, name="b")
    assert world.wakes < 40 * len(world.tasks), "no spinning"


@pytest.mark.parametrize("seed", range(4))
def test_limits_that_change_while_they_are_used(seed):
    world = World(seed, slots=50, rpm=600, tpm=200_000, faults=0.5)
    world.bring(world.call(most=200), 1_500, size=200)
    world.live(world.now + 30.0)
    world.most_running = 50
    world.scheduler.set_limits(world.now, requests_per_minute=120, tokens_per_minute=30_000, slots=10)
    lower_at = world.now + MINUTE + 1.0
    world.live(world.now + 240.0)
    world.check_minutes(120, 30_000, since=lower_at)
    raised_at = world.now
    world.scheduler.set_limits(world.now, requests_per_minute=1_200, tokens_per_minute=None, slots=100)
    world.most_running = 100
    world.live()
    world.check_ends()
    world.check_minutes(1_200, math.inf, since=raised_at)


@pytest.mark.parametrize("latency", [0.3, 20.0, 90.0])
def test_the_minute_is_used_whatever_the_latency(latency):
    world = World(5, slots=1_000, rpm=120, faults=0.0, latency=latency)
    world.bring(world.call(timeout=3_600.0), 1_200)
    began = world.now
    world.live(began + 600.0)
    world.check_minutes(120, math.inf)
    assert len(world.sent) >= 0.98 * 1_200 - 120 * 0.02
    world.live()
    world.check_ends()


def test_a_refilling_bucket_gives_its_burst_and_its_refill():
    world = World(6, slots=500, rpm=600, faults=0.3, mode="bucket")
    world.bring(world.call(), 2_400)
    began = world.now
    world.live()
    world.check_ends()
    times = [sent.at for sent in world.sent]
    for at in range(0, len(times), 37):
        inside = bisect_left(times, times[at] + MINUTE) - at
        assert inside <= 600 + 600
    for at in range(700, 2_300, 100):
        assert 0.97 * (at - 600) / 10.0 < times[at] - began < 1.03 * (at - 600) / 10.0 + 1.0


def test_a_provider_that_slices_its_minute_is_met_with_few_429s():
    world = World(3, slots=200, rpm=6_000, slice_limit=100, faults=0.0)
    world.bring(world.call(), 3_000)
    began = world.now
    world.live()
    world.check_ends()
    assert world.tracker.snapshot().failed == 0
    assert world.now - began < 75.0
    assert world.tracker.snapshot().rate_limit_errors < 0.1 * 3_000


def test_a_day_with_little_to_do():
    world = World(9, slots=5, rpm=60, tpm=20_000, faults=2.0)
    call = world.call(["a", "b"], most=300)
    for _ in range(24 * 60):
        world.bring(call, 2, size=400)
        world.live(world.now + 60.0)
    world.live()
    world.check_ends()
    assert world.now - 1_000.0 >= 86_400.0
    assert world.wakes < 30 * len(world.tasks)


def test_nobody_starves():
    world = World(2, slots=4, rpm=240, tpm=30_000, faults=0.3)
    bulk, whales, singles = world.call(most=50), world.call(["b"], most=50), world.call(["a", "b"], most=50)
    world.bring(bulk, 3_000, size=400)
    came: dict[int, float] = {}
    for _ in range(40):
        world.bring(whales, 1, size=16_000)
        world.bring(singles, 1, size=40)
        came.update({task.id: world.now for task in world.tasks[-2:]})
        world.live(world.now + 15.0)
    world.live()
    world.check_ends()
    waited = {id: world.responses[id].queued for id in came}
    assert max(waited.values()) < 150.0
    assert GRACE < 1.0


def test_the_same_seed_tells_the_same_story():
    stories = []
    for _ in range(2):
        world = World(4, slots=10, rpm=200, tpm=30_000, slice_limit=5)
        world.bring(world.call(["a", "b"], most=100), 200, size=300)
        world.live()
        stories.append([(round(sent.at, 6), sent.task, sent.model) for sent in world.sent])
    assert stories[0] == stories[1]
