"""Windows that no header names, and levels between two readings: never more than a provider has, and all of it in the end."""

from __future__ import annotations

import heapq
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deluge.dialects._rate_limits import Quota, rate_limits
from deluge.limits.claims import Claim, Claims, least_gain
from deluge.limits.gauge import Gauge
from deluge.limits.ledger import UNLIMITED
from deluge.limits.window import MINUTE, WindowGuess
from deluge.testing.limits import Limiter, RateLimits

from accounts import Account


def learner(kind: str, limit: int, window: float, latency: float, *, phase: float = 0.0, headers: bool = True, seed: int = 1,
            rpm: float | str = "auto", busy: float = 0.0) -> Account:
    """A client at a provider whose headers name no unit, ``phase`` of a window after one began."""
    limits = RateLimits(limit, per=window, kind="sliced" if kind == "fixed" else kind, slice=window, headers=headers)
    account = Account({"a": limits}, slots=225, rpm=rpm, tpm="auto" if rpm == "auto" else None, latency=latency, seed=seed,
                      busy=busy)
    account.limiters["a"] = Limiter(limits, account.now - phase * window)
    account.feed(account.call(), 100_000)
    return account


def most_believed(account: Account, seconds: int) -> float:
    """The most requests per minute that were taken for the account's while so many seconds passed."""
    most = 0.0
    for second in range(seconds):
        account.live(second + 1.0)
        report, = account.scheduler.limits(account.now)
        most = max(most, report.learned.requests_per_minute or 0.0)
    return most


CASES = [(kind, limit, window, latency, phase)
         for kind in ("fixed", "bucket", "rolling") for limit, window in ((50, 1.0), (10, 1.0), (100, 10.0), (300, 60.0))
         for latency in (0.05, 0.3, 3.0) for phase in (0.0, 0.97)]
FIRST = [("fixed", 50, 1.0, 0.3, 0.0), ("bucket", 100, 10.0, 0.3, 0.0), ("rolling", 10, 1.0, 0.05, 0.0),
         ("fixed", 300, 60.0, 0.3, 0.97), ("bucket", 300, 60.0, 0.05, 0.0)]


@pytest.mark.parametrize("kind, limit, window, latency, phase", [
    pytest.param(*case, marks=() if case in FIRST else pytest.mark.slow) for case in CASES])
def test_a_window_without_a_name_is_found_out_and_never_taken_for_a_shorter_one(kind, limit, window, latency, phase):
    account = learner(kind, limit, window, latency, phase=phase)
    seconds = 30 if window < MINUTE and latency < 1.0 else 60
    assert most_believed(account, seconds) <= 1.001 * limit * MINUTE / window
    assert len(account.refused) <= 1, "hardly ever over"
    if window < MINUTE:
        least = 0.9 if kind != "rolling" else 0.45 if limit * window != 50 else 0.1  # a rolling second of 50 stays in doubt
        least = min(least, 0.7) if latency > 1.0 or limit == 10 else least
        assert account.rate(seconds - 10.0, seconds) >= least * limit * MINUTE / window


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("busy", [0.2, 0.6, 2.0])
def test_a_bucket_is_not_overdrawn_when_the_provider_pauses(busy, seed):
    account = Account(RateLimits(6_000), slots=225, rpm="auto", tpm="auto", seed=seed, busy=busy)
    account.feed(account.call(), 9_000)
    account.live()
    assert not account.refused and account.answered[-1] - account.began <= 1.05 * 30.3


def test_given_numbers_hold_whatever_the_window_turns_out_to_be():
    account = learner("fixed", 50, 1.0, 0.05, rpm=600)
    account.live(59.0)
    assert not account.refused and 580 <= len(account.accepted) <= 600
    report, = account.scheduler.limits(account.now)
    assert report.learned.requests_per_minute == pytest.approx(3_000) and report.in_force.requests_per_minute == 600


@pytest.mark.parametrize("kind", ["fixed", "bucket", "rolling", "sliced"])
@settings(max_examples=8, deadline=None)
@given(st.integers(2, 400), st.sampled_from([1.0, 2.0, 5.0, 10.0, 30.0, 60.0]), st.floats(0.0, 1.0), st.integers(0, 2 ** 20),
       st.floats(0.1, 3.0))
@example(6_000, 60.0, 0.0, 1, 1.0)  # one used of a minute's 6,000: full again in 10 ms
def test_no_sequence_of_honest_replies_makes_a_window_shorter_than_it_is(kind, limit, window, phase, seed, speed):
    """Whoever sends, in bursts or evenly, faster or slower: the guess is an upper bound."""
    rng, now = Random(seed), 1_000.0
    shape = {"fixed": "sliced"}.get(kind, kind)
    part = window if kind == "fixed" else window / 10.0
    limiter = Limiter(RateLimits(limit, per=window, kind=shape, slice=part), now - phase * window)
    guess, accepted = WindowGuess(), []
    for _ in range(100):
        now += rng.expovariate(speed * limit / window / 5.0)
        for _ in range(rng.randint(1, 9)):
            decision = limiter.take(0, 0, 0, now)
            if not decision.refused:
                accepted.append((now, 1))
            told, left, reset = decision.state["requests"]
            if reset:
                guess.hear(told, float(int(left + 1e-9)), reset, accepted, now, now + 0.1)
            assert guess.seconds >= min(window, 0.999 * MINUTE) * (1.0 if kind != "sliced" else 0.999)
            now += rng.choice((0.0, 0.0, 0.001))


