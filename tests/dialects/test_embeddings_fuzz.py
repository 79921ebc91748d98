"""Replies of the formats that embed and rank, made of anything: a response comes of each, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzzing import context, values, wrapped
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge import _plugins
from deluge.prompt import Conversation, Message, Text
from deluge.request import RequestContext, purpose_of
from deluge.response import APIResponse
from deluge.wire import HttpReply

pytestmark = pytest.mark.slow

NAMES = [name for name in _plugins.names("dialects") if purpose_of(_plugins.load("dialects", name)) != "chat"]
WORDS = [
    "data", "embedding", "embeddings", "float", "index", "values", "usage",
    "usageMetadata", "promptTokenCount", "prompt_tokens",
    "total_tokens", "meta", "billed_units", "input_tokens", "results", "relevance_score", "score", "id", "model", "error",
    "message", "code", "AACAPw==", "base_resp", "status_code",
]
VALUES = values(WORDS)
NUMBERS = st.lists(st.floats() | st.integers() | st.none(), max_size=3)
ROW = st.fixed_dictionaries({}, optional={
    "index": st.integers(-1, 2) | st.none(), "embedding": NUMBERS | st.just("AACAPw=="), "values": NUMBERS,
    "relevance_score": st.floats() | st.none(),
})
PLACES = st.sampled_from([
    (), ("data",), ("data", 0), ("data", 0, "embedding"), ("embeddings",), ("embeddings", 0), ("embeddings", "float"),
    ("results",), ("results", 0), ("error",), ("usage",), ("meta", "billed_units"), ("base_resp",),
])


def asked(name: str) -> RequestContext:
    ctx = context(name)
    return ctx._replace(prompt=Conversation((Message("user", (Text("a"), Text("b"))),)).freeze())


def checked(name: str, reply: HttpReply) -> None:
    ctx = asked(name)
    response = _plugins.load("dialects", name).parse(ctx, reply)
    assert isinstance(response, APIResponse) and response.is_error == (response._verdict is not None)
    assert all(count >= 0 for count in response.usage.to_dict().values())
    assert response.cost is None or response.cost >= 0
    if not response.is_error:
        assert response.content is not None
        assert len(response.content.parts) == (2 if purpose_of(_plugins.load("dialects", name)) == "embed" else 1)
    json.dumps(response.to_log())


@pytest.mark.parametrize("name", NAMES)
@given(body=st.binary(max_size=200), status=st.integers(100, 599))
@settings(max_examples=60, deadline=None)
def test_any_bytes(name: str, body: bytes, status: int) -> None:
    checked(name, HttpReply(status, {}, body))


@pytest.mark.parametrize("name", NAMES)
@given(place=PLACES, value=VALUES, status=st.sampled_from([200, 200, 400, 429, 500]))
@settings(max_examples=120, deadline=None)
def test_any_json(name: str, place: tuple[Any, ...], value: Any, status: int) -> None:
    checked(name, HttpReply(status, {}, json.dumps(wrapped(place, value)).encode()))


@pytest.mark.parametrize("name", NAMES)
@given(rows=st.lists(ROW, min_size=1, max_size=3), field=st.sampled_from(["data", "embeddings", "results"]))
@settings(max_examples=120, deadline=None)
def test_rows_that_are_nearly_right(name: str, rows: list[Any], field: str) -> None:
    checked(name, HttpReply(200, {}, json.dumps({field: rows}).encode()))
