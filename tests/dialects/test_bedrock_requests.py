"""What the Bedrock dialect sends: input to exact body."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from deluge._plugins import load
from deluge.dialects.bedrock import DIALECT
from deluge.errors import InputError
from deluge.models.model import Model, Provider
from deluge.models.registry import get_model
from deluge.params import EFFORTS, SamplingParams
from deluge.prompt import Audio, Conversation, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.tools import MCPServer, Tool
from deluge.wire import HttpCall, HttpReply

URL = "https://bedrock-runtime.eu-west-1.amazonaws.com"
TOOL = Tool("f", "Does f.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
CLOSED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
POINT = {"cachePoint": {"type": "default"}}
CLAUDES = (
    "claude-3-haiku-bedrock", "claude-4-sonnet-bedrock", "claude-4.1-opus-bedrock", "claude-4.5-haiku-bedrock",
    "claude-4.5-opus-bedrock", "claude-4.6-sonnet-bedrock", "claude-4.7-opus-bedrock", "claude-4.8-opus-bedrock",
    "claude-5-sonnet-bedrock", "claude-5-opus-bedrock", "claude-5.5-haiku-bedrock", "claude-5.5-sonnet-bedrock",
    "claude-5.5-opus-bedrock", "claude-fable-5-bedrock", "claude-fable-5.1-bedrock-global",
)


def model(flags: str = "", efforts: str = "", **fields: Any) -> Model:
    tiers = tuple(fields.pop("tiers", "").split())
    provider = Provider("host", URL, "bedrock", service_tiers=tiers, **fields.pop("provider", {}))
    words = {"flags": frozenset(flags.split()), "efforts": tuple(efforts.split())}
    return Model("a-model", "its-name", provider, **words, **fields)


def call(row: Model | str, prompt: Any = "Hi", *, stream: bool = False, key: str | None = "k", url: str = URL,
         params: dict[str, Any] | None = None, **options: Any) -> HttpCall:
    row = get_model(row) if isinstance(row, str) else row
    template = RequestTemplate(row, SamplingParams(**params or {}), RequestOptions(**options), url, key, "bedrock")
    return DIALECT.build(RequestContext(as_conversation(prompt), template, stream=stream))


def body(row: Model | str, prompt: Any = "Hi", **more: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(call(row, prompt, **more).body)
    return data


def beyond(row: Model | str, prompt: Any = "Hi", **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is in the body beside the usual fields, and the notes."""
    made = call(row, prompt, **more)
    data = json.loads(made.body)
    data.pop("messages")
    for name in ("maxTokens", "temperature", "topP"):
        data["inferenceConfig"].pop(name, None)
    if not data["inferenceConfig"]:
        del data["inferenceConfig"]
    return data, {note.parameter: note.reason for note in made.notes}


