"""The tracker: what is counted, what adds up, and what a reader sees."""

import math
import pickle
import random
import threading
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deluge.params import SamplingParams
from deluge.response import APIResponse
from deluge.status import LATENCY_BUCKETS, Capacity, StatusSnapshot, latency_bucket, percentile
from deluge.tracker import ExactSum, StatusTracker
from deluge.usage import Usage


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(**fields):
    return APIResponse(**{"model_internal": "m", "finish_reason": "stop", "latency": 1.0, **fields})


def failure(kind, **fields):
    return APIResponse(model_internal="m", is_error=True, error_kind=kind, **fields)


def test_counts_every_way_a_prompt_can_end():
    tracker = StatusTracker("nightly", total=9)
    tracker.started(9)
    for response in (
        answer(), answer(finish_reason="length", sampling_params=SamplingParams()),
        answer(finish_reason="length", sampling_params=SamplingParams(max_new_tokens=99)), answer(source="cache"),
        answer(source="journal"), answer(source="dedupe"), failure("server"), failure("content_filter"),
        failure("cancelled"),
    ):
        tracker.finished(response)
    now = tracker.snapshot()
    assert (now.total, now.started, now.done) == (9, 9, 9)
    assert (now.succeeded, now.failed, now.cancelled) == (6, 2, 1)
    assert (now.cut, now.cut_at_default) == (2, 1)
    assert (now.cache_hits, now.resumed, now.duplicates) == (1, 1, 1)
    assert now.failed_by_kind == {"server": 1, "content_filter": 1, "cancelled": 1}
    assert now.models == {"m": 6}


def test_has_the_names_of_the_manual():
    tracker = StatusTracker(total=3)
    tracker.started(3)
    tracker.sent()
    tracker.sent()
    tracker.attempt_failed("rate_limit", True, False)
    tracker.attempt_failed("timeout", False, True)
    tracker.finished(answer(usage=Usage(5, 7, 11, 13, 2, 3), cost=0.25))
    tracker.gauge(2, 4, 1, "slots", 0.0, Capacity(slots=2))
    for thing in (tracker, tracker.snapshot()):
        assert thing.num_tasks_started == 3
        assert thing.num_tasks_in_progress == 2
        assert thing.num_tasks_succeeded == 1
        assert thing.num_tasks_failed == 0
        assert thing.num_rate_limit_errors == 1
        assert thing.queue_depth == 4
        assert thing.total_requests == 2
        assert thing.total_retries == 1
        assert thing.total_cost == 0.25
        assert thing.total_input_tokens == 5
        assert thing.total_output_tokens == 7
        assert thing.total_cache_read_tokens == 11
        assert thing.total_cache_write_tokens == 13
        assert thing.usage == Usage(5, 7, 11, 13, 2, 3)
        assert thing.limiting_factor == "slots"
    now = tracker.snapshot()
    assert now.retries_by_kind == {"rate_limit": 1} and now.possibly_billed == 1 and now.capacity.slots == 2


def test_hits_bring_no_usage_and_no_cost():
    tracker = StatusTracker()
    for source in ("cache", "journal", "dedupe"):
        tracker.finished(answer(source=source, usage=Usage(5, 5), cost=1.0))
    now = tracker.snapshot()
    assert now.usage == Usage() and now.cost == 0 and now.latency_p50 is None and now.succeeded == 3


def test_failures_and_late_answers_are_paid_for():
    tracker = StatusTracker()
    tracker.finished(failure("content_filter", usage=Usage(3, 1), cost=0.5))
    tracker.late(Usage(2, 2), 0.25)
    now = tracker.snapshot()
    assert now.usage == Usage(5, 3) and now.cost == 0.75 and now.unpriced == 0


@pytest.mark.parametrize("response, unpriced", [
    (answer(usage=Usage(1, 1), cost=None), 1),
    (answer(cost=None), 1),
    (answer(cost=0.0), 0),
    (answer(usage=Usage(1, 1), cost=math.nan), 1),
    (answer(usage=Usage(1, 1), cost=math.inf), 1),
    (failure("timeout"), 0),
    (failure("parse", usage=Usage(cache_read_tokens=4)), 1),
    (answer(source="cache", cost=None), 0),
])
def test_what_counts_as_unpriced(response, unpriced):
    tracker = StatusTracker()
    tracker.finished(response)
    assert tracker.snapshot().unpriced == unpriced and tracker.cost == 0


def test_costs_are_the_sum_of_the_responses_bit_for_bit():
    dice = random.Random(7)
    costs = [dice.uniform(0, 1) * 10.0 ** dice.randint(-12, 6) for _ in range(7_777)]
    tracker = StatusTracker()
    for cost in costs:
        tracker.finished(answer(cost=cost))
    assert tracker.total_cost == math.fsum(costs)


@given(st.lists(st.floats(-1e250, 1e250), max_size=60), st.integers(1, 4))
def test_an_exact_sum_is_fsum_whatever_the_order(values, repeats):
    total = ExactSum()
    for _ in range(repeats * 40):
        for value in values:
            total.add(value)
    assert total.value() == math.fsum(values * (repeats * 40))


@pytest.mark.parametrize("announced, added, started, total", [
    (None, 0, 0, None), (None, 0, 7, None), (None, 5, 0, 5), (None, 5, 7, 7), (100, 60, 10, 100), (100, 160, 10, 160),
    (0, 0, 0, 0), (10, 0, 12, 12),
])
def test_the_total_grows_only_beyond_what_was_announced(announced, added, started, total):
    tracker = StatusTracker(total=announced)
    tracker.add_to_total(added)
    tracker.started(started)
    assert tracker.snapshot().total == total


