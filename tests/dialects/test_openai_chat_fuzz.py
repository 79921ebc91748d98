"""Whatever bytes a server sends, parsing gives a response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzzing import checked, context, values, whole, wrapped
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge._sse import server_events
from deluge.dialects.openai_chat import DIALECT
from deluge.wire import HttpReply, ServerEvent

pytestmark = pytest.mark.slow

CTX = context("openai_chat", "reasoning_object reasoning mistral_chunks")
NAMES = [
    "choices", "message", "content", "delta", "error", "code", "type", "tool_calls", "function", "arguments", "name",
    "id",
    "usage", "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "cached_tokens", "index",
    "finish_reason", "stop", "error", "content_filter", "reasoning_details", "reasoning", "thinking", "text",
    "logprobs",
    "refusal", "annotations", "images", "image_url", "url", "audio", "data", "details", "metadata", "raw", "message",
    "detail",
    "errors", "base_resp", "status_code", "cost", "service_tier", "model", "custom", "input", "extra_content", "google",
    "x_groq", "innererror", "retryDelay", "violations", "object", "status", "cost_details", "is_byok", "function_call",
]
VALUES = values(NAMES)
PLACES = st.sampled_from([
    (), ("choices", 0), ("choices", 0, "message"), ("choices", 0, "delta"), ("error",), ("usage",),
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
    deep = b'{"choices":[{"message":{"content":' + b"[" * 5_000 + b"]" * 5_000 + b"}}]}"
    checked(DIALECT.parse(CTX, HttpReply(200, {}, deep)), DIALECT, CTX)