def messages(prompt: Any, flags: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(model(flags), prompt)["messages"]
    return found


def test_plain_text() -> None:
    made = call("nova-pro")
    assert made.method == "POST" and made.url == f"{URL}/model/us.amazon.nova-pro-v1%3A0/converse" and not made.stream
    assert json.loads(made.body) == {
        "inferenceConfig": {"maxTokens": 512, "temperature": 0.75, "topP": 1.0},
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
    }
    assert made.headers == {
        "content-type": "application/json", "accept": "application/json", "authorization": "Bearer k",
    }
    assert made.notes == () and made.sign is None


def test_streams_have_their_own_path_and_framing() -> None:
    made = call("nova-pro", stream=True)
    assert made.stream and made.url.endswith("/model/us.amazon.nova-pro-v1%3A0/converse-stream")
    assert made.headers["accept"] == "application/vnd.amazon.eventstream" and "stream" not in json.loads(made.body)
    assert DIALECT.framing == "eventstream"


def test_an_arn_is_one_step_of_the_path() -> None:
    row = Model("m", "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x", Provider("aws", URL, "bedrock"))
    assert call(row).url == (
        f"{URL}/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x/converse"
    )


def test_without_a_token_the_request_is_signed() -> None:
    made = call("nova-pro", key=None)
    assert made.sign == "aws" and made.sign_args == {"service": "bedrock"} and "authorization" not in made.headers
    assert call(model(), key=None).sign is None


def test_the_shared_part_is_made_once() -> None:
    template = RequestTemplate(model(), SamplingParams(), RequestOptions(), URL, "k")
    one, two = (DIALECT.build(RequestContext(as_conversation(text), template)) for text in ("a", "b"))
    assert one.headers is two.headers and json.loads(two.body)["messages"][0]["content"] == [{"text": "b"}]


@pytest.mark.parametrize("text", ["\ud800 half", "a\u0000b", "ü" * 100_000, "NaN", '"}]'])
def test_any_text_can_be_said(text: str) -> None:
    assert messages(text) == [{"role": "user", "content": [{"text": text}]}]


def test_headers_of_the_user_win() -> None:
    made = call("nova-pro", extra_headers={
        "Authorization": "Bearer mine", "anthropic-beta": "x", "openai-organization": "o",
        "X-Amzn-Bedrock-Trace": "ENABLED",
    })
    assert made.headers["authorization"] == "Bearer mine" and made.headers["x-amzn-bedrock-trace"] == "ENABLED"
    assert "additionalModelRequestFields" not in json.loads(made.body)
    assert "anthropic-beta" not in call("claude-4.6-sonnet-bedrock", extra_headers={"anthropic-beta": "x"}).headers


def test_openai_on_bedrock_gets_amazons_headers_and_is_signed() -> None:
    row = get_model("gpt-oss-120b-bedrock")
    template = RequestTemplate(row, SamplingParams(), RequestOptions(extra_headers={
        "X-Amzn-Bedrock-GuardrailIdentifier": "g"}), URL + "/openai/v1")
    made = load("dialects", "openai_chat").build(RequestContext(as_conversation("Hi"), template))
    assert made.sign == "aws" and made.headers["x-amzn-bedrock-guardrailidentifier"] == "g"


# -- parameters -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("flags, params, wanted, noted", [
    ("", {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2, "topP": 0.9}, set()),
    ("", {"temperature": 1.5}, {"temperature": 1.0, "topP": 1.0}, {"temperature"}),
    ("", {"temperature": 1.0}, {"temperature": 1.0, "topP": 1.0}, set()),
    ("sampling_fixed", {}, {}, set()),
    ("sampling_fixed", {"temperature": 0.2}, {}, {"temperature"}),
    ("sampling_fixed", {"temperature": 1.0, "top_p": 1.0}, {}, set()),
    ("temperature_xor_top_p", {}, {"temperature": 0.75}, set()),
    ("temperature_xor_top_p", {"top_p": 0.3}, {"topP": 0.3}, set()),
    ("temperature_xor_top_p", {"top_p": 0.3, "temperature": 0.2}, {"temperature": 0.2}, {"top_p"}),
])
def test_sampling(flags: str, params: dict[str, Any], wanted: dict[str, Any], noted: set[str]) -> None:
    made = call(model(flags), params=params)
    config = json.loads(made.body)["inferenceConfig"]
    assert config == {"maxTokens": 512, **wanted} and {note.parameter for note in made.notes} == noted


def test_stop_sequences() -> None:
    assert beyond(model(), params={"stop": ("a", "b")}) == ({"inferenceConfig": {"stopSequences": ["a", "b"]}}, {})
    assert beyond(model("no_stop"), params={"stop": "a"})[1].keys() == {"stop"}
    assert beyond(model(), params={"stop": (" ", "b")}) == (
        {"inferenceConfig": {"stopSequences": ["b"]}}, {"stop": "the model takes no stop sequence that is blank"})


