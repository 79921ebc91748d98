"""What the chat completions dialect sends: input to exact body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deluge.dialects.openai_chat import DIALECT
from deluge.errors import ConfigError, InputError
from deluge.models.model import Model, Provider
from deluge.params import SamplingParams
from deluge.prompt import Audio, Conversation, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.tools import MCPServer, Tool
from deluge.wire import HttpCall

ALL = "none minimal low medium high xhigh max"


def model(flags: str = "", efforts: str = "", **fields: Any) -> Model:
    tiers = tuple(fields.pop("tiers", "").split())
    provider = Provider("host", "https://host.example/v1", service_tiers=tiers, **fields.pop("provider", {}))
    words = {"flags": frozenset(flags.split()), "efforts": tuple(efforts.split())}
    return Model("a-model", "its-name", provider, **words, **fields)


def call(row: Model, prompt: Any = "Hi", *, base_url: str = "https://host.example/v1", stream: bool = False,
         key: str | None = "sk-1", params: dict[str, Any] | None = None, **options: Any) -> HttpCall:
    template = RequestTemplate(row, SamplingParams(**params or {}), RequestOptions(**options), base_url, key)
    return DIALECT.build(RequestContext(as_conversation(prompt), template, stream=stream))


def body(row: Model, prompt: Any = "Hi", **more: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(call(row, prompt, **more).body)
    return data


def beyond(row: Model, **more: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What is in the body beside the usual fields, and the notes."""
    made = call(row, **more)
    data = json.loads(made.body)
    for name in ("model", "messages", "max_completion_tokens", "max_tokens"):
        data.pop(name, None)
    return data, {note.parameter: note.reason for note in made.notes}


