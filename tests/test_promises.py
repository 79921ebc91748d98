"""Numbers that were given are promises: whatever happens, no rolling minute sees more requests or reserved tokens."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deluge.testing.limits import RateLimits

from accounts import Account
from stories import model
from test_simulation import World


def promise(data: st.DataObject, prompts: int, seconds: float) -> None:
    """A client with random numbers, callers that come at random, and a provider that fails, refuses and hangs."""
    draw = data.draw
    rpm, tpm = draw(st.integers(1, 300)), draw(st.integers(5_000, 60_000))  # no prompt is larger than a minute's tokens
    own = draw(st.integers(1, 100))
    world = World(draw(st.integers(0, 2 ** 20)), slots=draw(st.integers(1, 120)), rpm=rpm, tpm=tpm,
                  slice_limit=draw(st.sampled_from([0, 0, 1, 5])), faults=draw(st.sampled_from([0.0, 1.0, 5.0])),
                  latency=draw(st.sampled_from([0.01, 0.3, 3.0, 40.0])))
    patient = {"timeout": 3_600.0}  # this provider's answers that come after a timeout count as sent again
    calls = [world.call(["a"], most=draw(st.integers(10, 500)), **patient),
             world.call([model("b", requests_per_minute=own)], most=100, **patient),
             world.call(["a", "b"], most=50, fallbacks=["b"], **patient)]
    calls[2].templates["b"] = calls[1].templates["b"]
    began = world.now
    while world.now - began < seconds and len(world.tasks) < prompts:
        world.bring(draw(st.sampled_from(calls)), draw(st.integers(1, 40)), size=draw(st.sampled_from([10, 400, 3_000])))
        world.live(world.now + draw(st.sampled_from([0.0, 0.1, 2.0, 20.0, 61.0])))
    world.live(world.now + 70.0)
    world.check_minutes(rpm, tpm)
    world.check_minutes(own, math.inf, name="b")


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_rolling_minute_is_over_a_number_that_was_given(data):
    promise(data, 150, 130.0)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_rolling_minute_is_over_a_number_that_was_given_in_longer_stories(data):
    promise(data, 600, 300.0)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 300), st.sampled_from([1, 3, 50, 5_000]), st.sampled_from([1.0, 10.0, 60.0]),
       st.sampled_from(["bucket", "rolling", "sliced"]), st.sampled_from([0.05, 0.5, 5.0]), st.integers(0, 2 ** 20))
def test_nor_is_it_where_a_provider_says_that_it_has_more(rpm, most, per, kind, latency, seed):
    account = Account(RateLimits(most, per=per, kind=kind, slice=per), slots=50, rpm=rpm, tpm=None, latency=latency, seed=seed)
    account.feed(account.call(), 400)
    account.live(130.0)
    for first, at in enumerate(account.arrived):
        assert sum(at <= other < at + 60.0 - 0.01 for other in account.arrived[first:first + rpm + 1]) <= rpm