@pytest.mark.parametrize("params, noted", [
    ({"seed": 7}, {"seed"}), ({"logprobs": True, "top_logprobs": 3}, {"logprobs", "top_logprobs"}),
    ({"top_logprobs": 3}, {"top_logprobs"}), ({"json_mode": True}, {"json_mode"}), ({"verbosity": "low"}, {"verbosity"}),
    ({"reasoning_effort": "high"}, {"reasoning_effort"}), ({"thinking_budget": 2_000}, {"thinking_budget"}),
    ({"reasoning_effort": "none"}, set()), ({"logprobs": False, "json_mode": False}, set()),
])
def test_what_converse_has_no_words_for_is_said(params: dict[str, Any], noted: set[str]) -> None:
    data, notes = beyond("nova-lite", params=params)
    assert data == {} and notes.keys() == noted


@pytest.mark.parametrize("row, params, fields, config, noted", [
    ("claude-3-haiku-bedrock", {"reasoning_effort": "high"}, {}, {}, {"reasoning_effort"}),
    ("claude-4-sonnet-bedrock", {"thinking_budget": 2_000}, {"type": "enabled", "budget_tokens": 2_000}, {}, set()),
    ("claude-4.5-haiku-bedrock", {"reasoning_effort": "medium"}, {"type": "enabled", "budget_tokens": 8_192}, {}, set()),
    ("claude-4.5-haiku-bedrock", {"reasoning_effort": "none"}, {"type": "disabled"}, {}, set()),
    ("claude-4.6-sonnet-bedrock", {"reasoning_effort": "low"}, {"type": "adaptive"}, {"effort": "low"}, set()),
    ("claude-4.6-sonnet-bedrock", {"reasoning_effort": "xhigh"}, {"type": "adaptive"}, {"effort": "high"},
     {"reasoning_effort"}),
    ("claude-5.5-opus-bedrock", {"reasoning_effort": "max"}, {"type": "adaptive", "display": "summarized"},
     {"effort": "max"}, set()),
    ("claude-5.5-haiku-bedrock", {"reasoning_effort": "none"}, {"type": "disabled"}, {}, set()),
    ("claude-5.5-sonnet-bedrock", {"reasoning_effort": "none"}, {"type": "between_tools"}, {}, {"reasoning_effort"}),
    ("claude-5.5-opus-bedrock", {"verbosity": "medium"}, {}, {"effort": "medium"}, set()),
])
def test_thinking(row: str, params: Any, fields: Any, config: Any, noted: set[str]) -> None:
    data, notes = beyond(row, params=params)
    assert data.get("additionalModelRequestFields", {}) == ({"thinking": fields} if fields else {})
    assert data.get("outputConfig", {}) == config and notes.keys() == noted


@pytest.mark.parametrize("row", CLAUDES)
@pytest.mark.parametrize("effort", EFFORTS)
def test_every_effort_of_every_claude_is_one_that_it_takes(row: str, effort: str) -> None:
    known = get_model(row)
    made = call(known, params={"reasoning_effort": effort, "temperature": 0.3})
    data = json.loads(made.body)
    thinking = data.get("additionalModelRequestFields", {}).get("thinking", {})
    level = data.get("outputConfig", {}).get("effort")
    assert level is None or level in known.efforts
    assert "budget_tokens" not in thinking or 1_024 <= thinking["budget_tokens"] < data["inferenceConfig"]["maxTokens"]
    if known.has("sampling_fixed") or thinking.get("type") in ("enabled", "adaptive"):
        assert "temperature" not in data["inferenceConfig"] and "topP" not in data["inferenceConfig"]
        assert "temperature" in {note.parameter for note in made.notes}


def test_a_model_with_efforts_and_nothing_else_gets_the_effort() -> None:
    row = model("reasoning", "low medium high")
    assert beyond(row, params={"reasoning_effort": "medium"}) == ({"outputConfig": {"effort": "medium"}}, {})


