"""The rehearsal provider speaks generateContent: with our own client, and with requests as they come."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from deluge import Conversation, LLMClient, SamplingParams, Tool
from deluge.testing import RehearsalServer
from deluge.testing.limits import RateLimits

HI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "What is 6 * 7?"}]}]}
WEATHER = Tool("get_weather", "The weather.", {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
CALL = {"role": "model", "parts": [{"functionCall": {"id": "call_0_0", "name": "f", "args": {}}}]}
SIGNED = {"role": "model", "parts": [{**CALL["parts"][0], "thoughtSignature": "cw=="}]}  # type: ignore[dict-item]
RESULT = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}}}]}


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0) as running:
        yield running


def post(server: RehearsalServer, body: Any, path: str = "/v1beta/models/gemini-x:generateContent",
         key: str = "k") -> tuple[int, Any]:
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"x-goog-api-key": key})
    try:
        with urllib.request.urlopen(request) as reply:
            text = reply.read()
            return reply.status, json.loads(text) if "json" in reply.headers["content-type"] else text
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def client(server: RehearsalServer, model: str = "gemini-3.8-flash", **more: Any) -> LLMClient:
    return LLMClient(model, base_url=server.url + "/v1beta", api_key="k", progress="manual", **more)


def test_an_answer(server: RehearsalServer) -> None:
    status, reply = post(server, HI)
    assert status == 200 and reply["candidates"][0]["content"]["parts"] == [{"text": "42"}]
    assert reply["candidates"][0]["finishReason"] == "STOP" and reply["usageMetadata"]["promptTokenCount"] > 0


def test_a_stream_with_and_without_server_sent_events(server: RehearsalServer) -> None:
    path = "/v1/projects/p/locations/global/publishers/google/models/gemini-x:streamGenerateContent"
    body = {"contents": [{"parts": [{"text": "[[say " + "abc " * 20 + "]]"}]}]}
    status, text = post(server, body, path + "?alt=sse")
    chunks = [json.loads(line[6:]) for line in text.decode().splitlines() if line]
    assert status == 200 and len(chunks) > 3 and post(server, body, path)[1][0]["candidates"] == chunks[0]["candidates"]
    assert ["finishReason" in chunk["candidates"][0] for chunk in chunks].count(True) == 1


def test_tokens_and_models(server: RehearsalServer) -> None:
    assert post(server, HI, "/v1beta/models/x:countTokens")[1]["totalTokens"] > 0
    with urllib.request.urlopen(server.url + "/v1beta/models") as reply:
        assert any("rehearsal" in row["name"] for row in json.loads(reply.read())["models"])


@pytest.mark.parametrize("change, said", [
    ({"contents": []}, "contents is not specified"), ({"temperature": 1}, 'Unknown name "temperature"'),
    ({"generationConfig": {"max_tokens": 1}}, 'Unknown name "max_tokens" at'),
    ({"generationConfig": {"temperature": 3}}, "temperature"),
    ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
    ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
    ({"contents": [CALL, RESULT]}, "thought_signature"), ({"contents": [RESULT]}, "immediately after"),
    ({"contents": [SIGNED, {"role": "user", "parts": [{"text": "x"}]}]}, "equal to the number"),
    ({"contents": [SIGNED]}, "followed by"),
    ({"generationConfig": {"stopSequences": list("abcdef")}}, "must not exceed 5"),
    ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 1}}}, "only one"),
    ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "max"}}}, "thinking_level"),
    ({"generationConfig": {"responseJsonSchema": {}}}, "application/json"),
    ({"generationConfig": {"logprobs": 2}}, "response_logprobs"), ({"serviceTier": "fast"}, "service_tier"),
    ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_declarations"),
    ({"tools": [{"functionDeclarations": [{"name": "a b"}]}]}, "Invalid function name"),
])
def test_requests_that_are_refused(server: RehearsalServer, change: dict[str, Any], said: str) -> None:
    status, reply = post(server, {**HI, **change})
    assert status == 400 and reply["error"]["status"] == "INVALID_ARGUMENT" and said in reply["error"]["message"]


def test_our_client_gets_answers_thoughts_and_counts(server: RehearsalServer) -> None:
    with client(server, sampling_params=SamplingParams(reasoning_effort="low", max_new_tokens=200)) as one:
        (answer,) = one.process_prompts(["What is 6 * 7?"])
    assert answer.completion == "42" and answer.thinking and answer.finish_reason == "stop"
    assert answer.reasoning_tokens == 16 and answer.output_tokens == 17 and answer.cost
    assert answer.service_tier == "standard"


def test_our_client_streams_what_it_gets_whole(server: RehearsalServer) -> None:
    params = SamplingParams(reasoning_effort="high", max_new_tokens=400, logprobs=True, top_logprobs=2)
    prompt = "[[say " + "wide grey sea " * 9 + "]]"
    with client(server, "gemini-2.5-flash", sampling_params=params) as one:
        (whole,) = one.process_prompts([prompt])
        *deltas, streamed = one.stream_chat(prompt)
    for name in ("completion", "thinking", "usage", "finish_reason", "logprobs", "cost"):
        assert getattr(streamed, name) == getattr(whole, name), name
    assert "".join(delta.text for delta in deltas if delta.kind == "text") == whole.completion


def test_our_client_goes_through_rounds_of_calls(server: RehearsalServer) -> None:
    talk = Conversation().user("Use get_weather for 'Bonn'. [[rounds 2]]")
    with client(server) as one:
        for _ in range(2):
            (answer,) = one.process_prompts([talk], tools=[WEATHER])
            assert answer.finish_reason == "tool_calls" and answer.tool_calls[0].signature
            talk = talk.with_response(answer).with_tool_results([(call.id, "rain") for call in answer.tool_calls])
        (answer,) = one.process_prompts([talk], tools=[WEATHER])
    assert answer.completion == "The tool says: rain"


def test_schemas_and_choices(server: RehearsalServer) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    with client(server) as one:
        (answer,) = one.process_prompts(["Where is 'Bonn'?"], output_schema=schema)
        assert json.loads(answer.completion or "") == {"city": "Bonn"}
    tools = [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {}}}]}]
    forced = {"tools": tools, "tool_config": {"function_calling_config": {"mode": "ANY"}}}
    part = post(server, {**HI, **forced})[1]["candidates"][0]["content"]["parts"][0]
    assert part["functionCall"]["name"] == "f" and part["thoughtSignature"]


def test_keys_limits_and_blocks() -> None:
    with RehearsalServer(latency=0.0, api_key="right", limits=RateLimits(requests=1)) as server:
        status, reply = post(server, HI, key="wrong")
        assert status == 401 and reply["error"]["details"][0]["reason"] == "API_KEY_INVALID"
        assert post(server, HI, key="right")[0] == 200
        status, reply = post(server, HI, key="right")
        kinds = {detail["@type"].rpartition(".")[2]: detail for detail in reply["error"]["details"]}
        assert status == 429 and reply["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert kinds["RetryInfo"]["retryDelay"].endswith("s") and "PerMinute" in str(kinds["QuotaFailure"])


def test_filters_and_faults(server: RehearsalServer) -> None:
    with client(server, max_attempts=2) as one:
        filtered, fault = one.process_prompts(["[[filter]]", "Hello [[fault 503]]"])
    assert filtered.error_kind == "content_filter" and fault.error_kind == "overloaded"
