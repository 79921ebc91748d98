"""Quotas, estimates, ramps and cooldowns, told with floats for a clock."""

from __future__ import annotations

from collections import Counter, deque
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrate_limiter import Limiter, RateItem, SingleBucketFactory

from deluge.errors import ConfigError
from deluge.limits import CooldownRules, LaneHealth, Pace, QuotaBucket, Ramp, Reservation, TokenEstimator
from deluge.limits.ledger import SLOTS, SlotSums
from deluge.limits.pace import OPEN

from stories import Switch

MODES = ("rolling", "bucket")
SLOT = 60.0 / SLOTS


def admitted(bucket: QuotaBucket, tokens: int, now: float) -> Reservation:
    reservation = bucket.reserve(tokens, now)
    assert isinstance(reservation, Reservation), f"refused for {reservation} s"
    return reservation


def sent(bucket: QuotaBucket, tokens: int, now: float) -> Reservation:
    reservation = admitted(bucket, tokens, now)
    bucket.sent(reservation, now)
    return reservation


# --- the bucket, both modes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_requests_and_tokens_are_admitted_together(mode):
    bucket = QuotaBucket(10, 1000, mode=mode)
    sent(bucket, 900, 0.0)
    assert bucket.check(200, 0.0) > 0.0
    assert bucket.snapshot(0.0).used_requests == 1, "a refusal debits nothing"
    for _ in range(9):
        sent(bucket, 1, 0.0)
    assert bucket.check(1, 0.0) > 0.0, "requests are used up though tokens are left"


@pytest.mark.parametrize("mode", MODES)
def test_no_limit_refuses_nothing_and_still_counts(mode):
    bucket = QuotaBucket(None, None, mode=mode)
    for _ in range(1000):
        sent(bucket, 10_000_000, 5.0)
    snapshot = bucket.snapshot(5.0)
    assert snapshot.remaining_requests is snapshot.remaining_tokens is None
    assert bucket.check(10 ** 12, 5.0) == 0.0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("requests, tokens", [(7, 1000), (0.5, 100), (60, 0.2), (1, 1), (13, 10.5), (1000, None)])
def test_waiting_as_told_ends_in_an_admission(mode, requests, tokens):
    bucket = QuotaBucket(requests, tokens, mode=mode)
    rng, now = Random(1), 1_000_000.0
    for _ in range(60):
        for _round in range(10):
            wait = bucket.check(rng.randrange(1, 2000), now)
            if wait == 0.0:
                break
            assert 0.001 <= wait <= 400.0
            now += wait
        else:
            size = bucket.clamp(2000)
            assert bucket.check(size, now + bucket.check(size, now)) <= 400.0
        bucket.sent(bucket.take(rng.randrange(1, 2000), now), now)


@pytest.mark.parametrize("mode", MODES)
def test_a_larger_reservation_is_clamped_and_fits_when_all_is_free(mode):
    bucket = QuotaBucket(100, 1000, mode=mode)
    assert bucket.clamp(5000) == 1000 and bucket.clamp(12) == 12
    reservation = sent(bucket, 5000, 0.0)
    assert reservation.tokens == 1000
    assert bucket.check(1, 0.0) > 0.0
    assert bucket.check(5000, 61.0) == 0.0


@pytest.mark.parametrize("mode", MODES)
def test_settling_lower_makes_room_and_an_overrun_is_owed(mode):
    bucket = QuotaBucket(None, 1000, mode=mode)
    reservation = sent(bucket, 1000, 0.0)
    bucket.settle(reservation, 100, 1.0)
    bucket.settle(reservation, 0, 1.0)
    assert bucket.check(900, 1.0) == 0.0, "settled once, to 100"
    second = sent(bucket, 900, 1.0)
    bucket.settle(second, 1900, 2.0)
    assert bucket.snapshot(2.0).used_tokens == pytest.approx(2000, abs=40)
    assert bucket.check(1, 2.0) > 55.0
    assert bucket.check(1000, 150.0) == 0.0


@pytest.mark.parametrize("mode", MODES)
def test_what_never_left_is_given_back_once(mode):
    bucket = QuotaBucket(1, 100, mode=mode)
    reservation = admitted(bucket, 100, 0.0)
    bucket.refund(reservation)
    bucket.refund(reservation)
    bucket.settle(reservation, 100, 0.0)
    late = sent(bucket, 100, 0.0)
    assert bucket.check(1, 0.0) > 0.0
    sent(bucket, 100, 70.0)
    bucket.refund(late)
    assert bucket.check(1, 70.0) > 0.0, "its minute is over: nothing to give back"