def test_a_schema_is_sent_as_text() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]}
    data, notes = beyond(model("supports_json_schema"), output_schema=schema)
    form = data["outputConfig"]["textFormat"]
    assert form["type"] == "json_schema" and form["structure"]["jsonSchema"]["name"] == "response" and notes == {}
    sent = json.loads(form["structure"]["jsonSchema"]["schema"])
    assert sent["additionalProperties"] is False and sent["required"] == ["a"]
    assert beyond(model(), output_schema=schema) == ({}, {"output_schema": "the model takes no schema"})
    assert schema["properties"] == {"a": {"type": "integer", "minimum": 3}}
    assert beyond(model("supports_json_schema"), output_schema=schema, params={"json_mode": True})[1] == {}
    both = beyond("claude-4.6-sonnet-bedrock", output_schema=schema, params={"reasoning_effort": "low"})[0]
    assert both["outputConfig"].keys() == {"effort", "textFormat"}


@pytest.mark.parametrize("wanted, row, sent, noted", [
    ("priority", "nova-pro", {"type": "priority"}, False), ("flex", "nova-pro", {"type": "flex"}, False),
    ("default", "nova-pro", {"type": "default"}, False), ("reserved", "claude-5.5-opus-bedrock", {"type": "reserved"}, False),
    ("standard", "nova-pro", {"type": "default"}, False), ("flex", "claude-5.5-opus-bedrock", None, True),
    ("fast", "nova-pro", {"type": "priority"}, False), ("auto", "nova-pro", None, False),
])
def test_service_tiers(wanted: str, row: str, sent: Any, noted: bool) -> None:
    data, notes = beyond(row, service_tier=wanted)
    assert data.get("serviceTier") == sent and bool(notes) == noted


def test_the_users_own_fields_come_last_and_shared_objects_are_united() -> None:
    data, notes = beyond(
        "claude-4.6-sonnet-bedrock", params={"reasoning_effort": "low", "extra": {
            "additionalModelRequestFields": {"top_k": 5}, "requestMetadata": {"team": "a"}, "messages": []}},
        extra_body={"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
                    "performanceConfig": {"latency": "optimized"}, "requestMetadata": {"team": "b"},
                    "inferenceConfig": {"stopSequences": ["x"]}},
    )
    assert data == {
        "additionalModelRequestFields": {"thinking": {"type": "adaptive"}, "top_k": 5},
        "outputConfig": {"effort": "low"}, "requestMetadata": {"team": "b"}, "inferenceConfig": {"stopSequences": ["x"]},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
    }
    assert notes.keys() == {"messages"}


def test_betas_of_claude_are_fields_of_the_body() -> None:
    data = beyond("claude-4.6-sonnet-bedrock", extra_headers={"Anthropic-Beta": "a-1, b-2"})[0]
    assert data == {"additionalModelRequestFields": {"anthropic_beta": ["a-1", "b-2"]}}
    own = {"type": "computer_20250124", "name": "computer"}
    data = beyond("claude-4.6-sonnet-bedrock", tools=(own,), extra_headers={"anthropic-beta": "a-1"})[0]
    assert data == {"additionalModelRequestFields": {
        "tools": [own], "anthropic_beta": ["computer-use-2025-01-24", "a-1"]}}


# -- tools --------------------------------------------------------------------------------------------------------------

def test_tools() -> None:
    data, notes = beyond(model("supports_tools supports_strict_tools"), tools=(TOOL, Tool("g")))
    assert notes == {} and data == {"toolConfig": {"tools": [
        {"toolSpec": {"name": "f", "description": "Does f.", "inputSchema": {"json": CLOSED}, "strict": True}},
        {"toolSpec": {"name": "g", "inputSchema": {"json": {
            "type": "object", "properties": {}, "additionalProperties": False}}, "strict": True}},
    ]}}
    loose = beyond(model("supports_tools"), tools=(TOOL,))[0]["toolConfig"]["tools"]
    assert loose == [{"toolSpec": {"name": "f", "description": "Does f.", "inputSchema": {"json": dict(TOOL.parameters)}}}]
    assert beyond(model(), tools=(TOOL,)) == ({}, {"tools": "the model does not call functions"})
    own = {"systemTool": {"name": "nova_grounding"}}
    assert beyond(model("supports_tools"), tools=(own,))[0] == {"toolConfig": {"tools": [own]}}
    with pytest.raises(InputError, match="run_agent_loop"):
        call(model("supports_tools"), tools=(MCPServer("m", "https://m.example"),))


