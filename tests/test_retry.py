"""What is retried, when, and what a strategy of the user's own may do."""

from __future__ import annotations

import inspect
import logging
import traceback
from random import Random

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from deluge._retry_after import parse_retry_after, should_retry
from deluge.errors import ERROR_KINDS, ConfigError, RateLimitError, error_class
from deluge.retry import Failure, RetryPolicy, Ruling, wait_full_jitter, wait_retry_after
from deluge.wire import Verdict

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


def failed(kind="server", attempt=1, *, retry=True, retry_after=None, **changes) -> Failure:
    verdict = Verdict(kind, retry=retry, retry_after=retry_after)
    fields = dict(attempt=attempt, first_attempt_at=100.0, now=101.0, verdict=verdict, error=error_class(kind)("no"))
    return Failure(**(fields | changes))


def policy(*args, **changes) -> RetryPolicy:
    return RetryPolicy(*args, rng=Random(1), **changes)


# --- the default policy -------------------------------------------------------------------------------------------


def test_failures_are_retried_until_the_attempts_are_used_up():
    waits = [policy(5).decide(failed(attempt=attempt)) for attempt in range(1, 6)]
    assert all(wait >= 0.001 for wait in waits[:4]) and waits[4] is None
    assert policy(1).judge(failed()) == Ruling(None, "attempts")


def test_what_the_verdict_calls_final_is_given_up():
    assert policy().judge(failed("bad_request", retry=False)).reason == "verdict"
    assert policy().judge(failed("quota_exhausted")).reason == "final"
    assert policy(retry={"retry": lambda state: True}).judge(failed("cancelled")).reason == "final"


def test_backoff_is_full_jitter_and_bounded():
    always = policy(10 ** 6)
    for attempt in (1, 2, 5, 9, 5000):
        waits = [always.decide(failed(attempt=attempt)) for _ in range(200)]
        high = min(60.0, 0.5 * 2.0 ** min(attempt - 1, 20))
        assert max(waits) <= high and min(waits) < 0.2 * high and max(waits) > 0.8 * high


def test_retry_after_is_honoured_with_a_little_more():
    for _ in range(100):
        assert 7.0 <= policy().decide(failed("overloaded", retry_after=7.0)) <= 7.7
    assert policy().decide(failed("overloaded", retry_after=0.0)) > 0.0, "0 falls back to the backoff"
    assert policy().judge(failed("overloaded", retry_after=301.0)).reason == "patience"


def test_429s_burn_patience_instead_of_attempts():
    def limited(number: int, waited: float | None, retry_after: float | None = 2.0) -> Failure:
        return failed("rate_limit", number, rate_limited=number, limited_for=waited, retry_after=retry_after)

    assert policy(2).decide(limited(50, 200.0)) >= 2.0
    assert policy(2).judge(limited(50, 299.0)).reason == "patience"
    assert policy(2).judge(limited(1, 0.0, 301.0)).reason == "patience"
    assert policy(2, rate_limit_patience=0).judge(limited(1, 0.0)).reason == "patience"
    uncounted = failed("rate_limit", 1, rate_limited=1, first_attempt_at=0.0, now=299.5, retry_after=1.0)
    assert policy().judge(uncounted).reason == "patience", "the time since the first attempt, when nobody counted"
    assert policy(2).decide(failed(attempt=9, rate_limited=8)) is not None
    assert policy(2).judge(failed(attempt=10, rate_limited=8)).reason == "attempts"


def test_timeouts_have_a_limit_of_their_own():
    assert policy().decide(failed("timeout", 2, timeouts_so_far=2)) is not None
    assert policy().judge(failed("timeout", 3, timeouts_so_far=3)).reason == "timeouts"
    assert policy(retry_timeouts=0).judge(failed("timeout", timeouts_so_far=1)).reason == "timeouts"
    assert policy().decide(failed("server", 3, timeouts_so_far=3)) is not None


