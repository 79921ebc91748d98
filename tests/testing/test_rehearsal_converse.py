"""The rehearsal provider's Converse, over HTTP and through the client."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from deluge import LLMClient
from deluge._eventstream import stream_events
from deluge.prompt import Conversation
from deluge.response import APIResponse
from deluge.testing import RateLimits, RehearsalServer, rehearsal
from deluge.tools import Tool

__all__ = ["rehearsal"]
ADD = {"toolSpec": {"name": "add", "inputSchema": {"json": {
    "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}}


def post(server: RehearsalServer, body: Any, what: str = "converse", model: str = "us.amazon.nova-pro-v1%3A0",
         key: str = "k") -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request("POST", f"/model/{model}/{what}", json.dumps(body).encode(), {"Authorization": f"Bearer {key}"})
        reply = connection.getresponse()
        raw = reply.read()
        value = raw if "eventstream" in (reply.headers["content-type"] or "") else json.loads(raw)
        return reply.status, value, {name.lower(): value for name, value in reply.headers.items()}
    finally:
        connection.close()


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"text": block} if isinstance(block, str) else block for block in blocks]}


def said(*blocks: Any) -> dict[str, Any]:
    return {**user(*blocks), "role": "assistant"}


def test_a_message(rehearsal: RehearsalServer) -> None:
    status, value, headers = post(rehearsal, {"messages": [user("hello")], "inferenceConfig": {"maxTokens": 9}})
    assert status == 200 and headers["x-amzn-requestid"] == "amzn-1"
    assert value["output"]["message"] == {"role": "assistant", "content": [{"text": "hello"}]}
    assert (value["stopReason"], value["serviceTier"]) == ("end_turn", {"type": "default"})
    assert value["usage"]["totalTokens"] == value["usage"]["inputTokens"] + value["usage"]["outputTokens"]
    assert rehearsal.requests[0].model == "us.amazon.nova-pro-v1:0"


def test_a_stream(rehearsal: RehearsalServer) -> None:
    status, raw, _ = post(rehearsal, {"messages": [user("What is 17 * 23?")]}, "converse-stream")
    events = list(stream_events([raw]))
    assert status == 200 and [event.event for event in events] == [
        "messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
    assert json.loads(events[1].data) == {"contentBlockIndex": 0, "delta": {"text": "391"}}


def test_counting(rehearsal: RehearsalServer) -> None:
    assert post(rehearsal, {"input": {"converse": {"messages": [user("hello")]}}}, "count-tokens")[1] == {"inputTokens": 8}
    assert post(rehearsal, {}, "count-tokens")[0] == 400


@pytest.mark.parametrize("body, words", [
    ({}, "at least one message"), ({"messages": [said("a")]}, "start with a user message"),
    ({"messages": [user("a"), user("b")]}, "must alternate"), ({"messages": [user(" ")]}, "is blank"),
    ({"messages": [user()]}, "is empty"), ({"messages": [user({"text": "a", "image": {}})]}, "exactly one"),
    ({"messages": [user({"image": {"format": "bmp", "source": {"bytes": ""}}})]}, "a format among png"),
    ({"messages": [user("a", {"document": {"format": "pdf", "name": "a.pdf", "source": {"bytes": ""}}})]}, "not valid"),
    ({"messages": [user({"document": {"format": "pdf", "name": "a", "source": {"bytes": ""}}})]}, "text block is required"),
    ({"messages": [user("x", *[{"document": {"format": "pdf", "name": "a", "source": {"bytes": ""}}}] * 2)]}, "duplicate"),
    ({"messages": [user("a"), said({"toolUse": {"toolUseId": "t", "name": "add", "input": {}}})]}, "toolConfig field must"),
    ({"messages": [user("a"), said({"toolUse": {"toolUseId": "t", "name": "add", "input": {}}}), user("b")],
      "toolConfig": {"tools": [ADD]}}, "Expected toolResult"),
    ({"messages": [user("a"), said({"toolUse": {"toolUseId": "t t", "name": "add", "input": {}}})],
      "toolConfig": {"tools": [ADD]}}, "needs a toolUseId"),
    ({"messages": [user("a"), said({"reasoningContent": {"reasoningText": {"text": "a", "signature": "b"}}}), user("b")]},
     "Invalid `signature`"),
    ({"messages": [user("a")], "toolConfig": {"tools": []}}, "at least one tool"),
    ({"messages": [user("a")], "toolConfig": {"tools": [ADD], "toolChoice": {"tool": {"name": "x"}}}}, "not among"),
    ({"messages": [user("a")], "inferenceConfig": {"temperature": 1.5}}, "less than or equal to 1"),
    ({"messages": [user("a")], "inferenceConfig": {"maxTokens": 0}}, "maxTokens is invalid"),
    ({"messages": [user("a")], "outputConfig": {"effort": "none"}}, "outputConfig.effort"),
    ({"messages": [user("a")], "outputConfig": {"textFormat": {"type": "json_schema", "structure": {
        "jsonSchema": {"schema": {"type": "object"}}}}}}, "not a JSON schema in a string"),
    ({"messages": [user("a")], "serviceTier": {"type": "fast"}}, "serviceTier"),
    ({"messages": [user("a")], "temperature": 1}, "not a field"), ({"messages": 3}, "at least one message"),
    ({"messages": [3]}, "not well formed"),
])
def test_what_is_refused(rehearsal: RehearsalServer, body: Any, words: str) -> None:
    status, value, headers = post(rehearsal, body)
    assert status == 400 and words in value["message"] and headers["x-amzn-errortype"] == "ValidationException"


def test_keys_limits_and_unknown_models() -> None:
    with RehearsalServer(api_key="k", limits=RateLimits(requests=1), models=["m"]) as server:
        assert post(server, {"messages": [user("a")]}, key="other")[0] == 401
        assert "identifier is invalid" in post(server, {"messages": [user("a")]})[1]["message"]
        assert post(server, {"messages": [user("a")]}, model="m")[0] == 200
        status, value, headers = post(server, {"messages": [user("b")]}, model="m")
        assert status == 429 and value["message"].startswith("Too many requests") and "retry-after" in headers
        assert headers["x-amzn-errortype"] == value["__type"] == "ThrottlingException"


# -- through the client -------------------------------------------------------------------------------------------------

def client(server: RehearsalServer, model: str = "claude-4.6-sonnet-bedrock", **more: Any) -> LLMClient:
    return LLMClient(model, base_url=server.url, api_key="secret-token", progress=None, **more)


@pytest.mark.parametrize("model", [
    "nova-pro", "claude-3-haiku-bedrock", "claude-4.5-haiku-bedrock", "claude-4.6-sonnet-bedrock", "claude-5.5-opus-bedrock",
])
def test_the_client_asks_and_streams(rehearsal: RehearsalServer, model: str) -> None:
    with client(rehearsal, model) as asker:
        answer = asker.ask("What is 17 * 23?")
        assert answer.completion == "391" and answer.finish_reason == "stop" and answer.cost and answer.usage.input_tokens
        *deltas, last = asker.stream_chat("Write 40 words")
        assert isinstance(last, APIResponse) and len(deltas) > 3
        assert "".join(map(str, deltas)) == last.completion and len((last.completion or "").split()) == 40
        assert last.usage.output_tokens and last.service_tier == "default"


def test_streams_that_break(rehearsal: RehearsalServer) -> None:
    with client(rehearsal, max_attempts=1) as asker:
        for fault, kind in (("cut_stream", "connection"), ("stream_error", "server"), ("503", "overloaded")):
            last = list(asker.stream_chat(f"[[fault {fault}]] Write 40 words"))[-1]
            assert isinstance(last, APIResponse) and last.error_kind == kind


def test_a_conversation_with_thoughts_and_tools(rehearsal: RehearsalServer) -> None:
    tool = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
    with client(rehearsal, reasoning_effort="high", max_new_tokens=2_000) as asker:
        talk = Conversation().system("Be brief.").user("Please call add with 7")
        first = asker.ask(talk, tools=[tool])
        (call,) = first.tool_calls
        assert first.thinking and call.arguments == {"a": 7}
        talk.with_response(first).with_tool_result(call.id, "14")
        second = asker.ask(talk, tools=[tool])
        assert second.completion == "The tool says: 14" and not second.is_error
        assert asker.ask(talk.copy().with_response(second).user("Thanks")).completion == "Thanks"


def test_a_schema_and_a_cache(rehearsal: RehearsalServer) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    with client(rehearsal) as asker:
        answer = asker.ask('Where is "Rome"?', output_schema=schema)
        assert json.loads(answer.completion or "").keys() == {"city"}
        long = Conversation().system("word " * 4_000).user("hi")
        first, second = (asker.ask(long, cache="system_and_tools") for _ in range(2))
        assert first.usage.cache_write_tokens > 1_000 and not first.is_error
        assert second.cache_hit and second.usage.cache_read_tokens > 1_000