@pytest.mark.parametrize("choice, flags, params, sent, noted", [
    (None, "", {}, None, False), ("auto", "", {}, {"auto": {}}, False), ("required", "", {}, {"any": {}}, False),
    ("any", "", {}, {"any": {}}, False), ("f", "", {}, {"tool": {"name": "f"}}, False),
    ("required", "no_forced_tools", {}, {"auto": {}}, True), ("f", "no_forced_tools", {}, {"auto": {}}, True),
    ("f", "no_forced_tools_when_thinking", {}, {"tool": {"name": "f"}}, False),
    ("f", "no_forced_tools_when_thinking reasoning budget_thinking", {"thinking_budget": 2_000}, {"auto": {}}, True),
])
def test_tool_choice(choice: Any, flags: str, params: Any, sent: Any, noted: bool) -> None:
    data, notes = beyond(model(f"supports_tools {flags}"), tools=(TOOL,), tool_choice=choice, params=params)
    assert data["toolConfig"].get("toolChoice") == sent and ("tool_choice" in notes) == noted


def test_no_choice_leaves_the_tools_out_until_the_conversation_needs_them() -> None:
    row = model("supports_tools")
    assert beyond(row, tools=(TOOL,), tool_choice="none") == ({}, {})
    talk = Conversation([
        Message.user("Hi"), Message.ai().with_tool_call("c1", "f", {"a": 1}), Message("tool", (ToolResult("c1", "ok"),)),
    ])
    data, notes = beyond(row, talk, tools=(TOOL,), tool_choice="none")
    assert data["toolConfig"]["tools"][0]["toolSpec"]["name"] == "f" and notes.keys() == {"tool_choice"}
    data, notes = beyond(row, talk)
    assert data == {"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}}
    assert notes.keys() == {"tools"}
    assert beyond(row, talk, tools=(TOOL,))[1] == {}


def test_calls_and_results() -> None:
    picture = Image(b"\x89PNG")
    talk = Conversation([
        Message.user("Hi"),
        Message.ai("Wait.").with_tool_call("c1", "f", {"a": 1}).with_part(ToolCall("c 2", "f", {}, "{", "broken")),
        Message("tool", (ToolResult("c1", (Text("see"), picture)),)),
        Message("tool", (ToolResult("c 2", "no", True),)),
        Message.user("And?"),
    ])
    sent = messages(talk)
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    id = sent[1]["content"][2]["toolUse"]["toolUseId"]
    assert sent[1]["content"] == [
        {"text": "Wait."}, {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": id, "name": "f", "input": {"unreadable": "{"}}},
    ]
    assert id.startswith("tooluse_") and len(id) <= 64
    assert sent[2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [
            {"text": "see"}, {"image": {"format": "png", "source": {"bytes": base64.b64encode(b"\x89PNG").decode()}}}]}},
        {"toolResult": {"toolUseId": id, "content": [{"text": "no"}], "status": "error"}},
        {"text": "And?"},
    ]


def test_results_stand_first_and_may_be_anything() -> None:
    talk = Conversation([
        Message.user("Hi"), Message.ai().with_tool_call("c1", "f", {}),
        Message("user", (Text("By the way"), ToolResult("c1", {"a": [1]}))),  # type: ignore[arg-type]
    ])
    assert messages(talk)[2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": '{"a":[1]}'}]}}, {"text": "By the way"},
    ]
    empty = Conversation([Message.user("Hi"), Message.ai().with_tool_call("c1", "f", {}),
                          Message("tool", (ToolResult("c1", ""),))])
    assert messages(empty)[2]["content"] == [{"toolResult": {"toolUseId": "c1", "content": []}}]
    with pytest.raises(InputError, match="belongs into"):
        messages(Conversation([Message("assistant", (ToolResult("c1", "x"),))]))


# -- messages -----------------------------------------------------------------------------------------------------------

def test_roles_alternate_and_every_system_message_keeps_its_text() -> None:
    talk = Conversation([
        Message.system("One."), Message.system("Two."), Message.user("a"), Message.user("b"), Message.ai("c"),
        Message.ai("d"), Message.system("Three."), Message.user("e"), Message.ai(""), Message.user("f"),
    ])
    data = body(model(), talk)
    assert data["system"] == [{"text": "One."}, {"text": "Two."}, {"text": "Three."}]
    assert data["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "content": [{"text": "e"}, {"text": "f"}]},
    ]
    with pytest.raises(InputError, match="message of the user's"):
        messages(Conversation([Message.system("only")]))


def test_system_messages_in_between() -> None:
    talk = Conversation([Message.user("a"), Message.system("Now in French."), Message.ai("b"), Message.user("c"),
                         Message.system("And short.")])
    assert [message["role"] for message in messages(talk, "system_in_between")] == [
        "user", "system", "assistant", "user", "system"]
    assert "system" in body(model(), talk)


def test_the_assistants_last_words() -> None:
    talk = Conversation([Message.user("a"), Message.ai("The answer is ")])
    made = call(model(), talk)
    assert json.loads(made.body)["messages"][1]["content"] == [{"text": "The answer is"}]
    assert [note.parameter for note in made.notes] == ["prompt"]
    with pytest.raises(InputError, match="ends with the assistant's own words"):
        messages(talk, "no_prefill")


def test_thoughts_go_back_as_they_came_to_whom_they_came_from() -> None:
    signed = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "S=", "new": 1}}}
    hidden = {"reasoningContent": {"redactedContent": "AQI="}}
    answer = DIALECT.parse(
        RequestContext(as_conversation("Hi"), RequestTemplate(model(), SamplingParams(), RequestOptions(), URL)),
        HttpReply(200, {}, json.dumps({"output": {"message": {"role": "assistant", "content": [
            signed, hidden, {"text": "4"}, {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]}},
            "stopReason": "tool_use", "usage": {}}).encode()),
    )
    talk = Conversation([Message.user("2+2?")]).with_response(answer).with_tool_result("t", "ok")
    before = talk.copy()
    assert messages(talk, "reasoning")[1]["content"] == [
        signed, hidden, {"text": "4"}, {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]
    assert talk == before
    assert messages(talk)[1]["content"][0] == {"text": "4"}
    others = (Thinking("a", "s", "anthropic"), Thinking("b", None), Thinking("c", "mine"), Text("d"))
    assert messages(Conversation([Message.user("x"), Message("assistant", others), Message.user("y")]), "reasoning")[1][
        "content"] == [{"reasoningContent": {"reasoningText": {"text": "c", "signature": "mine"}}}, {"text": "d"}]


def test_blocks_of_the_providers_own_are_replayed() -> None:
    cited = {"citationsContent": {"content": [{"text": "So."}], "citations": [{"title": "T"}]}}
    called = {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}}
    result = {"toolResult": {"toolUseId": "s", "type": "x", "content": [{"text": "r"}]}}
    odd = {"hologram": {"a": 1}}
    content = [called, result, cited, odd, {"text": "Done."}]
    answer = DIALECT.parse(
        RequestContext(as_conversation("Hi"), RequestTemplate(model(), SamplingParams(), RequestOptions(), URL)),
        HttpReply(200, {}, json.dumps({"output": {"message": {"content": content}}, "stopReason": "end_turn"}).encode()),
    )
    assert answer.completion == "So.Done."
    talk = Conversation([Message.user("a")]).with_response(answer).user("b")
    assert messages(talk)[1]["content"] == content
    foreign = Message("assistant", (Raw("anthropic", {"type": "x"}), Refusal("No."), Text("")))
    assert messages(Conversation([Message.user("a"), foreign, Message.user("b")]))[1]["content"] == [{"text": "No."}]
    with pytest.raises(InputError, match="a block of gemini"):
        messages(Conversation([Message("user", (Raw("gemini", {}),))]))


# -- media --------------------------------------------------------------------------------------------------------------

def block(part: Any) -> dict[str, Any]:
    found: dict[str, Any] = messages(Conversation([Message("user", (Text("x"), part))]))[0]["content"][1]
    return found


B64 = base64.b64encode(b"abc").decode()


def document(form: str, name: str) -> dict[str, Any]:
    return {"document": {"format": form, "name": name, "source": {"bytes": B64}}}


@pytest.mark.parametrize("part, wanted", [
    (Image(b"abc", media_type="image/jpeg"), {"image": {"format": "jpeg", "source": {"bytes": B64}}}),
    (Image(b"abc", media_type="image/jpg"), {"image": {"format": "jpeg", "source": {"bytes": B64}}}),
    (Image(url="s3://bucket/a.png"), {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}}),
    (File(b"abc", name="my_report v2.pdf"), document("pdf", "my report v2")),
    (File(b"abc"), document("txt", "document")),
    (File(b"abc", media_type="text/plain", name="notes.md"), document("md", "notes")),
    (File(b"abc", media_type="text/x-python", name="a.py"), document("txt", "a py")),
    (File(b"abc", media_type="text/csv; charset=utf-8"), document("csv", "document")),
    (File(b"abc", media_type="video/quicktime"), {"video": {"format": "mov", "source": {"bytes": B64}}}),
    (File(b"abc", media_type="application/octet-stream", name="a.mkv"),
     {"video": {"format": "mkv", "source": {"bytes": B64}}}),
    (File(b"abc", media_type="audio/mpeg"), {"audio": {"format": "mp3", "source": {"bytes": B64}}}),
    (Audio(b"abc"), {"audio": {"format": "wav", "source": {"bytes": B64}}}),
    (File(b"abc", media_type="image/webp"), {"image": {"format": "webp", "source": {"bytes": B64}}}),
])
def test_media(part: Any, wanted: dict[str, Any]) -> None:
    assert block(part) == wanted


