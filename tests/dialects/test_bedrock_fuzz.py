"""Whatever bytes a server sends, parsing gives a response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzzing import checked, context, values, whole, wrapped
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge._eventstream import framed, stream_events
from deluge.dialects.bedrock import DIALECT
from deluge.wire import HttpReply, ServerEvent

pytestmark = pytest.mark.slow

URL = "https://bedrock-runtime.us-east-1.amazonaws.com"
CTX = context("bedrock", "reasoning", URL)
NAMES = [
    "output", "message", "content", "text", "toolUse", "toolUseId", "name", "input", "type", "toolResult", "status",
    "reasoningContent", "reasoningText", "signature", "redactedContent", "citationsContent", "citations", "citation",
    "image", "source", "bytes", "format", "stopReason", "end_turn", "content_filtered", "malformed_tool_use", "usage",
    "inputTokens", "outputTokens", "cacheDetails", "ttl", "1h", "cacheWriteInputTokens", "serviceTier", "trace",
    "promptRouter", "invokedModelId", "performanceConfig", "latency", "optimized", "__type", "Message", "start", "delta",
    "contentBlockIndex", "code", "json", "AQI=",
]
VALUES = values(NAMES)
PLACES = st.sampled_from([
    (), ("output",), ("output", "message"), ("output", "message", "content"), ("output", "message", "content", 0),
    ("usage",), ("delta",), ("start",), ("delta", "reasoningContent"), ("start", "toolUse"),
])
EVENTS = st.sampled_from([
    "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "other",
    "throttlingException", "",
])


@given(st.binary(max_size=200), st.integers(100, 599), st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_bytes(body: bytes, status: int, kind: str) -> None:
    checked(DIALECT.parse(CTX, HttpReply(status, {"x-amzn-errortype": kind}, body)), DIALECT, CTX)
    checked(whole(DIALECT.events(CTX, stream_events([body]))), DIALECT, CTX)
    checked(whole(DIALECT.events(CTX, stream_events([framed({":event-type": "contentBlockDelta"}, body)]))), DIALECT, CTX)


@given(PLACES, VALUES, st.sampled_from([200, 200, 400, 429, 500]))
@settings(max_examples=80, deadline=None)
def test_any_json(place: tuple[Any, ...], value: Any, status: int) -> None:
    body = json.dumps(wrapped(place, value)).encode()
    checked(DIALECT.parse(CTX, HttpReply(status, {"x-amzn-requestid": "r"}, body)), DIALECT, CTX)


@given(st.lists(st.tuples(EVENTS, PLACES, VALUES), max_size=5))
@settings(max_examples=80, deadline=None)
def test_any_stream(chunks: list[tuple[str, tuple[Any, ...], Any]]) -> None:
    events = [ServerEvent(json.dumps(wrapped(place, value)), kind) for kind, place, value in chunks]
    checked(whole(DIALECT.events(CTX, events)), DIALECT, CTX)


def test_json_nested_too_deeply() -> None:
    checked(DIALECT.parse(CTX, HttpReply(200, {}, b"[" * 100_000)), DIALECT, CTX)
    deep = b'{"output":{"message":{"content":[{"toolResult":{"content":' + b"[" * 5_000 + b"]" * 5_000 + b"}}]}}}"
    checked(DIALECT.parse(CTX, HttpReply(200, {}, deep)), DIALECT, CTX)


def test_a_broken_frame_is_a_torn_reply() -> None:
    raw = framed({":event-type": "messageStart"}, b"{}")
    response = whole(DIALECT.events(CTX, stream_events([raw, raw[:-1] + b"x"])))
    assert response.error_kind == "parse" and response._verdict is not None and response._verdict.retry
