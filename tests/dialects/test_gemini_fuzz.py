"""Whatever bytes a server sends, parsing gives a response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge._sse import server_events
from deluge.dialects.gemini import DIALECT
from deluge.models.model import Model, Price, Provider
from deluge.params import SamplingParams
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.wire import HttpReply, ServerEvent

pytestmark = pytest.mark.slow

MODEL = Model("m", "m", Provider("host", "https://h.example", "gemini"), price=Price(1, 1), flags=frozenset({"reasoning"}))
CTX = RequestContext(
    as_conversation("Hi"),
    RequestTemplate(MODEL, SamplingParams(), RequestOptions(keep_raw=True), "https://h.example"), 1.0
)
WORDS = st.sampled_from([
    "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "id", "name", "args",
    "inlineData", "fileData", "mimeType", "data", "fileUri", "displayName", "executableCode", "codeExecutionResult",
    "outcome", "output", "toolCall", "toolResponse", "toolType", "response", "finishReason", "STOP", "SAFETY", "OTHER",
    "MAX_TOKENS", "finishMessage", "index", "promptFeedback", "blockReason", "blockReasonMessage", "usageMetadata",
    "promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount",
    "toolUsePromptTokenCount", "serviceTier", "trafficType", "logprobsResult", "chosenCandidates", "topCandidates",
    "token", "logProbability", "groundingMetadata", "modelVersion", "responseId", "error", "code", "message", "status",
    "details", "retryDelay", "violations", "quotaId", "reason", "GenerateRequestsPerDay",
])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)
PLACES = st.sampled_from([
    (), ("candidates", 0), ("candidates", 0, "content", "parts"), ("candidates", 0, "content", "parts", 0), ("error",),
    ("usageMetadata",), ("candidates", 0, "logprobsResult"),
])


def wrapped(place: tuple[Any, ...], value: Any) -> Any:
    for step in reversed(place):
        value = [value] if step == 0 else {step: value}
    return value


def checked(response: APIResponse) -> None:
    assert isinstance(response, APIResponse)
    assert response.is_error == (response._verdict is not None)
    repr(response), response.completion, response.thinking, response.tool_calls
    assert all(count >= 0 for count in response.usage.to_dict().values())


def whole(events: Any) -> APIResponse:
    while True:
        try:
            next(events)
        except StopIteration as end:
            response: APIResponse = end.value
            return response


@given(st.binary(max_size=200), st.integers(100, 599))
@settings(max_examples=60, deadline=None)
def test_any_bytes(body: bytes, status: int) -> None:
    checked(DIALECT.parse(CTX, HttpReply(status, {}, body)))
    checked(whole(DIALECT.events(CTX, server_events([b"data: ", body, b"\n\n"]))))


@given(PLACES, VALUES, st.sampled_from([200, 200, 400, 429, 500]))
@settings(max_examples=80, deadline=None)
def test_any_json(place: tuple[Any, ...], value: Any, status: int) -> None:
    body = json.dumps(wrapped(place, value)).encode()
    checked(DIALECT.parse(CTX, HttpReply(status, {"x-request-id": "r"}, body)))


@given(st.lists(st.tuples(PLACES, VALUES), max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_stream(chunks: list[tuple[tuple[Any, ...], Any]]) -> None:
    events = [ServerEvent(json.dumps(wrapped(place, value))) for place, value in chunks]
    checked(whole(DIALECT.events(CTX, events)))


def test_json_nested_too_deeply() -> None:
    checked(DIALECT.parse(CTX, HttpReply(200, {}, b"[" * 100_000)))
    deep = b'{"candidates":[{"content":{"parts":' + b"[" * 5_000 + b"]" * 5_000 + b"}}]}"
    checked(DIALECT.parse(CTX, HttpReply(200, {}, deep)))
