"""What the Anthropic dialect sends: input to exact body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deluge.dialects.anthropic import DIALECT
from deluge.errors import InputError
from deluge.models.model import Model, Provider
from deluge.models.registry import get_model
from deluge.params import EFFORTS, SamplingParams
from deluge.prompt import Audio, Conversation, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.tools import MCPServer, Tool
from deluge.wire import HttpCall, HttpReply

OLD, NEW = "2023-06-01", "2026-10-21"
TOOL = Tool("f", "Does f.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
SEARCH = {"type": "web_search_20260318", "name": "web_search"}
CACHED = {"type": "ephemeral"}
FAMILIES = (
    "claude-3-haiku", "claude-3.7-sonnet", "claude-4-opus", "claude-4.1-opus", "claude-4.5-haiku", "claude-4.5-opus",
    "claude-4.6-sonnet", "claude-4.7-opus", "claude-4.8-opus", "claude-5-sonnet", "claude-5-opus", "claude-5.5-haiku",
    "claude-5.5-sonnet", "claude-5.5-opus", "claude-fable-5", "claude-fable-5.2",
)


def model(flags: str = "", efforts: str = "", **fields: Any) -> Model:
    tiers = tuple(fields.pop("tiers", "").split())
    provider = Provider("host", "https://host.example/v1", "anthropic", key_header="x-api-key", service_tiers=tiers,
                        **fields.pop("provider", {}))
    words = {"flags": frozenset(flags.split()), "efforts": tuple(efforts.split())}
    return Model("a-model", "its-name", provider, **words, **fields)


def call(row: Model | str, prompt: Any = "Hi", *, stream: bool = False, params: dict[str, Any] | None = None,
         **options: Any) -> HttpCall:
    row = get_model(row) if isinstance(row, str) else row
    template = RequestTemplate(row, SamplingParams(**params or {}), RequestOptions(**options), row.provider.base_url, "k")
    return DIALECT.build(RequestContext(as_conversation(prompt), template, stream=stream))


def body(row: Model | str, prompt: Any = "Hi", **more: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(call(row, prompt, **more).body)
    return data


def beyond(row: Model | str, prompt: Any = "Hi", **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is in the body beside the usual fields, and the notes."""
    made = call(row, prompt, **more)
    data = json.loads(made.body)
    for name in ("model", "messages", "max_tokens", "temperature"):
        data.pop(name, None)
    return data, {note.parameter: note.reason for note in made.notes}


def messages(prompt: Any, flags: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(model(flags), prompt)["messages"]
    return found


def version(made: HttpCall) -> str:
    return made.headers["anthropic-version"]


# -- the plain request ----------------------------------------------------------------------------------------------

def test_plain_text() -> None:
    made = call("claude-5-opus")
    assert made.method == "POST" and made.url == "https://api.anthropic.com/v1/messages" and not made.stream
    assert json.loads(made.body) == {
        "model": "claude-opus-5", "max_tokens": 512, "messages": [{"role": "user", "content": "Hi"}],
    }
    assert made.headers["x-api-key"] == "k" and version(made) == NEW and "anthropic-beta" not in made.headers
    assert made.notes == () and call("claude-5-opus", stream=True).stream
    assert body("claude-5-opus", stream=True)["stream"] is True and "stream" not in body("claude-5-opus")


@pytest.mark.parametrize("text", ["\ud800 half", "a\u0000b", "ü" * 10_000, "NaN", '"}]'])
def test_any_text_can_be_said(text: str) -> None:
    assert messages(text) == [{"role": "user", "content": text}]
    assert messages([{"role": "system", "content": "S"}, {"role": "user", "content": text}])[0]["content"] == text


def test_headers_of_the_user() -> None:
    made = call("claude-5-opus", tools=(MCPServer("s", "https://s.example"),),
                extra_headers={"Anthropic-Beta": "a-1, mcp-client-2025-11-20", "openai-organization": "o",
                               "X-Api-Key": "mine"})
    assert made.headers["anthropic-beta"] == "mcp-client-2025-11-20,a-1" and made.headers["x-api-key"] == "mine"
    assert version(call("claude-5-opus", extra_headers={"anthropic-version": OLD})) == OLD
    assert "anthropic-beta" not in call("claude-5-opus", tools=(MCPServer("s", "https://s.example"),),
                                        extra_headers={"anthropic-beta": None}).headers


# -- which version of the API ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, params, sent, wanted", [
    ("claude-4.6-sonnet", {}, {"temperature": 0.75}, OLD),
    ("claude-4.6-sonnet", {"temperature": 1.0}, {}, NEW),
    ("claude-4.6-sonnet", {"temperature": 0.0}, {"temperature": 0.0}, OLD),
    ("claude-4.6-sonnet", {"temperature": 0.2, "reasoning_effort": "low"}, {}, NEW),
    ("claude-4.5-haiku", {"top_p": 0.5}, {"top_p": 0.5}, OLD),
    ("claude-4.5-haiku", {"top_p": 1.0}, {"temperature": 0.75}, OLD),
    ("claude-4.5-haiku", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, OLD),
    ("claude-3-haiku", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": 0.5}, OLD),
    ("claude-5-opus", {"temperature": 0.5, "top_p": 0.5}, {}, NEW),
    ("claude-5-opus", {"extra": {"top_k": 5}}, {"top_k": 5}, OLD),
    ("deepseek-v4-pro-anthropic-compat", {"temperature": 1.0}, {}, OLD),
])
def test_the_version_follows_the_sampling_parameters(
    name: str, params: dict[str, Any], sent: dict[str, Any], wanted: str
) -> None:
    made = call(name, params=params)
    data = json.loads(made.body)
    assert {key: data[key] for key in ("temperature", "top_p", "top_k") if key in data} == sent
    assert version(made) == wanted
    lost = {key for key, value in params.items() if key in ("temperature", "top_p") and value != 1.0 and key not in sent}
    assert {note.parameter for note in made.notes} == lost


