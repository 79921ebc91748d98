"""What the Responses dialect sends: input to exact body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deluge.dialects.openai_responses import DIALECT
from deluge.errors import InputError
from deluge.models.model import Model, Provider
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt import Audio, Conversation, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.tools import MCPServer, Tool
from deluge.wire import HttpCall, HttpReply

ME = "openai_responses"
USUAL = {"model", "input", "max_output_tokens", "store", "temperature", "top_p"}


def model(flags: str = "", efforts: str = "", **fields: Any) -> Model:
    tiers = tuple(fields.pop("tiers", "").split())
    provider = Provider("host", "https://host.example/v1", service_tiers=tiers, **fields.pop("provider", {}))
    words = {"flags": frozenset(flags.split()), "efforts": tuple(efforts.split())}
    return Model("a-model", "its-name", provider, **words, **fields)


def context(row: Model, prompt: Any = "Hi", *, base_url: str = "https://host.example/v1", stream: bool = False,
            params: dict[str, Any] | None = None, **options: Any) -> RequestContext:
    template = RequestTemplate(row, SamplingParams(**params or {}), RequestOptions(**options), base_url, "sk-1")
    return RequestContext(as_conversation(prompt), template, stream=stream)


def call(row: Model, prompt: Any = "Hi", **more: Any) -> HttpCall:
    return DIALECT.build(context(row, prompt, **more))


def body(row: Model, prompt: Any = "Hi", **more: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(call(row, prompt, **more).body)
    return data


def beyond(row: Model, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is in the body beside the usual fields, and the notes."""
    made = call(row, **more)
    data = json.loads(made.body)
    return {name: data[name] for name in data if name not in USUAL}, {note.parameter: note.reason for note in made.notes}


def items(prompt: Any, flags: str = "") -> Any:
    return body(model(flags), prompt)["input"]


def test_plain_text() -> None:
    made = call(model())
    assert made.method == "POST" and made.url == "https://host.example/v1/responses" and made.notes == ()
    assert json.loads(made.body) == {
        "model": "its-name", "temperature": 0.75, "top_p": 1.0, "max_output_tokens": 512, "store": False, "input": "Hi",
    }
    assert made.headers["authorization"] == "Bearer sk-1" and made.headers["content-type"] == "application/json"


def test_the_users_headers_win() -> None:
    extra = {"Authorization": "Bearer mine", "anthropic-beta": "x", "accept": None, "OpenAI-Beta": "y"}
    made = call(model(), extra_headers=extra)
    assert made.headers["authorization"] == "Bearer mine" and made.headers["openai-beta"] == "y"
    assert made.headers["anthropic-beta"] == "x" and "accept" not in made.headers


def test_streams_have_a_body_of_their_own() -> None:
    ctx = context(model(), stream=True)
    assert json.loads(DIALECT.build(ctx).body)["stream"] is True
    assert "stream" not in json.loads(DIALECT.build(RequestContext(ctx.prompt, ctx.template)).body)


@pytest.mark.parametrize("text", ["\ud800 half", "a\u0000b", "NaN", '"}]'])
def test_any_text_can_be_said(text: str) -> None:
    assert items(text) == text


@pytest.mark.parametrize("flags, params, wanted, noted", [
    ("sampling_fixed", {}, {}, set()), ("sampling_fixed", {"temperature": 0.2}, {}, {"temperature"}),
    ("", {"temperature": 0.2}, {"temperature": 0.2, "top_p": 1.0}, set()),
    ("", {"stop": ["x"], "seed": 3}, {"temperature": 0.75, "top_p": 1.0}, {"stop", "seed"}),
    ("", {"max_new_tokens": 3}, {"temperature": 0.75, "top_p": 1.0}, {"max_new_tokens"}),
])
def test_sampling_and_what_has_no_word_here(flags: str, params: Any, wanted: Any, noted: set[str]) -> None:
    made = call(model(flags), params=params)
    data = json.loads(made.body)
    assert {name: data[name] for name in ("temperature", "top_p") if name in data} == wanted
    assert {note.parameter for note in made.notes} == noted
    assert data["max_output_tokens"] == max(16, params.get("max_new_tokens", 512)) and "stop" not in data


REASONS = "reasoning sampling_fixed_when_reasoning supports_logprobs"
SEALED = ["reasoning.encrypted_content"]


