"""The chat protocol of the rehearsal provider, over HTTP."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from deluge._sse import server_events
from deluge.testing import RateLimits, RehearsalServer, rehearsal

__all__ = ["rehearsal"]
USER = [{"role": "user", "content": "hello JSON"}]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}}}


def post(server: RehearsalServer, body: Any, path: str = "/v1/chat/completions", key: str = "k",
         method: str = "POST") -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, {"Authorization": f"Bearer {key}"})
        reply = connection.getresponse()
        raw = reply.read()
        value = raw if "event-stream" in (reply.headers["content-type"] or "") else json.loads(raw)
        return reply.status, value, {name.lower(): value for name, value in reply.headers.items()}
    finally:
        connection.close()


def chat(**body: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1-mini", "messages": USER, **body}


def message(server: RehearsalServer, **body: Any) -> dict[str, Any]:
    status, value, _ = post(server, chat(**body))
    assert status == 200, value
    found: dict[str, Any] = value["choices"][0]["message"]
    return found


def test_a_completion(rehearsal: RehearsalServer) -> None:
    status, value, headers = post(rehearsal, chat(service_tier="auto"))
    assert status == 200 and headers["x-request-id"] == "req_1"
    assert (value["object"], value["model"], value["service_tier"]) == ("chat.completion", "gpt-4.1-mini", "default")
    assert value["choices"] == [{"index": 0,
                                 "message": {"role": "assistant", "content": "hello JSON", "refusal": None,
                                             "annotations": []},
                                 "logprobs": None, "finish_reason": "stop"}]
    usage = value["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] == 12


@pytest.mark.parametrize("change, status, code, words", [
    ({"model": "rehearsal-ecko"}, 404, "model_not_found", "does not exist"),
    ({"model": None}, 400, None, "provide a model"),
    ({"messages": None}, 400, "missing_required_parameter", "'messages'"),
    ({"messages": []}, 400, "empty_array", "'messages'"),
    ({"messages": "hi"}, 400, "invalid_type", "'messages'"),
    ({"messages": ["hi"]}, 400, "invalid_type", "expected an object"),
    ({"messages": [{"role": "alien", "content": "x"}]}, 400, "invalid_value", "alien"),
    ({"messages": [{"role": "user"}]}, 400, None, "'content'"),
    ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, 400, "invalid_value", "sound"),
    ({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}, 400, None,
     "the word 'json'"),
    ({"response_format": {"type": "json_schema"}}, 400, "missing_required_parameter", "json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}}, 400, None, "name"),
    ({"response_format": {"type": "json_schema",
                          "json_schema": {"name": "a", "strict": True, "schema": {"type": "object"}}}}, 400, None,
     "additionalProperties"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "#/x"}}}}, 400, None,
     "leads nowhere"),
    ({"messages": [*USER, {"role": "tool", "tool_call_id": "c", "content": "1"}]}, 400, None, "must be a response"),
    ({"messages": [*USER, {"role": "assistant",
                           "tool_calls": [{"id": "c", "type": "function",
                                           "function": {"name": "a", "arguments": "{}"}}]}]},
     400, None, "did not have response messages: c"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, 400, "invalid_type", "tool_calls"),
    ({"tools": []}, 400, "empty_array", "tools"),
    ({"tools": [{"type": "function"}]}, 400, "invalid_value", "tools"),
    ({"tool_choice": "auto"}, 400, None, "only allowed when 'tools'"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "sub"}}}, 400, "invalid_value", "sub"),
    ({"temperature": 3}, 400, "decimal_above_max_value", "temperature"),
    ({"max_tokens": 0}, 400, "integer_below_min_value", "max_tokens"),
    ({"n": "2"}, 400, "invalid_type", "'n'"),
    ({"top_logprobs": 3}, 400, None, "logprobs"),
    ({"stream_options": {"include_usage": True}}, 400, None, "stream"),
    ({"stop": list("abcde")}, 400, "array_above_max_length", "stop"),
    ({"reasoning_effort": "huge"}, 400, "invalid_value", "reasoning_effort"),
])
def test_what_is_refused(rehearsal: RehearsalServer, change: dict[str, Any], status: int, code: str | None,
                         words: str) -> None:
    got, value, _ = post(rehearsal, {name: value for name, value in chat(**change).items() if value is not None})
    assert (got, value["error"]["code"]) == (status, code) and words in value["error"]["message"], value
    assert rehearsal.errors == []


def test_a_body_that_is_not_json(rehearsal: RehearsalServer) -> None:
    for body in (b"{", b"[]", b""):
        assert post(rehearsal, body)[0] == 400


def test_keys_and_names() -> None:
    with RehearsalServer(api_key="right", models=("only",), latency=0) as server:
        assert post(server, chat(), key="wrong")[1]["error"]["code"] == "invalid_api_key"
        assert post(server, chat(), key="right")[0] == 404
        assert post(server, chat(model="only"), key="right")[0] == 200
        assert all("right" not in repr(seen) and "wrong" not in repr(seen) for seen in server.requests)


def test_models_and_other_paths(rehearsal: RehearsalServer) -> None:
    assert "rehearsal-echo" in [row["id"] for row in post(rehearsal, None, "/v1/models", method="GET")[1]["data"]]
    assert post(rehearsal, None, "/v1/models/rehearsal-slow", method="GET")[1]["id"] == "rehearsal-slow"
    assert post(rehearsal, None, "/v1/models/rehearsal-none", method="GET")[0] == 404
    assert post(rehearsal, {}, "/v1/unknown")[1]["error"]["code"] == "unknown_url"


def test_tools_in_both_directions(rehearsal: RehearsalServer) -> None:
    first = message(rehearsal, messages=[{"role": "user", "content": "add 2 and 40"}], tools=[TOOL])
    call = first["tool_calls"][0]
    assert first["content"] is None and json.loads(call["function"]["arguments"]) == {"a": 2, "b": 40}
    turns = [{"role": "user", "content": "add 2 and 40"}, first,
             {"role": "tool", "tool_call_id": call["id"], "content": "42"}]
    assert message(rehearsal, messages=turns, tools=[TOOL])["content"] == "The tool says: 42"


def test_structured_output(rehearsal: RehearsalServer) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
              "additionalProperties": False}
    found = message(rehearsal, messages=[{"role": "user", "content": "What is 6 * 7?"}], response_format={
        "type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}})
    assert json.loads(found["content"]) == {"n": 42}
    assert json.loads(message(rehearsal,
                              response_format={"type": "json_object"})["content"]) == {"answer": "hello JSON"}


def test_logprobs_reasoning_refusal_length_and_copies(rehearsal: RehearsalServer) -> None:
    _, value, _ = post(rehearsal, chat(logprobs=True, top_logprobs=2, n=2, reasoning_effort="low",
                                       max_completion_tokens=17))
    one, two = value["choices"]
    assert one == {**two, "index": 0} and one["finish_reason"] == "length" and one["message"]["content"] == "hell"
    row, = one["logprobs"]["content"]
    assert row["token"] == "hell" and row["logprob"] < 0 and len(row["top_logprobs"]) == 2
    assert bytes(row["bytes"]) == b"hell"
    assert len(one["message"]["reasoning_content"]) == 64
    assert value["usage"]["completion_tokens_details"]["reasoning_tokens"] == 32
    assert value["usage"]["completion_tokens"] == 34
    assert message(rehearsal, messages=[{"role": "user", "content": "[[refuse]]"}])["refusal"]


def test_long_prefixes_are_cached(rehearsal: RehearsalServer) -> None:
    system = {"role": "system", "content": "word " * 2000}
    usages = [post(rehearsal, chat(messages=[system, {"role": "user", "content": f"question {n}"}]))[1]["usage"]
              for n in range(3)]
    assert [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages] == [0, 2432, 2432]
    other = post(rehearsal, chat(model="other", messages=[system, *USER]))[1]["usage"]
    assert other["prompt_tokens_details"]["cached_tokens"] == 0


def folded(raw: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The message that a stream's deltas make, and its chunks."""
    *chunks, end = [event.data for event in server_events([raw])]
    assert end == "[DONE]"
    rows = [json.loads(chunk) for chunk in chunks]
    made: dict[str, Any] = {"content": "", "reasoning_content": "", "refusal": "", "calls": {}, "finish": None}
    for choice in (choice for row in rows for choice in row["choices"]):
        made["finish"] = choice["finish_reason"] or made["finish"]
        for name in ("content", "reasoning_content", "refusal"):
            made[name] += choice["delta"].get(name) or ""
        for call in choice["delta"].get("tool_calls", ()):
            kept = made["calls"].setdefault(call["index"], {"name": "", "arguments": ""})
            kept["name"] += call["function"].get("name") or ""
            kept["arguments"] += call["function"]["arguments"]
    return made, rows


