"""The provider's own tools: their dicts go out as they are, what they did comes back as parts and goes back unchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_recordings import FILES, body_of, context, load

from deluge import _plugins
from deluge.models.model import Model, Provider
from deluge.params import SamplingParams
from deluge.prompt import Conversation, Image, Text, ToolCall, ToolResult
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.wire import HttpReply

DIALECTS = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock")
TOOLS: dict[str, list[dict[str, Any]]] = {
    "openai_chat": [{"type": "custom", "custom": {"name": "code", "description": "Runs it."}}],
    "openai_responses": [
        {"type": "web_search"}, {"type": "file_search", "vector_store_ids": ["vs_1"]}, {"type": "shell"},
        {"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "image_generation"}, {"type": "apply_patch"},
        {"type": "computer"}, {"type": "mcp", "server_label": "dice", "server_url": "https://dice.example/mcp"},
    ],
    "anthropic": [
        {"type": "web_search_20260318", "name": "web_search", "max_uses": 3},
        {"type": "web_fetch_20260318", "name": "web_fetch"},
        {"type": "code_execution_20260521", "name": "code_execution"}, {"type": "memory_20250818", "name": "memory"},
        {"type": "bash_20250124", "name": "bash"}, {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        {"type": "computer_20251124", "name": "computer", "display_width_px": 1280, "display_height_px": 800},
    ],
    "gemini": [{"googleSearch": {}}, {"codeExecution": {}}, {"urlContext": {}}, {"computerUse": {"environment": "BROWSER"}}],
    "bedrock": [
        {"systemTool": {"name": "nova_grounding"}}, {"type": "bash_20250124", "name": "bash"},
        {"type": "computer_20250124", "name": "computer", "display_width_px": 1280, "display_height_px": 800},
    ],
}
BUILT_IN = [
    path for path in FILES
    if any(part in ("ToolResult", "ToolCall") for part in load(path)["expect"].get("parts", ()))
    or any(call.get("built_in") for call in load(path)["expect"].get("tool_calls", ()))
]


FLAGS = frozenset({"supports_tools", "anthropic_fields", "reasoning"})


def built(dialect: str, prompt: Conversation, tools: Any = (), row: Model | None = None) -> Any:
    row = row or Model("m", "m", Provider(f"host-of-{dialect}", "https://host.example", dialect), flags=FLAGS)
    template = RequestTemplate(row, SamplingParams(), RequestOptions(tools=tuple(tools)), "https://host.example", "key")
    return _plugins.load("dialects", dialect).build(RequestContext(prompt, template))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dicts_go_out_as_they_are(dialect: str) -> None:
    call = built(dialect, Conversation().user("Hi").freeze(), TOOLS[dialect])
    body = json.loads(call.body)
    if dialect == "bedrock":
        sent = [*body["toolConfig"]["tools"], *body["additionalModelRequestFields"]["tools"]]
        assert body["additionalModelRequestFields"]["anthropic_beta"] == ["computer-use-2025-01-24"]
    else:
        sent = body["tools"]
    assert sent == TOOLS[dialect]
    if dialect == "anthropic":
        assert call.headers["anthropic-beta"] == "computer-use-2025-11-24"


def answer(path: Any) -> tuple[str, APIResponse, Any]:
    data, dialect = load(path), path.parent.name
    reply = HttpReply(data.get("status", 200), dict(data.get("headers", {})), body_of(data))
    return dialect, _plugins.load("dialects", dialect).parse(context(data, dialect), reply), data["reply"]


def blocks_of(dialect: str, reply: Any) -> list[Any]:
    """What the provider said, block by block, but for texts."""
    if dialect == "openai_responses":
        return [item for item in reply["output"] if item["type"] not in ("message", "reasoning")]
    if dialect == "anthropic":
        blocks = reply["content"]
    elif dialect == "gemini":
        blocks = reply["candidates"][0]["content"]["parts"]
    elif dialect == "bedrock":
        blocks = reply["output"]["message"]["content"]
    else:
        return list(reply["choices"][0]["message"].get("tool_calls") or ())
    return [block for block in blocks if "text" not in block and "reasoningContent" not in block]


def sent_blocks(dialect: str, body: Any) -> list[Any]:
    if dialect == "openai_responses":
        return list(body["input"])
    if dialect == "gemini":
        return [part for content in body["contents"] for part in content["parts"]]
    if dialect == "openai_chat":
        return [call for message in body["messages"] for call in message.get("tool_calls", ())]
    return [block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]]


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_calls_and_results_go_back_unchanged(path: Any) -> None:
    dialect, response, reply = answer(path)
    assert response.content is not None and response.tool_calls
    talk = Conversation().user("Hi").with_response(response)
    for call in response.tool_calls:
        if not call.built_in:
            talk.with_tool_result(call.id, "done")
    row = context(load(path), dialect).model
    sent = sent_blocks(dialect, json.loads(built(dialect, talk.user("Go on.").freeze(), row=row).body))
    for block in blocks_of(dialect, reply):
        assert block in sent, block


@pytest.mark.parametrize("other", DIALECTS)
@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_other_providers_never_see_them(path: Any, other: str) -> None:
    dialect, response, reply = answer(path)
    if other == dialect or not all(call.built_in for call in response.tool_calls):
        return
    body = built(other, Conversation().user("Hi").with_response(response).user("Go on.").freeze()).body.decode()
    for part in (response.content.parts if response.content else ()):
        if isinstance(part, (ToolCall, ToolResult)):
            id = part.id if isinstance(part, ToolCall) else part.tool_call_id
            assert id not in body and "tool_use" not in body and "functionCall" not in body
    assert "Go on." in body


def test_results_that_stand_in_the_call_of_the_responses_api() -> None:
    items = [
        {"type": "mcp_call", "id": "a", "name": "roll", "arguments": "{}", "output": "5", "error": None},
        {"type": "mcp_call", "id": "b", "name": "roll", "arguments": "{}", "output": None, "error": {"message": "no dice"}},
        {"type": "code_interpreter_call", "id": "c", "code": "x", "outputs": [{"type": "logs", "logs": "4\n"}]},
        {"type": "code_interpreter_call", "id": "d", "code": "x", "outputs": [
            {"type": "logs", "logs": "drawn"}, {"type": "image", "url": "https://h.example/i.png"}]},
        {"type": "file_search_call", "id": "e", "queries": ["q"], "results": [{"file_id": "f"}]},
        {"type": "shell_call", "call_id": "f", "action": {"commands": ["ls"]}, "environment": {"type": "container_auto"}},
        {"type": "shell_call_output", "call_id": "f", "output": "total 0"},
        {"type": "web_search_call", "id": "g", "action": {"type": "search"}},
    ]
    reply = {"id": "r", "status": "completed", "model": "m", "output": items}
    row = Model("m", "m", Provider("host", "https://host.example", "openai_responses"), flags=FLAGS)
    template = RequestTemplate(row, SamplingParams(), RequestOptions(), "https://host.example", "key")
    dialect = _plugins.load("dialects", "openai_responses")
    response = dialect.parse(RequestContext(Conversation().user("x").freeze(), template),
                             HttpReply(200, {}, json.dumps(reply).encode()))
    assert response.content is not None
    results = {result.tool_call_id: result for result in response.content.tool_results}
    assert {id: result.content for id, result in results.items()} == {
        "a": "5", "b": '{"message":"no dice"}', "c": "4\n", "d": (Text("drawn"), Image(url="https://h.example/i.png")),
        "e": '[{"file_id":"f"}]', "f": "total 0"}
    assert all(result.built_in for result in results.values()) and [id for id in results if results[id].is_error] == ["b"]
    talk = Conversation().user("x").with_response(response).user("y").freeze()
    sent = json.loads(built("openai_responses", talk, row=row).body)
    assert [item for item in sent["input"] if "type" in item] == items


def test_what_groq_executed_is_told_and_not_sent_back() -> None:
    call = {"index": 0, "type": "search", "arguments": '{"query": "rain"}'}
    message = {"role": "assistant", "content": "It rains.", "executed_tools": [call, {**call, "output": "Rain everywhere."}]}
    reply = {"id": "r", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    row = Model("m", "m", Provider("groq", "https://host.example"), flags=FLAGS)
    template = RequestTemplate(row, SamplingParams(), RequestOptions(), "https://host.example", "key")
    ctx = RequestContext(Conversation().user("x").freeze(), template)
    response = _plugins.load("dialects", "openai_chat").parse(ctx, HttpReply(200, {}, json.dumps(reply).encode()))
    assert response.content is not None and [type(part) for part in response.content.parts] == [ToolCall, ToolResult, Text]
    assert response.tool_calls[0].arguments == {"query": "rain"} and response.tool_calls[0].built_in
    assert response.content.tool_results[0].content == "Rain everywhere." and response.finish_reason == "stop"
    body = json.loads(built("openai_chat", Conversation().user("x").with_response(response).user("y").freeze(), row=row).body)
    assert body["messages"][1] == {"role": "assistant", "content": "It rains."}