def messages(prompt: Any, flags: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body(model(flags), prompt)["messages"]
    return found


def test_plain_text() -> None:
    made = call(model())
    assert made.method == "POST" and made.url == "https://host.example/v1/chat/completions" and not made.stream
    assert json.loads(made.body) == {
        "model": "its-name", "temperature": 0.75, "top_p": 1.0, "max_completion_tokens": 512,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    assert made.headers["authorization"] == "Bearer sk-1" and made.headers["content-type"] == "application/json"
    assert made.notes == () and made.sign is None


def test_the_shared_part_is_made_once_and_streams_have_their_own() -> None:
    template = RequestTemplate(model(), SamplingParams(), RequestOptions(), "https://host.example/v1", "k")
    one, two = (DIALECT.build(RequestContext(as_conversation(text), template)) for text in ("a", "b"))
    streamed = DIALECT.build(RequestContext(as_conversation("c"), template, stream=True))
    assert one.headers is two.headers and json.loads(two.body)["messages"][0]["content"] == "b"
    assert streamed.stream and json.loads(streamed.body)["stream_options"] == {"include_usage": True}
    assert "stream" not in json.loads(one.body)


def test_strict_hosts_get_no_stream_options() -> None:
    assert beyond(model("strict_body"), stream=True)[0]["stream"] is True
    assert "stream_options" not in beyond(model("strict_body"), stream=True)[0]


@pytest.mark.parametrize("text", ["\ud800 half", "a\u0000b", "ü" * 100_000, "NaN", '"}]'])
def test_any_text_can_be_said(text: str) -> None:
    assert messages(text) == [{"role": "user", "content": text}]


def test_headers_of_the_user_win() -> None:
    row = model(provider={"headers": {"X-Title": "deluge"}})
    made = call(row, extra_headers={"Authorization": "Bearer mine", "anthropic-beta": "x", "X-Title": None, "a": "b"})
    assert made.headers["authorization"] == "Bearer mine" and made.headers["a"] == "b"
    assert made.headers["anthropic-beta"] == "x" and "x-title" not in made.headers


def test_azure_keeps_its_query_and_takes_its_own_header() -> None:
    place = "https://r.example/openai/deployments/d?api-version=1"
    made = call(model(provider={"key_header": "api-key"}), base_url=place)
    assert made.url == "https://r.example/openai/deployments/d/chat/completions?api-version=1"
    assert made.headers["api-key"] == "sk-1" and "authorization" not in made.headers
    made = call(model(provider={"query": {"api-version": "2"}}), base_url="https://r.example/v1/")
    assert made.url == "https://r.example/v1/chat/completions?api-version=2"


def test_without_a_key_nothing_is_sent_or_a_signer_named() -> None:
    assert "authorization" not in call(model(), key=None).headers
    assert call(model("sigv4"), key=None).sign == "aws" and call(model("google_auth"), key=None).sign == "google"
    assert call(model("sigv4")).sign is None


@pytest.mark.parametrize("flags, params, wanted, noted", [
    ("", {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2, "top_p": 0.9}, set()),
    ("sampling_fixed", {}, {}, set()),
    ("sampling_fixed", {"temperature": 0.2}, {}, {"temperature"}),
    ("sampling_fixed", {"temperature": 1.0, "top_p": 1.0}, {}, set()),
    ("sampling_fixed", {"top_p": 0.5}, {}, {"top_p"}),
    ("temperature_xor_top_p", {}, {"temperature": 0.75}, set()),
    ("temperature_xor_top_p", {"top_p": 0.5}, {"top_p": 0.5}, set()),
    ("temperature_xor_top_p", {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, {"top_p"}),
])
def test_sampling(flags: str, params: dict[str, Any], wanted: dict[str, Any], noted: set[str]) -> None:
    data, notes = beyond(model(flags), params=params)
    assert (data, set(notes)) == (wanted, noted)


@pytest.mark.parametrize("effort, default, active", [
    (None, "none", False), (None, "medium", True), ("low", "none", True), ("none", "medium", False),
    (None, None, False),
])
def test_sampling_while_the_model_reasons(effort: str | None, default: str | None, active: bool) -> None:
    flags = "reasoning sampling_fixed_when_reasoning supports_logprobs"
    row = model(flags, "none low medium high", default_effort=default)
    data, notes = beyond(row, params={"temperature": 0.1, "logprobs": True, "reasoning_effort": effort})
    assert ("temperature" not in data) == active == ("temperature" in notes)
    assert ("logprobs" not in data) == active == ("logprobs" in notes)


@pytest.mark.parametrize("efforts, wanted, sent", [
    ("none low medium high xhigh", "xhigh", "xhigh"), ("none low medium high", "max", "high"),
    ("none low medium high", "minimal", "none"), ("low medium high", "minimal", "low"),
    ("low medium high", "none", "low"),
    ("minimal low medium high", "none", "minimal"), ("none high", "low", "high"), ("none high", "none", "none"),
    ("low high max", "xhigh", "high"), ("high", "low", "high"), ("low medium high max", "max", "max"),
])
def test_effort_is_the_nearest_one(efforts: str, wanted: str, sent: str) -> None:
    data, notes = beyond(model("reasoning", efforts), params={"reasoning_effort": wanted})
    assert data["reasoning_effort"] == sent
    assert ("reasoning_effort" in notes) == (wanted != sent)


def test_effort_on_models_that_take_none() -> None:
    assert "reasoning_effort" in beyond(model(), params={"reasoning_effort": "high"})[1]
    assert beyond(model(), params={"reasoning_effort": "none"})[1] == {}
    assert "reasoning_effort" in beyond(model("reasoning thinks_by_default"), params={"reasoning_effort": "none"})[1]
    assert "reasoning_effort" not in beyond(model("reasoning", ALL))[0]
    data, notes = beyond(model("reasoning", ALL), params={"thinking_budget": 2_000})
    assert data["reasoning_effort"] == "low" and "thinking_budget" in notes


def test_hosts_with_their_own_words_for_reasoning() -> None:
    openrouter = model("reasoning reasoning_object", ALL)
    assert beyond(openrouter, params={"reasoning_effort": "high"})[0]["reasoning"] == {"effort": "high"}
    assert beyond(openrouter, params={"thinking_budget": 4_000})[0]["reasoning"] == {"max_tokens": 4_000}
    assert beyond(openrouter, params={"thinking_budget": 0})[0]["reasoning"] == {"enabled": False}
    assert "reasoning" not in beyond(openrouter)[0]
    switch = model("reasoning thinking_switch")
    assert beyond(switch, params={"reasoning_effort": "none"})[0]["thinking"] == {"type": "disabled"}
    data, notes = beyond(switch, params={"reasoning_effort": "high"})
    assert data["thinking"] == {"type": "enabled"} and "reasoning_effort" not in data and "reasoning_effort" in notes
    data, notes = beyond(model("reasoning thinking_switch", "high max"), params={"reasoning_effort": "low"})
    assert (data["thinking"], data["reasoning_effort"]) == ({"type": "enabled"}, "high") and "reasoning_effort" in notes
    assert "reasoning_effort" in beyond(model("thinking_switch"), params={"reasoning_effort": "low"})[1]


@pytest.mark.parametrize("flags, params, wanted, noted", [
    ("supports_logprobs", {"logprobs": True}, {"logprobs": True}, set()),
    ("supports_logprobs", {"logprobs": True, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}, set()),
    ("", {"logprobs": True}, {}, {"logprobs"}),
    ("", {"seed": 7, "stop": "x"}, {"seed": 7, "stop": ["x"]}, set()),
    ("random_seed", {"seed": 7}, {"random_seed": 7}, set()),
    ("no_seed no_stop", {"seed": 7, "stop": ("x", "y")}, {}, {"seed", "stop"}),
    ("supports_verbosity", {"verbosity": "low"}, {"verbosity": "low"}, set()),
    ("supports_verbosity", {"global_effort": "max"}, {"verbosity": "high"}, {"verbosity"}),
    ("", {"verbosity": "low"}, {}, {"verbosity"}),
    ("supports_json", {"json_mode": True}, {"response_format": {"type": "json_object"}}, set()),
    ("", {"json_mode": True}, {}, {"json_mode"}),
    ("", {"extra": {"top_k": 4}}, {"top_k": 4}, set()),
])
def test_other_parameters(flags: str, params: dict[str, Any], wanted: dict[str, Any], noted: set[str]) -> None:
    data, notes = beyond(model(flags + " sampling_fixed"), params=params)
    assert (data, set(notes)) == (wanted, noted)


def test_the_name_of_the_output_limit() -> None:
    assert body(model("uses_max_tokens"), params={"max_new_tokens": 9})["max_tokens"] == 9
    assert "max_completion_tokens" not in body(model("uses_max_tokens"))


def test_own_fields_go_last_but_not_over_ours() -> None:
    data, notes = beyond(model("sampling_fixed"), params={"extra": {"a": 1, "b": 1}},
                         extra_body={"b": 2, "model": "other", "messages": [], "prompt_cache_key": "k"})
    assert data == {"a": 1, "b": 2, "prompt_cache_key": "k"} and set(notes) == {"model", "messages"}
    assert body(model(), extra_body={"model": "other"})["model"] == "its-name"


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}}
STRICT = {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}, "required": ["n"],
          "additionalProperties": False}