def test_temperature_goes_to_one() -> None:
    made = call("claude-4.5-haiku", params={"temperature": 1.5})
    assert "temperature" not in json.loads(made.body) and made.notes[0].parameter == "temperature"
    assert body(model(), params={"temperature": 1.5})["temperature"] == 1.5


def test_what_only_the_old_version_takes() -> None:
    paper = Conversation().user("Hi").ai((Text("See"), File(b"%PDF"))).user("And?")
    assert version(call("claude-5-opus", paper)) == OLD
    cited = {"type": "text", "text": "x", "citations": [{"type": "char_location"}]}
    assert version(call("claude-5-opus", Conversation().user((Raw("anthropic", cited),)))) == OLD
    assert version(call("claude-5-opus", Conversation().user((File(b"%PDF"),)))) == NEW


# -- thinking -------------------------------------------------------------------------------------------------------

SHOWN = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize("name, params, thinking, effort, limit, noted", [
    ("claude-5-opus", {}, None, None, 512, set()),
    ("claude-5-opus", {"reasoning_effort": "max"}, SHOWN, "max", 512, set()),
    ("claude-5-opus", {"reasoning_effort": "none"}, {"type": "disabled"}, None, 512, set()),
    ("claude-5-opus", {"thinking_budget": 0}, {"type": "disabled"}, None, 512, set()),
    ("claude-5-opus", {"reasoning_effort": "none", "verbosity": "max"}, {"type": "disabled"}, "high", 512, {"verbosity"}),
    ("claude-5-opus", {"thinking_budget": 4_000}, SHOWN, "medium", 512, {"thinking_budget"}),
    ("claude-5-opus", {"thinking_budget": 4_000, "reasoning_effort": "low"}, SHOWN, "low", 512, {"thinking_budget"}),
    ("claude-5-opus", {"verbosity": "low"}, None, "low", 512, set()),
    ("claude-5-opus", {"verbosity": "low", "reasoning_effort": "high"}, SHOWN, "high", 512, {"verbosity"}),
    ("claude-4.7-opus", {"reasoning_effort": "none"}, None, None, 512, set()),
    ("claude-4.7-opus", {"reasoning_effort": "minimal"}, SHOWN, "low", 512, {"reasoning_effort"}),
    ("claude-5.5-sonnet", {"reasoning_effort": "none"}, {"type": "between_tools"}, None, 512, {"reasoning_effort"}),
    ("claude-5.5-sonnet", {"thinking_budget": 0, "global_effort": "max"}, {"type": "between_tools"}, "high", 512,
     {"thinking_budget", "verbosity"}),
    ("claude-5.5-opus", {"reasoning_effort": "none"}, None, "low", 512, {"reasoning_effort"}),
    ("claude-4.6-opus", {"reasoning_effort": "xhigh"}, {"type": "adaptive"}, "high", 512, {"reasoning_effort"}),
    ("claude-4.6-opus", {"thinking_budget": 2_000}, {"type": "enabled", "budget_tokens": 2_000}, None, 2_512, set()),
    ("claude-4.5-haiku", {"reasoning_effort": "low"}, {"type": "enabled", "budget_tokens": 2_048}, None, 2_560, set()),
    ("claude-4.5-haiku", {"reasoning_effort": "none"}, {"type": "disabled"}, None, 512, set()),
    ("claude-4.5-haiku", {"reasoning_effort": "none", "thinking_budget": 99}, {"type": "disabled"}, None, 512,
     {"thinking_budget"}),
    ("claude-4.5-haiku", {"thinking_budget": 50}, {"type": "enabled", "budget_tokens": 1_024}, None, 1_536,
     {"thinking_budget"}),
    ("claude-4.5-haiku", {"thinking_budget": 99_000, "max_new_tokens": 8_000},
     {"type": "enabled", "budget_tokens": 56_000}, None, 64_000, {"thinking_budget", "max_new_tokens"}),
    ("claude-4.5-haiku", {"verbosity": "low"}, None, None, 512, {"verbosity"}),
    ("claude-4.5-opus", {"reasoning_effort": "high"}, {"type": "enabled", "budget_tokens": 16_384}, "high", 16_896, set()),
    ("claude-3-haiku", {"reasoning_effort": "high"}, None, None, 512, {"reasoning_effort"}),
    ("claude-3-haiku", {"reasoning_effort": "none"}, None, None, 512, set()),
])
def test_thinking(name: str, params: dict[str, Any], thinking: Any, effort: Any, limit: int, noted: set[str]) -> None:
    made = call(name, params=params)
    data = json.loads(made.body)
    assert data.get("thinking") == thinking and data["max_tokens"] == limit
    assert data.get("output_config") == (None if effort is None else {"effort": effort})
    assert {note.parameter for note in made.notes} == noted


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("effort", (None, *EFFORTS))
def test_every_effort_is_lawful_in_every_family(name: str, effort: str | None) -> None:
    row, made = get_model(name), call(name, params={"reasoning_effort": effort, "temperature": 0.3, "verbosity": "max"})
    data = json.loads(made.body)
    thinking, level = data.get("thinking") or {}, data.get("output_config", {}).get("effort")
    assert level is None or level in row.efforts
    if row.has("sampling_fixed") or thinking.get("type") in ("adaptive", "enabled"):
        assert not {"temperature", "top_p", "top_k"} & data.keys() and version(made) == NEW
        assert "temperature" in {note.parameter for note in made.notes}
    else:
        assert data["temperature"] == 0.3 and version(made) == OLD
    if thinking.get("type") == "enabled":
        assert row.has("budget_thinking") and 1_024 <= thinking["budget_tokens"] < data["max_tokens"]
        assert data["max_tokens"] <= (row.max_output_tokens or 0)
    if thinking.get("type") == "disabled":
        assert not row.has("always_reasons")
        assert not row.has("thinking_disabled_to_high") or level not in ("xhigh", "max")
    if thinking.get("type") == "between_tools":
        assert level not in ("xhigh", "max")