@pytest.mark.parametrize("mode", MODES)
def test_charge_freeze_and_snapshot(mode):
    bucket = QuotaBucket(10, 100, mode=mode)
    assert bucket.snapshot(0.0).refill_in == 0.0
    bucket.charge(4, 90, 0.0)
    bucket.freeze(7.0)
    bucket.freeze(3.0)
    snapshot = bucket.snapshot(0.0)
    assert (snapshot.used_requests, snapshot.used_tokens) == (4, 90)
    assert (snapshot.remaining_requests, snapshot.remaining_tokens) == (6, 10)
    assert snapshot.frozen_until == 7.0 and snapshot.refill_in > 0.0
    assert bucket.check(1, 0.0) == pytest.approx(7.0)
    assert bucket.check(1, 7.0) == 0.0


@pytest.mark.parametrize("mode", MODES)
def test_limits_change_live_and_keep_what_is_owed(mode):
    bucket = QuotaBucket(100, None, mode=mode)
    for _ in range(80):
        sent(bucket, 1, 0.0)
    bucket.set_limits(requests_per_minute=40, now=0.0)
    assert bucket.check(1, 0.0) > 40.0
    bucket.set_limits(requests_per_minute=81, now=0.0)
    assert bucket.check(1, 0.0) == 0.0
    bucket.set_limits(requests_per_minute=None, tokens_per_minute=50, now=0.0)
    assert bucket.requests_per_minute is None and bucket.tokens_per_minute == 50
    assert bucket.clamp(80) == 50


@pytest.mark.parametrize("arguments", [
    dict(requests_per_minute=0, tokens_per_minute=1), dict(requests_per_minute=1, tokens_per_minute=-1),
    dict(requests_per_minute=float("nan"), tokens_per_minute=1), dict(requests_per_minute=True, tokens_per_minute=1),
    dict(requests_per_minute=1, tokens_per_minute=1, mode="leaky"),
    dict(requests_per_minute=1, tokens_per_minute=1, window=0),
])
def test_impossible_limits_are_refused(arguments):
    with pytest.raises(ConfigError):
        QuotaBucket(**arguments)


# --- rolling ------------------------------------------------------------------------------------------------------


def test_a_pending_request_counts_as_now_whatever_its_age():
    bucket = QuotaBucket(1, None)
    reservation = admitted(bucket, 1, 0.0)
    assert bucket.check(1, 500.0) > 59.0
    bucket.sent(reservation, 500.0)
    bucket.sent(reservation, 400.0)
    assert bucket.check(1, 559.9) > 0.0
    assert bucket.check(1, 560.0 + SLOT) == 0.0


def test_news_of_a_request_that_left_long_ago_goes_to_its_own_slot():
    bucket = QuotaBucket(2, 100)
    early, late = admitted(bucket, 50, 0.0), admitted(bucket, 50, 0.0)
    bucket.check(1, 30.0)
    bucket.sent(early, 1.0)
    bucket.check(1, 90.0)
    bucket.sent(late, 1.0)
    assert bucket.snapshot(90.0).used_requests == 0


def test_settling_after_the_slot_has_left_drops_a_refund_and_charges_an_overrun():
    bucket = QuotaBucket(None, 1000)
    low, high = sent(bucket, 100, 0.0), sent(bucket, 100, 0.0)
    sent(bucket, 500, 70.0)
    bucket.settle(low, 1, 71.0)
    assert bucket.snapshot(71.0).used_tokens == 500
    bucket.settle(high, 400, 71.0)
    assert bucket.snapshot(71.0).used_tokens == 800
    assert bucket.check(501, 130.0 + SLOT) == pytest.approx(0.0, abs=1.5)


