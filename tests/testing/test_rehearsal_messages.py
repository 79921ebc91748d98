"""The Messages protocol of the rehearsal provider, over HTTP and from our own client."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from deluge import LLMClient
from deluge._sse import server_events
from deluge.testing import RateLimits, RehearsalServer, rehearsal

__all__ = ["rehearsal"]
USER = [{"role": "user", "content": "What is 17 * 23?"}]
TOOL = {"name": "add", "input_schema": {
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}}
NEW = {"anthropic-version": "2026-10-21"}
OLD = {"anthropic-version": "2023-06-01"}


def post(server: RehearsalServer, body: Any, path: str = "/v1/messages",
         headers: dict[str, str] | None = None) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request("POST", path, json.dumps(body).encode(), NEW if headers is None else headers)
        reply = connection.getresponse()
        raw = reply.read()
        value = raw if "event-stream" in (reply.headers["content-type"] or "") else json.loads(raw)
        return reply.status, value, {name.lower(): value for name, value in reply.headers.items()}
    finally:
        connection.close()


def asking(**body: Any) -> dict[str, Any]:
    return {"model": "claude-opus-5", "max_tokens": 200, "messages": USER, **body}


def message(server: RehearsalServer, **body: Any) -> dict[str, Any]:
    status, value, _ = post(server, asking(**body))
    assert status == 200, value
    found: dict[str, Any] = value
    return found


def test_a_message(rehearsal: RehearsalServer) -> None:
    status, value, headers = post(rehearsal, asking())
    assert status == 200 and headers["request-id"] == "req_1"
    assert (value["type"], value["model"], value["stop_reason"]) == ("message", "claude-opus-5", "end_turn")
    assert value["content"] == [{"type": "text", "text": "391", "citations": None}]
    assert value["usage"]["output_tokens"] == 1 and rehearsal.answered["What is 17 * 23?"] == 1


def test_thinking_has_a_seal_and_comes_back_with_it(rehearsal: RehearsalServer) -> None:
    first = message(rehearsal, thinking={"type": "adaptive"}, output_config={"effort": "low"})
    thought, text = first["content"]
    assert thought["type"] == "thinking" and text["text"] == "391"
    talk = [*USER, {"role": "assistant", "content": [thought, text]}, {"role": "user", "content": "And?"}]
    assert message(rehearsal, messages=talk)["stop_reason"] == "end_turn"
    talk[1] = {"role": "assistant", "content": [{**thought, "thinking": "changed"}, text]}
    assert "signature" in post(rehearsal, asking(messages=talk))[1]["error"]["message"]
    hidden = message(rehearsal, thinking={"type": "adaptive", "display": "omitted"})["content"][0]
    assert hidden["thinking"] == "" and hidden["signature"]


def test_tools_both_ways(rehearsal: RehearsalServer) -> None:
    said = message(rehearsal, messages=[{"role": "user", "content": "Use add on 2 and 3"}], tools=[TOOL])
    assert said["stop_reason"] == "tool_use"
    (call,) = said["content"]
    assert call["name"] == "add" and call["input"] == {"a": 2, "b": 3}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "5"}
    talk = [{"role": "user", "content": "Use add"}, {"role": "assistant", "content": [call]}]
    done = message(rehearsal, messages=[*talk, {"role": "user", "content": [result]}], tools=[TOOL])
    assert done["content"][0]["text"] == "The tool says: 5"
    for wrong in ("no result", [{"type": "text", "text": "first"}, result], [{**result, "tool_use_id": "other"}]):
        status, value, _ = post(rehearsal, asking(messages=[*talk, {"role": "user", "content": wrong}], tools=[TOOL]))
        assert status == 400 and "tool_" in value["error"]["message"]


def test_refusals_and_cuts(rehearsal: RehearsalServer) -> None:
    refused = message(rehearsal, messages=[{"role": "user", "content": "[[refuse]]"}])
    assert refused["stop_reason"] == "refusal" and refused["stop_details"]["explanation"] and refused["content"] == []
    assert message(rehearsal, messages=[{"role": "user", "content": "[[filter]]"}])["stop_reason"] == "refusal"
    cut = message(rehearsal, max_tokens=2, messages=[{"role": "user", "content": "a" * 40}])
    assert cut["stop_reason"] == "max_tokens"


def test_caching(rehearsal: RehearsalServer) -> None:
    long = [{"type": "text", "text": "x" * 8_000, "cache_control": {"type": "ephemeral"}}]
    first, second = (message(rehearsal, system=long)["usage"] for _ in range(2))
    assert first["cache_creation_input_tokens"] > 2_000 and first["cache_read_input_tokens"] == 0
    assert second["cache_read_input_tokens"] > 1_900
    assert message(rehearsal, system="x" * 8_000)["usage"]["input_tokens"] > 2_000


def test_streams(rehearsal: RehearsalServer) -> None:
    raw = post(rehearsal, asking(stream=True, tools=[TOOL], messages=[{"role": "user", "content": "add 2 and 3"}]))[1]
    events = [json.loads(event.data) for event in server_events([raw])]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    pieces = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert json.loads("".join(pieces)) == {"a": 2, "b": 3}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("changes, words", [
    ({"max_tokens": None}, "max_tokens"), ({"max_tokens": "x"}, "whole number"), ({"model": ""}, "model"),
    ({"temperature": 1.0}, "temperature: Extra inputs are not permitted"), ({"foo": 1}, "foo: Extra inputs"),
    ({"messages": []}, "at least one message"), ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "non-whitespace"),
    ({"messages": [{"role": "user", "content": []}]}, "non-empty"),
    ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "expected tags"),
    ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "1024"),
    ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, "must be greater"), ({"thinking": {"type": "x"}}, "thinking"),
    ({"output_config": {"effort": "huge"}}, "effort"), ({"stop_sequences": [" "]}, "stop_sequences"),
    ({"tools": [{"name": "f", "input_schema": {}}]}, "input_schema"), ({"tools": [TOOL, TOOL]}, "unique"),
    ({"tools": [{**TOOL, "strict": True}]}, "additionalProperties"), ({"tool_choice": {"type": "any"}}, "while providing"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "not found"),
    ({"mcp_servers": [{"type": "url", "name": "s", "url": "https://s.example"}]}, "mcp_servers"),
    ({"output_config": {"format": {"type": "json_schema", "schema": {
        "type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "additionalProperties": False,
    }}}}, "minimum"),
    ({"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5}, "maximum of 4"),
    ({"messages": 3}, "messages"), ({"tools": [3]}, "well formed"),
])
def test_what_is_refused(rehearsal: RehearsalServer, changes: dict[str, Any], words: str) -> None:
    body = {name: value for name, value in asking(**changes).items() if value is not None}
    status, value, _ = post(rehearsal, body)
    assert status == 400 and value["type"] == "error" and value["error"]["type"] == "invalid_request_error"
    assert words in value["error"]["message"]


def test_versions(rehearsal: RehearsalServer) -> None:
    assert "header is required" in post(rehearsal, asking(), headers={})[1]["error"]["message"]
    assert post(rehearsal, asking(), headers={"anthropic-version": "2020-01-01"})[0] == 400
    assert post(rehearsal, asking(temperature=0.5), headers=OLD)[0] == 200
    assert post(rehearsal, asking(temperature=1.5), headers=OLD)[0] == 400


def test_counting_keys_models_and_limits() -> None:
    limits = RateLimits(requests=2, kind="rolling")
    with RehearsalServer(api_key="right", models=["claude-opus-5"], limits=limits, latency=0.0) as server:
        status, value, _ = post(server, asking())
        assert status == 401 and value["error"]["type"] == "authentication_error"
        headers = {**NEW, "x-api-key": "right"}
        status, value, _ = post(server, asking(model="claude-nine"), headers=headers)
        assert status == 404 and value["error"] == {"type": "not_found_error", "message": "model: claude-nine"}
        status, value, _ = post(server, {"model": "claude-opus-5", "messages": USER}, "/v1/messages/count_tokens", headers)
        assert status == 200 and value["input_tokens"] > 5
        told = post(server, asking(), headers=headers)[2]
        assert told["anthropic-ratelimit-requests-remaining"] == "1"
        assert told["anthropic-ratelimit-requests-reset"].endswith("Z")
        post(server, asking(), headers=headers)
        status, value, told = post(server, asking(), headers=headers)
        assert status == 429 and value["error"]["type"] == "rate_limit_error" and int(told["retry-after"]) > 0


@pytest.mark.parametrize("name", ["claude-4.5-haiku", "claude-4.6-sonnet", "claude-5-opus", "claude-5.5-sonnet"])
@pytest.mark.parametrize("effort", [None, "none", "high"])
def test_our_client(rehearsal: RehearsalServer, name: str, effort: Any) -> None:
    with LLMClient(name, base_url=rehearsal.base_url, api_key="k", progress=None, reasoning_effort=effort) as client:
        answer = client.ask("What is 17 * 23?").raise_for_error()
        assert answer.completion == "391" and answer.request_id == "req_1" and answer.cost
        assert bool(answer.thinking) == bool(answer.reasoning_tokens) == (effort == "high")
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        (row,) = client.process_prompts(["What is 17 * 23?"], output_schema=schema, cache="last_user_message")
        assert json.loads(row.raise_for_error().completion or "") == {"n": 391}