# -- other parameters -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("flags, params, wanted, noted", [
    ("", {"stop": ("a", " ")}, {"stop_sequences": ["a"]}, {"stop"}), ("", {"stop": "\n"}, {}, {"stop"}),
    ("no_stop", {"stop": "a"}, {}, {"stop"}), ("", {"seed": 1}, {}, {"seed"}),
    ("", {"logprobs": True, "top_logprobs": 2}, {}, {"logprobs", "top_logprobs"}),
    ("", {"top_logprobs": 2}, {}, {"top_logprobs"}), ("", {"json_mode": True}, {}, {"json_mode"}),
    ("", {"extra": {"metadata": {"user_id": "u"}, "model": "x", "system": "y"}}, {"metadata": {"user_id": "u"}},
     {"model", "system"}),
])
def test_parameters(flags: str, params: dict[str, Any], wanted: dict[str, Any], noted: set[str]) -> None:
    data, notes = beyond(model(flags), params=params)
    assert (data, set(notes)) == (wanted, noted)


def test_own_fields_are_merged_last() -> None:
    data = body("claude-5-opus", params={"extra": {"container": "c1", "max_tokens": 7}, "reasoning_effort": "low"},
                extra_body={"container": "c2", "output_config": {"task_budget": {"type": "tokens", "total": 9}}})
    assert data["container"] == "c2" and data["max_tokens"] == 7
    assert data["output_config"] == {"effort": "low", "task_budget": {"type": "tokens", "total": 9}}


