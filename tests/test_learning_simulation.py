"""Seeded simulations of limits that are learned: an account that slices, refills or rolls, and a clock of our own."""

from __future__ import annotations

import math

import pytest

from deluge.adaptation import Adaptation
from deluge.models.model import Limits
from deluge.router import Router
from deluge.testing.limits import RateLimits

from accounts import Account
from stories import model

RPM, TPM = 6_000, 600_000


def run(account: Account, prompts: int, until: float = math.inf, **call) -> Account:
    account.feed(account.call(**call), prompts)
    account.live(until)
    return account


@pytest.mark.parametrize("limits", [{"rpm": RPM, "tpm": TPM}, {"rpm": "auto", "tpm": "auto"}], ids=["given", "auto"])
def test_a_sliced_minute_is_used_and_hardly_a_429_is_met(limits):
    account = Account(RateLimits(RPM, TPM, kind="sliced"), slots=225, **limits)
    run(account, 3_000)
    assert len(account.answered) == 3_000
    assert account.rate(0.0, 30.0) >= (0.98 if limits["rpm"] == RPM else 0.95) * RPM
    assert account.share_429 <= 0.005
    assert account.parsed < 0.35 * 3_000, "few headers are read"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("latency", [0.05, 0.3, 5.0])
@pytest.mark.parametrize("limits", [{"rpm": RPM, "tpm": TPM}, {"rpm": "auto", "tpm": "auto"}], ids=["given", "auto"])
def test_a_sliced_minute_at_any_latency(limits, latency, seed):
    account = Account(RateLimits(RPM, TPM, kind="sliced"), slots=2_000, latency=latency, seed=seed, **limits)
    run(account, 9_000, 90.0)
    assert account.rate(latency * 4 + 2.0, 60.0) >= 0.97 * RPM
    assert account.share_429 <= 0.015


@pytest.mark.parametrize("limits", [{"rpm": "auto", "tpm": "auto"}, {"rpm": RPM, "tpm": 10 * TPM, "mode": "bucket"}],
                         ids=["auto", "bucket"])
def test_a_full_bucket_is_emptied_at_once_and_never_overdrawn(limits):
    account = Account(RateLimits(RPM, 10 * TPM), slots=225, **limits)
    run(account, 9_000)
    assert account.answered[-1] - account.began <= 1.05 * (9_000 - RPM) / (RPM / 60.0)
    assert not account.refused


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rolling", "sliced"])
def test_a_whole_minute_at_once_is_found_out_too(kind):
    account = Account(RateLimits(RPM, 10 * TPM, kind=kind, slice=60.0), slots=225, rpm="auto", tpm="auto")
    run(account, 9_000)
    assert account.answered[-1] - account.began <= 80.0 and account.share_429 <= 0.005


@pytest.mark.parametrize("limits", [{"rpm": None, "tpm": 100_000}, {"rpm": "auto", "tpm": "auto"}], ids=["given", "auto"])
def test_tokens_that_were_reserved_and_not_used_are_used_by_others(limits):
    account = Account(RateLimits(None, 100_000), slots=225, tokens=(20, 100), **limits)
    run(account, 4_000, 20.0, most=4_096)
    used = 120 * len(account.accepted)
    assert used >= 0.95 * 100_000 * (1.0 if limits["rpm"] is None else 4 / 3), "a minute's worth, or the bucket and its refill"
    assert account.share_429 <= 0.005


@pytest.mark.parametrize("kind", ["sliced", "bucket"])
def test_a_limit_that_falls_is_followed_at_once_and_one_that_rises_slowly(kind):
    account = Account(RateLimits(1_200, kind=kind), slots=225, rpm="auto", tpm="auto")
    settled = 70.0 if kind == "bucket" else 10.0
    run(account, 5_000, settled)
    account.change(requests=600)
    account.live(settled + 30.0)
    account.change(requests=1_200)
    account.live(settled + 75.0)
    assert account.rate(settled + 5.0, settled + 30.0) == pytest.approx(600.0, rel=0.04)
    assert account.rate(settled + 30.0, settled + 36.0) < 1_150.0
    assert account.rate(settled + 60.0, settled + 75.0) >= 0.96 * 1_200
    assert account.share_429 <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sliced", "bucket"])
