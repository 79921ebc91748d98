"""Windows that no header names, and levels between two readings: never more than a provider has, and all of it in the end."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deluge.dialects._rate_limits import rate_limits
from deluge.limits.claims import Claim, Claims, least_gain
from deluge.limits.ledger import UNLIMITED
from deluge.limits.window import MINUTE, WindowGuess
from deluge.tasks import Flight
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
        least = 0.9 if kind != "rolling" else 0.3 if limit * window != 50 else 0.1  # a rolling second of 50 stays in doubt
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


class Paused(Account):
    """Requests come in in the order in which they left, and now and then nothing does for up to ``pause`` seconds."""

    pause = rate = awake_at = latest = 0.0

    def _send(self, flight: Flight) -> None:
        if self.rng.random() < 0.2 / self.rate:  # every five seconds
            self.awake_at = self.now + self.rng.uniform(0.0, self.pause)
        self.latest = max(self.now + self.rng.uniform(0.0005, 0.01), self.awake_at, self.latest + 1e-6)
        self.later(self.latest - self.now, lambda: self._arrive(flight))


@pytest.mark.parametrize("rpm, latency, pause", [
    pytest.param(rpm, latency, pause, marks=() if (rpm, latency, pause) == (600, 0.05, 1.0) else pytest.mark.slow)
    for rpm in (600, 6_000) for latency in (0.05, 0.3) for pause in (0.2, 1.0, 3.0)])
def test_a_bucket_is_not_overdrawn_by_requests_that_come_in_late(rpm, latency, pause):
    refused = 0
    for seed in range(4):
        account = Paused(RateLimits(rpm), slots=225, rpm="auto", tpm="auto", latency=latency, seed=seed)
        account.pause, account.rate = pause, rpm / 60.0
        account.feed(account.call(), int(1.4 * rpm))
        account.live()
        refused += len(account.refused)
        if pause <= 1.0:
            assert account.answered[-1] - account.began <= 1.07 * (24.0 + latency)
    assert refused <= (0 if pause <= 1.0 else 6), "none, unless it pauses for so long again and again"


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
