"""What a seeded run learns, step by step: three accounts, of which one slices, one says nothing, one names no unit."""

from __future__ import annotations

from deluge.lanes import Lane
from deluge.testing.limits import RateLimits

from accounts import Account

NEWS = 0.25  # of a number: what it changes by less is not written down


class Traced(Account):
    """Writes down when a lane has learned a limit, cools down, loses slots, or changes its pace."""

    def __init__(self, *arguments, **story) -> None:
        self.trace: list[tuple[float, str, str]] = []
        self._known: dict[tuple[str, str], float] = {}
        super().__init__(*arguments, **story)

    def step(self) -> list[int]:
        started = super().step()
        for lane in self.scheduler.lanes.values():
            self._note(lane)
        return started

    def _note(self, lane: Lane) -> None:
        limits, slots, pace = lane.quota.limits(), int(lane.adaptive.cap), lane.quota.pace.rate
        for counter, limit in (("requests", limits.requests_per_minute), ("tokens", limits.tokens_per_minute)):
            if self._is_news(lane, counter, limit or 0.0):
                self._say(lane, f"learned {limit:.0f} {counter}/min")
        if self._is_news(lane, "cooldowns", lane.health.cooldowns, 0.0):
            self._say(lane, f"cools down for {lane.health.cooling_until - self.now:.1f} s")
        before = self._known.get((lane.model, "slots"), slots)
        if slots < before:
            self._say(lane, f"slots {before:.0f} -> {slots}")
        self._known[lane.model, "slots"] = slots
        if self._is_news(lane, "pace", pace):
            self._say(lane, f"pace {pace:.1f}/s" if pace else "pace open")

    def _is_news(self, lane: Lane, what: str, number: float, share: float = NEWS) -> bool:
        before = self._known.setdefault((lane.model, what), 0.0)
        if abs(number - before) <= share * max(number, before):
            return False
        self._known[lane.model, what] = number
        return True

    def _say(self, lane: Lane, what: str) -> None:
        self.trace.append((round(self.now - self.began, 1), lane.model, what))


def story(seed: int) -> Traced:
    account = Traced({
        "sliced": RateLimits(600, 60_000, kind="sliced"), "silent": RateLimits(120, kind="bucket", headers=False),
        "seconds": RateLimits(20, per=1.0, kind="sliced", slice=1.0),
    }, latency={"sliced": 0.3, "silent": 0.5, "seconds": 0.2}, slots=20, rpm="auto", tpm="auto", seed=seed)
    for model in account.limiters:
        account.feed(account.call([model]), 1_000)
    account.live(12.0)
    account.change("sliced", requests=300)
    account.live(24.0)
    account.change("sliced", requests=600)
    account.live(45.0)
    return account


TRACE = [
    (0.1, "sliced", "learned 600 requests/min"),
    (0.1, "sliced", "learned 60000 tokens/min"),
    (0.1, "sliced", "pace 9.9/s"),
    (0.2, "seconds", "learned 20 requests/min"),
    (0.4, "seconds", "pace 0.3/s"),
    (4.2, "silent", "pace 30.7/s"),
    (4.2, "silent", "cools down for 0.4 s"),
    (4.2, "silent", "slots 20 -> 7"),
    (4.6, "silent", "cools down for 4.4 s"),
    (4.6, "silent", "slots 8 -> 4"),
    (5.7, "seconds", "learned 80 requests/min"),
    (5.7, "seconds", "pace 1.3/s"),
    (6.2, "seconds", "learned 320 requests/min"),
    (6.2, "seconds", "pace 5.3/s"),
    (6.8, "seconds", "learned 676 requests/min"),
    (6.8, "seconds", "pace 11.2/s"),
    (7.9, "seconds", "learned 1200 requests/min"),
    (7.9, "seconds", "pace 19.8/s"),
    (10.0, "silent", "pace 14.5/s"),
    (10.0, "silent", "cools down for 8.4 s"),
    (10.0, "silent", "slots 5 -> 2"),
    (12.0, "sliced", "learned 300 requests/min"),
    (12.0, "sliced", "pace 5.0/s"),
    (20.7, "silent", "cools down for 2.1 s"),
    (20.7, "silent", "slots 6 -> 3"),
    (23.7, "silent", "pace 10.5/s"),
    (23.8, "silent", "cools down for 32.4 s"),
    (23.8, "silent", "slots 4 -> 2"),
    (30.0, "sliced", "learned 403 requests/min"),
    (30.0, "sliced", "pace 6.6/s"),
    (35.9, "sliced", "learned 539 requests/min"),
    (35.9, "sliced", "pace 8.9/s"),
]


def test_the_trace_of_a_seeded_run():
    assert story(5).trace == TRACE


def test_the_same_seed_tells_the_same_story():
    first, second, other = story(5), story(5), story(6)
    assert first.trace == second.trace and first.accepted == second.accepted
    assert first.trace != other.trace
