"""Estimates: tokens, dollars and time before anything is sent, and how they compare with the run."""

from __future__ import annotations

import dataclasses
import json

import pytest
from rehearsing import client_of

from deluge import ConfigError, Estimate, LLMClient, Limits, SamplingParams
from deluge.cli import main
from deluge.duration import Deck
from deluge.experience import Taken
from deluge.models.registry import get_model
from deluge.summary import estimate_lines
from deluge.testing import PROFILES, Fault, RehearsalServer

PROMPTS = [f"What do you think of the number {n}? " * (1 + n % 4) for n in range(200)]
FREE = {"max_requests_per_minute": None, "max_tokens_per_minute": None, "progress": None}


def silent(model="gpt-4.1-mini", **settings):
    return LLMClient(model, **{**FREE, **settings})


def test_nothing_is_sent_and_no_key_is_needed(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    client = silent(max_new_tokens=100)
    made = client.estimate(PROMPTS)
    size = sum(map(len, PROMPTS))
    assert (made.prompts, made.sampled, made.models) == (200, 200, {"gpt-4.1-mini": 200})
    assert made.input_tokens == pytest.approx(size / 4 + 8 * 200, abs=1)
    assert (made.output_tokens, made.most_output_tokens, made.learned) == (200 * 50, 200 * 100, False)
    price = client._pool[0].model.price
    assert made.cost_high == pytest.approx((made.input_tokens * price.input + 20_000 * price.output) / 1e6, rel=1e-2)
    assert made.cost_low < made.cost < made.cost_high and made.unpriced == 0
    assert client.status().requests_sent == client.status().started == 0 and not client._engine.awake
    assert client._router.picks == 0


@pytest.mark.parametrize("prompt, params, tokens", [
    ("Write 60 words", {}, 80), ("Write 1,200 words", {}, 512), ("hello", {}, 256), ("hello", {"max_new_tokens": 4_000}, 300),
    ("hello", {"max_new_tokens": 4_000, "reasoning_effort": "low"}, 800),
    ("hello", {"max_new_tokens": 400, "reasoning_effort": "high"}, 400),
])
def test_the_rule_of_thumb_for_answers(prompt, params, tokens):
    assert silent(sampling_params=SamplingParams(**params)).estimate([prompt]).output_tokens == tokens


def test_a_sample_stands_for_all_and_an_empty_list_is_nothing():
    client = silent()
    whole, some = client.estimate(PROMPTS), client.estimate(iter(PROMPTS), sample=50)
    assert (some.prompts, some.sampled) == (200, 50) and some == client.estimate(PROMPTS, sample=50)
    assert some.input_tokens == pytest.approx(whole.input_tokens, rel=0.15)
    assert client.estimate(PROMPTS[:3], sample=50).sampled == 3
    assert client.estimate([]) == Estimate() and client.estimate("one prompt").prompts == 1
    for wrong in (0, 1.5, True):
        with pytest.raises(ConfigError, match="sample is a number of prompts"):
            client.estimate(PROMPTS, sample=wrong)


def test_a_pool_is_estimated_by_its_weights_tiers_by_their_prices_and_equal_prompts_once():
    pool = silent(["gpt-4.1-mini", "gpt-4.1"], model_weights=[3, 1]).estimate(PROMPTS)
    assert pool.models == {"gpt-4.1-mini": 150, "gpt-4.1": 50}
    one, other = (silent(name).estimate(PROMPTS).cost for name in ("gpt-4.1-mini", "gpt-4.1"))
    assert pool.cost == pytest.approx(0.75 * one + 0.25 * other, rel=1e-4)
    echo = silent("rehearsal-echo")
    assert echo.estimate(PROMPTS, service_tier="flex").cost == pytest.approx(echo.estimate(PROMPTS).cost / 2)
    equal = silent(temperature=0).estimate(["the same"] * 10)
    assert equal.prompts == 10 and equal.models == {"gpt-4.1-mini": 1}


def test_a_price_that_is_not_known_is_said(tmp_path):
    with RehearsalServer() as server:
        client = client_of(server)
        made = client.estimate(PROMPTS)
        assert (made.cost, made.cost_low, made.cost_high, made.unpriced) == (None, None, None, 200)
        told = client.estimate(PROMPTS, unknown_cost=0.01)
        assert told.cost == pytest.approx(2.0) and told.unpriced == 0
        assert "cost unknown" in estimate_lines(made)


@pytest.mark.parametrize("settings, seconds, limited_by", [
    ({"max_requests_per_minute": 60}, 180.0, "requests/min"),      # at 0, 60, 120 and 180 s
    ({"max_requests_per_minute": 200}, 0.0, None),                  # all at once
    ({"max_requests_per_minute": 60, "limit_mode": "bucket"}, 140.0, "requests/min"),
    ({"max_requests_per_minute": 10 ** 6, "max_tokens_per_minute": 20_000}, 60.0 * 3, "tokens/min"),
    ({"max_concurrent_requests": 10}, 20 * 0.7, "slots"),
    ({"model_limits": {"gpt-4.1-mini": Limits(requests_per_minute=100)}}, 60.0, "requests/min"),
])
def test_the_time_under_the_limits(settings, seconds, limited_by):
    made = silent(max_new_tokens=20, **settings).estimate(PROMPTS) if "max_tokens_per_minute" not in settings else (
        silent(max_new_tokens=600, **settings).estimate(PROMPTS))
    assert made.limited_by == limited_by
    assert seconds <= made.seconds <= seconds * 1.3 + 7.0


def test_what_was_answered_is_learned_from():
    with silent("rehearsal-echo", max_concurrent_requests=20) as client:
        first = client.estimate(PROMPTS)
        client.process_prompts(PROMPTS[::5])
        made = client.estimate(PROMPTS)
        client.reset_tracker()
        client.process_prompts(PROMPTS)
        usage, cost = client.status().usage, client.status().cost
        assert made.learned and not first.learned
        for estimate in (first, made):
            assert estimate.input_tokens == pytest.approx(usage.input_tokens, rel=0.1)
            assert estimate.output_tokens == pytest.approx(usage.output_tokens, rel=0.1)
            assert estimate.cost == pytest.approx(cost, rel=0.1)
        assert made.seconds > 10 * 0.04 and made.limited_by == "slots"


@pytest.mark.parametrize("name", ["echo", "slow", "flaky", "limited", "embed", "rerank"])
def test_how_long_the_rehearsal_models_are_made_to_take(name):
    profile = PROFILES[f"rehearsal-{name}"]
    deck = Deck([Taken(*attempt) for attempt in profile.attempts()])
    usual = sum(profile.latency.seconds((at + 0.5) / 1_000) for at in range(1_000)) / 1_000
    tries = 1 / (1 - sum(profile.faults.values()))
    hangs = sum(share * kind.seconds for kind, share in profile.faults.items() if isinstance(kind, Fault))
    assert deck.held == pytest.approx(tries * (usual + hangs), rel=0.02) and deck.tries == pytest.approx(tries, rel=0.01)


def test_before_any_answer_the_time_is_of_short_answers_and_of_the_longest():
    made = silent(max_concurrent_requests=10, max_new_tokens=100).estimate(PROMPTS)
    rounds = 20
    assert (made.seconds_low, made.seconds, made.seconds_high) == pytest.approx(
        (rounds * (0.5 + 0.02), rounds * (0.5 + 50 * 0.02), rounds * (0.5 + 100 * 0.02)))
    assert "s (10.4 s to 50.0 s)" in estimate_lines(made)
    slow = silent("rehearsal-slow", max_concurrent_requests=10).estimate(PROMPTS)
    assert 20 * 2.2 < slow.seconds < 20 * 2.2 + 6 and slow.seconds_low < slow.seconds < slow.seconds_high
    elsewhere = silent("rehearsal-slow", base_url="http://localhost:9/v1", max_concurrent_requests=10).estimate(PROMPTS)
    assert elsewhere.seconds < 20 * 1.2, "nothing is known of the models of another server"


def test_a_price_that_a_large_prompt_changes_is_looked_up_prompt_by_prompt():
    prompts = ["short", "long " * 200_000]
    row = get_model("gemini-2.5-pro")
    assert row.price.tier is not None
    made = silent("gemini-2.5-pro", max_new_tokens=10, reasoning_effort=None).estimate(prompts)
    alone = [silent("gemini-2.5-pro", max_new_tokens=10).estimate([prompt]).cost for prompt in prompts]
    assert made.cost == pytest.approx(sum(alone))
    assert alone[1] > 1.5 * 250_000 * row.price.input / 1e6, "the dear price is that of one prompt"


def test_failures_and_their_waits_are_in_the_time():
    with silent("rehearsal-echo", max_concurrent_requests=20) as client:
        client.process_prompts([f"[[fault 500 x1]] {n}" for n in range(20)])
        [lane] = client._engine.scheduler.lanes.values()
        attempts = lane.experience.attempts()
        assert len(attempts) == 40 and [attempt.again for attempt in attempts].count(True) == 20
        assert all(attempt.held > 0.0 and (attempt.off > 0.0) == attempt.again for attempt in attempts)
        made = client.estimate(PROMPTS)
        assert made.seconds_low < made.seconds < made.seconds_high
        assert made.seconds > 400 / 20 * 0.04, "two attempts for each prompt"


def test_the_command(tmp_path, capsys):
    work, out = tmp_path / "work.jsonl", tmp_path / "out.jsonl"
    work.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    assert main(["estimate", str(work), "-m", "rehearsal-echo", "--json", "--sample", "50"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert set(made) == {field.name for field in dataclasses.fields(Estimate)} and made["sampled"] == 50
    assert main(["estimate", str(work), "-m", "rehearsal-echo", "--limit", "20", "--rpm", "10"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("prompts     20\n") and "limited by requests/min" in said and "a rule of thumb" in said
    assert main(["run", str(work), "-o", str(out), "-m", "rehearsal-echo"]) == 0
    assert "\nestimated   " in capsys.readouterr().err


def test_a_run_with_a_cap_says_what_is_left_and_goes_on_with_exactly_that(tmp_path, capsys):
    work, out, facts = tmp_path / "work.txt", tmp_path / "out.jsonl", tmp_path / "facts.json"
    work.write_text("".join(f"Write 30 words about {n}\n" for n in range(80)))
    command = ["run", str(work), "-o", str(out), "-m", "rehearsal-echo", "--max-tokens", "60", "--concurrency", "4"]
    assert main([*command, "--max-cost", "0.0008", "--summary-json", str(facts)]) == 1
    said = capsys.readouterr().err
    done, told = len(out.read_text().splitlines()), json.loads(facts.read_text())
    assert 0 < done < 80 and told["failed_by_kind"] == {"budget": 80 - done} and told["estimate"]["prompts"] == 80
    assert f"{80 - done} prompts were not sent: the same command with a higher --max-cost goes on" in said
    assert told["cost"] <= 0.0008
    assert main([*command, "--max-cost", "1", "--summary-json", str(facts)]) == 0
    assert json.loads(facts.read_text())["requests_sent"] == 80 - done and len(out.read_text().splitlines()) == 80
    assert main(["run", str(work), "-o", "-", "-m", "my-own", "--base-url", "http://localhost:9/v1", "--max-cost", "1"]) == 2
    assert "unknown_cost" in capsys.readouterr().err