@pytest.mark.parametrize("flags, effort, wanted", [
    (REASONS, None, {"include": SEALED}),
    (REASONS, "high", {"include": SEALED, "reasoning": {"effort": "high"}}),
    (REASONS + " reasoning_summaries", "max", {"include": SEALED, "reasoning": {"effort": "high", "summary": "auto"}}),
    (REASONS + " reasoning_summaries", "none", {"include": SEALED, "reasoning": {"effort": "none"}}),
    (REASONS + " reasoning_summaries", None, {"include": SEALED}), ("", "high", {}),
])
def test_reasoning(flags: str, effort: str | None, wanted: Any) -> None:
    row = model(flags, "none low medium high" if flags else "", default_effort="none" if flags else None)
    data, notes = beyond(row, params={"reasoning_effort": effort})
    assert data == wanted and ("reasoning_effort" in notes) == (effort == "max" or not flags)
    sent = body(row, params={"reasoning_effort": effort, "temperature": 0.1})
    assert ("temperature" in sent) == (effort in (None, "none") or not flags)


def test_logprobs_are_included() -> None:
    params = {"logprobs": True, "top_logprobs": 2}
    wanted = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    assert beyond(model("supports_logprobs"), params=params) == (wanted, {})
    assert set(beyond(model(), params=params)[1]) == {"logprobs"}
    row = model(REASONS, "none low", default_effort="none")
    assert body(row, params=params)["include"] == [*SEALED, "message.output_text.logprobs"]
    data, notes = beyond(row, params={**params, "reasoning_effort": "low"})
    assert data["include"] == SEALED and "top_logprobs" not in data and set(notes) == {"logprobs"}
    assert set(beyond(model("supports_logprobs"), params={"top_logprobs": 2})[1]) == {"top_logprobs"}


def test_formats_and_verbosity_share_text() -> None:
    row = model("supports_json supports_json_schema supports_verbosity")
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    strict = {**schema, "additionalProperties": False}
    assert beyond(row, params={"json_mode": True, "verbosity": "low"})[0] == {
        "text": {"format": {"type": "json_object"}, "verbosity": "low"}}
    assert beyond(row, output_schema=schema)[0] == {
        "text": {"format": {"type": "json_schema", "name": "response", "schema": strict, "strict": True}}}
    free = {"type": "object", "additionalProperties": {"type": "string"}}
    assert body(row, output_schema=free)["text"]["format"]["strict"] is False
    data, notes = beyond(model(), params={"json_mode": True, "verbosity": "low"}, output_schema=schema)
    assert data == {} and set(notes) == {"json_mode", "verbosity", "output_schema"}


