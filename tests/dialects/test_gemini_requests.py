"""What the Gemini dialect sends: input to exact body."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from deluge.dialects.gemini import DIALECT
from deluge.dialects.gemini.schema import json_schema
from deluge.errors import InputError
from deluge.models.model import Model, Provider
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt import Audio, Conversation, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.tools import MCPServer, Tool
from deluge.wire import HttpCall, HttpReply

BASE = "https://host.example/v1beta"
LEVELS = "reasoning always_reasons thinking_levels"
BUDGETS = "reasoning budget_thinking thinks_by_default"
WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
CLOCK = Tool("clock")


def model(flags: str = "", efforts: str = "", **fields: Any) -> Model:
    tiers = tuple(fields.pop("tiers", "").split())
    provider = Provider("host", BASE, "gemini", service_tiers=tiers,
                        **{"key_header": "x-goog-api-key", **fields.pop("provider", {})})
    words = {"flags": frozenset(flags.split()), "efforts": tuple(efforts.split())}
    return Model("a-model", fields.pop("name", "its-name"), provider, **words, **fields)


def call(row: Model, prompt: Any = "Hi", *, base_url: str = BASE, stream: bool = False, key: str | None = "k-1",
         params: dict[str, Any] | None = None, **options: Any) -> HttpCall:
    template = RequestTemplate(row, SamplingParams(**params or {}), RequestOptions(**options), base_url, key)
    return DIALECT.build(RequestContext(as_conversation(prompt), template, stream=stream))


def body(row: Model, prompt: Any = "Hi", **more: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(call(row, prompt, **more).body)
    return data


def beyond(row: Model, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is in generationConfig beside the usual fields, with what is beside it, and the notes."""
    made = call(row, **more)
    data = json.loads(made.body)
    data.pop("contents")
    found = {**data.pop("generationConfig"), **data}
    usual = {"temperature": 0.75, "topP": 1.0, "maxOutputTokens": 512}
    return ({name: value for name, value in found.items() if usual.get(name) != value},
            {note.parameter: note.reason for note in made.notes})


def contents(messages: Any, flags: str = "") -> list[dict[str, Any]]:
    prompt = Conversation(messages).freeze() if isinstance(messages, list) else messages
    found: list[dict[str, Any]] = body(model(flags), prompt)["contents"]
    return found


def test_plain_text() -> None:
    made = call(model())
    assert made.method == "POST" and made.url == f"{BASE}/models/its-name:generateContent" and not made.stream
    assert json.loads(made.body) == {
        "generationConfig": {"temperature": 0.75, "topP": 1.0, "maxOutputTokens": 512},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }
    assert made.headers["x-goog-api-key"] == "k-1" and "authorization" not in made.headers
    assert made.notes == () and made.sign is None


def test_streams_have_a_path_of_their_own() -> None:
    made = call(model(), stream=True)
    assert made.url == f"{BASE}/models/its-name:streamGenerateContent?alt=sse" and made.stream
    assert json.loads(made.body) == body(model())
    assert call(model(), stream=True, base_url=BASE + "?key=x").url.endswith(":streamGenerateContent?key=x&alt=sse")


@pytest.mark.parametrize("name, path", [
    ("models/gemini-x", "/models/gemini-x"), ("tunedModels/mine", "/tunedModels/mine"), ("a b", "/models/a%20b"),
])
def test_names_with_a_path(name: str, path: str) -> None:
    assert call(model(name=name)).url == f"{BASE}{path}:generateContent"


def test_the_shared_part_is_made_once() -> None:
    template = RequestTemplate(model(), SamplingParams(), RequestOptions(), BASE, "k")
    one, two = (DIALECT.build(RequestContext(as_conversation(text), template)) for text in ("a", "b"))
    assert one.headers is two.headers and json.loads(two.body)["contents"][0]["parts"] == [{"text": "b"}]


@pytest.mark.parametrize("text", ["\ud800 half", "a\u0000b", "ü" * 100_000, "NaN", '"}]'])
def test_any_text_can_be_said(text: str) -> None:
    assert contents(text) == [{"role": "user", "parts": [{"text": text}]}]