def test_a_schema_goes_before_json_mode_and_is_strict_where_it_can_be() -> None:
    row = model("supports_json supports_json_schema sampling_fixed")
    data, notes = beyond(row, params={"json_mode": True}, output_schema=SCHEMA)
    assert data == {"response_format": {"type": "json_schema", "json_schema": {
        "name": "response", "strict": True, "schema": STRICT}}} and not notes
    loose = {"type": "object", "additionalProperties": {"type": "string"}}
    data, _ = beyond(row, output_schema=loose)
    assert data["response_format"]["json_schema"] == {"name": "response", "strict": False, "schema": loose}
    data, notes = beyond(model("supports_json sampling_fixed"), params={"json_mode": True}, output_schema=SCHEMA)
    assert data == {"response_format": {"type": "json_object"}} and set(notes) == {"output_schema"}


@pytest.mark.parametrize("tier, tiers, flags, sent, noted", [
    ("flex", "auto flex", "supports_flex", "flex", False), ("flex", "auto flex", "", "auto", True),
    ("fast", "auto priority", "supports_priority", "priority", False),
    ("fast", "auto fast", "supports_priority", "fast", False),
    ("priority", "auto priority", "", "auto", True), ("auto", "", "", None, False), ("flex", "", "", None, True),
    ("standard", "auto default", "", "default", False), ("scale", "on_demand flex", "", None, True),
])
def test_service_tiers(tier: str, tiers: str, flags: str, sent: str | None, noted: bool) -> None:
    data, notes = beyond(model(flags, tiers=tiers), service_tier=tier)
    assert data.get("service_tier") == sent and ("service_tier" in notes) == noted


