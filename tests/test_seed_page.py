"""The page of the manual that started the project, claim by claim, on rehearsal models."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rehearsing import UNLIMITED, client_of

from deluge import APIResponse, ConfigError, Conversation, LLMClient, SamplingParams, StatusTracker, StreamDelta, Tool
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]

POOL = ["gpt-4.1-mini", "claude-3-haiku", "gemini-1.5-flash"]


@pytest.fixture
def client(rehearsal: RehearsalServer) -> Iterator[LLMClient]:
    with client_of(rehearsal) as client:
        yield client


def body(server: RehearsalServer) -> Any:
    return server.requests[-1].body


# ---------------------------------------------------------------------- construction

def test_the_first_example_with_its_defaults() -> None:
    client = LLMClient(
        model_names=["gpt-4.1-mini"], max_requests_per_minute=1_000, max_tokens_per_minute=100_000,
        max_concurrent_requests=225, sampling_params=[SamplingParams(temperature=0.75, max_new_tokens=512)],
        max_attempts=5, request_timeout=30, use_responses_api=False, progress="rich",
    )
    defaults = {name: parameter.default for name, parameter in inspect.signature(LLMClient).parameters.items()}
    for name in ("max_requests_per_minute", "max_tokens_per_minute", "max_concurrent_requests", "max_attempts",
                 "request_timeout", "use_responses_api", "progress"):
        assert getattr(client.config, name) == defaults[name]
    assert client.sampling_params == LLMClient().sampling_params


def test_validation_happens_immediately() -> None:
    with pytest.raises(ConfigError, match="max_attempts"):
        LLMClient(max_attempts="many")


def test_configurations_are_serialised_safely() -> None:
    client = LLMClient(POOL, model_weights=[0.6, 0.2, 0.2], api_key="sk-secret")
    assert LLMClient.from_dict(client.to_dict()).to_dict() == client.to_dict() and "sk-secret" not in str(client.to_dict())


def test_settings_from_a_dict_and_a_file(tmp_path: Path) -> None:
    config = {
        "model_names": ["claude-3.5-sonnet"], "sampling_params": {"temperature": 0.4, "max_new_tokens": 300},
        "max_concurrent_requests": 400,
    }
    (tmp_path / "client.yaml").write_text(yaml.safe_dump(config))
    for client in (LLMClient.from_dict(config), LLMClient.from_yaml(tmp_path / "client.yaml")):
        assert client.config.max_concurrent_requests == 400 and len(client.models) == 1
        assert client.sampling_params == [SamplingParams(temperature=0.4, max_new_tokens=300)]


# ---------------------------------------------------------------------- several models

def test_a_pool_with_weights_and_parameters_of_each() -> None:
    client = LLMClient(
        POOL, model_weights=[0.6, 0.2, 0.2],
        sampling_params=[
            SamplingParams(temperature=0.2, max_new_tokens=200), SamplingParams(temperature=0.8, max_new_tokens=150),
            SamplingParams(temperature=1.0, max_new_tokens=300),
        ],
    )
    picks = [client._select_model() for _ in range(100)]
    assert sorted(Counter(name for name, _ in picks).values()) == [20, 20, 60]
    assert {params.max_new_tokens for _, params in picks} == {200, 150, 300}


def test_weights_are_normalised_and_uniform_is_equal() -> None:
    for weights, shares in (([6, 2, 2], [60, 20, 20]), ("uniform", [34, 33, 33])):
        client = LLMClient(POOL, model_weights=weights)
        counts = Counter(client._select_model()[0] for _ in range(100))
        assert [counts[name] for name in client.models] == pytest.approx(shares, abs=1)


def test_the_pool_is_swapped_fluently(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        assert client.with_model("other").with_models(["one", "two"]).models == ["one", "two"]
        assert {client.ask(f"p {n}").model_internal for n in range(4)} == {"one", "two"}


def test_retries_hop_to_another_model() -> None:
    with RehearsalServer(latency=0.0, models=["good"]) as server, client_of(server, ["bad", "good"]) as client:
        answers = client.process_prompts(["a", "b"])
        assert [answer.completion for answer in answers] == ["a", "b"]
        assert ("bad", "good") in {tuple(attempt.model for attempt in answer.attempts) for answer in answers}
        assert hasattr(answers[0], "retry_with_different_model")


# ---------------------------------------------------------------------- parameters

def test_parameters_go_into_the_body(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, temperature=0.3, top_p=0.9, max_new_tokens=77, json_mode=True) as client:
        client.ask("give JSON")
        sent = body(rehearsal)
        assert (sent["temperature"], sent["top_p"], sent["response_format"]) == (0.3, 0.9, {"type": "json_object"})
        assert 77 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))


def test_reasoning_effort(rehearsal: RehearsalServer) -> None:
    for effort in ("minimal", "low", "medium", "high"):
        with client_of(rehearsal, "gpt-5", reasoning_effort=effort, api_key="k") as client:
            client.ask("think")
            assert body(rehearsal)["reasoning_effort"] == effort
    SamplingParams(reasoning_effort="none")


def test_logprobs_are_checked_and_set_for_each_model(rehearsal: RehearsalServer) -> None:
    with pytest.raises(ConfigError, match="claude-3-haiku does not support logprobs"):
        LLMClient(["gpt-4.1-mini", "claude-3-haiku"], logprobs=True)
    with client_of(rehearsal, ["gpt-4.1-mini", "gpt-4o"], logprobs=True, top_logprobs=2, api_key="k") as client:
        assert all(entry.logprobs and entry.top_logprobs == 2 for entry in client.sampling_params)
        client.ask("a")
        assert body(rehearsal)["logprobs"] is True and body(rehearsal)["top_logprobs"] == 2


def test_strict_tools(rehearsal: RehearsalServer) -> None:
    tool = Tool(name="look", parameters={"type": "object", "properties": {"x": {"type": "integer", "default": 3}},
                                         "required": ["x"]})
    for strict in (True, False):
        with client_of(rehearsal, "gpt-4.1-mini", strict_tools=strict, api_key="k") as client:
            client.ask("a", tools=[tool])
            function = body(rehearsal)["tools"][0]["function"]
            assert bool(function.get("strict")) is strict
            assert ("default" in function["parameters"]["properties"]["x"]) is not strict


# ---------------------------------------------------------------------- limits, retries, tracker

def test_three_limits_are_changed_on_an_existing_client(client: LLMClient) -> None:
    client.with_limits(max_requests_per_minute=5, max_tokens_per_minute=9_000, max_concurrent_requests=3)
    capacity = client.status().capacity
    assert (capacity.requests_per_minute, capacity.tokens_per_minute, capacity.slots) == (5, 9_000, 3)


def test_every_request_is_tried_up_to_max_attempts(rehearsal: RehearsalServer) -> None:
    from deluge.testing import Fault

    rehearsal.set_script([Fault("429", retry_after=0.01)] * 2)
    with client_of(rehearsal, max_attempts=3) as client:
        assert len(client.ask("a").attempts) == 3
    rehearsal.set_script([Fault("503", retry_after=0.01)] * 9)
    with client_of(rehearsal, max_attempts=3) as client:
        answer = client.ask("b")
        assert answer.is_error and len(answer.attempts) == 3


def test_the_tracker_records_the_batch(client: LLMClient) -> None:
    responses = client.process_prompts(["a", "[[fault 503 x1]] b"], show_progress=False)
    tracker = client.tracker
    assert isinstance(tracker, StatusTracker)
    assert tracker.total_requests == 3 and tracker.total_retries == 1 and tracker.queue_depth == 0
    assert tracker.total_output_tokens == sum(response.usage.output_tokens for response in responses)
    assert tracker.total_cost >= 0.0 and tracker.num_tasks_succeeded == 2


@pytest.mark.parametrize("progress", ["rich", "tqdm", "manual", None])
def test_displays(rehearsal: RehearsalServer, progress: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    with LLMClient("m", base_url=rehearsal.base_url, progress=progress, **UNLIMITED) as client:
        assert client.process_prompts(["a", "b"], return_completions_only=True) == ["a", "b"]
        client.process_prompts(["a"], show_progress=False)
        client.open(total=4)
        client.process_prompts(["c", "d"])
        client.reset_tracker()
        client.process_prompts(["e"])
        client.close()
    assert capsys.readouterr().out == ""


def test_one_tracker_for_several_batches(client: LLMClient) -> None:
    prompts = ["a", "b", "c", "d"]
    client.open(total=len(prompts), show_progress=False)
    client.process_prompts(prompts[:2])
    client.process_prompts(prompts[2:])
    assert client.tracker.snapshot().succeeded == client.tracker.snapshot().total == 4
    client.reset_tracker()
    assert client.tracker.snapshot().succeeded == 0
    client.close()


# ---------------------------------------------------------------------- the list at the end of the page

@pytest.mark.parametrize("tier", ["auto", "default", "flex", "priority"])
def test_service_tiers(rehearsal: RehearsalServer, tier: str) -> None:
    with client_of(rehearsal, "gpt-5", api_key="k") as client:
        for call in (client.process_prompts, client.start, client.start_nowait):
            call("a", service_tier=tier)
            client.drain(5)
            assert body(rehearsal).get("service_tier", "auto") == tier
    with client_of(rehearsal, "gpt-4.1-mini", api_key="k") as client:
        client.ask("a", service_tier="flex")
        assert body(rehearsal).get("service_tier", "auto") == "auto"


def test_extra_headers(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, extra_headers={"OpenAI-Beta": "x=1"}) as client:
        client.ask("a")
        assert rehearsal.requests[-1].headers["openai-beta"] == "x=1"


def test_background_needs_the_responses_api_and_local_mcp_is_a_setting() -> None:
    assert LLMClient(use_responses_api=True, background=True, force_local_mcp=True).config.background
    with pytest.raises(ConfigError):
        LLMClient(background=True)


def test_tools_are_objects_or_raw_dicts(rehearsal: RehearsalServer) -> None:
    raw = {"type": "function", "function": {"name": "raw_one", "parameters": {"type": "object", "properties": {}}}}
    with client_of(rehearsal) as client:
        answer = client.ask("[[call look {}]]", tools=[Tool(name="look"), raw])
        assert [call.name for call in answer.tool_calls] == ["look"]
        assert [tool["function"]["name"] for tool in body(rehearsal)["tools"]] == ["look", "raw_one"]


def test_postprocess_changes_every_response(rehearsal: RehearsalServer) -> None:
    def trim(response: APIResponse) -> None:
        response.completion = (response.completion or "").strip()

    with client_of(rehearsal, postprocess=trim) as client:
        assert client.process_prompts(["  a  ", " b"], return_completions_only=True) == ["a", "b"]


def test_local_caching_takes_any_object_and_a_call_takes_a_pattern(rehearsal: RehearsalServer) -> None:
    class Cache:
        def __init__(self) -> None:
            self.kept: dict[str, APIResponse] = {}

        def get(self, prompt: Conversation) -> APIResponse | None:
            assert isinstance(prompt, Conversation)
            return self.kept.get(prompt.fingerprint)

        def put(self, prompt: Conversation, response: APIResponse) -> None:
            self.kept[prompt.fingerprint] = response

    with client_of(rehearsal, cache=Cache()) as client:
        assert client.ask("a").source == "api" and client.ask("a").source == "cache"
        assert client.ask("b", cache="system_and_tools").completion == "b"


def test_sync_and_async_are_one(client: LLMClient) -> None:
    import asyncio

    assert client.process_prompts_sync(["a"], return_completions_only=True) == ["a"]
    assert asyncio.run(client.process_prompts_async(["a"], return_completions_only=True)) == ["a"]


def test_start_gives_ids_to_wait_for(client: LLMClient) -> None:
    ids = [client.start("a"), client.start_nowait("b")]
    assert client.wait_for(ids[0]).completion == "a"
    assert [response.completion for response in client.wait_for_all(ids)] == ["a", "b"]
    again = {client.start_nowait(prompt): prompt for prompt in ("c", "d")}
    assert {again[id]: response.completion for id, response in client.as_completed()} == {"c": "c", "d": "d"}


def test_streams(client: LLMClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert client.stream("hello").completion == "hello" and capsys.readouterr().out == "hello\n"
    *pieces, last = client.stream_chat("hello")
    assert all(isinstance(piece, StreamDelta) for piece in pieces) and isinstance(last, APIResponse)


def test_rehearsal_models_need_no_server_and_no_key() -> None:
    with LLMClient("rehearsal-echo", progress=None) as client:
        assert client.process_prompts(["a", "b"], return_completions_only=True) == ["a", "b"]
        assert client.ask("What is 17 * 23?").completion == "391"
