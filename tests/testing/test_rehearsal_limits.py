"""The rehearsal provider's limits, told with a float for a clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deluge.testing.limits import Limiter, RateLimits, duration


def admitted(limiter: Limiter, times: list[float], tokens: float = 0) -> list[float]:
    return [now for now in times if not limiter.take(tokens, 0, 0, now).refused]


def test_a_bucket_starts_full_and_refills() -> None:
    limiter = Limiter(RateLimits(requests=60), 0.0)
    assert len(admitted(limiter, [0.0] * 100)) == 60
    refused = limiter.take(0, 0, 0, 0.25)
    assert (refused.refused, refused.retry_after) == ("requests", pytest.approx(0.75))
    assert limiter.take(0, 0, 0, 1.0).refused == ""
    assert len(admitted(limiter, [31.0] * 100)) == 30


def test_a_rolling_window_allows_the_limit_in_any_minute() -> None:
    limiter = Limiter(RateLimits(requests=10, kind="rolling"), 0.0)
    assert len(admitted(limiter, [5.0] * 6 + [30.0] * 6)) == 10
    assert limiter.take(0, 0, 0, 64.9).retry_after == pytest.approx(0.1)
    assert len(admitted(limiter, [65.0] * 20)) == 6


def test_slices_do_not_save_up() -> None:
    limiter = Limiter(RateLimits(requests=6000, kind="sliced", slice=1.0), 0.0)
    assert len(admitted(limiter, [0.5] * 150)) == 100
    assert limiter.take(0, 0, 0, 0.75).retry_after == pytest.approx(0.25)
    assert len(admitted(limiter, [30.2] * 150)) == 100


def test_what_is_larger_than_a_slice_is_paid_off() -> None:
    limiter = Limiter(RateLimits(tokens=600, kind="sliced", slice=1.0), 0.0)  # ten a second
    assert limiter.take(25, 0, 0, 0.0).refused == ""
    assert limiter.take(1, 0, 0, 1.9).retry_after == pytest.approx(0.1)
    assert limiter.take(5, 0, 0, 2.0).refused == ""
    assert limiter.take(1, 0, 0, 2.0).refused == "tokens"


def test_a_fixed_window_is_one_slice() -> None:
    limiter = Limiter(RateLimits(requests=5, kind="sliced", slice=60.0), 0.0)
    assert len(admitted(limiter, [59.0] * 9 + [60.0] * 9)) == 10


@pytest.mark.parametrize("kind", ["bucket", "rolling", "sliced"])
def test_what_never_fits_is_refused_for_ever(kind: str) -> None:
    limiter = Limiter(RateLimits(tokens=100, kind=kind), 0.0)  # type: ignore[arg-type]
    assert limiter.take(101, 0, 0, 0.0).retry_after == math.inf


def test_all_counters_or_none() -> None:
    limiter = Limiter(RateLimits(requests=10, tokens=100, input_tokens=70, output_tokens=40), 0.0)
    assert limiter.take(60, 41, 0, 0.0).refused == "tokens" or limiter.take(60, 41, 0, 0.0).refused == "output_tokens"
    assert limiter.state(0.0)["requests"][1] == 10
    assert limiter.take(60, 30, 0, 0.0).refused == ""
    assert {name: left for name, (_, left, _) in limiter.state(0.0).items()} == {
        "requests": 9, "tokens": 10, "input_tokens": 10, "output_tokens": 10}


def test_reserved_output_counts_when_asked() -> None:
    reserved, actual = (Limiter(RateLimits(tokens=1000, counts=counts), 0.0) for counts in ("reserved", "actual"))
    assert reserved.take(10, 5, 500, 0.0).state["tokens"][1] == 490
    assert actual.take(10, 5, 500, 0.0).state["tokens"][1] == 985


def test_a_change_keeps_what_was_taken() -> None:
    limiter = Limiter(RateLimits(requests=100, kind="rolling"), 0.0)
    admitted(limiter, [0.0] * 80)
    limiter.change(RateLimits(requests=50, kind="rolling"), 1.0)
    assert limiter.take(0, 0, 0, 1.0).refused == "requests"
    limiter.change(RateLimits(requests=90, kind="rolling"), 2.0)
    assert len(admitted(limiter, [2.0] * 50)) == 10


def test_a_lower_bucket_is_not_overfull() -> None:
    limiter = Limiter(RateLimits(requests=100), 0.0)
    limiter.change(RateLimits(requests=10), 0.0)
    assert len(admitted(limiter, [0.0] * 50)) == 10


@given(st.sampled_from(["bucket", "rolling", "sliced"]), st.lists(st.floats(0.001, 5), max_size=60), st.integers(1, 40))
def test_a_refused_request_is_let_in_when_it_was_told_to(kind: str, gaps: list[float], limit: int) -> None:
    limiter, now = Limiter(RateLimits(requests=limit, per=10.0, kind=kind), 0.0), 0.0  # type: ignore[arg-type]
    for gap in gaps:
        now += gap
        decision = limiter.take(0, 0, 0, now)
        if decision.refused:
            now += decision.retry_after + 1e-6
            assert limiter.take(0, 0, 0, now).refused == ""


@given(st.lists(st.floats(0, 2), max_size=200), st.integers(1, 20))
def test_no_rolling_window_is_over_the_limit(gaps: list[float], limit: int) -> None:
    limiter, now, times = Limiter(RateLimits(requests=limit, per=10.0, kind="rolling"), 0.0), 0.0, []
    for gap in gaps:
        now += gap
        if not limiter.take(0, 0, 0, now).refused:
            times.append(now)
    assert all(last - first >= 10.0 for first, last in zip(times, times[limit:]))


@pytest.mark.parametrize("seconds, text",
                         [(0, "0ms"), (0.0123, "13ms"), (1.2, "1.2s"), (59.9999, "60s"), (360, "6m0s"),
                          (61.5, "1m1.5s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