def test_tools() -> None:
    tool = Tool("f", "Does f", SCHEMA)
    raw = {"type": "web_search"}
    row = model("supports_tools supports_strict_tools sampling_fixed")
    data, _ = beyond(row, tools=(tool, raw), tool_choice="f")
    function = {"name": "f", "description": "Does f", "parameters": STRICT, "strict": True}
    assert data == {"tools": [{"type": "function", "function": function}, raw],
                    "tool_choice": {"type": "function", "function": {"name": "f"}}}
    loose, _ = beyond(row, tools=(tool,), params={"strict_tools": False}, tool_choice="required")
    assert loose["tools"][0]["function"] == {"name": "f", "description": "Does f", "parameters": SCHEMA}
    assert loose["tool_choice"] == "required"
    assert beyond(model("supports_tools"), tools=(tool,))[0]["tools"][0]["function"]["parameters"] == SCHEMA
    assert "tools" in beyond(model(), tools=(tool,))[1] and "tools" not in beyond(model(), tools=(tool,))[0]


def test_a_custom_tool_is_chosen_as_one() -> None:
    own = {"type": "custom", "custom": {"name": "calc", "format": {"type": "text"}}}
    for choice, kind in (("calc", "custom"), ("f", "function")):
        data, _ = beyond(model("supports_tools"), tools=(own, Tool("f")), tool_choice=choice)
        assert data["tool_choice"] == {"type": kind, kind: {"name": choice}}


def test_tools_that_cannot_be_forced() -> None:
    data, notes = beyond(model("supports_tools no_forced_tools"), tools=(Tool("f"),), tool_choice="required")
    assert data["tool_choice"] == "auto" and "tool_choice" in notes


def test_tools_beside_reasoning() -> None:
    row = model("supports_tools reasoning no_tools_with_reasoning", ALL, default_effort="medium")
    data, notes = beyond(row, tools=(Tool("f"),))
    assert data["reasoning_effort"] == "none" and not notes
    data, notes = beyond(row, tools=(Tool("f"),), params={"reasoning_effort": "high"})
    assert data["reasoning_effort"] == "none" and "use_responses_api" in notes["reasoning_effort"]
    with pytest.raises(ConfigError, match="use_responses_api=True"):
        call(model("supports_tools requires_responses_for_tools"), tools=(Tool("f"),))


def test_what_cannot_be_said_is_refused_clearly() -> None:
    with pytest.raises(InputError, match="'files'.*use_responses_api=True.*run_agent_loop"):
        call(model("supports_tools"), tools=(MCPServer("files", url="https://m.example"),))
    with pytest.raises(InputError, match="not serialisable"):
        call(model("supports_tools"), tools=({"x": object()},))
    bad = Conversation([Message("tool", (ToolResult("c1", object()),))])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tool call 'c1' is not serialisable"):
        call(model(), bad)
    with pytest.raises(InputError, match="files with their bytes"):
        call(model(), Message.user([File(url="https://f.example/a.pdf")]))
    with pytest.raises(InputError, match="by URL or with their bytes"):
        call(model(), Message.user([Image(file_id="f")]))


def test_cache_patterns() -> None:
    row = model("supports_prompt_cache_options developer_role")
    talk = Conversation().system("S").user("A").ai("B").user([Text("C"), Text("D")])
    mark = {"mode": "explicit"}
    data = body(row, talk, cache="last_2_user_messages")
    assert data["prompt_cache_options"] == {"mode": "explicit"} and data["messages"][0]["content"] == "S"
    assert data["messages"][1]["content"] == [{"type": "text", "text": "A", "prompt_cache_breakpoint": mark}]
    assert [part.get("prompt_cache_breakpoint") for part in data["messages"][3]["content"]] == [None, mark]
    data = body(row, talk, cache="system_and_tools")
    assert data["messages"][0]["content"][0]["prompt_cache_breakpoint"] == mark
    assert body(row, "x", cache="last_user_message")["messages"][0]["content"][0]["prompt_cache_breakpoint"] == mark
    assert beyond(row, cache="automatic", cache_ttl="1h")[0]["prompt_cache_options"] == {"mode": "implicit"}
    assert set(beyond(row, cache="automatic", cache_ttl="1h")[1]) == {"cache_ttl"}
    for other, pattern in ((model("automatic_caching"), "automatic"), (model(), "last_user_message"), (row, "tools_only")):
        data, notes = beyond(other, cache=pattern)
        assert "prompt_cache_options" not in data and set(notes) == {"cache"}