@pytest.mark.parametrize("part, words", [
    (Image(url="https://a.example/b.png"), "images with their bytes"), (File(file_id="f-1"), "files with their bytes"),
    (Image(b"abc", media_type="image/tiff"), "not image/tiff"),
    (File(b"abc", media_type="application/zip", name="a.zip"), "no files of type application/zip"),
])
def test_media_that_cannot_be_sent(part: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        block(part)


def test_documents_have_names_of_their_own_and_words_beside_them() -> None:
    talk = Conversation([Message("user", (File(b"a", name="a.pdf"), File(b"b", name="a.pdf")))])
    content = messages(talk)[0]["content"]
    assert [item["document"]["name"] for item in content[:2]] == ["a", "a 2"] and content[2] == {"text": "a"}
    made = call(model(), Conversation([Message("user", (Text("x"), Image(b"a", detail="high")))]))
    assert [note.parameter for note in made.notes] == ["detail"]


# -- caching ------------------------------------------------------------------------------------------------------------

TALK = Conversation([
    Message.system("S"), Message.user("a"), Message.ai("b"), Message.user("c"), Message.ai("d"), Message.user("e"),
])


def marks(pattern: str, flags: str = "supports_prompt_caching supports_tools", **more: Any) -> tuple[Any, ...]:
    made = call(model(flags), TALK, cache=pattern, tools=(TOOL,), **more)
    data = json.loads(made.body)
    marked = [at for at, message in enumerate(data["messages"]) if POINT in message["content"]]
    tools = POINT in data["toolConfig"]["tools"]
    return tools, POINT in data["system"], marked, {note.parameter for note in made.notes}


@pytest.mark.parametrize("pattern, tools, system, places", [
    ("tools_only", True, False, []), ("system_and_tools", True, True, []), ("last_user_message", False, False, [4]),
    ("last_2_user_messages", False, False, [2, 4]), ("last_3_user_messages", False, False, [0, 2, 4]),
    ("automatic", False, False, [4]),
])
def test_cache_patterns(pattern: str, tools: bool, system: bool, places: list[int]) -> None:
    before = TALK.copy()
    assert marks(pattern) == (tools, system, places, set())
    assert marks(pattern, "supports_tools") == (False, False, [], {"cache"}) and TALK == before


def test_models_that_cache_no_tools() -> None:
    flags = "supports_prompt_caching supports_tools no_tool_caching"
    assert marks("tools_only", flags) == (False, False, [], {"cache"})
    assert marks("system_and_tools", flags) == (False, True, [], set())
    made = call(model("supports_prompt_caching"), TALK, cache="tools_only")
    assert [note.reason for note in made.notes] == ["there are no tools to be cached"]


@pytest.mark.parametrize("flags, ttl, sent, noted", [
    ("", "1h", {"type": "default", "ttl": "1h"}, False), ("", "5m", {"type": "default", "ttl": "5m"}, False),
    ("no_hour_caching", "1h", {"type": "default"}, True), ("no_hour_caching", "5m", {"type": "default", "ttl": "5m"}, False),
    ("", "2h", {"type": "default"}, True),
])
def test_how_long_it_is_cached(flags: str, ttl: str, sent: Any, noted: bool) -> None:
    made = call(model(f"supports_prompt_caching {flags}"), TALK, cache="last_user_message", cache_ttl=ttl)
    assert json.loads(made.body)["messages"][-1]["content"][-1] == {"cachePoint": sent}
    assert [note.parameter for note in made.notes] == ["cache_ttl"] * noted


def test_a_request_has_four_points_at_most() -> None:
    own = Raw("bedrock", POINT)
    talk = Conversation([Message("user", tuple(part for text in "abc" for part in (Text(text), own))),
                         Message.ai("x"), Message.user("y"), Message.ai("x"), Message.user("z")])
    made = call(model("supports_prompt_caching"), talk, cache="last_2_user_messages")
    assert made.body.count(b"cachePoint") == 4 and [note.parameter for note in made.notes] == ["cache"]


# -- the reply's surroundings -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("url, region", [
    (URL, "eu-west-1"), ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
    ("https://vpce-1-2.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"), ("http://127.0.0.1:8", None),
])
def test_the_region_is_on_the_response(url: str, region: str | None) -> None:
    ctx = RequestContext(as_conversation("Hi"), RequestTemplate(model(), SamplingParams(), RequestOptions(), url))
    good = b'{"output":{"message":{"role":"assistant","content":[{"text":"a"}]}},"stopReason":"end_turn"}'
    assert DIALECT.parse(ctx, HttpReply(200, {}, good)).region == region
    assert DIALECT.parse(ctx, HttpReply(400, {}, b'{"message":"no"}')).region == region


def test_raw_replies_are_kept_on_request() -> None:
    ctx = RequestContext(
        as_conversation("Hi"), RequestTemplate(model(), SamplingParams(), RequestOptions(keep_raw=True), URL))
    reply = HttpReply(200, {"a": "b"}, b'{"output":{"message":{"content":[{"text":"a"}]}},"metrics":{"latencyMs":5}}')
    answer = DIALECT.parse(ctx, reply)
    assert answer.raw_response["metrics"] == {"latencyMs": 5} and answer.headers == {"a": "b"}
