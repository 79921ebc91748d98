"""A seeded simulation of the rolling bucket with work always waiting, checked by an oracle that only sees the log."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from dataclasses import dataclass, field
from random import Random

import pytest

from deluge.limits import QuotaBucket, Reservation

WINDOW = 60.0


@dataclass(slots=True)
class Entry:
    """What happened to one admitted request; times are None until they come."""

    admitted_at: float
    reserved: int
    sent_at: float | None = None
    settled_at: float | None = None
    refunded_at: float | None = None
    actual: int = 0

    def known(self, now: float) -> int:
        """Tokens that it counts for, as far as anybody can know."""
        return self.actual if self.settled_at is not None and self.settled_at <= now else self.reserved


@dataclass(slots=True)
class World:
    """A bucket, a clock and a provider with lognormal latencies."""

    bucket: QuotaBucket
    rng: Random
    overruns: bool
    now: float = 0.0
    log: list[Entry] = field(default_factory=list)
    checks: int = 0
    _heap: list[tuple[float, int, str, Reservation, Entry]] = field(default_factory=list)
    _count: int = 0

    def run(self, until: float) -> None:
        while self.now < until:
            wake_at = min(until, self.now + self._admit())
            if self._heap and self._heap[0][0] <= wake_at:
                self._happen()
            else:
                self.now = wake_at

    def _admit(self) -> float:
        while True:
            size = min(int(self.rng.lognormvariate(5.0, 0.8)) + 1, 1500)
            self.checks += 1
            wait = self.bucket.check(size, self.now)
            if wait > 0.0:
                return wait
            reservation = self.bucket.take(size, self.now)
            entry = Entry(self.now, size)
            self.log.append(entry)
            self._later("send", self.rng.lognormvariate(-3.5, 1.0), reservation, entry)

    def _happen(self) -> None:
        at, _, what, reservation, entry = heapq.heappop(self._heap)
        self.now = max(self.now, at)
        if what == "settle":
            entry.settled_at = self.now
            self.bucket.settle(reservation, entry.actual, self.now)
        elif self.rng.random() < 0.03:
            entry.refunded_at = self.now
            self.bucket.refund(reservation)
        else:
            entry.sent_at = self.now
            self.bucket.sent(reservation, self.now)
            most = 1.6 if self.overruns and self.rng.random() < 0.05 else 1.0
            entry.actual = int(entry.reserved * self.rng.uniform(0.2, most))
            self._later("settle", self.rng.lognormvariate(0.0, 0.5), reservation, entry)

    def _later(self, what: str, delay: float, reservation: Reservation, entry: Entry) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, what, reservation, entry))


def assert_no_window_over(log: list[Entry], requests: float, tokens: float) -> None:
    """Brute force over every window that ends with a request leaving."""
    sent = sorted((entry for entry in log if entry.sent_at is not None), key=lambda entry: entry.sent_at)
    times = [entry.sent_at for entry in sent]
    for last, now in enumerate(times):
        inside = sent[bisect_left(times, now - WINDOW):last + 1]
        assert len(inside) <= requests
        assert sum(entry.known(now) for entry in inside) <= tokens


def assert_never_admitted_over(log: list[Entry], tokens: float) -> None:
    """At every admission: what is pending, and what left within the window, as known at that moment."""
    for number, last in enumerate(log):
        now, total = last.admitted_at, 0
        for entry in log[max(0, number - 2000):number + 1]:
            pending = entry.sent_at is None or entry.sent_at > now
            refunded = entry.refunded_at is not None and entry.refunded_at <= now
            if not refunded and (pending or entry.sent_at >= now - WINDOW):
                total += entry.known(now)
        assert total <= tokens


def lowest_use(log: list[Entry], limit: float, amount) -> float:
    """The lowest share of the limit that was used from the start to any moment after the first minute."""
    sent = sorted((entry.sent_at, amount(entry)) for entry in log if entry.sent_at is not None)
    lowest, total = 2.0, 0
    for (at, value), (following, _) in zip(sent, sent[1:], strict=False):
        total += value
        if following > WINDOW:
            lowest = min(lowest, total / (limit * following / WINDOW))
    return lowest


@pytest.mark.parametrize("seed", range(3))
def test_bound_by_requests_the_minute_is_kept_and_used(seed):
    world = World(QuotaBucket(300, 10 ** 9), Random(seed), overruns=False)
    world.run(15 * 60.0)
    assert_no_window_over(world.log, 300, 10 ** 9)
    assert lowest_use(world.log, 300, lambda entry: 1) >= 0.98
    assert world.checks <= 6 * len(world.log), "no spinning: few refusals for an admission"


@pytest.mark.parametrize("seed", range(2))
def test_bound_by_tokens_the_minute_is_kept_and_used(seed):
    world = World(QuotaBucket(10_000, 60_000), Random(seed), overruns=False)
    world.run(6 * 60.0)
    assert_no_window_over(world.log, 10_000, 60_000)
    assert_never_admitted_over(world.log, 60_000)
    assert lowest_use(world.log, 60_000, lambda entry: entry.actual or entry.reserved) >= 0.98


@pytest.mark.parametrize("seed", range(2))
def test_a_refilling_bucket_gives_its_burst_and_its_refill_and_no_more(seed):
    world = World(QuotaBucket(10_000, 60_000, mode="bucket"), Random(seed), overruns=False)
    world.run(6 * 60.0)
    used = [(entry.admitted_at, entry.actual) for entry in world.log if entry.sent_at is not None and entry.settled_at]
    for begin in range(0, 300, 7):
        total = sum(tokens for at, tokens in used if at >= begin)
        assert total <= 60_000 + (360.0 - begin) * 1_000
    steady = sum(tokens for at, tokens in used if 60.0 <= at < 350.0)
    assert steady >= 0.98 * 290 * 1_000


def test_overruns_are_repaid_before_anything_else_is_admitted():
    world = World(QuotaBucket(10_000, 60_000), Random(7), overruns=True)
    world.run(6 * 60.0)
    assert any(entry.actual > entry.reserved for entry in world.log)
    assert_never_admitted_over(world.log, 60_000)


def test_both_limits_and_a_change_in_the_middle():
    world = World(QuotaBucket(400, 60_000), Random(11), overruns=False)
    world.run(200.0)
    world.bucket.set_limits(requests_per_minute=100, tokens_per_minute=20_000, now=world.now)
    changed_at = world.now
    world.run(420.0)
    lower = [entry for entry in world.log if (entry.sent_at or 0.0) > changed_at + WINDOW]
    assert_no_window_over(lower, 100, 20_000)
    admitted_after = [entry.admitted_at for entry in world.log if changed_at < entry.admitted_at < changed_at + 20.0]
    assert not admitted_after, "what was sent under the higher limit is waited for"
    assert len(lower) >= 0.9 * 100 * (420.0 - changed_at - 2 * WINDOW) / WINDOW


def test_the_same_seed_tells_the_same_story():
    first, second = (World(QuotaBucket(120, 20_000), Random(5), overruns=True) for _ in range(2))
    first.run(200.0)
    second.run(200.0)
    assert first.log == second.log