def test_models_of_the_responses_api_only() -> None:
    with pytest.raises(ConfigError, match="Responses API only"):
        call(model("requires_responses"))


def test_sampling_when_thinking_is_turned_off() -> None:
    row = model("reasoning thinks_by_default thinking_switch sampling_fixed_when_reasoning")
    assert "temperature" in beyond(row, params={"reasoning_effort": "none"})[0]
    assert "temperature" not in beyond(row)[0]


def test_system_messages_stay_in_order_under_the_models_role() -> None:
    talk = Conversation().system("A").user("B").system("C").ai("D").user("E")
    assert [m["role"] for m in messages(talk)] == ["system", "user", "system", "assistant", "user"]
    assert [m["role"] for m in messages(talk, "developer_role")][:3] == ["developer", "user", "developer"]
    assert [m["role"] for m in messages(talk, "no_system_role")][:2] == ["user", "user"]
    assert messages(Message("user", (Text("x"),), "Ann")) == [{"role": "user", "content": "x", "name": "Ann"}]


def test_media() -> None:
    parts = [Text("See"), Image(b"\x89PNG", detail="low"), Image(url="https://i.example/a.png"),
             File(b"%PDF", name="a.pdf"), File(file_id="file-1"), Audio(b"RIFF"), Audio(b"ID3", "audio/mpeg")]
    assert messages(Message.user(parts)) == [{"role": "user", "content": [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://i.example/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
    ]}]


def test_calls_and_results_media_of_results_follow_all_of_them() -> None:
    talk = Conversation().user("Go")
    talk.add(Message("assistant", (ToolCall("c1", "f", {"a": 1}), ToolCall("c2", "g", {}, text='{ }'),
                                   ToolCall("c3", "h", {}, text="{oops", error="not JSON"))))
    talk.with_tool_result("c1", (Text("a picture"), Image(b"\x89PNG")))
    talk.with_tool_results([("c2", {"rows": [1, 2]}), ("c3", "failed")])
    talk.ai("Done").user("Thanks")
    made = messages(talk)
    assert [m["role"] for m in made] == ["user", "assistant", "tool", "tool", "tool", "user", "assistant", "user"]
    assert made[1]["content"] is None
    assert [c["function"]["arguments"] for c in made[1]["tool_calls"]] == ['{"a":1}', "{ }", '{"unreadable":"{oops"}']
    assert [m["content"] for m in made[2:5]] == ["a picture", '{"rows":[1,2]}', "failed"]
    assert made[5]["content"][0] == {"type": "text", "text": "Output of tool call c1:"}
    assert made[5]["content"][1]["type"] == "image_url"


def test_ids_of_nine_letters_and_digits() -> None:
    calls = ToolCall("call_abcdef0123456", "f", {}), ToolCall("abcdefghi", "f", {})
    talk = Conversation([Message("assistant", calls)])
    talk.with_tool_result("call_abcdef0123456", "x")
    made = messages(talk, "short_tool_ids")
    first, second = (c["id"] for c in made[0]["tool_calls"])
    assert second == "abcdefghi" and len(first) == 9 and first.isalnum() and made[1]["tool_call_id"] == first