TOOL = Tool("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]})


def test_functions_are_flat_and_always_say_whether_they_are_strict() -> None:
    made = beyond(model("supports_tools supports_strict_tools"), tools=(TOOL,))[0]["tools"]
    parameters = {**TOOL.parameters, "additionalProperties": False}
    assert made == [{"type": "function", "name": "look", "description": "Looks.", "parameters": parameters, "strict": True}]
    loose = beyond(model("supports_tools"), tools=(TOOL,))[0]["tools"][0]
    assert loose["strict"] is False and loose["parameters"] == TOOL.parameters
    row = model("supports_tools supports_strict_tools")
    assert body(row, tools=(TOOL,), params={"strict_tools": False})["tools"][0]["strict"] is False


def test_dicts_go_as_they_are_and_those_of_chat_are_flattened() -> None:
    search = {"type": "web_search", "search_context_size": "low"}
    chat = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    grammar = {"type": "custom", "custom": {"name": "g", "format": {
        "type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}}}
    assert beyond(model("supports_tools"), tools=(search, chat, grammar))[0]["tools"] == [
        search, {"type": "function", "strict": False, **chat["function"]},
        {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
    ]
    data, notes = beyond(model(), tools=(search, chat))
    assert data["tools"] == [search] and set(notes) == {"tools"}


def test_mcp_servers_are_called_by_the_provider() -> None:
    server = MCPServer("dice", url="https://dice.example/mcp", token="t", headers={"a": "b"}, allowed_tools=("roll",))
    assert beyond(model("supports_tools native_mcp"), tools=(server,))[0]["tools"] == [{
        "type": "mcp", "server_label": "dice", "server_url": "https://dice.example/mcp", "require_approval": "never",
        "authorization": "t", "headers": {"a": "b"}, "allowed_tools": ["roll"],
    }]
    bare = MCPServer("dice", url="https://dice.example/mcp")
    assert set(body(model("native_mcp"), tools=(bare,))["tools"][0]) == {
        "type", "server_label", "server_url", "require_approval"}


@pytest.mark.parametrize("flags, server, options", [
    ("native_mcp", MCPServer("dice", command="dice"), {}), ("", MCPServer("dice", url="https://d.example"), {}),
    ("native_mcp", MCPServer("dice", url="https://d.example"), {"force_local_mcp": True}),
])
def test_mcp_servers_that_it_cannot_call(flags: str, server: MCPServer, options: Any) -> None:
    with pytest.raises(InputError, match="'dice'.*run_agent_loop"):
        call(model("supports_tools " + flags), tools=(server,), **options)


@pytest.mark.parametrize("choice, wanted", [
    ("auto", "auto"), ("none", "none"), ("required", "required"), ("look", {"type": "function", "name": "look"}),
    ("web_search", {"type": "web_search"}), ("g", {"type": "custom", "name": "g"}),
    ("dice", {"type": "mcp", "server_label": "dice"}), ("other", {"type": "function", "name": "other"}),
])
def test_tool_choice(choice: str, wanted: Any) -> None:
    tools = (TOOL, {"type": "web_search"}, {"type": "custom", "name": "g"}, MCPServer("dice", url="https://d.example"))
    row = model("supports_tools native_mcp")
    assert body(row, tools=tools, tool_choice=choice)["tool_choice"] == wanted
    assert "tool_choice" not in body(row, tool_choice=choice)
    data, notes = beyond(model("supports_tools native_mcp no_forced_tools"), tools=tools, tool_choice=choice)
    assert data["tool_choice"] == (choice if choice == "none" else "auto")
    assert ("tool_choice" in notes) == (choice not in ("auto", "none"))


def test_tiers() -> None:
    row = model("supports_flex", tiers="auto default flex")
    assert beyond(row, service_tier="flex") == ({"service_tier": "flex"}, {})
    data, notes = beyond(row, service_tier="priority")
    assert data == {"service_tier": "auto"} and set(notes) == {"service_tier"}


@pytest.mark.parametrize("pattern, ttl, wanted, noted", [
    ("automatic", None, {"mode": "implicit"}, set()), ("last_user_message", "12h", {"mode": "explicit", "ttl": "12h"}, set()),
    ("system_and_tools", "5m", {"mode": "explicit"}, {"cache_ttl"}), ("tools_only", None, None, {"cache"}),
])
def test_caching(pattern: str, ttl: str | None, wanted: Any, noted: set[str]) -> None:
    talk = Conversation().system("S").user("Hi")
    data, notes = beyond(model("supports_prompt_cache_options"), prompt=talk, cache=pattern, cache_ttl=ttl)
    assert data.get("prompt_cache_options") == wanted and set(notes) == noted
    assert set(beyond(model(), cache=pattern)[1]) == {"cache"}


def test_where_nothing_is_marked_caching_is_not_turned_off() -> None:
    data, _ = beyond(model("supports_prompt_cache_options"), prompt="Hi", cache="system_and_tools")
    assert data["prompt_cache_options"] == {"mode": "implicit"}


def test_the_cache_key_is_that_of_the_beginning() -> None:
    def key(prompt: Any, pattern: str = "system_and_tools", flags: str = "supports_prompt_cache_key", **more: Any) -> Any:
        return body(model(flags), prompt, cache=pattern, **more).get("prompt_cache_key")

    one, two = Conversation().system("S").user("a"), Conversation().system("S").user("b")
    assert key(one) == key(two) is not None and key(one) != key(Conversation().system("T").user("a"))
    assert key(one) != key(one, tools=(Tool("f", "", {"type": "object"}),))
    assert key(one, "last_user_message") != key(two, "last_user_message")
    assert key(one, "last_user_message") == key(one.ai("x").user("y"), "last_user_message")
    assert key("Hi") is None and key(one, flags="") is None
    assert key(one, params={"extra": {"prompt_cache_key": "mine"}}) == "mine"
    assert set(beyond(model("supports_prompt_cache_key"), prompt=one, cache="automatic", cache_ttl="1h")[1]) == {"cache_ttl"}
    merged = body(model("supports_prompt_cache_options"), one, cache="system_and_tools",
                  extra_body={"prompt_cache_options": {"ttl": "12h"}})
    assert merged["prompt_cache_options"] == {"mode": "explicit", "ttl": "12h"}


def test_cache_marks() -> None:
    talk = Conversation().system("Be brief.").user("One").ai("1").user("Two").freeze()
    made = body(model("supports_prompt_cache_options"), talk, cache="last_2_user_messages")["input"]
    marks = [isinstance(item["content"], list) and "prompt_cache_breakpoint" in item["content"][-1] for item in made]
    assert marks == [False, True, False, True]
    assert body(model("supports_prompt_cache_options"), talk, cache="system_and_tools")["input"][0]["content"] == [
        {"type": "input_text", "text": "Be brief.", "prompt_cache_breakpoint": {"mode": "explicit"}}]
    assert talk.messages[1] == Message.user("One")


def test_background_computer_use_and_own_fields() -> None:
    assert beyond(model("supports_background"), background=True) == ({"background": True}, {})
    assert set(beyond(model(), background=True)[1]) == {"background"}
    data, notes = beyond(model("supports_background"), background=True, stream=True)
    assert data == {"stream": True} and set(notes) == {"background"}
    assert beyond(model("computer_use"))[0] == {"truncation": "auto"}
    row = model("reasoning supports_verbosity", "low high")
    own = {"reasoning": {"summary": "detailed"}, "include": ["web_search_call.results"], "text": {"verbosity": "high"},
           "input": "no", "prompt_cache_key": "k", "store": True}
    data, notes = beyond(row, params={"reasoning_effort": "low", "extra": {"prompt_cache_key": "j", "user": "u"}},
                         extra_body=own)
    assert data == {
        "reasoning": {"effort": "low", "summary": "detailed"}, "include": [*SEALED, "web_search_call.results"],
        "text": {"verbosity": "high"}, "prompt_cache_key": "k", "user": "u",
    }
    assert set(notes) == {"input"} and body(row, extra_body=own)["store"] is True


# -- input ----------------------------------------------------------------------------------------------------------

def test_roles_and_names() -> None:
    talk = [Message.system("A"), Message.user("B"), Message.ai("C"), Message("user", (Text("D"),), "Eve")]
    made = call(model("developer_role"), Conversation(talk))
    roles = [(item["role"], item["content"]) for item in json.loads(made.body)["input"]]
    assert roles == [("developer", "A"), ("user", "B"), ("assistant", "C"), ("user", "D")]
    assert [note.parameter for note in made.notes] == ["name"]
    assert items(Conversation(talk))[0]["role"] == "system"
    assert items(Conversation(talk), "no_system_role")[0]["role"] == "user"


def test_media() -> None:
    parts = (Text("See"), Image(b"x"), Image(url="https://i.example/a.png", detail="low"), Image(file_id="file-1"),
             File(b"%PDF"), File(url="https://f.example/a.pdf"), File(file_id="file-2"),
             File(b"a", name="a.csv", media_type="text/csv"))
    assert items(Message("user", parts))[0]["content"] == [
        {"type": "input_text", "text": "See"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,eA=="},
        {"type": "input_image", "detail": "low", "image_url": "https://i.example/a.png"},
        {"type": "input_image", "detail": "auto", "file_id": "file-1"},
        {"type": "input_file", "filename": "file.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        {"type": "input_file", "file_url": "https://f.example/a.pdf"}, {"type": "input_file", "file_id": "file-2"},
        {"type": "input_file", "filename": "a.csv", "file_data": "data:text/csv;base64,YQ=="},
    ]
    with pytest.raises(InputError, match="no sound"):
        items(Message("user", (Audio(b"x"),)))
    with pytest.raises(InputError, match="a block of anthropic"):
        items(Message("user", (Raw("anthropic", {"type": "x"}),)))


def test_calls_and_results() -> None:
    talk = Conversation().user("Go").ai((
        Text("I look."), ToolCall("a", "look", {"at": "x"}), ToolCall("b", "grep", {"input": "z"}, "z", type="custom"),
        ToolCall("c", "search", {}, built_in=True, provider="anthropic", raw={"type": "server_tool_use"}),
    )).add(Message("tool", (
        ToolResult("a", "seen"), ToolResult("b", (Text("one"), Image(b"x"))), Text("By the way"),
    )))
    assert items(talk)[1:] == [
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": '{"at":"x"}'},
        {"type": "custom_tool_call", "call_id": "b", "name": "grep", "input": "z"},
        {"type": "function_call_output", "call_id": "a", "output": "seen"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [
            {"type": "input_text", "text": "one"},
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,eA=="}]},
        {"role": "user", "content": "By the way"},
    ]


def answer(*output: Any) -> APIResponse:
    reply = HttpReply(200, {}, json.dumps({"id": "r", "status": "completed", "output": output, "model": "m"}).encode())
    return DIALECT.parse(context(model()), reply)


ITEMS: tuple[dict[str, Any], ...] = (
    {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}],
     "encrypted_content": "s", "new": 1},
    {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "d", "tools": []},
    {"id": "mcp_1", "type": "mcp_call", "server_label": "d", "name": "roll", "arguments": "{}", "output": "5", "error": None},
    {"id": "mcpr_1", "type": "mcp_approval_request", "server_label": "d", "name": "roll", "arguments": "{}"},
    {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"at\": }", "status": "completed"},
    {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c2", "name": "grep", "input": "a+"},
    {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "eA=="},
    {"id": "cu_1", "type": "computer_call", "call_id": "c3", "action": {"type": "screenshot"}, "status": "completed",
     "pending_safety_checks": []},
    {"id": "x_1", "type": "telepathy", "waves": [1]},
    {"id": "cmp_1", "type": "compaction", "encrypted_content": "s"},
)


def test_items_go_back_unchanged() -> None:
    response = answer(*ITEMS)
    talk = Conversation().user("Go").with_response(response)
    before = talk.to_log()
    assert items(talk, "reasoning")[1:] == list(ITEMS)
    assert items(Conversation.from_log(json.loads(json.dumps(before))), "reasoning")[1:] == list(ITEMS)
    assert talk.to_log() == before


def test_phases_go_back_and_annotations_stay() -> None:
    notes = [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}]
    one = {"type": "message", "role": "assistant", "id": "m1", "status": "completed", "phase": "commentary",
           "content": [{"type": "output_text", "text": "a", "annotations": notes}, {"type": "output_text", "text": "b"}]}
    two = {**one, "phase": "final_answer", "content": [{"type": "output_text", "text": "c"}, {"type": "smell", "of": "rose"}]}
    talk = Conversation().user("Go").with_response(answer(one, two))
    assert items(talk)[1:] == [
        {"role": "assistant", "content": "ab", "phase": "commentary"},
        {"role": "assistant", "content": "c", "phase": "final_answer"},
        {**two, "content": [{"type": "smell", "of": "rose"}]},
    ]


def test_what_others_thought_stays_with_them() -> None:
    parts = (Thinking("x", "sig", "anthropic"), Thinking("y"), Raw("gemini", {"type": "z"}), Refusal("No."), Text("Yes"))
    assert items(Conversation().user("Go").ai(parts))[1:] == [
        {"type": "message", "role": "assistant", "status": "completed", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": "Yes"},
    ]
    own = Thinking("y", "seal", ME, "rs_9")
    assert items(Conversation().user("Go").ai((own,)), "reasoning")[1] == {
        "type": "reasoning", "id": "rs_9", "summary": [{"type": "summary_text", "text": "y"}], "encrypted_content": "seal"}


def test_pictures_of_another_provider_become_the_users() -> None:
    made = items(Conversation().user("Draw").ai((Text("Here"), Image(b"x"))))
    assert [item["role"] for item in made] == ["user", "assistant", "user"] and made[2]["content"][1]["type"] == "input_image"
    drawn = answer(ITEMS[7])
    assert items(Conversation().user("Draw").with_response(drawn))[1:] == [ITEMS[7]]


def test_results_of_calls_that_are_run_here() -> None:
    calls = [ITEMS[8], {"type": "shell_call", "call_id": "s", "action": {"commands": ["ls"]}},
             {"type": "apply_patch_call", "call_id": "p", "operation": {"type": "delete_file", "path": "a"}}]
    talk = Conversation().user("Go").with_response(answer(*calls))
    talk.add(Message("tool", (ToolResult("c3", (Image(b"x"),)), ToolResult("s", "no", is_error=True), ToolResult("p", "ok"))))
    assert items(talk)[4:] == [
        {"type": "computer_call_output", "call_id": "c3",
         "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,eA=="}},
        {"type": "shell_call_output", "call_id": "s",
         "output": [{"stdout": "", "stderr": "no", "outcome": {"type": "exit", "exit_code": 1}}]},
        {"type": "apply_patch_call_output", "call_id": "p", "status": "completed", "output": "ok"},
    ]
    approve = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    assert items(Conversation().add(Message("user", (Raw(ME, approve),)))) == [approve]


@pytest.mark.parametrize("name", ["gpt-6.1-sol", "gpt-6-luna", "gpt-5.5", "gpt-5.2", "gpt-5", "gpt-5-pro", "o3", "gpt-4.1",
                                  "gpt-5.1-codex", "openai-computer-use-preview", "grok-4.7", "muse-wonder-1.0"])
@pytest.mark.parametrize("effort", [None, "none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_family_gets_an_effort_that_it_accepts(name: str, effort: str | None) -> None:
    row = get_model(name)
    data = body(row, params={"reasoning_effort": effort, "temperature": 0.3})
    sent = data.get("reasoning", {}).get("effort")
    assert sent is None or sent in row.efforts
    if sent not in (None, "none") and row.has("sampling_fixed_when_reasoning"):
        assert "temperature" not in data
    assert "seed" not in data and "stop" not in data and data["store"] is False