def test_the_wait_is_the_time_when_enough_has_left():
    bucket = QuotaBucket(None, 1000)
    for second in range(10):
        sent(bucket, 100, float(second))
    for need, second in ((100, 0), (300, 2), (1000, 9), (150, 1), (100, 0)):
        wait = bucket.check(need, 20.0)
        assert second + 60.0 <= 20.0 + wait <= second + 60.0 + SLOT + 1e-9


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 50)), max_size=80), st.integers(1, 500))
def test_slot_sums_answer_like_a_plain_list(steps, need):
    """The cursor and the ring against the sum over a list of (slot, amount)."""
    sums, head, log = SlotSums(100.0), 0, []
    for ahead, amount in steps:
        new = head + ahead * (7 if ahead > 35 else 1)
        sums.turn(head, new)
        head = new
        for slot in (head, max(0, head - ahead)):
            sums.used += amount
            sums.place(slot, amount)
            log.append((slot, amount))
        inside = [(slot, value) for slot, value in log if slot >= head - SLOTS]
        assert sums.used == sum(value for _, value in inside)
        for question in (need, 1, amount + 1):
            expected = next((slot for slot in range(head - SLOTS, head + 1)
                             if sum(value for at, value in inside if at <= slot) >= question), head)
            assert sums.leaves(question, head) == expected


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(10, 400), st.sampled_from([1.0, 60.0, 7.3]))
def test_no_window_is_ever_over_its_limits(data, requests, tokens, window):
    per_minute = 60.0 / window
    bucket = QuotaBucket(requests * per_minute, tokens * per_minute, window=window)
    now, waiting, log = 1234.5, [], []
    for _ in range(data.draw(st.integers(1, 60))):
        now += data.draw(st.floats(0, 0.4)) * window
        reservation = bucket.reserve(data.draw(st.integers(1, tokens)), now)
        if isinstance(reservation, Reservation):
            waiting.append(reservation)
        if waiting and data.draw(st.booleans()):
            reservation = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            bucket.sent(reservation, now)
            log.append((now, reservation.tokens))
    for at, _ in log:
        inside = [size for when, size in log if at - window < when <= at]
        assert len(inside) <= requests + 1e-9 and sum(inside) <= tokens + 1e-9


# --- bucket -------------------------------------------------------------------------------------------------------


def test_a_full_bucket_bursts_and_then_refills_exactly():
    bucket = QuotaBucket(None, 100_000_000, mode="bucket")
    now, taken = 50.0, 0
    while now < 110.0:
        wait = bucket.check(10_000, now)
        if wait:
            now += wait
        else:
            taken += bucket.take(10_000, now).tokens
    assert taken == pytest.approx(200_000_000, rel=0.001)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 100), st.floats(0, 1), st.booleans()), max_size=50))
def test_no_stretch_of_time_gets_more_than_a_full_bucket_and_its_refill(steps):
    bucket, now, open_ones, log = QuotaBucket(None, 100, mode="bucket"), 10.0, [], []
    for passed, size, used, settle in steps:
        now += passed
        reservation = bucket.reserve(size, now)
        if isinstance(reservation, Reservation):
            log.append([now, size])
            open_ones.append((reservation, log[-1], int(size * used)))
        if settle and open_ones:
            reservation, entry, entry[1] = open_ones.pop(len(open_ones) // 2)
            bucket.settle(reservation, entry[1], now)
    for first, (begin, _) in enumerate(log):
        total = 0
        for at, size in log[first:]:
            total += size
            assert total <= 100 + (at - begin) * 100 / 60 + 0.001


# --- pyrate-limiter -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_it_is_a_legal_pyrate_bucket(mode):
    clock = [1000.0]
    bucket = QuotaBucket(3, 100, mode=mode, clock=lambda: clock[0])
    with Limiter(SingleBucketFactory(bucket, schedule_leak=False)) as limiter:
        assert limiter.try_acquire("a", 60, blocking=False)
        assert not limiter.try_acquire("a", 60, blocking=False)
        assert not limiter.try_acquire("a", 101), "never fits: refused at once, even when blocking"
    item = RateItem("a", bucket.now(), weight=60)
    decision = bucket.put_decision(item)
    assert not decision.allowed and 0 < decision.retry_after_ms <= 60_251
    assert 0 < bucket.waiting(item) <= 60_251 and bucket.count() == 1
    assert bucket.leak() == 0 and bucket.peek(0) is None and bucket.limiter_lock() is None
    clock[0] += 61.0
    assert bucket.put(item) and bucket.waiting(item) == 0
    bucket.flush()
    assert bucket.count() == 0 and bucket.failing_rate is None
    assert [rate.limit for rate in bucket.rates] == [3, 100]
    with pytest.raises(AttributeError):
        bucket.rates = []


def test_a_plain_limiter_waits_for_the_bucket():
    bucket = QuotaBucket(60 * 40, None, window=0.025)
    with Limiter(SingleBucketFactory(bucket, schedule_leak=False), buffer_ms=1) as limiter:
        assert all(limiter.try_acquire("a", 1, timeout=10) for _ in range(5))


# --- estimates ----------------------------------------------------------------------------------------------------


def test_an_estimate_starts_careful_and_learns():
    estimator = TokenEstimator()
    assert estimator.estimate(400, 512) == 100 + 8 + 512
    for n in range(40):
        size = 200 + 37 * (n % 11)
        estimator.learn(size, 20 + size // 5, 90 + n % 21, 4096)
    assert estimator.estimate(400, 4096) == pytest.approx(20 + 80 + 105, abs=12)
    assert estimator.estimate(100_000, 4096) == pytest.approx(20_000, rel=0.05), "a line, not a ratio"
    assert estimator.estimate(400, 50) <= 20 + 80 + 5 + 50


def test_answers_cut_at_their_limit_push_the_estimate_up():
    cut, whole = TokenEstimator(), TokenEstimator()
    for _ in range(20):
        cut.learn(100, 30, 100, 100)
        whole.learn(100, 30, 100, 4096)
    assert cut.output(4096) == 4096 and cut.output(100) == 100
    assert whole.output(4096) < 110
    for _ in range(20):
        whole.learn(100, 30, 100, 100)
    assert whole.output(4096) > 2000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 10 ** 6)] * 2, *[st.integers(0, 5000)] * 2)), st.integers(0, 10 ** 7),
       st.integers(-1, 5000))