def test_what_the_model_said_goes_back() -> None:
    said = Message("assistant", (Thinking("Hm", provider="openai_chat"), Text("A"), Text("B"), Refusal("No")))
    assert messages(said) == [{"role": "assistant", "content": "AB", "refusal": "No"}]
    assert messages(said, "reasoning_content_back")[0]["reasoning_content"] == "Hm"
    assert messages(Message("assistant", (Refusal("No"),)), "strict_body") == [{"role": "assistant", "content": "No"}]
    call = Message("assistant", (ToolCall("c", "f", {}),))
    assert messages(call, "reasoning_content_back")[0]["reasoning_content"] == ""
    foreign = Message("assistant", (Thinking("x", "sig", "anthropic"), Raw("gemini", {"type": "y"}), Text("A")))
    assert messages(foreign, "reasoning_content_back") == [{"role": "assistant", "content": "A"}]


def test_blocks_of_the_host_go_back_unchanged() -> None:
    detail = {"type": "reasoning.text", "text": "Hm", "signature": "s", "index": 0}
    said = Message("assistant", (Thinking("Hm", "s", "openai_chat", raw=detail), Text("A")))
    assert messages(said, "reasoning_object") == [{"role": "assistant", "content": "A", "reasoning_details": [detail]}]
    signed = Message("assistant", (ToolCall("c", "f", {}, signature="s", provider="openai_chat"),))
    extra = {"google": {"thought_signature": "s"}}
    assert messages(signed, "thought_signatures")[0]["tool_calls"][0]["extra_content"] == extra
    assert "extra_content" not in messages(signed)[0]["tool_calls"][0]
    raw = Message("assistant", (Text("A"), Raw("openai_chat", {"type": "reference", "reference_ids": [1]})))
    assert messages(raw)[0]["content"][1] == {"type": "reference", "reference_ids": [1]}
    noted = Message("assistant", (Text("A"), Raw("openai_chat", {"annotations": []})))
    assert messages(noted) == [{"role": "assistant", "content": "A"}]


def test_the_conversation_is_not_changed() -> None:
    talk = Conversation().system("A").user([Text("B"), Image(b"x")]).freeze()
    before = talk.fingerprint
    call(model(), talk)
    assert Conversation(talk.messages).fingerprint == before


# -- Mistral's own words --------------------------------------------------------------------------------------------

def test_mistrals_chunks() -> None:
    row = model("mistral_chunks strict_body")
    said = Message("user", (Text("See"), File(b"%PDF", name="a.pdf"), File(file_id="f1"), File(url="https://h.example/b.pdf"),
                            Audio(b"x", "audio/mpeg"), Image(url="https://h.example/i.png")), name="ada")
    made = call(row, Conversation([said]))
    assert json.loads(made.body)["messages"] == [{"role": "user", "content": [
        {"type": "text", "text": "See"},
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERg==", "document_name": "a.pdf"},
        {"type": "file", "file_id": "f1"}, {"type": "document_url", "document_url": "https://h.example/b.pdf"},
        {"type": "input_audio", "input_audio": "eA=="}, {"type": "image_url", "image_url": {"url": "https://h.example/i.png"}},
    ]}]
    assert [note.parameter for note in made.notes] == ["name"]
    seen = body(row, Conversation().user("Hi").ai((ToolCall("c1", "f", {}),)).with_tool_result("c1", (Text("a"), Image(b"y"))))
    assert [message["role"] for message in seen["messages"]] == ["user", "assistant", "tool"]
    assert [part["type"] for part in seen["messages"][2]["content"]] == ["text", "image_url"]


def test_four_stop_sequences() -> None:
    data, notes = beyond(model("four_stops"), params={"stop": tuple("abcdef")})
    assert data["stop"] == list("abcd") and set(notes) == {"stop"}
    assert beyond(model(), params={"stop": tuple("abcdef")})[0]["stop"] == list("abcdef")


def test_thoughts_are_asked_for_apart_from_the_answer() -> None:
    assert body(model("reasoning_format"))["reasoning_format"] == "parsed" and "reasoning_split" not in body(model())
    row, detail = model("reasoning_split"), {"type": "reasoning.text", "id": "r1", "text": "Hm"}
    said = Message("assistant", (Thinking("Hm", None, "openai_chat", raw=detail), Text("A")))
    seen = body(row, Conversation().user("Hi").add(said).user("Go"))
    assert seen["reasoning_split"] is True and seen["messages"][1]["reasoning_details"] == [detail]
