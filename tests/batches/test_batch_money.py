"""A cap in dollars on batch jobs: reserved at the price of a batch before anything is sent, settled as answers come."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from deluge import BatchError, BudgetExceededError, ConfigError, LLMClient, SamplingParams
from deluge.budget import PER_DOLLAR, Budget, amount_of, batch_price_of
from deluge.cli import main
from deluge.models.model import Price
from deluge.models.registry import get_model
from deluge.request import RequestOptions, RequestTemplate
from deluge.testing import RehearsalServer

PROMPTS = [f"What is {n} * 7?" for n in range(20)]
READ, MOST = len(PROMPTS[10]) / 4 + 8, 50
ONE = (READ * 0.1 + MOST * 0.4) / 1e6 / 2  # about what such a prompt is reserved at: half of the rehearsal models' price
FAST: dict[str, Any] = {"poll_in": 0.01}


def client_for(server: RehearsalServer, **settings: Any) -> LLMClient:
    return LLMClient("rehearsal-echo", **{
        "base_url": server.base_url, "api_key": "k", "progress": None, "max_new_tokens": MOST, **settings})


def budget_of(client: LLMClient) -> Budget:
    budget: Budget = client._engine.scheduler.budget
    return budget


def kinds(responses: list[Any]) -> list[str | None]:
    return [response.error_kind for response in responses]


def test_the_estimate_is_reserved_before_the_job_is_sent_and_becomes_what_it_cost(
    server: RehearsalServer, tmp_path: Path,
) -> None:
    with client_for(server, max_cost=1.0) as client:
        budget = budget_of(client)
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert job.over_budget == 0 and budget.spent == 0
        assert budget.promised == pytest.approx(20 * ONE * PER_DOLLAR, rel=0.05)
        client.ask("live prompts go on meanwhile")
        assert 0 < budget.spent and budget.reserved == budget.open == 0
        before = budget.spent
        responses = client.wait_for_batch_job(job, **FAST)
        cost = sum(response.cost for response in responses)
        assert budget.promised == 0 and not budget.jobs and 0 < cost < 20 * ONE
        assert budget.spent - before == pytest.approx(cost * PER_DOLLAR, abs=20)
        client.wait_for_batch_job(job, **FAST)
        assert budget.spent - before == pytest.approx(cost * PER_DOLLAR, abs=20), "what is read again costs nothing again"


@pytest.mark.parametrize("where", ["client", "call"])
def test_what_does_not_fit_is_not_sent_and_goes_on_with_more_money(
    server: RehearsalServer, tmp_path: Path, where: str,
) -> None:
    state = tmp_path / "job.json"
    cap = 7.5 * ONE
    with client_for(server, **({"max_cost": cap} if where == "client" else {})) as client:
        call: dict[str, Any] = {} if where == "client" else {"max_cost": cap}
        job = client.submit_batch_job(PROMPTS, state=state, **call)
        assert job.total == 20 and 11 <= job.over_budget <= 14 and "over budget" in repr(job)
        sent = 20 - job.over_budget
        responses = client.wait_for_batch_job(job, **FAST)
        assert kinds(responses) == [None] * sent + ["budget"] * job.over_budget
        assert sum(response.cost or 0.0 for response in responses) <= cap and server.batches.bought.total() == sent
        with pytest.raises(BudgetExceededError, match="max_cost of .* is reached: .* could cost .* in a batch"):
            responses[-1].raise_for_error()
    with client_for(server, max_cost=1.0) as richer:
        job = richer.submit_batch_job(PROMPTS, state=state)
        assert job.total == 20 and job.over_budget == 0 and len(job.batches) == 2
        assert kinds(richer.wait_for_batch_job(job, **FAST)) == [None] * 20
    assert dict(server.batches.bought) == dict.fromkeys(PROMPTS, 1), "each is bought once"


def test_a_job_of_which_nothing_fits_is_none(server: RehearsalServer, tmp_path: Path) -> None:
    with client_for(server, max_cost=ONE / 2) as client:
        with pytest.raises(BudgetExceededError, match="max_cost of"):
            client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert not list(tmp_path.iterdir()) and budget_of(client).promised == 0
        responses = client.process_prompts(PROMPTS, mode="batch", state=tmp_path / "job.json", **FAST)
        assert kinds(responses) == ["budget"] * 20 and server.batches.created == 0


def test_process_prompts_in_batch_mode_keeps_to_the_cap_and_its_journal_goes_on(
    server: RehearsalServer, tmp_path: Path,
) -> None:
    journal = str(tmp_path / "night.jsonl")
    with client_for(server) as client:
        first = client.process_prompts(PROMPTS, mode="batch", journal=journal, max_cost=5.5 * ONE, **FAST)
        sent = kinds(first).count(None)
        assert 4 <= sent <= 6 and kinds(first) == [None] * sent + ["budget"] * (20 - sent)
        second = client.process_prompts(PROMPTS, mode="batch", journal=journal, max_cost=1.0, **FAST)
        assert kinds(second) == [None] * 20
        assert [response.source for response in second] == ["journal"] * sent + ["batch"] * (20 - sent)
    assert dict(server.batches.bought) == dict.fromkeys(PROMPTS, 1)


def test_live_prompts_do_not_wait_for_a_job_to_turn_out_cheaper(server: RehearsalServer, tmp_path: Path) -> None:
    with client_for(server, max_cost=20.5 * ONE) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert client.ask("Is there money left?", timeout=30).error_kind == "budget"
        client.wait_for_batch_job(job, **FAST)
        assert not client.ask("Is there money left now?", timeout=30).is_error


def test_a_refused_job_gives_its_money_back(tmp_path: Path) -> None:
    with RehearsalServer(script=lambda number, request: "400" if request.path.endswith("/batches") else None) as server:
        with client_for(server, max_cost=1.0) as client:
            with pytest.raises(BatchError):
                client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
            assert budget_of(client).promised == budget_of(client).spent == 0


def test_a_job_that_is_laid_out_needs_all_of_its_money(tmp_path: Path) -> None:
    """Its batches were written down by a process that could not create them: whoever creates them pays for them."""
    with RehearsalServer(script=["400"]) as server:
        with client_for(server) as client, pytest.raises(BatchError):
            client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        with client_for(server, max_cost=5 * ONE) as poor, pytest.raises(BudgetExceededError, match="laid out already"):
            poor.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert budget_of(poor).promised == 0
        with client_for(server, max_cost=25 * ONE) as rich:
            job = rich.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
            assert budget_of(rich).promised > 15 * ONE * PER_DOLLAR
            assert kinds(rich.wait_for_batch_job(job, **FAST)) == [None] * 20


def test_asking_again_is_paid_for(server: RehearsalServer, tmp_path: Path) -> None:
    prompts = ["What is 1 + 1?", "[[expire]] What is 6 * 7?"]
    with client_for(server, max_cost=1.0) as client:
        job = client.submit_batch_job(prompts, state=tmp_path / "job.json")
    with client_for(server, max_cost=ONE / 10) as poor:  # in another process nothing is reserved for it
        assert kinds(poor.wait_for_batch_job(job, resubmit=True, **FAST)) == [None, "timeout"]
        assert server.batches.created == 1
    with client_for(server, max_cost=1.0) as rich:
        responses = rich.wait_for_batch_job(job, resubmit=True, **FAST)
        assert server.batches.created == 2 and budget_of(rich).promised == 0
        assert budget_of(rich).spent == pytest.approx(amount_of(responses[1].cost or 0.0), abs=2)


def test_a_price_that_is_not_known_is_refused_unless_told(server: RehearsalServer, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"base_url": server.base_url, "api_key": "k", "progress": None}
    state = tmp_path / "job.json"
    with LLMClient("openai:gpt-nobody-knows", **settings) as client:
        with pytest.raises(ConfigError, match="price of .*gpt-nobody-knows.* is not known; give unknown_cost="):
            client.submit_batch_job(PROMPTS, state=state, max_cost=1.0)
        job = client.submit_batch_job(PROMPTS, state=state, max_cost=0.035, unknown_cost=0.01)
        assert job.over_budget == 17
        assert kinds(client.wait_for_batch_job(job, **FAST)) == [None] * 3 + ["budget"] * 17
    with LLMClient("openai:gpt-nobody-knows", max_cost=1.0, unknown_cost=0.01, **settings) as client:
        budget = budget_of(client)
        job = client.submit_batch_job(PROMPTS[:3], state=tmp_path / "other.json")
        assert budget.promised == 3 * amount_of(0.01)
        assert client.wait_for_batch_job(job, **FAST)[0].cost is None
        assert budget.spent == 3 * amount_of(0.01) and budget.promised == 0


def test_the_price_of_a_batch_is_its_own() -> None:
    listed = get_model("rehearsal-echo")
    only_live = dataclasses.replace(listed, service_prices={})
    templates = [RequestTemplate(model, SamplingParams(), RequestOptions(), "") for model in (listed, only_live)]
    assert batch_price_of(templates[0], 1_000, 100, None) == amount_of((1_000 * 0.1 + 100 * 0.4) / 1e6 / 2)
    with pytest.raises(ConfigError, match="at the tier 'batch' is not known"):
        batch_price_of(templates[1], 1_000, 100, None)
    assert batch_price_of(templates[1], 1_000, 100, 0.5) == amount_of(0.5)
    free = dataclasses.replace(only_live, price=Price(0.0, 0.0))
    assert batch_price_of(dataclasses.replace(templates[0], model=free), 1_000, 100, None) == 0


def test_the_command_says_what_was_not_sent(
    server: RehearsalServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, state = tmp_path / "work.txt", tmp_path / "job.json"
    work.write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    command = ["batch", "submit", str(work), "-o", str(state), "-m", "rehearsal-echo", "--max-tokens", str(MOST),
               "--base-url", server.base_url]
    assert main([*command, "--max-cost", f"{ONE / 2:.12f}"]) == 2 and not state.exists()
    capsys.readouterr()
    assert main([*command, "--max-cost", f"{7.5 * ONE:.12f}"]) == 0
    said = capsys.readouterr().err
    assert "prompts were not sent: the same command with -o" in said and "a higher --max-cost goes on with them" in said
    assert main([*command, "--max-cost", "1"]) == 0
    assert "not sent" not in capsys.readouterr().err and dict(server.batches.bought) == dict.fromkeys(PROMPTS, 1)