def test_an_estimate_is_deterministic_and_bounded(answers, size, most):
    first, second = TokenEstimator(), TokenEstimator()
    for answer in answers:
        first.learn(*answer)
        second.learn(*answer)
    assert first.estimate(size, most) == second.estimate(size, most) >= 1
    assert 0 <= first.output(most) <= max(0, most)
    assert first.lower_bound(size) == size // 8


# --- ramps --------------------------------------------------------------------------------------------------------


def test_the_clients_ramp_doubles_and_rests():
    ramp = Ramp.of_client()
    assert ramp.cap(5.0) == 100 and ramp.next_change(5.0) == 60.0
    ramp.began(10.0)
    assert [ramp.cap(10.0 + passed) for passed in (0.0, 0.049, 0.051, 0.101, 0.52)] == [100, 100, 200, 400, 102_400]
    assert 0.0 < ramp.next_change(10.52) <= 0.05
    assert ramp.cap(3600.0) == OPEN and ramp.next_change(3600.0) == 60.0
    ramp.ended(3600.0)
    ramp.began(3609.0)
    assert ramp.cap(3609.0) == OPEN, "a short pause does not begin a new burst"
    ramp.ended(3610.0)
    ramp.began(3620.0)
    assert ramp.cap(3620.0) == 100


def test_a_ramp_waits_for_what_has_not_left():
    ramp, slow, never = Ramp.of_lane(6000), Switch(9.0), Switch(9.0)
    ramp.began(0.0)
    ramp.filled([Switch(9.0), slow], 0.01)
    ramp._last[0].sent_at = 0.02
    assert ramp.cap(0.26) == 100 and 0.0 < ramp.next_change(0.26) <= 0.05, "nothing has left yet"
    slow.sent_at = 0.5
    assert [ramp.cap(at) for at in (0.6, 0.74, 0.76)] == [100, 100, 200]
    ramp.filled([never], 0.77)
    assert ramp.cap(1.1) == 200
    assert ramp.cap(2.78) >= 400, "one that never leaves keeps it for two seconds only"
    ramp.ended(3.0)
    ramp.began(20.0)
    assert [ramp.cap(20.0 + passed) for passed in (0.0, 0.251)] == [100, 200]


def test_a_lanes_ramp_starts_with_a_second_of_its_limit_and_grows_with_good_replies():
    assert Ramp.of_lane(None).cap(0.0) == OPEN
    assert Ramp.of_lane(100).cap(0.0) == 10
    ramp = Ramp.of_lane(6000)
    ramp.began(0.0)
    for _ in range(7):
        ramp.good()
    assert ramp.cap(0.1) == 107 and ramp.cap(0.251) == 207