# -- keys --------------------------------------------------------------------------------------------------------------

def test_vertex_takes_a_token_an_api_key_or_a_signer() -> None:
    row = get_model("gemini-3.8-flash-vertex")
    place = "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/publishers/google"
    made = call(row, base_url=place, key="ya29.token")
    assert made.url == f"{place}/models/gemini-3.8-flash:generateContent"
    assert made.headers["authorization"] == "Bearer ya29.token" and made.sign is None
    made = call(row, base_url=place, key="AIzaSyX")
    assert made.headers["x-goog-api-key"] == "AIzaSyX" and "authorization" not in made.headers
    made = call(row, base_url=place, key=None)
    assert made.sign == "google" and "authorization" not in made.headers
    made = call(row, base_url=place, key=None, extra_headers={"Authorization": "Bearer mine"})
    assert made.sign is None and made.headers["authorization"] == "Bearer mine"
    assert call(model(), key=None).sign is None


def test_headers_of_the_user_win() -> None:
    made = call(model(), extra_headers={"X-Goog-Api-Key": "mine", "anthropic-beta": "x", "openai-organization": "o",
                                        "x-goog-user-project": "p", "accept": None})
    assert made.headers["x-goog-api-key"] == "mine" and made.headers["x-goog-user-project"] == "p"
    assert made.headers["openai-organization"] == "o" and "accept" not in made.headers


# -- parameters --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("flags, params, wanted, noted", [
    ("", {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2, "topP": 0.9}, set()),
    ("sampling_fixed", {}, {}, set()),
    ("sampling_fixed", {"temperature": 0.2, "top_p": 0.5}, {}, {"temperature", "top_p"}),
    ("own_sampling", {"temperature": 0.75}, {"temperature": 0.75}, set()),
    ("own_sampling", {}, {}, set()),
    ("", {"seed": 7, "stop": ("a", "b")}, {"seed": 7, "stopSequences": ["a", "b"]}, set()),
    ("no_seed no_stop", {"seed": 7, "stop": "a"}, {}, {"seed", "stop"}),
    ("", {"stop": tuple("abcdef")}, {"stopSequences": list("abcde")}, {"stop"}),
    ("supports_logprobs", {"logprobs": True}, {"responseLogprobs": True}, set()),
    ("supports_logprobs", {"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}, set()),
    ("", {"logprobs": True}, {}, {"logprobs"}),
    ("supports_logprobs", {"top_logprobs": 3}, {}, {"top_logprobs"}),
    ("supports_json", {"json_mode": True}, {"responseMimeType": "application/json"}, set()),
    ("", {"json_mode": True}, {}, {"json_mode"}),
    ("", {"verbosity": "low"}, {}, {"verbosity"}),
    ("", {"max_new_tokens": 9}, {"maxOutputTokens": 9}, set()),
])
def test_parameters(flags: str, params: dict[str, Any], wanted: dict[str, Any], noted: set[str]) -> None:
    made = call(model(flags), params=params)
    config = json.loads(made.body)["generationConfig"]
    if "temperature" in wanted or "sampling" in flags:
        config.pop("maxOutputTokens")
        assert config == wanted
    else:
        assert {name: config[name] for name in config if name not in ("temperature", "topP")} == {
            "maxOutputTokens": 512, **wanted}
    assert {note.parameter for note in made.notes} == noted


