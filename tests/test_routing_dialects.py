"""Which wire format a call uses: what was asked for, and where chat completions must give way to the Responses API."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from rehearsing import client_of

from deluge import Conversation
from deluge.endpoints import dialect_of
from deluge.errors import ConfigError
from deluge.models.model import Model, Provider
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.request import RequestOptions
from deluge.testing import RehearsalServer
from deluge.tools import Tool

TOOLS = (Tool("get_weather", "Weather.", {"type": "object", "properties": {"city": {"type": "string"}}}),)
CHAT, RESPONSES = "openai_chat", "openai_responses"


def model(flags: str = "", efforts: str = "", default: str | None = None) -> Model:
    return Model("m", "m", Provider("host", "https://h.example"), flags=frozenset(flags.split()),
                 efforts=tuple(efforts.split()), default_effort=default)


def chosen(row: Model, effort: str | None = None, **options: Any) -> str:
    return dialect_of(row, RequestOptions(**options), SamplingParams(reasoning_effort=effort))[0]


@pytest.mark.parametrize("flags, options, wanted, said", [
    ("", {}, CHAT, None), ("supports_responses", {}, CHAT, None),
    ("supports_responses", {"use_responses_api": True}, RESPONSES, None),
    ("", {"use_responses_api": True}, CHAT, "not served by the Responses API"),
    ("supports_responses", {"tools": TOOLS}, CHAT, None),
    ("supports_responses requires_responses_for_tools", {"tools": TOOLS}, RESPONSES, "Responses API only"),
    ("supports_responses requires_responses_for_tools", {}, CHAT, None),
])
def test_what_is_asked_for_and_what_tools_need(flags: str, options: Any, wanted: str, said: str | None) -> None:
    name, why = dialect_of(model(flags), RequestOptions(**options), SamplingParams())
    assert name == wanted and (why is None if said is None else said in (why or ""))


@pytest.mark.parametrize("effort, default, wanted", [
    ("low", "none", RESPONSES), ("none", "medium", CHAT), (None, "medium", RESPONSES), (None, "none", CHAT),
])
def test_tools_while_the_model_reasons(effort: str | None, default: str, wanted: str) -> None:
    row = model("supports_responses no_tools_with_reasoning reasoning", "none low medium", default)
    assert chosen(row, effort, tools=TOOLS) == wanted and chosen(row, effort) == CHAT
    assert chosen(model("no_tools_with_reasoning reasoning", "none low"), "low", tools=TOOLS) == CHAT


@pytest.mark.parametrize("name, effort, wanted", [
    ("gpt-6.1-sol", None, RESPONSES), ("gpt-6-luna", None, RESPONSES), ("gpt-6-luna", "none", CHAT),
    ("gpt-5.6-sol", "high", RESPONSES), ("gpt-5.4", "high", CHAT), ("gpt-5", None, CHAT), ("gpt-4.1-mini", None, CHAT),
])
def test_models_of_the_catalog(name: str, effort: str | None, wanted: str) -> None:
    assert chosen(get_model(name), effort, tools=TOOLS) == wanted and chosen(get_model(name), effort) == CHAT


def test_models_of_the_responses_api_only_must_be_asked_so() -> None:
    with pytest.raises(ConfigError, match="use_responses_api=True"):
        chosen(get_model("gpt-5.1-codex"))
    assert chosen(get_model("gpt-5.1-codex"), use_responses_api=True) == RESPONSES


def test_other_formats_stay_and_unknown_ones_are_named() -> None:
    row = Model("m", "m", Provider("host", "https://h.example", "openai_responses"))
    assert dialect_of(row, RequestOptions(use_responses_api=True), SamplingParams()) == (RESPONSES, None)
    with pytest.raises(ConfigError, match="'klingon'"):
        chosen(Model("m", "m", Provider("host", "https://h.example", "klingon")))


def test_the_change_is_said_once_and_the_tool_is_called(caplog: pytest.LogCaptureFixture) -> None:
    with RehearsalServer(latency=0.0) as server, client_of(server, "gpt-6-luna", api_key="k") as client:
        with caplog.at_level(logging.INFO, "deluge.client"):
            for _ in range(2):
                response = client.ask("get_weather in 'Rome'", tools=TOOLS)
                assert response.finish_reason == "tool_calls" and response.tool_calls[0].arguments == {"city": "Rome"}
        assert [seen.path for seen in server.requests] == ["/v1/responses"] * 2
        assert [text for text in caplog.messages if "Responses API" in text] == [
            "chat completions refuse tools while the model reasons: the Responses API is used model=gpt-6-luna"]
        assert client.ask("Hello").completion == "Hello" and server.requests[-1].path == "/v1/chat/completions"


def test_a_conversation_with_thoughts_and_tools_goes_on() -> None:
    """The rehearsal server checks that thoughts come back with their seals, and calls with their answers."""
    settings = {"use_responses_api": True, "reasoning_effort": "low"}
    with RehearsalServer(latency=0.0) as server, client_of(server, "rehearsal-echo", **settings) as client:
        talk = Conversation().system("Be brief.").user("get_weather in 'Rome'")
        first = client.ask(talk, tools=TOOLS)
        assert first.thinking and first.finish_reason == "tool_calls"
        talk.with_response(first).with_tool_result(first.tool_calls[0].id, "Sunny")
        second = client.ask(talk, tools=TOOLS)
        assert second.completion == "The tool says: Sunny" and second.thinking
        kinds = [item.get("type") or item["role"] for item in server.requests[-1].body["input"]]
        assert kinds == ["system", "user", "reasoning", "function_call", "function_call_output"]


@pytest.mark.parametrize("prompt", ["Write 40 words", "get_weather in 'Rome'", "[[refuse]]", "[[filter]]"])
def test_streams_end_with_the_response_of_the_plain_call(prompt: str) -> None:
    settings = {"use_responses_api": True, "reasoning_effort": "low"}
    with RehearsalServer(latency=0.0) as server, client_of(server, "rehearsal-echo", **settings) as client:
        whole = client.ask(prompt, tools=TOOLS)
        *deltas, last = client.stream_chat(prompt, tools=TOOLS)
        plain = [getattr(whole, name) for name in ("completion", "thinking", "refusal", "finish_reason", "usage", "cost")]
        assert [getattr(last, name) for name in
                ("completion", "thinking", "refusal", "finish_reason", "usage", "cost")] == plain
        for kind, said in (("text", whole.completion), ("thinking", whole.thinking), ("refusal", whole.refusal)):
            assert "".join(delta.text for delta in deltas if delta.kind == kind) == (said or "")
        calls = [(delta.id, delta.name) for delta in deltas if delta.kind == "tool_call" and delta.id]
        assert calls == [(call.id, call.name) for call in whole.tool_calls]


@pytest.mark.parametrize("parameters, options, message", [
    ({"max_output_tokens": 3}, {}, "integer below minimum"), ({"messages": []}, {}, "moved to 'input'"),
    ({"stop": ["x"]}, {}, "Unknown parameter: 'stop'"), ({"top_logprobs": 99}, {}, "top_logprobs"),
    ({"text": {"format": {"type": "json_object"}}}, {}, "'text.format'"), ({"reasoning": {"effort": "huge"}}, {}, "effort"),
])
def test_the_rehearsal_server_refuses_what_openai_refuses(parameters: Any, options: Any, message: str) -> None:
    settings = {"use_responses_api": True, "extra_body": parameters}
    with RehearsalServer(latency=0.0) as server, client_of(server, "rehearsal-echo", **settings) as client:
        response = client.ask("Hello", **options)
        assert response.error_kind == "bad_request" and message in (response.error_message or "")
        assert not server.errors