def test_what_may_have_been_billed_is_not_bought_again_when_told_so():
    assert policy().decide(failed("connection", possibly_billed=True)) is not None
    careful = policy(retry_possibly_billed=False)
    assert careful.judge(failed("connection", possibly_billed=True)).reason == "billed"
    assert careful.decide(failed("connection")) is not None


def test_tracebacks_are_dropped():
    try:
        raise error_class("server")("inside")
    except Exception as error:
        failure = failed(error=error)
    policy().decide(failure)
    assert failure.error.__traceback__ is None


# --- strategies of the user ---------------------------------------------------------------------------------------


def test_strategies_are_asked_in_tenacitys_order_and_see_the_state():
    asked = []

    def noted(name, value):
        def strategy(state):
            asked.append((name, state.attempt_number, state.upcoming_sleep, round(state.seconds_since_start, 3)))
            return value
        return strategy

    retrying = tenacity.Retrying(retry=noted("retry", True), wait=noted("wait", 3.0), stop=noted("stop", False),
                                 after=noted("after", None), before_sleep=noted("before_sleep", None))
    assert policy(retry=retrying).decide(failed(attempt=4, rate_limited=1, idle=9.0)) == 3.0
    assert asked == [("retry", 4, 0.0, 1.0), ("after", 4, 0.0, 1.0), ("wait", 4, 0.0, 1.0), ("stop", 3, 3.0, 1.0),
                     ("before_sleep", 4, 3.0, 1.0)]


def test_stop_before_delay_sees_the_upcoming_wait():
    given_up = policy(retry=(tenacity.stop_before_delay(5), tenacity.wait_fixed(4.5)))
    assert given_up.judge(failed()).reason == "attempts"
    assert policy(retry=(tenacity.stop_before_delay(6), tenacity.wait_fixed(4.5))).decide(failed()) == 4.5


def test_what_a_retrying_leaves_alone_stays_ours():
    only_stop = policy(retry=tenacity.Retrying(stop=tenacity.stop_after_attempt(8)))
    assert only_stop.decide(failed(attempt=7)) > 0.0
    assert only_stop.decide(failed(attempt=8)) is None
    assert only_stop.decide(failed("bad_request", retry=False)) is None
    only_wait = policy(3, retry=tenacity.Retrying(wait=tenacity.wait_fixed(2)))
    assert only_wait.decide(failed(attempt=2)) == 2.0 and only_wait.decide(failed(attempt=3)) is None


@pytest.mark.skipif(
    "enabled" not in inspect.signature(tenacity.BaseRetrying.__init__).parameters, reason="tenacity before 9.2"
)
def test_a_retrying_that_is_off_is_off():
    assert policy(retry=tenacity.Retrying(enabled=False)).decide(failed()) is None


def test_strategies_by_name_and_by_type():
    mixed = policy(retry={"wait": lambda state: state.attempt_number * 1.5, "retry": None})
    assert mixed.decide(failed(attempt=2)) == 3.0
    only = policy(retry=(tenacity.retry_if_exception_type(RateLimitError),))
    assert only.decide(failed()) is None and only.decide(failed("rate_limit", retry=False)) is not None
    assert policy(retry={"wait": 0}).decide(failed()) == 0.001


def test_retry_after_composes():
    wait = wait_retry_after(fallback=tenacity.wait_fixed(3), rng=Random(1)) + tenacity.wait_fixed(1)
    assert policy(retry={"wait": wait}).decide(failed()) == 4.0
    assert 11.0 <= policy(retry={"wait": wait}).decide(failed(retry_after=10.0)) <= 12.0
    chained = tenacity.wait_chain(tenacity.wait_fixed(9), wait_full_jitter(1.0, 2.0, Random(1)))
    assert policy(retry={"wait": chained}).decide(failed()) == 9.0
    assert policy(retry={"wait": chained}).decide(failed(attempt=2)) <= 2.0


