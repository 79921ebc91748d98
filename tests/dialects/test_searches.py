"""What the provider's own tools cost is in the cost of an answer, or the cost is not known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deluge import _plugins
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.wire import HttpReply

TEXT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A", "annotations": []}]}
CITED = [{"type": "url_citation", "url_citation": {"url": "https://h.example", "title": "t"}}]


def answered(dialect: str, model: str, reply: dict[str, Any]) -> APIResponse:
    template = RequestTemplate(get_model(model), SamplingParams(), RequestOptions(), "https://h.example", "k", dialect=dialect)
    ctx = RequestContext(as_conversation("Hi"), template)
    response: APIResponse = _plugins.load("dialects", dialect).parse(ctx, HttpReply(200, {}, json.dumps(reply).encode()))
    return response.raise_for_error()


def tool(kind: str, action: str | None = None) -> dict[str, Any]:
    return {"type": kind, "id": "x", "status": "completed", **({} if action is None else {"action": {"type": action}})}


@pytest.mark.parametrize("items, more", [
    ([], 0.0), ([tool("web_search_call", "search")] * 3 + [tool("web_search_call", "open_page")], 0.03),
    ([tool("web_search_call")], 0.01), ([tool("mcp_call")], 0.0), ([tool("file_search_call")], None),
    ([tool("code_interpreter_call")], None), ([tool("image_generation_call")], None),
])
def test_responses(items: list[dict[str, Any]], more: float | None) -> None:
    usage = {"input_tokens": 1_000_000, "output_tokens": 0, "total_tokens": 1_000_000}
    reply = {"status": "completed", "output": [*items, TEXT], "usage": usage}
    plain = answered("openai_responses", "gpt-5.1", {**reply, "output": [TEXT]}).cost
    cost = answered("openai_responses", "gpt-5.1", reply).cost
    assert plain and cost == (None if more is None else pytest.approx(plain + more))
    told = answered("openai_responses", "grok-4.3", {**reply, "usage": {**usage, "cost": 0.5}})
    assert told.cost == 0.5 and (answered("openai_responses", "grok-4.3", reply).cost is None) == bool(items and more != 0.0)


@pytest.mark.parametrize("model, wanted", [("claude-5-opus", 5.02), ("claude-5-opus-vertex", None)])
def test_anthropic(model: str, wanted: float | None) -> None:
    usage = {"input_tokens": 1_000_000, "output_tokens": 0, "server_tool_use": {"web_search_requests": 2}}
    reply = {"type": "message", "content": [{"type": "text", "text": "A"}], "stop_reason": "end_turn", "usage": usage}
    assert answered("anthropic", model, reply).cost == (None if wanted is None else pytest.approx(wanted))


def test_gemini() -> None:
    candidate: dict[str, Any] = {"finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "A"}]}}
    reply = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 9}}
    assert answered("gemini", "gemini-3.8-flash", reply).cost
    candidate["groundingMetadata"] = {"webSearchQueries": ["q"]}
    assert answered("gemini", "gemini-3.8-flash", reply).cost is None


def test_chat() -> None:
    message: dict[str, Any] = {"role": "assistant", "content": "A", "annotations": []}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    reply = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    assert answered("openai_chat", "gpt-4o", reply).cost
    message["annotations"] = CITED
    assert answered("openai_chat", "gpt-4o", reply).cost is None
    assert answered("openai_chat", "openrouter:x/y", {**reply, "usage": {**usage, "cost": 0.25}}).cost == 0.25