# --- pace ---------------------------------------------------------------------------------------------------------


def starts_until(pace: Pace, now: float, end: float, most: float = 1e9, back: float = 0.02) -> tuple[list[float], int]:
    """Starts whenever it may; a provider that lets ``most`` in per second answers the others with 429 soon after."""
    starts: list[float] = []
    slices: Counter[int] = Counter()
    refused: deque[tuple[float, float]] = deque()
    missed = 0
    while now < end:
        while refused and refused[0][0] <= now:
            pace.limited(now, refused.popleft()[1], 1.0 - now % 1.0)
        wait = pace.check(now)
        if wait > 0.0:
            now += min(wait, back)
            continue
        pace.took(now)
        starts.append(now)
        slices[int(now)] += 1
        if slices[int(now)] > most:
            missed += 1
            refused.append((now + back, now))
        now += 0.0002
    return starts, missed


def begin(pace: Pace, now: float) -> Pace:
    for _ in range(5):
        pace.limited(now)
    assert pace.active
    return pace


def test_single_429s_among_many_starts_never_pace_a_lane():
    pace, rng = Pace(6000), Random(1)
    for number in range(20_000):
        pace.took(number / 4500)
        if rng.random() < 0.02:
            pace.limited(number / 4500, number / 4500)
    assert not pace.active
    for second in range(100):
        pace.limited(1000.0 + second)
    assert not pace.active, "one a second, with nothing started, is a slow drip"


def test_pace_is_open_until_429s_come_and_then_spreads_the_starts_evenly():
    pace = Pace(6000)
    assert pace.check(0.0) == 0.0 and not pace.active
    starts, missed = starts_until(pace, 0.0, 20.0, most=100)
    assert pace.active and len(starts) - missed >= 0.98 * 2000
    assert missed <= 120, "what was sent before the first 429s came back, and little after"
    late = [at for at in starts if at > 2.0]
    assert all(sum(at <= other < at + 0.999 for other in late) <= 106 for at in late[::17])


def test_pace_falls_to_what_passes_stays_there_and_grows_again():
    pace = begin(Pace(6000), 0.0)
    starts_until(pace, 1.0, 4.0, most=50)
    assert 45.0 <= pace.rate <= 75.0
    starts, missed = starts_until(pace, 4.0, 34.0, most=50)
    assert missed <= 0.03 * len(starts) and len(starts) - missed >= 0.85 * 30 * 50
    starts_until(pace, 34.0, 64.0)
    assert not pace.active or pace.rate >= 95.0, "the limit is as high as before"


def test_a_pace_that_meets_no_more_429s_ends_but_not_untried():
    pace = begin(Pace(6000), 0.0)
    assert pace.check(300.0) == 0.0 and pace.active, "nothing was started meanwhile"
    starts_until(pace, 300.0, 330.0)
    assert not pace.active


def test_a_pace_that_the_headers_asked_for_never_passes_its_share():
    pace = Pace(6000, 60_000)
    pace.pin(0.0)
    assert pace.rate == pytest.approx(99.0)
    starts, missed = starts_until(pace, 0.0, 60.0, most=100)
    assert not missed and len(starts) >= 0.985 * 6000
    for _ in range(12):
        pace.limited(60.0, 59.9)
    assert 94.0 <= pace.rate < 99.0, "a small step: the limit is known"
    pace.follow(3000, 60_000, 61.0)
    assert pace.rate == pytest.approx(49.5)
    for _ in range(3):
        pace.limited(62.0, 61.9)
    starts_until(pace, 62.0, 76.0)
    assert pace.rate == pytest.approx(49.5), "it grows back up to the headroom"
    pace.follow(6000, 60_000, 76.0)
    assert pace.rate == pytest.approx(99.0), "and follows a limit that rises"


def test_a_pace_spreads_tokens_too_and_gives_back_what_was_not_used():
    pace = Pace(6000, 60_000)
    pace.pin(0.0)
    pace.took(0.0, 990)
    assert pace.check(0.5) == pytest.approx(0.47, abs=0.06)
    pace.corrected(-900)
    assert pace.check(0.5) == 0.0


def test_pace_without_a_limit_measures_the_burst():
    pace = Pace(None)
    for n in range(200):
        pace.took(1.0 + n / 200)
    for n in range(40):
        pace.limited(1.999, 1.8 + n / 200)
    assert 150.0 <= pace.rate <= 199.0