def test_seconds_per_limiting_factor():
    clock = Clock()
    tracker = StatusTracker(clock=clock)
    tracker.started(3)
    tracker.gauge(1, 2, 0, "slots", 100.0)
    tracker.gauge(1, 2, 0, "slots", 101.0)  # as before: the slice goes on
    tracker.gauge(1, 2, 0, "tokens/min", 102.0)
    tracker.gauge(1, 1, 0, None, 105.0)
    tracker.gauge(1, 1, 0, "slots", 109.0)
    clock.now = 110.0
    now = tracker.snapshot()
    assert now.seconds == 10.0
    assert now.limited_by == {"slots": 3.0, "tokens/min": 3.0}
    assert now.limited_share == {"slots": 0.3, "tokens/min": 0.3}
    assert now.limiting_factor == "slots" and (now.running, now.queued, now.backing_off) == (1, 1, 0)


def test_capacity_stays_until_it_is_replaced():
    tracker = StatusTracker()
    tracker.gauge(0, 0, 0, None, 0.0, Capacity(1000, 100_000, 225, default=True))
    tracker.gauge(1, 0, 0, None, 1.0)
    assert tracker.snapshot().default_limits and tracker.snapshot().capacity.slots == 225


def test_time_runs_from_the_first_prompt_to_the_last():
    clock = Clock()
    tracker = StatusTracker(clock=clock)
    clock.now = 150.0
    assert tracker.snapshot().seconds == 0
    tracker.started(2)
    clock.now = 152.0
    tracker.finished(answer())
    clock.now = 154.0
    assert tracker.snapshot().seconds == 4.0
    tracker.finished(answer())
    clock.now = 999.0
    now = tracker.snapshot()
    assert now.seconds == 4.0 and now.prompts_per_second == 0.5 and now.seconds_left is None


def test_seconds_left_leaves_the_journal_out():
    now = StatusSnapshot(total=100, started=100, succeeded=60, resumed=50, seconds=5.0)
    assert now.prompts_per_second == 2.0 and now.seconds_left == 20.0


def test_prompts_that_an_interrupt_cancelled_make_no_speed():
    now = StatusSnapshot(total=500, started=500, succeeded=90, failed=10, cancelled=400, seconds=5.0)
    assert now.done == 500 and now.prompts_per_second == 20.0 and now.seconds_left == 0


def test_reset_counts_what_is_in_flight_in_the_new_totals():
    clock = Clock()
    tracker = StatusTracker("n", total=10, clock=clock)
    tracker.started(10)
    tracker.gauge(3, 4, 0, "slots", 100.0)
    for _ in range(3):
        tracker.finished(answer(usage=Usage(1, 1), cost=1.0))
    tracker.attempt_failed("server", True)
    clock.now = 107.0
    tracker.reset(in_flight=7)
    now = tracker.snapshot()
    assert (now.total, now.started, now.done, now.cost, now.usage) == (7, 7, 0, 0, Usage())
    assert not now.retries and not now.models and not now.limited_by
    assert now.running == 3 and now.limiting_factor == "slots" and now.client_name == "n"
    clock.now = 109.0
    tracker.finished(answer())
    assert tracker.snapshot().done == 1 and tracker.snapshot().limited_by == {"slots": 2.0}


def test_percentiles_are_within_their_resolution():
    dice = random.Random(3)
    values = sorted(dice.lognormvariate(0, 1.5) for _ in range(20_000))
    tracker = StatusTracker()
    for value in values:
        tracker.finished(answer(latency=value))
    now = tracker.snapshot()
    assert now.latency_p50 == pytest.approx(values[10_000], rel=0.03)
    assert now.latency_p95 == pytest.approx(values[19_000], rel=0.03)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-300, 1e-5, 0.5, 30, 1e5, 1e9, math.inf, math.nan])
def test_any_latency_has_a_bucket(seconds):
    assert 0 <= latency_bucket(seconds) < LATENCY_BUCKETS


def test_no_latency_no_percentile():
    assert percentile([0] * LATENCY_BUCKETS, 0.5) is None


def test_snapshots_are_frozen_and_pickle():
    tracker = StatusTracker()
    tracker.finished(answer(cost=1.0))
    now = tracker.snapshot()
    with pytest.raises(FrozenInstanceError):
        now.failed = 3
    assert pickle.loads(pickle.dumps(now)) == now
    tracker.finished(answer(cost=1.0))
    assert now.succeeded == 1 and now.models == {"m": 1}


def test_readers_never_see_more_ended_than_started():
    tracker = StatusTracker()
    seen, over = [], threading.Event()

    def read():
        while not over.is_set():
            now = tracker.snapshot()
            seen.append(now.done <= now.started and now.total_cost <= now.started)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20_000):
        tracker.started()
        tracker.gauge(1, 0, 0, "slots", tracker._clock())
        tracker.attempt_failed("server", True)
        tracker.finished(answer(usage=Usage(1, 1), cost=0.1))
    over.set()
    reader.join()
    assert seen and all(seen)
    assert tracker.total_cost == math.fsum([0.1] * 20_000)


def test_repr_says_where_it_stands():
    tracker = StatusTracker("nightly", total=500)
    tracker.started(300)
    tracker.finished(failure("server"))
    tracker.gauge(225, 63, 0, "tokens/min", 0.0)
    assert repr(tracker) == ("<StatusTracker nightly 1/500 done, 1 failed | 225 running, 63 queued | "
                             "limited by tokens/min>")
    assert "/?" in repr(StatusTracker())
