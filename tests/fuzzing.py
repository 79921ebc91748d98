"""What the fuzz tests of all dialects share: any JSON, streams read to their end, and what holds for every response."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st

from deluge.errors import InputError
from deluge.models.model import Model, Price, Provider
from deluge.params import SamplingParams
from deluge.prompt import Conversation, ToolCall
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse


def context(dialect: str, flags: str = "", url: str = "https://h.example", **options: Any) -> RequestContext:
    """A prompt to a priced model of this dialect."""
    model = Model("m", "m", Provider("host", url, dialect), price=Price(1, 1), flags=frozenset(flags.split()))
    template = RequestTemplate(model, SamplingParams(logprobs=True), RequestOptions(keep_raw=True, **options), url)
    return RequestContext(as_conversation("Hi"), template, 1.0)


def values(words: Iterable[str], most: int = 4) -> Any:
    """Any JSON, made of these words where it can be."""
    word = st.sampled_from(list(words))
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | word
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(word, inner, max_size=most), max_leaves=12
    )


def wrapped(place: tuple[Any, ...], value: Any) -> Any:
    """The value at its place: names of objects, 0 for the one item of a list."""
    for step in reversed(place):
        value = [value] if step == 0 else {step: value}
    return value


def whole(events: Any) -> APIResponse:
    """The response at the end of a stream."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            response: APIResponse = end.value
            return response


def checked(response: Any, dialect: Any, ctx: RequestContext) -> None:
    """Holds for whatever came: it can be read, and what the model said can go back to it."""
    assert isinstance(response, APIResponse)
    assert response.is_error == (response._verdict is not None)
    repr(response), response.completion, response.thinking, response.tool_calls, response.refusal
    assert all(count >= 0 for count in response.usage.to_dict().values())
    assert response.cost is None or response.cost >= 0
    if response.content is None:
        return
    talk = Conversation().user("Hi").with_response(response)
    for call in response.content.parts:
        if type(call) is ToolCall and not call.built_in:
            talk.with_tool_result(call.id, "x")
    with suppress(InputError):  # numbers that JSON does not have; a call without a name
        json.loads(dialect.build(RequestContext(talk.user("And?").freeze(), ctx.template)).body)