@pytest.mark.parametrize("body", [
    {}, {"reasoning_effort": "high"}, {"messages": [{"role": "user", "content": "[[refuse]]"}]},
    {"messages": [{"role": "user", "content": "add 2 and 40"}], "tools": [TOOL]}, {"logprobs": True},
    {"messages": [{"role": "user", "content": "Write 3000 words"}], "max_tokens": 3000},
])
def test_a_stream_says_the_same(rehearsal: RehearsalServer, body: dict[str, Any]) -> None:
    _, whole, _ = post(rehearsal, chat(**body))
    _, raw, _ = post(rehearsal, chat(**body, stream=True, stream_options={"include_usage": True}))
    made, rows = folded(raw)
    choice = whole["choices"][0]
    for name in ("content", "reasoning_content", "refusal"):
        assert made[name] == (choice["message"].get(name) or "")
    assert [call["arguments"] for call in made["calls"].values()] == [
        call["function"]["arguments"] for call in choice["message"].get("tool_calls", ())]
    assert made["finish"] == choice["finish_reason"]
    assert rows[-1]["usage"] == whole["usage"] and rows[-1]["choices"] == [] and rows[0]["usage"] is None


def test_limits_are_told_and_kept() -> None:
    with RehearsalServer(latency=0, limits=RateLimits(requests=3, tokens=1000)) as server:
        replies = [post(server, chat()) for _ in range(4)]
        assert [status for status, _, _ in replies] == [200, 200, 200, 429]
        left = [int(headers["x-ratelimit-remaining-requests"]) for _, _, headers in replies]
        assert left == [2, 1, 0, 0]
        tokens = [int(headers["x-ratelimit-remaining-tokens"]) for _, _, headers in replies]
        assert tokens[0] > tokens[1] > tokens[2] and replies[0][2]["x-ratelimit-limit-tokens"] == "1000"
        _, value, headers = replies[3]
        assert value["error"]["code"] == "rate_limit_exceeded" and value["error"]["type"] == "requests"
        assert 0 < int(headers["retry-after-ms"]) <= 20_000 and 1 <= int(headers["retry-after"]) <= 20
        server.set_limits(None)
        assert post(server, chat())[0] == 200
        server.set_limits(RateLimits(tokens=5))
        status, value, headers = post(server, chat())
        assert status == 429 and "too large" in value["error"]["message"] and "retry-after" not in headers


def test_the_limited_model_has_limits_of_its_own(rehearsal: RehearsalServer) -> None:
    assert post(rehearsal, chat(model="rehearsal-limited"))[2]["x-ratelimit-limit-requests"] == "600"
    assert "x-ratelimit-limit-requests" not in post(rehearsal, chat(model="rehearsal-echo"))[2]