def test_a_pace_that_never_bound_falls_to_what_passes_in_a_longer_while():
    pace, now = Pace(None), 1.0
    for n in range(300):  # a full bucket's burst, and the 429s at its end
        now += 1 / 300
        pace.took(now)
    for _ in range(160):
        pace.limited(now, now)
    assert 100.0 <= pace.rate <= 300.0
    for cooldown in range(6):  # the bucket lets 10 a second in; something else, a cooldown, holds the lane back
        now += 3.0
        for n in range(30):
            now += 0.03
            pace.took(now)
        for _ in range(2):
            pace.limited(now, now)
    assert 8.0 <= pace.rate <= 40.0, "two cuts, and not a hundred small ones"


def test_pace_of_a_low_limit_still_moves():
    pace = begin(Pace(6), 0.0)
    assert len(starts_until(pace, 0.0, 29.0)[0]) == 3


# --- cooldowns ----------------------------------------------------------------------------------------------------


def test_one_429_says_nothing_about_the_lane():
    health = LaneHealth(Random(1))
    for n in range(200):
        assert not health.limited(float(n))
        for _ in range(7):
            health.good(n + 0.1)
    assert health.cap(200.0) == OPEN and health.cooldowns == 0


def test_three_in_a_row_cool_the_lane_and_it_comes_back_slowly():
    health = LaneHealth(Random(1))
    assert [health.limited(1.0) for _ in range(3)] == [False, False, True]
    assert 3.0 <= health.cooling_until <= 3.2
    assert health.cap(2.9) == 0 and 0.0 < health.next_change(2.9) <= 0.3
    until = health.cooling_until
    assert health.cap(until) == 4
    health.good(until)
    assert health.cap(until) == 5
    assert health.cap(until + 1.6) in range(17, 34)
    assert health.cap(until + 60.0) == OPEN


def test_five_of_the_last_25_pause_it_briefly():
    health = LaneHealth(Random(1))
    for _ in range(4):
        assert not health.limited(1.0)
        for _ in range(5):
            health.good(1.0)
    assert health.limited(1.0)
    assert health.cooling_until == pytest.approx(1.25, abs=0.03)


def test_repetition_doubles_the_default_and_calm_forgets_it():
    health, now, lengths = LaneHealth(Random(3)), 0.0, []
    for _ in range(8):
        while not health.limited(now):
            pass
        lengths.append(health.cooling_until - now)
        now = health.cooling_until
    for length, default in zip(lengths, (2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert default <= length <= default * 1.1
    for _ in range(25):
        health.good(now)
    while not health.limited(now):
        pass
    assert health.cooling_until - now < 2.3


def test_retry_after_counts_and_a_tiny_one_does_not_beat_repetition():
    health = LaneHealth(Random(1))
    for _ in range(3):
        health.limited(0.0, 10.0)
    assert 10.0 <= health.cooling_until <= 11.0
    health.limited(5.0, 20.0)
    assert 25.0 <= health.cooling_until <= 27.0
    now = health.cooling_until
    for _ in range(3):
        health.limited(now, 0.001)
    assert health.cooling_until - now >= 4.0


def test_replies_to_what_was_sent_before_the_cooldown_say_nothing_new():
    health = LaneHealth(Random(1))
    for _ in range(100):
        health.limited(1.0, sent_at=0.5)
    assert health.cooldowns == 1 and health.cooling_until < 3.3
    for _ in range(10):
        assert not health.limited(10.0, sent_at=0.9)
    assert health.cooldowns == 1


def test_a_header_that_says_nothing_remains():
    health = LaneHealth(Random(1))
    assert not health.nothing_left(0.0, 0.0) and health.cap(0.0) == OPEN
    assert health.nothing_left(0.0, 8.0)
    assert not health.nothing_left(1.0, 3.0)
    assert 8.0 <= health.cooling_until <= 8.8
    assert health.nothing_left(20.0) and 22.0 <= health.cooling_until <= 22.2


def test_rules_are_arguments():
    health = LaneHealth(Random(1), CooldownRules(in_a_row=1, first=1.0, spread=0.0, recovery_start=9))
    assert health.limited(0.0) and health.cooling_until == 1.0 and health.cap(1.0) == 9
