"""Exact shares: after any number of picks nobody is a whole prompt away from what is his."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge.router import Router

WEIGHTS = st.lists(st.one_of(st.just(0.0), st.floats(0.001, 1_000.0), st.integers(1, 9)), min_size=1, max_size=8).filter(any)


@settings(max_examples=150, deadline=None)
@given(WEIGHTS)
def test_every_count_stays_within_one_of_its_share(weights: list[float]) -> None:
    names = [f"m{at}" for at in range(len(weights))]
    router, counts, total = Router(names, weights), Counter[str](), sum(weights)
    for picks in range(1, 301):
        counts[router.pick()] += 1
        for name, weight in zip(names, weights):
            assert abs(counts[name] - picks * weight / total) < 1.0 + 1e-6
    assert all(counts[name] == 0 for name, weight in zip(names, weights) if weight == 0)


@pytest.mark.parametrize("picks", [10 ** 7, 10 ** 9])
def test_shares_stay_exact_after_very_many_picks(picks: int) -> None:
    router = Router(["a", "b", "c"], [1 / 3, 1 / 3, 1 / 3])
    router.picks, router.counts = picks - picks % 3, [picks // 3] * 3
    assert Counter(router.pick() for _ in range(300)) == {"a": 100, "b": 100, "c": 100}
    two = Router(["a", "b"], [1.0, 3.0])
    two.picks, two.counts = 4 * picks, [picks, 3 * picks]
    assert Counter(two.pick() for _ in range(400)) == {"a": 100, "b": 300}


def test_the_shares_come_smoothly_and_always_the_same() -> None:
    first, second = (Router(["a", "b"], [3, 1]) for _ in range(2))
    picked = [first.pick() for _ in range(8)]
    assert picked == [second.pick() for _ in range(8)]
    assert picked[:4].count("b") == picked[4:].count("b") == 1


def test_a_model_of_weight_zero_is_never_picked() -> None:
    router = Router(["a", "spare"], [1.0, 0.0])
    assert {router.pick() for _ in range(100)} == {"a"}
    assert Router(["spare", "a", "b"], [0, 1, 1]).pick() != "spare"


def test_a_pick_among_some_keeps_their_shares_pick_by_pick() -> None:
    router = Router(["a", "b", "c", "spare"], [4, 2, 1, 0])
    assert Counter(router.pick_among(["b", "c", "spare"]) for _ in range(300)) == {"b": 200, "c": 100}
    assert router.pick_among(["spare"]) is None
    assert router.pick_among([]) is None
    assert Counter(router.pick_among(["a", "b", "c"]) for _ in range(70)) == {"a": 40, "b": 20, "c": 10}


def test_the_repr_tells_the_counts() -> None:
    router = Router(["a", "b"], [1, 1])
    router.pick()
    router.pick()
    assert repr(router) == "<Router 2 picks | a:1 b:1>"