@pytest.mark.parametrize("rpm", [RPM, "auto"])
def test_without_headers_429s_teach_the_same(kind, rpm):
    account = Account(RateLimits(RPM, kind=kind, headers=False), slots=225, rpm=rpm, tpm=None if rpm == RPM else "auto")
    run(account, 20_000, 70.0)
    account.change(requests=RPM // 2)
    account.live(100.0)
    account.change(requests=RPM)
    account.live(150.0)
    assert account.share_429 <= 0.02
    if kind == "sliced":
        assert 0.8 * RPM / 2 <= account.rate(80.0, 100.0) <= 1.02 * RPM / 2
        assert account.rate(130.0, 150.0) >= 0.75 * RPM


def test_input_and_output_have_limits_of_their_own():
    own = model("a", input_tokens_per_minute=30_000, output_tokens_per_minute=6_000)
    account = Account(RateLimits(None, input_tokens=30_000, output_tokens=6_000, kind="rolling"), slots=225, rpm=None,
                      tpm=None, tokens=(20, 60))
    account.feed(account.call([own], most=100), 400)
    account.live(59.0)
    assert 92 <= len(account.accepted) <= 100 and not account.refused, "6,000 tokens of output are 100 answers"
    report, = account.scheduler.limits(account.now)
    assert report.why in ("tokens/min", "cooldown") and report.remaining_output_tokens < 100
    assert report.in_force == Limits(None, None, 30_000, 6_000, 225)


def test_input_and_output_limits_are_learned_from_headers():
    account = Account(RateLimits(1_000, input_tokens=30_000, output_tokens=6_000), slots=225, rpm="auto", tpm="auto",
                      tokens=(20, 60))
    run(account, 300, 60.0, most=100)
    assert 0.97 * 200 <= len(account.accepted) <= 201 and not account.refused, "a full bucket, and what a minute brings"
    report, = account.scheduler.limits(account.now)
    assert report.learned == Limits(1_000, None, 30_000, 6_000)


def test_slots_follow_what_a_server_can_take_and_never_leave_their_bounds():
    account = Account(RateLimits(), slots="auto", rpm="auto", tpm="auto", rules=Adaptation(slots_most=64))
    account.feed(account.call(), 3_000)
    lane = account.scheduler.lanes["a", "a key"]
    assert account.scheduler.running == 10 == int(lane.adaptive.cap)
    account.live(3.0)
    assert int(lane.adaptive.cap) == 64, "doubled each round"
    for _ in range(3):
        lane.health.limited(account.now, 0.1)
    lane.cooled()
    assert 1 <= int(lane.adaptive.cap) <= 33 and lane.adaptive.why == "rate limit"
    account.live(8.0)
    assert 34 <= int(lane.adaptive.cap) <= 64, "one more for each round"


def test_auto_slots_give_way_when_tokens_take_longer():
    account = Account(RateLimits(), slots="auto", rpm="auto", tpm="auto")
    account.feed(account.call(), 30_000)
    account.live(2.0)
    account.latency = 1.5
    lane = account.scheduler.lanes["a", "a key"]
    account.live(5.0)
    before = int(lane.adaptive.cap)
    account.live(12.0)
    assert int(lane.adaptive.cap) < before and lane.adaptive.why == "slow answers"


def test_a_retry_after_pauses_and_does_not_freeze_growth():
    account = Account(RateLimits(600, kind="bucket", headers=False), slots=100, rpm="auto", tpm="auto")
    run(account, 3_000, 200.0)
    assert account.rate(100.0, 200.0) >= 0.9 * 600
    assert account.share_429 < 0.05


def test_a_quota_of_the_day_that_is_used_up_ends_the_run_with_its_resume_time():
    account = Account(RateLimits(200, per=86_400.0, kind="sliced", slice=86_400.0, headers=False), slots=10)
    tasks = account.submit(account.call(), 300)
    account.live()
    failed = [account.responses[task.id] for task in tasks if account.responses[task.id].is_error]
    assert len(failed) == 100 and len(account.answered) == 200
    assert {response.error_kind for response in failed} == {"rate_limit"}
    assert account.now - account.began < 60.0, "nobody waits for tomorrow"
    unsent = [response for response in failed if not response.attempts]
    assert len(unsent) >= 80 and all("until 19" in response.error_message for response in unsent)
    report, = account.scheduler.limits(account.now)
    assert report.why == "closed" and report.closed_until > 80_000.0


def pool(weights: list[float] | None, latency: float, prompts: int = 600) -> Account:
    limits = {"a": RateLimits(600, kind="sliced"), "b": RateLimits(1_200, kind="sliced")}
    account = Account(limits, latency={"a": 0.3, "b": latency}, slots=500, rpm="auto", tpm="auto")
    call = account.call(["a", "b"], weights=weights)
    if weights is None:
        call.router = Router(["a", "b"], [1.0, 1.0], dynamic=True)
    account.feed(call, prompts, 200)
    account.live()
    assert len(account.answered) == prompts
    return account


@pytest.mark.parametrize("latency", [0.3, 3.0])
def test_dynamic_weights_end_as_early_as_the_best_fixed_ones(latency):
    took, *fixed = [account.answered[-1] - account.began for account in (
        pool(weights, latency) for weights in (None, [0.33, 0.67], [0.4, 0.6], [0.5, 0.5]))]
    assert took <= 1.1 * min(fixed)


def test_dynamic_weights_leave_alone_whoever_asked_for_a_model():
    account = Account({"a": RateLimits(60, kind="sliced"), "b": RateLimits(6_000)}, latency={"a": 0.3, "b": 0.3}, slots=50,
                      rpm="auto", tpm="auto")
    call = account.call(["a", "b"])
    call.router = Router(["a", "b"], [1.0, 1.0], dynamic=True)
    sticky = account.submit(call, 10, prefer="a")
    others = account.submit(call, 200)
    account.live()
    assert {account.responses[task.id].model_internal for task in sticky} == {"a"}
    assert sum(account.responses[task.id].model_internal == "b" for task in others) > 150