@pytest.mark.parametrize("wanted, sent, noted", [
    (None, {}, False), ("auto", {"service_tier": "auto"}, False), ("standard_only", {"service_tier": "standard_only"}, False),
    ("standard", {"service_tier": "standard_only"}, False), ("default", {"service_tier": "standard_only"}, False),
    ("flex", {"service_tier": "auto"}, True), ("priority", {"service_tier": "auto"}, True), ("fast", {"speed": "fast"}, False),
])
def test_tiers(wanted: str | None, sent: dict[str, Any], noted: bool) -> None:
    data, notes = beyond("claude-5-opus", service_tier=wanted)
    assert data == sent and bool(notes) == noted


def test_speed_needs_its_word_in_the_header_and_a_model_that_has_it() -> None:
    assert call("claude-5-opus", service_tier="fast").headers["anthropic-beta"] == "fast-mode-2026-02-01"
    assert beyond("claude-5-sonnet", service_tier="fast")[0] == {"service_tier": "auto"}


def test_structured_output() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "description": "N."}}}
    data, notes = beyond("claude-5-opus", output_schema=schema)
    assert data == {"output_config": {"format": {"type": "json_schema", "schema": {
        "type": "object", "additionalProperties": False,
        "properties": {"n": {"type": "integer", "description": "N.\n\n{minimum: 1}"}},
    }}}}
    assert not notes and schema["properties"]["n"]["minimum"] == 1  # type: ignore[index]
    assert set(beyond("claude-3-haiku", output_schema=schema)[1]) == {"output_schema"}
    assert "json_mode" not in beyond("claude-5-opus", output_schema=schema, params={"json_mode": True})[1]
    open_one = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert set(beyond("claude-5-opus", output_schema=open_one)[1]) == {"output_schema"}


# -- tools ----------------------------------------------------------------------------------------------------------

def test_tools_are_strict_where_they_can_be() -> None:
    loose = Tool("g", "", {"type": "object", "properties": {"x": {}}})
    made, notes = beyond("claude-5-opus", tools=(TOOL, loose, SEARCH))
    assert made["tools"] == [
        {"name": "f", "description": "Does f.", "strict": True,
         "input_schema": {**TOOL.parameters, "additionalProperties": False}},
        {"name": "g", "input_schema": loose.parameters}, SEARCH,
    ]
    assert not notes
    assert set(beyond("claude-5-opus", tools=(loose,), params={"strict_tools": True})[1]) == {"strict_tools"}
    plain = beyond("claude-5-opus", tools=(TOOL,), params={"strict_tools": False})[0]["tools"][0]
    assert plain == {"name": "f", "description": "Does f.", "input_schema": dict(TOOL.parameters)}
    assert set(beyond("claude-3-haiku", tools=(Tool("f", strict=True),))[1]) == {"strict_tools"}


