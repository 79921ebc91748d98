"""Whatever bytes a server sends, parsing gives a response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzzing import checked, context, values, whole, wrapped
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge._sse import server_events
from deluge.dialects.gemini import DIALECT
from deluge.wire import HttpReply, ServerEvent

pytestmark = pytest.mark.slow

CTX = context("gemini", "reasoning")
NAMES = [
    "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "id", "name", "args",
    "inlineData", "fileData", "mimeType", "data", "fileUri", "displayName", "executableCode", "codeExecutionResult",
    "outcome", "output", "toolCall", "toolResponse", "toolType", "response", "finishReason", "STOP", "SAFETY", "OTHER",
    "MAX_TOKENS", "finishMessage", "index", "promptFeedback", "blockReason", "blockReasonMessage", "usageMetadata",
    "promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount",
    "toolUsePromptTokenCount", "serviceTier", "trafficType", "logprobsResult", "chosenCandidates", "topCandidates",
    "token", "logProbability", "groundingMetadata", "modelVersion", "responseId", "error", "code", "message", "status",
    "details", "retryDelay", "violations", "quotaId", "reason", "GenerateRequestsPerDay",
]
VALUES = values(NAMES)
PLACES = st.sampled_from([
    (), ("candidates", 0), ("candidates", 0, "content", "parts"), ("candidates", 0, "content", "parts", 0), ("error",),
    ("usageMetadata",), ("candidates", 0, "logprobsResult"),
])


@given(st.binary(max_size=200), st.integers(100, 599))
@settings(max_examples=60, deadline=None)
def test_any_bytes(body: bytes, status: int) -> None:
    checked(DIALECT.parse(CTX, HttpReply(status, {}, body)), DIALECT, CTX)
    checked(whole(DIALECT.events(CTX, server_events([b"data: ", body, b"\n\n"]))), DIALECT, CTX)


@given(PLACES, VALUES, st.sampled_from([200, 200, 400, 429, 500]))
@settings(max_examples=80, deadline=None)
def test_any_json(place: tuple[Any, ...], value: Any, status: int) -> None:
    body = json.dumps(wrapped(place, value)).encode()
    checked(DIALECT.parse(CTX, HttpReply(status, {"x-request-id": "r"}, body)), DIALECT, CTX)


@given(st.lists(st.tuples(PLACES, VALUES), max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_stream(chunks: list[tuple[tuple[Any, ...], Any]]) -> None:
    events = [ServerEvent(json.dumps(wrapped(place, value))) for place, value in chunks]
    checked(whole(DIALECT.events(CTX, events)), DIALECT, CTX)


def test_json_nested_too_deeply() -> None:
    checked(DIALECT.parse(CTX, HttpReply(200, {}, b"[" * 100_000)), DIALECT, CTX)
    deep = b'{"candidates":[{"content":{"parts":' + b"[" * 5_000 + b"]" * 5_000 + b"}}]}"
    checked(DIALECT.parse(CTX, HttpReply(200, {}, deep)), DIALECT, CTX)
