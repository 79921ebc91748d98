"""Whatever bytes a server sends, parsing gives a response; whatever schema a user gives, what is sent is lawful."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzzing import checked, context, values, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge._sse import server_events
from deluge.dialects.anthropic import DIALECT
from deluge.dialects.anthropic.schema import closed_schema
from deluge.response import APIResponse
from deluge.wire import HttpReply, ServerEvent

pytestmark = pytest.mark.slow

CTX = context("anthropic", "reasoning")
NAMES = [
    "type", "text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "mcp_tool_use", "x_tool_result", "content",
    "id", "name", "input", "signature", "citations", "citation", "tool_use_id", "is_error", "error_code", "message", "usage",
    "stop_reason", "stop_details", "explanation", "refusal", "end_turn", "error", "details", "container", "index", "delta",
    "content_block", "message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop",
    "text_delta", "input_json_delta", "partial_json", "thinking_delta", "signature_delta", "citations_delta", "model",
    "input_tokens", "output_tokens", "cache_creation", "output_tokens_details", "server_tool_use", "speed", "fast", "data",
]
VALUES = values(NAMES)
EVENTS = st.sampled_from([
    {"type": "message_start"}, {"type": "content_block_start", "index": 0}, {"type": "content_block_delta", "index": 0},
    {"type": "message_delta"}, {"type": "message_stop"}, {"type": "error"}, {"type": "ping"},
])
FIELDS = st.sampled_from(["message", "content_block", "delta", "usage", "error", "index"])


@given(st.binary(max_size=200), st.integers(100, 599))
@settings(max_examples=60, deadline=None)
def test_any_bytes(body: bytes, status: int) -> None:
    checked(DIALECT.parse(CTX, HttpReply(status, {}, body)), DIALECT, CTX)
    checked(whole(DIALECT.events(CTX, server_events([b"data: ", body, b"\n\n"]))), DIALECT, CTX)


@given(st.sampled_from([(), ("content", 0), ("usage",), ("error",), ("stop_details",)]), VALUES,
       st.sampled_from([200, 200, 200, 400, 429, 500]))
@settings(max_examples=80, deadline=None)
def test_any_json(place: tuple[Any, ...], value: Any, status: int) -> None:
    for step in reversed(place):
        value = [value] if step == 0 else {step: value}
    if place and status == 200:
        value = {"content": [], "stop_reason": "refusal", **value}
    checked(DIALECT.parse(CTX, HttpReply(status, {"request-id": "r"}, json.dumps(value).encode())), DIALECT, CTX)


@given(st.lists(st.tuples(EVENTS, FIELDS, VALUES), max_size=6))
@settings(max_examples=80, deadline=None)
def test_any_stream(found: list[tuple[dict[str, Any], str, Any]]) -> None:
    begun = [{"type": "message_start", "message": {"id": "m", "usage": {}}}]
    begun += [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}]
    events = begun + [{**event, field: value} for event, field, value in found]
    checked(whole(DIALECT.events(CTX, [ServerEvent(json.dumps(event)) for event in events])), DIALECT, CTX)


def test_json_nested_too_deeply() -> None:
    checked(DIALECT.parse(CTX, HttpReply(200, {}, b"[" * 100_000)), DIALECT, CTX)
    deep = b'{"content":[{"type":"tool_use","input":' + b"[" * 5_000 + b"]" * 5_000 + b"}]}"
    response = DIALECT.parse(CTX, HttpReply(200, {}, deep))
    assert isinstance(response, APIResponse)


# -- schemas --------------------------------------------------------------------------------------------------------

KEYS = st.sampled_from([
    "type", "properties", "items", "anyOf", "oneOf", "allOf", "enum", "const", "required", "format", "minItems", "minimum",
    "additionalProperties", "$ref", "$defs", "definitions", "description", "default", "nullable", "string", "object", "array",
])
SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers() | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12,
)
ALLOWED = {
    "type", "properties", "items", "anyOf", "allOf", "enum", "const", "required", "format", "minItems", "additionalProperties",
    "$ref", "$defs", "description", "title",
}


@given(st.dictionaries(KEYS, SCHEMAS, max_size=5))
@settings(max_examples=80, deadline=None)
def test_any_schema_is_closed_or_refused(schema: dict[str, Any]) -> None:
    before = repr(schema)
    closed = closed_schema(schema)
    assert repr(schema) == before
    if closed is not None:
        assert closed.schema.keys() <= ALLOWED


@pytest.mark.parametrize("schema, wanted", [
    ({"type": "string", "pattern": "a+", "format": "email"},
     {"type": "string", "format": "email", "description": "{pattern: a+}"}),
    ({"type": "string", "format": "color", "title": "C"}, {"type": "string", "title": "C", "description": "{format: color}"}),
    ({"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 3},
     {"type": "array", "items": {"type": "number"}, "minItems": 1, "description": "{maxItems: 3}"}),
    ({"type": "array", "items": {"type": "number"}, "minItems": 2},
     {"type": "array", "items": {"type": "number"}, "description": "{minItems: 2}"}),
    ({"type": ["string", "null"], "description": "D"},
     {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "D"}),
    ({"type": "string", "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ({"type": "string", "enum": ["a", None]}, {"enum": ["a", None]}), ({"const": 1, "type": "integer"}, {"const": 1}),
    ({"oneOf": [{"type": "string"}, {"type": "null"}], "default": None},
     {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "{default: None}"}),
    ({"$ref": "#/definitions/A", "definitions": {"A": {"type": "object", "properties": {}, "additionalProperties": False}}},
     {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {}, "additionalProperties": False}}}),
    ({"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "null"}}},
     {"$ref": "#/$defs/A", "$defs": {"A": {"type": "null"}}}),
    ({"properties": {"a": {"type": "boolean"}}, "required": ["a"], "$schema": "x"},
     {"type": "object", "properties": {"a": {"type": "boolean"}}, "additionalProperties": False, "required": ["a"]}),
])
def test_closed_schemas(schema: dict[str, Any], wanted: dict[str, Any]) -> None:
    closed = closed_schema(schema)
    assert closed is not None and closed.schema == wanted


def test_what_a_closed_schema_loses() -> None:
    for schema in ({"type": "object"}, {"type": "object", "additionalProperties": {"type": "string"}}, {}, {"not": {}},
                   {"allOf": [{"type": "object"}, {"type": "object"}]}):
        closed = closed_schema(schema)
        assert closed is not None and closed.lost, schema
    assert closed_schema({"type": "array", "items": 3}) is None
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(5_000):
        deep = {"type": "array", "items": deep}
    assert closed_schema(deep) is None