def test_a_request_has_only_so_many_strict_tools() -> None:
    many = tuple(Tool(f"f{at}", "", TOOL.parameters) for at in range(25))
    tools = body("claude-5-opus", tools=many)["tools"]
    assert sum("strict" in tool for tool in tools) == 20
    wide = {"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(30)}}
    assert "strict" not in body("claude-5-opus", tools=(Tool("f", "", wide),))["tools"][0]


@pytest.mark.parametrize("name, choice, params, wanted, noted", [
    ("claude-5-opus", "auto", {}, {"type": "auto"}, False), ("claude-5-opus", "none", {}, {"type": "none"}, False),
    ("claude-5-opus", "required", {}, {"type": "any"}, False),
    ("claude-5-opus", "f", {}, {"type": "tool", "name": "f"}, False),
    ("claude-5.5-opus", "f", {}, {"type": "auto"}, True), ("claude-5.5-opus", "none", {}, {"type": "none"}, False),
    ("claude-4.5-haiku", "required", {"thinking_budget": 2_000}, {"type": "auto"}, True),
    ("claude-4.5-haiku", "required", {}, {"type": "any"}, False),
])
def test_tool_choice(name: str, choice: str, params: dict[str, Any], wanted: dict[str, Any], noted: bool) -> None:
    data, notes = beyond(name, tools=(TOOL,), tool_choice=choice, params=params)
    assert data["tool_choice"] == wanted and ("tool_choice" in notes) == noted
    assert "tool_choice" not in body(name, tool_choice=choice)


def test_a_server_cannot_be_chosen() -> None:
    server = MCPServer("docs", url="https://example.com/mcp")
    data, notes = beyond("claude-5-opus", tools=(TOOL, server), tool_choice="docs")
    assert data["tool_choice"] == {"type": "auto"} and "tool_choice" in notes


def test_models_without_tools_and_tools_with_betas() -> None:
    assert set(beyond(model(), tools=(TOOL,))[1]) == {"tools"} and "tools" not in body(model(), tools=(TOOL,))
    made = call("claude-4.5-haiku", tools=({"type": "computer_20251124", "name": "computer"},))
    assert made.headers["anthropic-beta"] == "computer-use-2025-11-24"


def test_mcp_servers_are_the_providers() -> None:
    server = MCPServer("s", "https://s.example/mcp", headers={"Authorization": "Bearer secret"}, allowed_tools=("x",))
    made = call("claude-5-opus", tools=(server, {"type": "url", "name": "t", "url": "https://t.example"}))
    data = json.loads(made.body)
    assert data["mcp_servers"] == [
        {"type": "url", "name": "s", "url": "https://s.example/mcp", "authorization_token": "secret"},
        {"type": "url", "name": "t", "url": "https://t.example"},
    ]
    assert data["tools"] == [
        {"type": "mcp_toolset", "mcp_server_name": "s", "default_config": {"enabled": False},
         "configs": {"x": {"enabled": True}}},
        {"type": "mcp_toolset", "mcp_server_name": "t"},
    ]
    assert made.headers["anthropic-beta"] == "mcp-client-2025-11-20"


@pytest.mark.parametrize("name, server, options", [
    ("claude-5-opus", MCPServer("s", "https://s.example"), {"force_local_mcp": True}),
    ("claude-5-opus", MCPServer("s", command="run"), {}), ("claude-5-opus", MCPServer("s", "http://s.example"), {}),
    ("claude-5-opus", MCPServer("s", "https://s.example", headers={"x-team": "a"}), {}),
    ("deepseek-v4-pro-anthropic-compat", MCPServer("s", "https://s.example"), {}),
])
def test_mcp_servers_that_only_an_agent_can_call(name: str, server: MCPServer, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="run_agent_loop"):
        call(name, tools=(server,), **options)


# -- messages -------------------------------------------------------------------------------------------------------

def test_system_messages_keep_their_text() -> None:
    one = body("claude-5-opus", Conversation().system("S").user("Hi"))
    assert one["system"] == "S" and one["messages"] == [{"role": "user", "content": "Hi"}]
    two = body(model(), Conversation().system("S").system("T").user("Hi").system("U"))
    assert two["system"] == [{"type": "text", "text": text} for text in "STU"] and len(two["messages"]) == 1
    with pytest.raises(InputError, match="beside system"):
        call(model(), Conversation().system("S"))


def test_system_messages_in_between() -> None:
    talk = Conversation().user("a").system("S").system("T").ai("b").system("U").user("c").system("V").user("d")
    data = body("claude-4.8-opus", talk)
    assert [message["role"] for message in data["messages"]] == ["user", "system", "assistant", "user"]
    assert data["messages"][1]["content"] == [{"type": "text", "text": "S"}, {"type": "text", "text": "T"}]
    assert data["system"] == [{"type": "text", "text": "U"}, {"type": "text", "text": "V"}]
    assert "system" not in {message["role"] for message in body("claude-4.7-opus", talk)["messages"]}


def test_tools_both_ways() -> None:
    talk = Conversation().user("Hi")
    talk.add(Message("assistant", (Text("I look."), ToolCall("call:1", "f", {"a": 1}), ToolCall("c2", "g", {}))))
    talk.with_tool_result("call:1", (Text("a"), Image(b"x"))).with_tool_result("c2", {"x": 1}, is_error=True).user("And?")
    found = messages(talk)
    assert [message["role"] for message in found] == ["user", "assistant", "user"]
    text, one, two = found[1]["content"]
    assert text == {"type": "text", "text": "I look."} and one["id"].startswith("toolu_")
    assert two == {"type": "tool_use", "id": "c2", "name": "g", "input": {}}
    assert found[2]["content"] == [
        {"type": "tool_result", "tool_use_id": one["id"], "content": [
            {"type": "text", "text": "a"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}},
        ]},
        {"type": "tool_result", "tool_use_id": "c2", "content": '{"x":1}', "is_error": True},
        {"type": "text", "text": "And?"},
    ]