def test_a_reset_that_is_too_far_away_takes_a_window_back():
    guess, accepted = WindowGuess(), []
    for tenth in range(60):
        now = 100.0 + tenth / 10.0
        accepted.append((now, 1))
        guess.hear(50, 50.0 - tenth % 10 - 1, 1.0 - tenth % 10 / 10.0 - 0.004, accepted, now, now)
    assert guess.seconds == pytest.approx(1.0) and not guess.refills
    guess.hear(50, 20.0, 41.5, accepted, 107.0, 107.0)
    assert guess.seconds == 41.5


def test_a_reset_by_the_providers_clock_says_nothing_of_windows():
    dated = rate_limits({"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
                         "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:01Z"}, 1_767_225_600.0)
    epoch = rate_limits({"x-ratelimit-limit": "20", "x-ratelimit-remaining": "19", "x-ratelimit-reset": "1767225601000"},
                        1_767_225_600.0)
    assert [quota.dated for quota in dated.quotas + epoch.quotas] == [True, True]
    plain = rate_limits({"x-ratelimit-limit-requests": "20", "x-ratelimit-remaining-requests": "19",
                         "x-ratelimit-reset-requests": "1.5s"})
    assert not plain.quotas[0].dated


# --- what a reading leaves open -------------------------------------------------------------------------------------


class Left:
    """When a start left."""

    def __init__(self, sent_at: float) -> None:
        self.sent_at = sent_at


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2 ** 20), st.floats(1.0, 200.0), st.floats(0.01, 3.0), st.floats(0.0, 2.0))
def test_a_level_is_never_above_the_truth_however_late_requests_come_in(seed, rate, latency, pause):
    """Requests arrive in the order in which they left, after pauses of the provider; answers in any order."""
    rng, limit = Random(seed), 60.0 * rate
    gauge, claims = Gauge(0, MINUTE, 0.05), Claims()
    events: list[tuple[float, int, str, Any]] = []
    level, clock, busy_until, on_the_way, at = 0.5 * limit, 0.0, 0.0, 0, 0.0
    for number in range(int(min(300, 0.4 * limit))):
        at += rng.expovariate(rate * rng.choice((0.5, 1.0, 3.0)))
        heapq.heappush(events, (at, number, "start", None))
    while events:
        now, number, what, item = heapq.heappop(events)
        level, clock = level + rate * (now - clock), now
        if level > 0.9 * limit:
            break  # a full bucket loses what it is refilled with
        if what == "start":
            claim = Claim((1, 0, 0, 0), (), now)
            claims.add(claim)
            gauge.level -= 1
            on_the_way += 1
            if rng.random() < 0.05:
                busy_until = now + pause
            busy_until = max(busy_until, now) + 1e-6
            heapq.heappush(events, (busy_until, number, "arrive", claim))
        elif what == "arrive":
            level, on_the_way = level - 1.0, on_the_way - 1
            reading = Quota("requests", limit, float(int(level)), (limit - level) / rate)
            heapq.heappush(events, (now + rng.lognormvariate(0.0, 0.7) * latency, number, "answer", (item, reading)))
        else:
            claim, reading = item
            claims.close(claim)
            sent_at = claim.started_at
            gauge.hear(reading, claims.later_than(claim, sent_at), sent_at, now, claims.is_alone(claim, sent_at))
        if gauge.refills:
            assert gauge.at(now) <= level - on_the_way + 1e-6


def test_what_a_request_cannot_know_is_what_left_after_it():
    claims, made = Claims(), []
    for at, sent in ((0.0, 0.3), (0.1, 0.1), (0.2, 0.25), (0.3, 0.0)):
        claim = Claim((1, 10, 5, 5), (), at)
        claim.departure = Left(sent)
        claims.add(claim)
        made.append(claim)
    assert sorted(claims.later_than(made[1], 0.1)) == [(0.25, (1, 10, 5, 5)), (0.3, (1, 10, 5, 5)), (UNLIMITED, (1, 10, 5, 5))]
    assert [when for when, _ in claims.later_than(made[0], 0.3)] == [UNLIMITED], "one that started earlier left later"
    assert least_gain(claims.later_than(made[1], 0.1), 0, 1.0, 1.0) == -2.3 + 0.05
    assert not claims.is_alone(made[3], 0.4)
    for claim in made:
        claims.close(claim)
    assert claims.is_alone(made[3], 0.4) and not claims.is_alone(made[3], 0.3)
