"""Tiers, caching, streaming and efforts, from the client's call to the wire and back, on every dialect."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsing import UNLIMITED

from deluge import LLMClient
from deluge.models import register_model
from deluge.models.registry import forget
from deluge.params import CACHE_PATTERNS
from deluge.prompt import Conversation
from deluge.response import APIResponse
from deluge.testing import RehearsalServer
from deluge.tools import Tool

# A model of each dialect, as the catalog knows it.
MODELS = {
    "openai_chat": "gpt-5.4", "openai_responses": "gpt-5.4", "anthropic": "claude-4.6-sonnet", "gemini": "gemini-3.5-flash",
    "bedrock": "claude-4.6-sonnet-bedrock",
}
TOOL = Tool("look_up", "Looks a mountain up.", {
    "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": False,
})


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0) as server:
        yield server


def asking(server: RehearsalServer, dialect: str = "openai_chat", model: str | list[str] = "", **settings: Any) -> LLMClient:
    url = server.url if dialect == "bedrock" else f"{server.url}/v1beta" if dialect == "gemini" else server.base_url
    return LLMClient(model or MODELS[dialect], base_url=url, api_key="k", progress=None,
                     use_responses_api=dialect == "openai_responses", **UNLIMITED, **settings)


def facts(response: APIResponse) -> dict[str, Any]:
    response.raise_for_error()
    names = ("completion", "thinking", "tool_calls", "finish_reason", "usage", "cost", "service_tier", "logprobs", "parsed")
    return {name: getattr(response, name) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("dialect", MODELS)
@pytest.mark.parametrize("effort", [None, "high"])
@pytest.mark.parametrize("prompt, tools", [("What is 6 * 7?", None), ("[[call look_up {\"name\": \"Eiger\"}]]", [TOOL])])
def test_a_stream_gives_what_the_plain_call_gives(
    server: RehearsalServer, dialect: str, effort: Any, prompt: str, tools: Any
) -> None:
    with asking(server, dialect, reasoning_effort=effort) as client:
        plain = client.ask(prompt, tools=tools, service_tier="priority")
        items = list(client.stream_chat(prompt, tools=tools, service_tier="priority"))
    assert isinstance(items[-1], APIResponse)
    one, other = facts(plain), facts(items[-1])
    if tools:  # each reply has ids of its own
        for each in one, other:
            each["tool_calls"] = [(call.name, call.arguments) for call in each["tool_calls"]]
    assert one == other and plain.usage.output_tokens > 0
    words = {kind: "".join(item.text for item in items[:-1] if item.kind == kind) for kind in ("text", "thinking")}
    assert words["text"] == (plain.completion or "") and words["thinking"] == (plain.thinking or "")


@pytest.mark.slow
@pytest.mark.parametrize("dialect", MODELS)
@pytest.mark.parametrize("pattern", CACHE_PATTERNS)
def test_a_cache_pattern_leaves_the_conversation_as_it_is(server: RehearsalServer, dialect: str, pattern: Any) -> None:
    talk = Conversation().system("Be brief.").user("One").ai("1").user("What is 6 * 7?")
    before, print_ = json.dumps(talk.to_log()), talk.fingerprint
    with asking(server, dialect) as client:
        answers = client.process_prompts([talk, talk], cache=pattern, cache_ttl="1h", tools=[TOOL], show_progress=False)
    assert [answer.is_error for answer in answers] == [False, False]
    assert json.dumps(talk.to_log()) == before and talk.fingerprint == print_


@pytest.mark.parametrize("way", ["ask", "process_prompts", "start", "start_nowait", "stream"])
def test_the_tier_that_was_billed_is_on_the_response_and_in_the_cost(server: RehearsalServer, way: str) -> None:
    with asking(server, model="gpt-6-luna") as client:
        def asked(**options: Any) -> APIResponse:
            if way == "process_prompts":
                (response,) = client.process_prompts(["Hello"], show_progress=False, **options)
                return response
            if way == "stream":
                last = list(client.stream_chat("Hello", **options))[-1]
                assert isinstance(last, APIResponse)
                return last
            if way == "ask":
                return client.ask("Hello", **options)
            return getattr(client, way)("Hello", **options).result(timeout=10)

        client.open(show_progress=False)  # one tracker for both calls
        standard, flex = asked(), asked(service_tier="flex")
        assert server.requests[-1].body["service_tier"] == "flex" and "service_tier" not in server.requests[-2].body
        assert (standard.service_tier, flex.service_tier) == ("default", "flex")
        assert standard.cost and flex.cost == pytest.approx(standard.cost / 2)
        assert client.tracker.snapshot().cost == pytest.approx(standard.cost + flex.cost)


def test_flex_becomes_auto_where_the_model_lacks_it_with_one_warning(
    server: RehearsalServer, caplog: pytest.LogCaptureFixture
) -> None:
    with asking(server, model="gpt-4.1-mini") as client, caplog.at_level(logging.WARNING, "deluge"):
        for _ in range(3):
            assert client.ask("Hello", service_tier="flex").service_tier == "default"
    assert server.requests[-1].body["service_tier"] == "auto"
    told = [record.getMessage() for record in caplog.records if "service_tier" in record.getMessage()]
    assert len(told) == 1 and "gpt-4.1-mini" in told[0] and "'flex' is not offered" in told[0]


def test_each_model_of_a_list_keeps_the_effort_in_its_name(server: RehearsalServer) -> None:
    names = ["gpt-5.4-low", "gpt-5.4-high", "gpt-6-luna-max", "openai:gpt-5.2-none"]
    with asking(server, model=names) as client:
        client.process_prompts(["Hello"] * 8, show_progress=False)
    efforts = {(one.body["model"], one.body.get("reasoning_effort")) for one in list(server.requests)[-8:]}
    assert efforts == {("gpt-5.4", "low"), ("gpt-5.4", "high"), ("gpt-6-luna", "max"), ("gpt-5.2", "none")}


def test_the_responses_api_takes_headers_body_tools_and_logprobs(server: RehearsalServer) -> None:
    with asking(server, "openai_responses", model="gpt-4.1-mini", extra_headers={"X-Team": "blue", "Accept": None},
                extra_body={"user": "u1", "metadata": {"a": "b"}}, logprobs=True, top_logprobs=2) as client:
        answer = client.ask("What is 6 * 7?", tools=[{"type": "web_search"}, TOOL])
    sent = server.requests[-1]
    assert sent.path == "/v1/responses" and sent.headers["x-team"] == "blue" and sent.headers["accept"] == "*/*"
    assert sent.body["user"] == "u1" and sent.body["metadata"] == {"a": "b"} and sent.body["top_logprobs"] == 2
    assert [tool["type"] for tool in sent.body["tools"]] == ["web_search", "function"]
    assert answer.completion == "42" and answer.logprobs and len(answer.logprobs[0]["top_logprobs"]) == 2


@pytest.mark.parametrize("name", ["openrouter:some/new-model", "together:any/thing", "vllm:Qwen/Qwen3-8B", "gpt-99-turbo"])
def test_any_name_goes_with_a_base_url(server: RehearsalServer, name: str) -> None:
    with asking(server, model=name) as client:
        assert client.ask("What is 6 * 7?").completion == "42"
    assert server.requests[-1].body["model"] == (name.partition(":")[2] or name)


def test_a_pool_of_every_dialect(server: RehearsalServer) -> None:
    urls = {"bedrock": server.url, "gemini": f"{server.url}/v1beta"}
    for dialect in MODELS:
        register_model(f"our-{dialect}", base_url=urls.get(dialect, server.base_url), dialect=dialect, name="rehearsal-echo")
    try:
        with LLMClient([f"our-{dialect}" for dialect in MODELS], progress=None, **UNLIMITED) as client:
            answers = client.process_prompts([f"What is {n} * 7?" for n in range(10)], show_progress=False)
        assert [answer.completion for answer in answers] == [str(n * 7) for n in range(10)]
        assert len({answer.model_internal for answer in answers}) == 5
    finally:
        forget(*(f"our-{dialect}" for dialect in MODELS))