def test_results_stand_first() -> None:
    talk = Conversation().user("Hi").ai((ToolCall("c1", "f", {}),))
    talk.add(Message("user", (Text("Here:"), ToolResult("c1", "ok"))))
    assert [block["type"] for block in messages(talk)[2]["content"]] == ["tool_result", "text"]
    with pytest.raises(InputError, match="belongs into"):
        call(model(), Conversation().user("Hi").ai((ToolResult("c1", "ok"),)).user("x"))


def test_unreadable_arguments_are_sent_as_an_object() -> None:
    talk = Conversation().user("Hi").ai((ToolCall("c1", "f", {}, "{a", "not JSON"),)).with_tool_result("c1", "")
    assert messages(talk)[1]["content"][0]["input"] == {"unreadable": "{a"}
    assert messages(talk)[2]["content"] == [{"type": "tool_result", "tool_use_id": "c1"}]


def test_media() -> None:
    parts = (Image(b"x", media_type="image/webp", detail="low"), Image(url="https://x.example/i.png"), Image(file_id="f1"),
             File(b"%PDF", name="a.pdf"), File(b"a,b", media_type="text/csv"), File(url="https://x.example/a.pdf"),
             File(file_id="f2"))
    sources = [block.get("source") for block in messages(Conversation().user(parts))[0]["content"]]
    assert sources == [
        {"type": "base64", "media_type": "image/webp", "data": "eA=="}, {"type": "url", "url": "https://x.example/i.png"},
        {"type": "file", "file_id": "f1"}, {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
        {"type": "text", "media_type": "text/plain", "data": "a,b"}, {"type": "url", "url": "https://x.example/a.pdf"},
        {"type": "file", "file_id": "f2"},
    ]
    assert {note.parameter for note in call(model(), Conversation().user(parts)).notes} == {"detail"}


@pytest.mark.parametrize("part, words", [
    (Audio(b"x"), "no sound"), (Raw("gemini", {"x": 1}), "a block of gemini"),
    (File(b"\xff\xfe", media_type="application/msword"), "PDF and text files"),
])
def test_what_cannot_be_said(part: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(model(), Conversation().user((part,)))


def test_foreign_blocks_stay_out_of_answers() -> None:
    said = (Thinking("x", "s", "gemini"), Thinking("unsigned"), Raw("openai_chat", {"a": 1}), Text(" "), Refusal("No."),
            ToolCall("w1", "search", {}, built_in=True, type="web_search_call", provider="openai_responses"))
    assert messages(Conversation().user("Hi").ai(said).user("x"))[1]["content"] == "No."
    assert len(messages(Conversation().user("Hi").ai(" ").user("x"))) == 1


def test_the_end_of_a_conversation() -> None:
    talk = Conversation().user("Hi").ai("It is  ")
    made = call("claude-4.5-haiku", talk)
    assert json.loads(made.body)["messages"][1] == {"role": "assistant", "content": "It is"}
    assert {note.parameter for note in made.notes} == {"prompt"}
    with pytest.raises(InputError, match="ends with the assistant"):
        call("claude-4.6-sonnet", talk)


def answer(blocks: list[dict[str, Any]], stop: str = "end_turn") -> APIResponse:
    ctx = RequestContext(as_conversation("Hi"), RequestTemplate(model(), SamplingParams(), RequestOptions(), "https://h"))
    reply = {"id": "m", "type": "message", "role": "assistant", "content": blocks, "stop_reason": stop, "usage": {}}
    return DIALECT.parse(ctx, HttpReply(200, {}, json.dumps(reply).encode()))


def test_answers_go_back_as_they_came() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}, {"type": "redacted_thinking", "data": "EmwK"},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1",
         "content": [{"type": "web_search_result", "url": "u"}]},
        {"type": "mcp_tool_use", "id": "m1", "name": "echo", "server_name": "s", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "m1", "is_error": False, "content": [{"type": "text", "text": "x"}]},
        {"type": "text", "text": "So.", "citations": [{"type": "char_location", "cited_text": "x"}]},
        {"type": "from_the_future", "x": [1]},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
    ]
    response = answer(blocks, "tool_use")
    talk = Conversation().user("Hi").with_response(response).with_tool_result("toolu_1", "ok")
    assert messages(talk)[1]["content"] == blocks
    assert messages(Conversation.from_log(json.loads(json.dumps(talk.to_log()))))[1]["content"] == blocks
    paused = Conversation().user("Hi").with_response(answer(blocks[2:3], "pause_turn"))
    assert messages(paused, "no_prefill")[1]["content"] == blocks[2:3]