@pytest.mark.parametrize("efforts, effort, level, noted", [
    ("low medium high", "low", "low", False), ("low medium high", "minimal", "low", True),
    ("minimal low medium high", "minimal", "minimal", False), ("low medium high", "xhigh", "high", True),
    ("low medium high", "max", "high", True), ("low medium high xhigh", "xhigh", "xhigh", False),
])
def test_levels(efforts: str, effort: str, level: str, noted: bool) -> None:
    data, notes = beyond(model(LEVELS, efforts), params={"reasoning_effort": effort})
    assert data == {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": level}}
    assert ("reasoning_effort" in notes) == noted


def test_levels_beside_budgets_and_thinking_that_cannot_be_turned_off() -> None:
    row = model(LEVELS, "low medium high")
    assert beyond(row) == ({}, {})
    data, notes = beyond(row, params={"reasoning_effort": "none"})
    assert data == {"thinkingConfig": {"thinkingLevel": "low"}} and set(notes) == {"reasoning_effort"}
    data, notes = beyond(row, params={"thinking_budget": 8_000})
    assert data["thinkingConfig"]["thinkingLevel"] == "medium" and set(notes) == {"thinking_budget"}
    data, notes = beyond(row, params={"thinking_budget": 8_000, "reasoning_effort": "high"})
    assert data["thinkingConfig"]["thinkingLevel"] == "high" and set(notes) == {"thinking_budget"}


@pytest.mark.parametrize("flags, params, budget, noted", [
    (BUDGETS, {"reasoning_effort": "none"}, 0, set()), (BUDGETS, {"reasoning_effort": "low"}, 1_024, set()),
    (BUDGETS, {"reasoning_effort": "minimal"}, 512, set()), (BUDGETS, {"reasoning_effort": "medium"}, 8_192, set()),
    (BUDGETS, {"reasoning_effort": "high"}, 24_576, set()),
    (BUDGETS, {"reasoning_effort": "max"}, 24_576, {"reasoning_effort"}),
    (BUDGETS, {"thinking_budget": 77}, 77, set()), (BUDGETS, {"thinking_budget": 0}, 0, set()),
    (BUDGETS, {"thinking_budget": 99_999}, 24_576, {"thinking_budget"}),
    (BUDGETS, {"thinking_budget": 77, "reasoning_effort": "low"}, 77, {"reasoning_effort"}),
    ("reasoning budget_thinking", {"thinking_budget": 77}, 512, {"thinking_budget"}),
    (BUDGETS + " always_reasons", {"reasoning_effort": "none"}, 128, {"reasoning_effort"}),
    (BUDGETS + " always_reasons", {"thinking_budget": 30_000}, 30_000, set()),
])
def test_budgets(flags: str, params: dict[str, Any], budget: int, noted: set[str]) -> None:
    data, notes = beyond(model(flags), params=params)
    assert data["thinkingConfig"]["thinkingBudget"] == budget and set(notes) == noted
    off = params.get("reasoning_effort") == "none" or params.get("thinking_budget") == 0
    assert ("includeThoughts" in data["thinkingConfig"]) == (not off)


def test_thinking_on_models_that_do_not() -> None:
    assert beyond(model(), params={"reasoning_effort": "none"}) == ({}, {})
    assert set(beyond(model(), params={"reasoning_effort": "high"})[1]) == {"reasoning_effort"}
    assert set(beyond(model(), params={"thinking_budget": 100})[1]) == {"thinking_budget"}


def test_every_effort_on_every_row_of_the_catalog() -> None:
    for name in ("gemini-4-argon", "gemini-3.8-flash", "gemini-3.5-flash", "gemini-3.1-pro-preview", "gemini-2.5-pro",
                 "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3.5-flash-lite"):
        row = get_model(name)
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
            made = call(row, params={"reasoning_effort": effort})
            thinking = json.loads(made.body)["generationConfig"]["thinkingConfig"]
            assert ("thinkingLevel" in thinking) == row.has("thinking_levels") != ("thinkingBudget" in thinking)
            if "thinkingLevel" in thinking:
                assert thinking["thinkingLevel"] in row.efforts
                assert bool(made.notes) == (thinking["thinkingLevel"] != effort)


def test_schemas() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    data, notes = beyond(model("supports_json supports_json_schema"), output_schema=schema, params={"json_mode": True})
    assert data == {"responseMimeType": "application/json", "responseJsonSchema": schema} and not notes
    data, notes = beyond(model("supports_json"), output_schema=schema, params={"json_mode": True})
    assert data == {"responseMimeType": "application/json"} and set(notes) == {"output_schema"}
    assert set(beyond(model(), output_schema=schema)[1]) == {"output_schema"}
    tools = "supports_json supports_json_schema supports_tools"
    assert "responseJsonSchema" in beyond(model(tools), output_schema=schema, tools=(CLOCK,))[0]
    data, notes = beyond(model(tools + " no_json_with_tools"), output_schema=schema, tools=(CLOCK,))
    assert "responseJsonSchema" not in data and set(notes) == {"output_schema"}
    notes = beyond(model(tools + " no_json_with_tools"), params={"json_mode": True}, tools=(CLOCK,))[1]
    assert set(notes) == {"json_mode"}


@pytest.mark.parametrize("tier, flags, sent, noted", [
    ("flex", "supports_flex", "flex", False), ("priority", "supports_priority", "priority", False),
    ("fast", "supports_priority", "priority", False), ("flex", "", None, True), ("auto", "", None, False),
    ("default", "", "standard", False), ("standard", "", "standard", False), ("scale", "", None, True),
])
def test_service_tiers(tier: str, flags: str, sent: str | None, noted: bool) -> None:
    data, notes = beyond(model(flags, tiers="standard flex priority"), service_tier=tier)
    assert data.get("serviceTier") == sent and ("service_tier" in notes) == noted


def test_caching_is_the_models_own_affair() -> None:
    notes = beyond(model("automatic_caching"), cache="last_user_message", cache_ttl="1h")[1]
    assert set(notes) == {"cache", "cache_ttl"} and "by itself" in notes["cache"]
    assert beyond(model(), cache="automatic")[1] == {"cache": "not offered here"}


def test_own_fields_go_last_and_into_our_objects() -> None:
    params = {"extra": {"generationConfig": {"topK": 5, "top_p": 0.1}, "model": "x", "labels": {"a": "b"}}}
    extra = {"safetySettings": [], "generation_config": {"topK": 6}, "contents": [], "systemInstruction": {}}
    made = call(model(), params=params, extra_body=extra)
    data = json.loads(made.body)
    assert data["generationConfig"] == {"temperature": 0.75, "topP": 0.1, "maxOutputTokens": 512, "topK": 6}
    assert data["labels"] == {"a": "b"} and data["safetySettings"] == [] and "systemInstruction" not in data
    assert data["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}] and "generation_config" not in data
    assert [note.parameter for note in made.notes] == ["model", "contents", "systemInstruction"]


# -- tools -------------------------------------------------------------------------------------------------------------

def test_tools() -> None:
    data, notes = beyond(model("supports_tools"), tools=(WEATHER, {"googleSearch": {}}, CLOCK))
    assert not notes and data == {"tools": [{"googleSearch": {}}, {"functionDeclarations": [
        {"name": "weather", "description": "The weather.", "parametersJsonSchema": WEATHER.parameters},
        {"name": "clock", "parametersJsonSchema": CLOCK.parameters},
    ]}]}
    assert beyond(model(), tools=(WEATHER,)) == ({}, {"tools": "the model does not call functions"})
    with pytest.raises(InputError, match="run_agent_loop"):
        call(model("supports_tools"), tools=(MCPServer("s", "https://s.example"),))


@pytest.mark.parametrize("choice, flags, strict, wanted, noted", [
    (None, "", None, None, False), ("auto", "", None, {"mode": "AUTO"}, False),
    ("none", "", None, {"mode": "NONE"}, False), ("required", "", None, {"mode": "ANY"}, False),
    ("clock", "", None, {"mode": "ANY", "allowedFunctionNames": ["clock"]}, False),
    ("clock", "no_forced_tools", None, {"mode": "AUTO"}, True),
    (None, "", True, {"mode": "VALIDATED"}, False), ("auto", "", True, {"mode": "VALIDATED"}, False),
    ("required", "", True, {"mode": "ANY"}, False), (None, "", False, None, False),
])
def test_tool_choice(choice: Any, flags: str, strict: Any, wanted: Any, noted: bool) -> None:
    params = {} if strict is None else {"strict_tools": strict}
    data, notes = beyond(model("supports_tools " + flags), tools=(WEATHER, CLOCK), tool_choice=choice, params=params)
    assert data.get("toolConfig", {}).get("functionCallingConfig") == wanted
    assert ("tool_choice" in notes) == noted


def test_tool_choice_rules_functions_only() -> None:
    data, notes = beyond(model("supports_tools"), tools=({"googleSearch": {}},), tool_choice="required")
    assert "toolConfig" not in data and set(notes) == {"tool_choice"}
    row, both = "supports_tools server_tool_invocations", ({"googleSearch": {}}, CLOCK)
    told = {"includeServerSideToolInvocations": True}
    assert beyond(model(row), tools=both)[0]["toolConfig"] == told
    assert beyond(model(row), tools=both, tool_choice="auto")[0]["toolConfig"] == {
        "functionCallingConfig": {"mode": "VALIDATED"}, **told}
    assert "toolConfig" not in beyond(model(row), tools=both[:1])[0]
    assert "toolConfig" not in beyond(model(row), tools=both[1:])[0]
    strict = Tool("f", strict=True)
    assert beyond(model("supports_tools"), tools=(strict,))[0]["toolConfig"] == {
        "functionCallingConfig": {"mode": "VALIDATED"}}


# -- conversations -----------------------------------------------------------------------------------------------------

def test_all_system_messages_and_roles_in_turn() -> None:
    prompt = [Message.system("One."), Message.user("a"), Message.user("b"), Message.ai("c"), Message.system("Two."),
              Message.ai("d"), Message.user("e")]
    data = body(model(), Conversation(prompt).freeze())
    assert data["systemInstruction"] == {"parts": [{"text": "One."}, {"text": "Two."}]}
    assert data["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]}, {"role": "user", "parts": [{"text": "e"}]},
    ]
    data = body(model("no_system_role"), Conversation([Message.system("One."), Message.user("a")]).freeze())
    assert "systemInstruction" not in data and data["contents"] == [
        {"role": "user", "parts": [{"text": "One."}, {"text": "a"}]}]


def test_media() -> None:
    data = base64.b64encode(b"abc").decode()
    message = Message.user((
        Text("see"), Image(b"abc", media_type="image/jpeg"), Image(url="https://e.example/a.png"),
        File(b"abc", name="x.pdf"), File(file_id="files/f1"), File(file_id="https://g.example/v1beta/files/f2"),
        File(file_id="gs://b/c.pdf"), Audio(b"abc", "audio/mp3"), File(file_id="f3"),
    ))
    assert contents([message])[0]["parts"] == [
        {"text": "see"}, {"inlineData": {"mimeType": "image/jpeg", "data": data}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://e.example/a.png"}},
        {"inlineData": {"mimeType": "application/pdf", "data": data}}, {"fileData": {"fileUri": f"{BASE}/files/f1"}},
        {"fileData": {"fileUri": "https://g.example/v1beta/files/f2"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/c.pdf"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": data}}, {"fileData": {"fileUri": f"{BASE}/files/f3"}},
    ]


def test_results_have_the_name_of_the_call_that_they_answer() -> None:
    calls = (ToolCall("a", "weather", {"city": "Bonn"}), ToolCall("b", "clock", {}))
    results = (ToolResult("a", "rain"), ToolResult("b", {"hour": 9}))  # type: ignore[arg-type]
    found = contents([Message.user("?"), Message.ai(calls), Message("tool", results), Message.user("And?")])
    assert found[1:] == [
        {"role": "model", "parts": [
            {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Bonn"}}},
            {"functionCall": {"id": "b", "name": "clock", "args": {}}}]},
        {"role": "user", "parts": [
            {"functionResponse": {"id": "a", "name": "weather", "response": {"output": "rain"}}},
            {"functionResponse": {"id": "b", "name": "clock", "response": {"hour": 9}}}, {"text": "And?"}]},
    ]


def test_results_that_went_wrong_and_results_of_unknown_calls() -> None:
    call_ = Message.ai(ToolCall("a", "f", {}))
    result = contents([call_, Message("tool", (ToolResult("a", "no", True),))])[1]["parts"][0]["functionResponse"]
    assert result["response"] == {"error": "no"}
    named = contents([Message("tool", (ToolResult("z", "x", name="g"),))])[0]["parts"][0]["functionResponse"]
    assert named["name"] == "g"
    with pytest.raises(InputError, match="'z' answers no call"):
        contents([call_, Message("tool", (ToolResult("z", "x"),))])


def test_media_of_results_inside_them_or_after_all_of_them() -> None:
    data = base64.b64encode(b"abc").decode()
    image, sound = Image(b"abc"), Audio(b"abc")
    talk = [Message.ai((ToolCall("a", "f", {}), ToolCall("b", "g", {}))),
            Message("tool", (ToolResult("a", (Text("look"), image)), ToolResult("b", (sound,))))]  # type: ignore[arg-type]
    picture, noise = ({"inlineData": {"mimeType": kind, "data": data}} for kind in ("image/png", "audio/wav"))
    first = {"id": "a", "name": "f", "response": {"output": "look"}}
    second = {"functionResponse": {"id": "b", "name": "g", "response": {"output": "(the output follows)"}}}
    last = [{"text": "Output of tool call b (g):"}, noise]
    assert contents(talk, "media_in_tool_results")[1]["parts"] == [
        {"functionResponse": {**first, "parts": [picture]}}, second, *last]
    assert contents(talk)[1]["parts"] == [
        {"functionResponse": first}, second, {"text": "Output of tool call a (f):"}, picture, *last]


def test_what_the_model_said_goes_back_unchanged() -> None:
    parts = [
        {"text": "Hm.", "thought": True}, {"text": "So.", "thoughtSignature": "czE="},
        {"executableCode": {"language": "PYTHON", "code": "1"}}, {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
        {"toolCall": {"id": "t", "toolType": "GOOGLE_SEARCH_WEB", "args": {}}, "thoughtSignature": "czM="},
        {"toolResponse": {"id": "t", "toolType": "GOOGLE_SEARCH_WEB", "response": {}}},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "czI="},
        {"functionCall": {"id": "x", "name": "g", "args": {}}}, {"hologram": {"a": 1}},
        {"inlineData": {"mimeType": "image/png", "data": "YQ=="}, "thoughtSignature": "czQ="},
    ]
    candidate = {"content": {"parts": parts}, "finishReason": "STOP", "groundingMetadata": {"a": 1}}
    reply = HttpReply(200, {}, json.dumps({"candidates": [candidate], "responseId": "r"}).encode())
    template = RequestTemplate(model("thought_signatures"), SamplingParams(), RequestOptions(), BASE, "k")
    answer = DIALECT.parse(RequestContext(as_conversation("Hi"), template), reply)
    talk = Conversation().user("Hi").with_response(answer)
    assert any(type(part) is Image for part in talk.messages[1].parts)
    before = copy.deepcopy(talk.messages)
    calls = [one for one in answer.tool_calls if not one.built_in]
    talk = talk.copy().with_tool_results([(one.id, "done") for one in calls])
    found = contents(talk.messages, "thought_signatures")
    assert found[1]["parts"] == parts
    assert found[2]["parts"] == [
        {"functionResponse": {"name": "f", "response": {"output": "done"}}},
        {"functionResponse": {"id": "x", "name": "g", "response": {"output": "done"}}}]
    assert talk.messages[:2] == before


def test_what_others_said_goes_without_their_seals() -> None:
    message = Message.ai((
        Thinking("secret", "sig", "anthropic"), Thinking("none"), Raw("openai_chat", {"type": "x"}), Refusal("I won't."),
        Text("Hm", "sig", "openai_responses"), ToolCall("a", "f", {}, signature="sig", provider="openai_chat"),
        ToolCall("b", "g", {}, "{", "not JSON"), ToolCall("c", "web", {}, built_in=True, raw={"type": "y"}, provider="z"),
    ))
    found = contents([Message.user("?"), message, Message("tool", (ToolResult("a", "1"), ToolResult("b", "2")))])
    assert found[1]["parts"] == [
        {"text": "I won't."}, {"text": "Hm"}, {"functionCall": {"id": "a", "name": "f", "args": {}}},
        {"functionCall": {"id": "b", "name": "g", "args": {"unreadable": "{"}}},
    ]


def test_calls_without_a_signature_on_models_that_want_one() -> None:
    message = Message.ai((ToolCall("a", "f", {}), ToolCall("b", "g", {})))
    parts = contents([message], "thought_signatures")[0]["parts"]
    assert parts[0]["thoughtSignature"] == "skip_thought_signature_validator" and "thoughtSignature" not in parts[1]
    assert "thoughtSignature" not in contents([message])[0]["parts"][0]


@pytest.mark.parametrize("prompt, what", [
    ([Message.system("alone")], "a message of the user"), ([Message("system", (Image(b"a"),))], "holds text only"),
    ([Message.user(Raw("anthropic", {}))], "a block of anthropic"), ([Message.user(Thinking("x"))], "type Thinking"),
    ([Message.ai(ToolCall("a", "f", {"x": object()}))], "not serialisable"),
])
def test_what_cannot_be_said_is_refused_clearly(prompt: list[Message], what: str) -> None:
    with pytest.raises(InputError, match=what):
        contents(prompt)


def test_messages_without_anything_in_them() -> None:
    assert contents([Message.user(""), Message.ai(()), Message("user", ())]) == [
        {"role": "user", "parts": [{"text": ""}, {"text": ""}]}]


ASKED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("temperature", {"temperature": 0.1}, {}), ("top_p", {"top_p": 0.3}, {}), ("json_mode", {"json_mode": True}, {}),
    ("max_new_tokens", {"max_new_tokens": 77}, {}), ("thinking_budget", {"thinking_budget": 3_000}, {}),
    ("verbosity", {"verbosity": "high"}, {}), ("logprobs", {"logprobs": True}, {}), ("seed", {"seed": 5}, {}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": 5}, {}), ("strict_tools", {"strict_tools": True}, {}),
    ("stop", {"stop": ("x",)}, {}), ("extra", {"extra": {"safetySettings": []}}, {}),
    ("output_schema", {}, {"output_schema": {"type": "object"}}), ("cache", {}, {"cache": "system_and_tools"}),
    ("cache_ttl", {}, {"cache_ttl": "1h"}), ("service_tier", {}, {"service_tier": "flex"}),
    ("service_tier", {}, {"service_tier": "scale"}), ("tool_choice", {}, {"tool_choice": "required"}),
    ("extra_body", {}, {"extra_body": {"labels": {}}}),
    *(("reasoning_effort", {"reasoning_effort": effort}, {}) for effort in ("low", "medium", "high", "xhigh", "max")),
]
ROWS = ["gemini-4-argon", "gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro-preview", "gemini-2.5-pro",
        "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.0-flash", "gemini-3.8-flash-vertex"]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name, params, options", ASKED)
def test_what_is_asked_for_is_sent_or_noted(
    row: str, name: str, params: dict[str, Any], options: dict[str, Any]
) -> None:
    plain = call(get_model(row), tools=(WEATHER,))
    made = call(get_model(row), tools=(WEATHER,), params=params, **options)
    assert made.body != plain.body or name in {note.parameter for note in made.notes}
    for note in made.notes:
        assert note.parameter in (*params, *options) and note.reason


def test_schemas_say_what_gemini_would_pass_over() -> None:
    node = {"type": "object", "required": ["kind", "next"], "properties": {
        "kind": {"const": "n"}, "next": {"$ref": "#/definitions/Node", "description": "the next"}, "flag": {"const": True},
        "size": {"type": "string", "minLength": 2, "default": "ab", "description": "How big."}, "pick": {"enum": ["a", None]},
    }}
    made = json_schema({"type": "object", "properties": {"top": {"allOf": [{"$ref": "#/definitions/Node"}]}},
                        "required": ["top"], "definitions": {"Node": node}})
    assert made["required"] == ["top"] and made["properties"] == {"top": {"$ref": "#/$defs/Node"}}
    assert "definitions" not in made and made["$defs"]["Node"] == {"type": "object", "required": ["kind"], "properties": {
        "kind": {"enum": ["n"], "type": "string"}, "flag": {"description": "(const: True)"},
        "next": {"anyOf": [{"$ref": "#/$defs/Node"}], "description": "the next"},
        "size": {"type": "string", "description": "How big. (minLength: 2, default: ab)"},
        "pick": {"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "null"}]},
    }}
    assert json_schema({"type": "object", "properties": 7}) == {"type": "object", "properties": 7}