def test_try_again_is_retried_without_asking():
    never = policy(retry={"retry": lambda state: False})
    assert never.decide(failed(error=tenacity.TryAgain())) is not None
    assert never.decide(failed()) is None


@pytest.mark.parametrize("name", ["retry", "wait", "stop"])
def test_a_strategy_that_raises_gives_up_and_says_so(name, caplog):
    def broken(state):
        raise RuntimeError("my own bug")

    with caplog.at_level(logging.ERROR, logger="deluge.retry"):
        ruling = policy(retry={name: broken}).judge(failed())
    assert ruling.wait is None and ruling.reason == "strategy"
    assert isinstance(ruling.error, RuntimeError) and ruling.error.__traceback__ is None
    assert "RuntimeError" in caplog.text and "my own bug" in caplog.text
    assert caplog.records[0].exc_info[2] is not None or traceback.format_exception(ruling.error)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "soon", None])
def test_a_wait_that_is_no_number_gives_up(value, caplog):
    assert policy(retry={"wait": lambda state: value}).judge(failed()).reason == "strategy"
    assert caplog.records


async def asynchronous(state):
    return True


@pytest.mark.parametrize("retry", [
    "often", 3, {"sleep": 1}, {"wait": 3}, {"retry": asynchronous}, (lambda state: True,), tenacity.AsyncRetrying(),
    tenacity.Retrying(stop=asynchronous),
])
def test_what_is_no_strategy_is_refused_at_once(retry):
    with pytest.raises(ConfigError, match="retry"):
        RetryPolicy(retry=retry)


@given(st.sampled_from(ERROR_KINDS), st.integers(1, 50), st.booleans(), st.none() | st.floats(0, 10 ** 6),
       st.integers(0, 5), st.booleans(), st.floats(0, 1000))
def test_a_decision_is_a_number_or_none(kind, attempt, retry, retry_after, timeouts, billed, waited):
    failure = failed(kind, attempt, retry=retry, retry_after=retry_after, timeouts_so_far=timeouts,
                     possibly_billed=billed, rate_limited=attempt // 2, limited_for=waited)
    wait = policy().decide(failure)
    assert wait is None or 0.001 <= wait <= 330.0


# --- Retry-After --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers, seconds", [
    ({"retry-after": "3"}, 3.0),
    ({"retry-after": " 2.5 "}, 2.5),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
    ({"retry-after": "5, 5"}, 5.0),
    ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
    ({"retry-after": "Tuesday, 14-Nov-23 22:14:20 GMT"}, 60.0),
    ({"retry-after": "Tue Nov 14 22:13:21 2023"}, 1.0),
    ({"retry-after": "Tue, 14 Nov 2023 22:13:10 GMT"}, None),
    ({"retry-after": "Tue, 14 Nov 2025 22:13:10 GMT"}, None),
    ({"retry-after": "Tue, 14 Foo 2023 22:13:50 GMT"}, None),
    ({"retry-after": "Tue, 99 Nov 2023 22:13:50 GMT"}, None),
    ({"retry-after": "-3"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "1e3"}, None),
    ({"retry-after": "99999999999"}, None),
    ({"retry-after-ms": "99999999999999"}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "٣"}, None),
    ({"retry-after": ""}, None),
    ({}, None),
])
def test_retry_after_headers(headers, seconds):
    assert parse_retry_after(headers, NOW) == seconds


@given(st.text(max_size=40))
def test_any_text_is_seconds_or_nonsense(text):
    value = parse_retry_after({"retry-after": text, "retry-after-ms": text[::-1]}, NOW)
    assert value is None or 0.0 <= value <= 366 * 86_400


def test_x_should_retry():
    assert should_retry({"x-should-retry": " True "}) is True
    assert should_retry({"x-should-retry": "false"}) is False
    assert should_retry({"x-should-retry": "maybe"}) is None and should_retry({}) is None