def test_prompts_in_anthropics_own_words() -> None:
    said = [{"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {}}]
    given = [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok"}]},
             {"type": "search_result", "source": "u", "title": "t", "content": [{"type": "text", "text": "x"}]}]
    prompt = {"system": "S", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said},
                                          {"role": "user", "content": given}]}
    data = body(get_model("claude-4.5-haiku"), prompt)
    assert data["system"] == "S" and data["messages"][1]["content"] == said
    assert data["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}, given[1]]


def test_documents_to_be_cited_keep_their_settings() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "x"}
    cited = {"type": "document", "source": source, "title": "T", "context": "C", "citations": {"enabled": True}}
    plain = {"type": "document", "source": source, "title": "T"}
    assert messages([{"role": "user", "content": [cited, plain]}])[0]["content"] == [cited, plain]


# -- caching --------------------------------------------------------------------------------------------------------

TALK = Conversation().system("S").user("a").ai((ToolCall("t1", "f", {}),)).with_tool_result("t1", "r").ai("b").user("c")


def marks(data: dict[str, Any]) -> list[str]:
    found = ["top"] if "cache_control" in data else []
    found += [f"tool {at}" for at, tool in enumerate(data.get("tools", ())) if "cache_control" in tool]
    system = data.get("system")
    blocks = system if isinstance(system, list) else ()
    found += [f"system {at}" for at, block in enumerate(blocks) if "cache_control" in block]
    for at, message in enumerate(data["messages"]):
        if isinstance(message["content"], list) and "cache_control" in message["content"][-1]:
            found.append(f"message {at}")
    return found


@pytest.mark.parametrize("pattern, wanted", [
    (None, []), ("tools_only", ["tool 1"]), ("system_and_tools", ["tool 1", "system 0"]),
    ("last_user_message", ["message 4"]), ("last_2_user_messages", ["message 2", "message 4"]),
    ("last_3_user_messages", ["message 0", "message 2", "message 4"]), ("automatic", ["top"]),
])
def test_caching(pattern: str | None, wanted: list[str]) -> None:
    before = TALK.to_log()
    assert marks(body("claude-5-opus", TALK, cache=pattern, tools=(TOOL, SEARCH))) == wanted
    assert TALK.to_log() == before and "cache_control" not in SEARCH


def test_caching_for_an_hour_and_other_times() -> None:
    hour = body("claude-5-opus", TALK, cache="last_user_message", cache_ttl="1h")
    assert hour["messages"][4]["content"] == [{"type": "text", "text": "c", "cache_control": {**CACHED, "ttl": "1h"}}]
    data, notes = beyond("claude-5-opus", cache="automatic", cache_ttl="12h")
    assert data == {"cache_control": CACHED} and set(notes) == {"cache_ttl"}
    assert body("claude-5-opus", "x", cache="last_user_message")["messages"][0]["content"][0]["cache_control"] == CACHED


def test_caching_that_is_not_offered_or_has_nothing_to_mark() -> None:
    assert set(beyond("deepseek-v4-pro-anthropic-compat", cache="automatic")[1]) == {"cache"}
    assert set(beyond("claude-5-opus", cache="tools_only")[1]) == {"cache"}
    assert beyond("claude-5-opus", cache="system_and_tools") == ({}, {})


def test_four_breakpoints_at_most() -> None:
    own = tuple({"name": f"t{at}", "input_schema": {"type": "object"}, "cache_control": CACHED} for at in range(3))
    made = call("claude-5-opus", TALK, cache="last_3_user_messages", tools=own)
    assert marks(json.loads(made.body)) == ["tool 0", "tool 1", "tool 2", "message 4"]
    assert {note.parameter for note in made.notes} == {"cache"}


# -- the same elsewhere ---------------------------------------------------------------------------------------------

def test_on_vertex_the_model_is_in_the_address_and_the_version_in_the_body() -> None:
    row = get_model("claude-4.5-haiku-vertex")
    place = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/m"

    def made(stream: bool, **params: Any) -> HttpCall:
        template = RequestTemplate(row, SamplingParams(**params), RequestOptions(), place)
        return DIALECT.build(RequestContext(as_conversation("Hi"), template, stream=stream))

    old, new = made(False), made(True, temperature=1.0)
    assert old.url == f"{place}:rawPredict" and new.url == f"{place}:streamRawPredict"
    assert json.loads(old.body)["anthropic_version"] == "vertex-2023-10-16"
    assert json.loads(new.body)["anthropic_version"] == NEW and json.loads(new.body)["stream"] is True
    for one in (old, new):
        assert "model" not in json.loads(one.body) and "anthropic-version" not in one.headers and one.sign == "google"


