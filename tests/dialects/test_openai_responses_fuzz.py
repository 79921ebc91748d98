"""Whatever bytes a server of the Responses API sends, parsing gives a response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzzing import checked, context, values, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge._sse import server_events
from deluge.dialects.openai_responses import DIALECT
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext
from deluge.wire import HttpReply, ServerEvent

pytestmark = pytest.mark.slow

CTX = context("openai_responses", "reasoning", background=True)
NAMES = [
    "id", "type", "status", "output", "error", "code", "message", "content", "text", "output_text", "refusal", "reasoning",
    "summary", "summary_text", "encrypted_content", "function_call", "custom_tool_call", "call_id", "name", "arguments",
    "input", "action", "mcp_call", "image_generation_call", "result", "output_format", "annotations", "logprobs", "phase",
    "usage", "input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "cached_tokens", "cost",
    "output_tokens_details", "reasoning_tokens", "service_tier", "model", "incomplete_details", "reason", "response",
    "completed", "failed", "incomplete", "queued", "cancelled", "item", "delta", "output_index", "summary_index",
    "response.completed", "response.failed", "response.output_item.added", "response.output_item.done",
    "response.output_text.delta", "response.function_call_arguments.delta", "response.reasoning_summary_part.added",
    "container_id", "detail", "object", "max_output_tokens",
]
WORDS = st.sampled_from(NAMES)
VALUES = values(NAMES, 5)
ITEMS = st.dictionaries(WORDS, VALUES, max_size=4).flatmap(lambda item: st.sampled_from([
    {**item, "type": kind} for kind in
    ("message", "reasoning", "function_call", "custom_tool_call", "mcp_call", "image_generation_call", "x")
]))
REPLIES = st.builds(lambda more, output: {**more, "output": output}, st.dictionaries(WORDS, VALUES, max_size=4),
                    st.lists(ITEMS | VALUES, max_size=3))


@given(st.binary(max_size=200), st.integers(100, 599))
@settings(max_examples=100, deadline=None)
def test_any_bytes(body: bytes, status: int) -> None:
    checked(DIALECT.parse(CTX, HttpReply(status, {}, body)), DIALECT, CTX)
    checked(whole(DIALECT.events(CTX, server_events([b"data: ", body, b"\n\n"]))), DIALECT, CTX)


@given(REPLIES | VALUES, st.sampled_from([200, 200, 200, 400, 429, 500]))
@settings(max_examples=60, deadline=None)
def test_any_json(value: Any, status: int) -> None:
    checked(DIALECT.parse(CTX, HttpReply(status, {"x-request-id": "r"}, json.dumps(value).encode())), DIALECT, CTX)


@given(REPLIES)
@settings(max_examples=100, deadline=None)
def test_any_answer_can_be_sent_back(value: Any) -> None:
    response = DIALECT.parse(CTX, HttpReply(200, {}, json.dumps({**value, "status": "completed", "error": None}).encode()))
    checked(response, DIALECT, CTX)
    if response.content is not None:
        prompt = as_conversation("Hi").copy().with_response(response).user("And?").freeze()
        try:
            made = DIALECT.build(RequestContext(prompt, CTX.template))
        except ValueError:  # a number that JSON does not have came in the reply
            return
        assert isinstance(json.loads(made.body)["input"], list)


@given(st.lists(st.dictionaries(WORDS, VALUES, max_size=5), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_stream(chunks: list[Any]) -> None:
    checked(whole(DIALECT.events(CTX, [ServerEvent(json.dumps(chunk)) for chunk in chunks])), DIALECT, CTX)


@given(st.lists(st.tuples(st.binary(max_size=60) | REPLIES.map(lambda one: json.dumps(one).encode()),
                          st.sampled_from([0, 200, 200, 404, 503])), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_any_polls(replies: list[tuple[bytes, int]]) -> None:
    exchange = DIALECT.exchange(CTX)
    call = next(exchange)
    try:
        for body, status in [(b'{"id": "resp_1", "status": "queued"}', 200), *replies]:
            reply = HttpReply(status, {}, body) if status else HttpReply(failure="connection", message="lost")
            call = exchange.send((reply, CTX))
            assert call.method == "GET" and call.delay >= 1.0
    except StopIteration as end:
        checked(end.value, DIALECT, CTX)


@pytest.mark.parametrize("odd", [[None], {}, {"a": 1}, 7, True])
def test_words_that_are_none(odd: Any) -> None:
    for name in ("status", "id", "usage", "service_tier", "model", "error", "incomplete_details", "output"):
        body = {"output": [], "status": "completed", name: odd}
        checked(DIALECT.parse(CTX, HttpReply(200, {}, json.dumps(body).encode())), DIALECT, CTX)
        cut = json.dumps({**body, "status": "incomplete", name: odd}).encode()
        checked(DIALECT.parse(CTX, HttpReply(200, {}, cut)), DIALECT, CTX)
    for name in ("type", "id", "call_id", "content", "summary", "name", "arguments", "phase", "action", "result"):
        for kind in ("message", "reasoning", "function_call", "image_generation_call"):
            body = {"output": [{"type": kind, name: odd}], "status": "completed"}
            checked(DIALECT.parse(CTX, HttpReply(200, {}, json.dumps(body).encode())), DIALECT, CTX)


def test_json_nested_too_deeply() -> None:
    checked(DIALECT.parse(CTX, HttpReply(200, {}, b"[" * 100_000)), DIALECT, CTX)
    deep = b'{"output":[{"type":"message","content":' + b"[" * 5_000 + b"]" * 5_000 + b"}]}"
    checked(DIALECT.parse(CTX, HttpReply(200, {}, deep)), DIALECT, CTX)
