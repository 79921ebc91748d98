"""Sealed thoughts, calls and blocks go back to the host that made them, and to no other of the same format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deluge import _plugins
from deluge.dialects._origin import origin
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt import Conversation, Message, Raw, Text, Thinking
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.wire import HttpReply

REPLIES: dict[str, Any] = {
    "anthropic": {"type": "message", "stop_reason": "tool_use", "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "SEAL"},
        {"type": "server_tool_use", "id": "srvtoolu_SEAL", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_SEAL", "content": []},
        {"type": "redacted_thinking", "data": "SEAL"}, {"type": "text", "text": "So"},
        {"type": "new_block", "seal": "SEAL"}, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}]},
    "openai_chat": {"choices": [{"finish_reason": "tool_calls", "message": {
        "content": "So", "reasoning_content": "SEAL", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}]},
    "openai_responses": {"status": "completed", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "SEAL"},
        {"type": "web_search_call", "id": "ws_SEAL", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}]},
    "gemini": {"candidates": [{"finishReason": "STOP", "content": {"role": "model", "parts": [
        {"text": "Hm", "thought": True, "thoughtSignature": "SEAL"}, {"text": "So", "thoughtSignature": "SEAL"},
        {"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "SEAL"}]}}]},
    "bedrock": {"stopReason": "tool_use", "output": {"message": {"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "SEAL"}}},
        {"toolUse": {"toolUseId": "c1", "name": "f", "input": {}}}]}}},
}


def context(prompt: Any, model: str, dialect: str) -> RequestContext:
    row = get_model(model)
    template = RequestTemplate(row, SamplingParams(), RequestOptions(), "https://host.example", "k", dialect=dialect)
    return RequestContext(as_conversation(prompt), template)


def answered(model: str, dialect: str) -> APIResponse:
    ctx = context("Hi", model, dialect)
    reply = HttpReply(200, {}, json.dumps(REPLIES[dialect]).encode())
    response: APIResponse = _plugins.load("dialects", dialect).parse(ctx, reply)
    return response.raise_for_error()


def sent(prompt: Any, model: str, dialect: str) -> str:
    body: bytes = _plugins.load("dialects", dialect).build(context(prompt, model, dialect)).body
    return body.decode()


def talk(response: APIResponse) -> Conversation:
    call = response.tool_calls[-1]
    return Conversation().user("Hi").with_response(response).with_tool_result(call.id, "five")


@pytest.mark.parametrize("dialect, model, name", [
    ("anthropic", "claude-5-opus", "anthropic"), ("anthropic", "claude-5-opus-vertex", "anthropic"),
    ("anthropic", "deepseek-v4-pro-anthropic-compat", "deepseek/anthropic"), ("openai_chat", "deepseek-flash", "deepseek"),
    ("openai_responses", "gpt-6-sol", "openai/openai_responses"), ("gemini", "gemini-3.8-flash", "google"),
    ("gemini", "gemini-3.8-flash-vertex", "vertex"), ("bedrock", "claude-5-opus-bedrock", "bedrock"),
])
def test_parts_bear_the_name_of_who_is_paid(dialect: str, model: str, name: str) -> None:
    assert origin(get_model(model), dialect) == name
    response = answered(model, dialect)
    assert response.content is not None
    providers = {getattr(part, "provider", None) for part in response.content.parts} - {None}
    assert providers == {name}


@pytest.mark.parametrize("dialect, model, readers, others", [
    ("anthropic", "claude-5-opus", ["claude-5.5-haiku", "claude-4.5-haiku-vertex"], ["deepseek-v4-pro-anthropic-compat"]),
    ("anthropic", "deepseek-v4-pro-anthropic-compat", ["deepseek-v4-flash-anthropic-compat"], ["claude-5-opus"]),
    ("openai_chat", "deepseek-flash", ["deepseek-v4-pro"], ["kimi-k2.6"]),
    ("openai_responses", "gpt-6-sol", ["gpt-5.6-sol"], ["grok-4.7", "gpt-6-sol-azure", "muse-spark-1.3"]),
    ("gemini", "gemini-3.8-flash", ["gemini-4-argon"], ["gemini-3.8-flash-vertex"]),
    ("bedrock", "claude-5-opus-bedrock", ["claude-4.5-haiku-bedrock-global"], []),
])
def test_seals_go_back_to_their_host_only(dialect: str, model: str, readers: list[str], others: list[str]) -> None:
    prompt = talk(answered(model, dialect))
    kept = Conversation.from_log(json.loads(json.dumps(prompt.to_log())))
    for reader in (model, *readers):
        assert sent(prompt, reader, dialect) == sent(kept, reader, dialect)
        assert sent(prompt, reader, dialect).count("SEAL") == json.dumps(REPLIES[dialect]).count("SEAL"), reader
    for other in others:
        body = sent(prompt, other, dialect)
        assert "SEAL" not in body and "five" in body, other


def test_a_model_that_does_not_reason_is_sent_no_reasoning() -> None:
    assert "rs_1" not in sent(talk(answered("gpt-6-sol", "openai_responses")), "gpt-4.1", "openai_responses")


def test_the_users_own_word_for_a_form_is_believed() -> None:
    said = Message("assistant", (Thinking("Hm", "SEAL", "openai_responses", "rs_1"),))
    assert "SEAL" in sent(Conversation().user("Hi").add(said).user("Go"), "grok-4.7", "openai_responses")
    document = Raw("anthropic", {"type": "document", "source": {"type": "url", "url": "https://host.example/SEAL.pdf"}})
    for model in ("claude-5-opus", "deepseek-v4-pro-anthropic-compat"):
        assert "SEAL" in sent(Conversation().user((document,)), model, "anthropic")


@pytest.mark.parametrize("dialect, model, kept", [
    ("openai_chat", "gpt-5.4", True), ("openai_chat", "mistral-large-4", False), ("openai_responses", "gpt-5.4", False),
    ("anthropic", "claude-5-opus", False), ("gemini", "gemini-3.8-flash", False), ("bedrock", "claude-5-opus-bedrock", False),
])
def test_who_speaks_is_sent_or_noted(dialect: str, model: str, kept: bool) -> None:
    prompt = Conversation([Message("user", (Text("I am here"),), name="ada"), Message("user", (Text("So am I"),), name="bob")])
    made = _plugins.load("dialects", dialect).build(context(prompt, model, dialect))
    assert (b'"ada"' in made.body) == kept and [note.parameter for note in made.notes if note.parameter == "name"] == \
        ([] if kept else ["name"])