@pytest.mark.parametrize("host, service", [
    ("bedrock-mantle.us-east-1.api.aws/anthropic/v1", "bedrock-mantle"),
    ("aws-external-anthropic.us-east-1.api.aws/v1", "aws-external-anthropic"),
])
def test_on_aws_the_host_names_the_service_that_signs(host: str, service: str) -> None:
    template = RequestTemplate(model("sigv4 dated_api"), SamplingParams(), RequestOptions(), f"https://{host}")
    made = DIALECT.build(RequestContext(as_conversation("Hi"), template))
    assert made.url == f"https://{host}/messages" and made.sign == "aws" and made.sign_args == {"service": service}


def test_tiers_of_other_models_of_a_provider_are_not_claudes() -> None:
    data, notes = beyond("claude-5-opus-vertex", service_tier="priority")
    assert "service_tier" not in data and set(notes) == {"service_tier"}


# -- each flag, from both sides -------------------------------------------------------------------------------------

@pytest.mark.parametrize("flag, base, params, options, without, with_it", [
    ("reasoning", "adaptive_thinking", {"reasoning_effort": "low"}, {}, ({}, {"reasoning_effort"}),
     ({"thinking": {"type": "adaptive"}}, {"reasoning_effort"})),
    ("thinking_hidden", "reasoning adaptive_thinking", {"reasoning_effort": "low"}, {},
     ({"thinking": {"type": "adaptive"}}, {"reasoning_effort"}), ({"thinking": SHOWN}, {"reasoning_effort"})),
    ("thinking_disabled_ok", "reasoning adaptive_thinking", {"reasoning_effort": "none"}, {}, ({}, set()),
     ({"thinking": {"type": "disabled"}}, set())),
    ("always_reasons", "reasoning", {"reasoning_effort": "none"}, {}, ({}, set()), ({}, {"reasoning_effort"})),
    ("thinking_between_tools", "reasoning always_reasons", {"thinking_budget": 0}, {}, ({}, {"thinking_budget"}),
     ({"thinking": {"type": "between_tools"}}, {"thinking_budget"})),
    ("supports_tools", "", {}, {"tools": (SEARCH,)}, ({}, {"tools"}), ({"tools": [SEARCH]}, set())),
    ("supports_json_schema", "", {}, {"output_schema": {"type": "string"}}, ({}, {"output_schema"}),
     ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "string"}}}}, set())),
    ("no_forced_tools", "supports_tools", {}, {"tools": (SEARCH,), "tool_choice": "required"},
     ({"tools": [SEARCH], "tool_choice": {"type": "any"}}, set()),
     ({"tools": [SEARCH], "tool_choice": {"type": "auto"}}, {"tool_choice"})),
    ("no_stop", "", {"stop": "a"}, {}, ({"stop_sequences": ["a"]}, set()), ({}, {"stop"})),
    ("supports_prompt_caching", "", {}, {"cache": "automatic"}, ({}, {"cache"}), ({"cache_control": CACHED}, set())),
    ("supports_fast", "", {}, {"service_tier": "fast"}, ({}, {"service_tier"}), ({"speed": "fast"}, set())),
    ("sampling_fixed", "", {"top_p": 0.5}, {}, ({"top_p": 0.5}, set()), ({}, {"top_p"})),
    ("temperature_xor_top_p", "", {"temperature": 0.1, "top_p": 0.5}, {}, ({"top_p": 0.5}, set()), ({}, {"top_p"})),
])
def test_flags(flag: str, base: str, params: Any, options: Any, without: Any, with_it: Any) -> None:
    for flags, wanted in ((base, without), (f"{base} {flag}", with_it)):
        data, notes = beyond(model(flags), params=params, **options)
        assert (data, set(notes)) == wanted, flags


def test_a_cache_that_works_by_itself_says_so() -> None:
    assert "by itself" in beyond(model("automatic_caching"), cache="automatic")[1]["cache"]


def test_the_version_is_the_new_one_where_it_is_served() -> None:
    assert version(call(model("sampling_fixed"))) == OLD and version(call(model("sampling_fixed dated_api"))) == NEW
