"""Conversations out to each provider's words and back, into logs and back, and told apart by their fingerprints."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge import (
    APIResponse, Audio, Conversation, File, Image, InputError, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult,
)
from deluge.errors import ConfigError
from deluge.prompt.coerce import as_prompts

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
PDF = b"%PDF-1.7"
PNG64, PDF64 = "iVBORw0KGgoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "JVBERi0xLjc="

CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [
        {"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "https://h.example/a.png"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG64}", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF64}"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}], "name": "ann"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1,  "b": null}'}},
        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "free text"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "one"}, {"role": "tool", "tool_call_id": "c2", "content": "two"},
    {"role": "assistant", "content": None, "refusal": "No."},
    {"role": "assistant", "content": "Yes.", "audio": {"id": "audio_1"}},
    {"role": "user", "content": "Bye"},
]
RESPONSES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [
        {"type": "input_text", "text": "See"},
        {"type": "input_image", "detail": "auto", "image_url": "https://h.example/a.png"},
        {"type": "input_file", "file_url": "https://h.example/a.pdf"}, {"type": "input_file", "file_id": "file-1"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "x"},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}', "status": "completed"},
    {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "one"},
    {"type": "function_call_output", "call_id": "c2", "output": [
        {"type": "input_text", "text": "two"}, {"type": "input_image", "detail": "auto", "file_id": "file-2"}]},
    {"type": "shell_call", "id": "s1", "call_id": "c3", "action": {"commands": ["ls"]}},
    {"type": "shell_call_output", "call_id": "c3", "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit"}}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"role": "assistant", "content": "Yes.", "phase": "final_answer"}, {"role": "assistant", "content": "Twice."},
    {"role": "user", "content": "Bye"},
]
ANTHROPIC: list[dict[str, Any]] = [
    {"role": "user", "content": [
        {"type": "text", "text": "Read this.", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG64},
         "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "image", "source": {"type": "url", "url": "https://h.example/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF64}, "title": "a"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"},
         "citations": {"enabled": True}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}}]},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"}, {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "As it says", "citations": [{"type": "char_location", "cited_text": "words"}]},
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": None}},
        {"type": "tool_use", "id": "t2", "name": "f", "input": {}, "caller": {"type": "direct"}}]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": "one", "is_error": True},
        {"type": "tool_result", "tool_use_id": "t2", "content": [
            {"type": "text", "text": "two"}, {"type": "image", "source": {"type": "url", "url": "https://h.example/b.png"}}],
         "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Go on."}]},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Bye"},
]
SYSTEM = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
GEMINI: list[dict[str, Any]] = [
    {"role": "user", "parts": [
        {"text": "See"}, {"inlineData": {"mimeType": "image/png", "data": PNG64}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://h.example/a.pdf"}}]},
    {"role": "model", "parts": [
        {"text": "Hm", "thought": True},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"id": "g1", "name": "g", "args": {}}}]},
    {"role": "user", "parts": [
        {"functionResponse": {"name": "f", "response": {"temperature": 3}}},
        {"functionResponse": {"id": "g1", "name": "g", "response": {"output": "two"},
                              "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG64}}]}}]},
    {"role": "model", "parts": [
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, {"text": "Yes."}]},
    {"role": "user", "parts": [{"text": "Bye"}]},
]


def test_chat_completions_go_round() -> None:
    conversation = Conversation.from_openai_chat(CHAT)
    assert conversation.to_openai() == CHAT
    assert Conversation.from_unknown(CHAT) == (conversation, "openai")


def test_responses_go_round() -> None:
    conversation = Conversation.from_openai_responses(RESPONSES)
    assert conversation.to_openai_responses() == {"input": RESPONSES}
    assert Conversation.from_unknown({"model": "m", "input": RESPONSES}) == (conversation, "openai_responses")
    assert Conversation.from_unknown(RESPONSES)[1] == "openai_responses"
    assert Conversation.from_openai_responses("Hi", "Be brief.") == Conversation.system("Be brief.").user("Hi")
    assert [message.role for message in conversation] == [
        "system", "user", "assistant", "tool", "assistant", "tool", "assistant", "assistant", "user"]


def test_messages_go_round() -> None:
    conversation = Conversation.from_anthropic(ANTHROPIC, SYSTEM)
    assert conversation.to_anthropic() == (SYSTEM, ANTHROPIC)
    assert Conversation.from_unknown({"messages": ANTHROPIC, "system": SYSTEM}) == (conversation, "anthropic")
    assert Conversation.from_unknown(ANTHROPIC)[1] == "anthropic"
    others = Conversation.system("Mark").user([Text("x"), Raw("anthropic", {"cache_control": {"type": "ephemeral"}})])
    for made in (others.to_openai(), others.to_openai_responses(), others.to_gemini(), others.to_bedrock()):
        assert "cache_control" not in json.dumps(made)


def test_contents_go_round() -> None:
    conversation = Conversation.from_gemini(GEMINI, {"parts": [{"text": "A"}, {"text": "B"}]})
    assert conversation.to_gemini() == ({"parts": [{"text": "A"}, {"text": "B"}]}, GEMINI)
    assert Conversation.from_unknown({"contents": GEMINI, "systemInstruction": "A"})[1] == "gemini"
    assert Conversation.from_gemini("Hi", "A") == Conversation.system("A").user("Hi")
    assert Conversation.from_gemini(["Hi"]).to_gemini() == (None, [{"role": "user", "parts": [{"text": "Hi"}]}])
    call, other = conversation.messages[2].tool_calls
    assert [result.tool_call_id for result in conversation.messages[3].tool_results] == [call.id, other.id]


@pytest.mark.parametrize("build", [
    lambda: Conversation().system("First rule.").system("Second rule.").user("Hi").system("Third rule.").ai("Yo").user("Ho"),
    lambda: Conversation.from_openai_chat([
        {"role": "developer", "content": "First rule."}, {"role": "user", "content": "Hi"},
        {"role": "system", "content": [{"type": "text", "text": "Second rule."}, {"type": "text", "text": "Third rule."}]},
        {"role": "assistant", "content": "Yo"}, {"role": "user", "content": "Ho"}]),
])
@pytest.mark.parametrize("export", ["to_openai", "to_openai_responses", "to_anthropic", "to_gemini", "to_bedrock"])
@pytest.mark.parametrize("model", [None, "gpt-5", "claude-5.5-opus", "gemini-3-flash-preview", "mistral-large", "nova-pro"])
def test_several_system_messages_keep_their_text(build: Any, export: str, model: str | None) -> None:
    text = json.dumps(getattr(build(), export)(model=model))
    places = [text.index(f"{word} rule.") for word in ("First", "Second", "Third")]
    assert places == sorted(places) and text.count("rule.") == 3
    assert text.index("Hi") < text.index("Yo") < text.index("Ho")


def test_what_cannot_be_said_is_named_and_what_is_exported_is_a_copy() -> None:
    with pytest.raises(InputError, match="takes no sound"):
        Conversation().user(audio=Audio(b"RIFF", "audio/wav")).to_anthropic()
    with pytest.raises(InputError, match="bytes or from S3"):
        Conversation().user(image="https://h.example/a.png").to_bedrock()
    conversation = Conversation().ai(Message("assistant", (ToolCall("c", "f", {"a": [1]}),)).parts)
    conversation.to_anthropic()[1][0]["content"][0]["input"]["a"].append(2)
    assert conversation.messages[0].tool_calls[0].arguments == {"a": [1]}
    assert Conversation.system("A").to_anthropic() == ("A", []) and Conversation.system("A").to_gemini() == ("A", [])
    assert Conversation.system("A").user("B").to_openai(model="gpt-5")[0]["role"] == "developer"


# -- builders ------------------------------------------------------------------------------------------------------------

def test_builders_begin_and_go_on() -> None:
    long = Conversation().system("S").user("U").ai("A").with_message(Message.user("V"), model_used="m")
    assert long == Conversation.system("S").user("U").ai("A").add(Message("user", "V"))  # type: ignore[arg-type]
    assert Conversation.user("x").messages == Conversation().user("x").messages and long.model_used == "m"
    assert Conversation.ai("a").add({"role": "user", "content": "b"}) == Conversation(  # type: ignore[arg-type]
        [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}])  # type: ignore[list-item]
    answer = APIResponse(model_internal="gpt-4.1", content=Message.ai("Hello"))
    assert Conversation.user("Hi").with_response(answer).model_used == "gpt-4.1"
    with pytest.raises(ConfigError, match="not a str"):
        Conversation("Hi")  # type: ignore[arg-type]


def test_results_of_any_kind() -> None:
    made = Conversation.ai().with_tool_results({"a": {"x": 1}, "b": [1, 2], "c": PNG}).with_tool_result("d", 7)
    first, second = made.messages[1:]
    assert [result.content for result in first.tool_results] == [{"x": 1}, "[1,2]", (Image(PNG),)]
    assert second == Message.tool("d", 7) and second.tool_results[0].content == "7"
    assert Conversation().with_tool_results([("a", "x"), ToolResult("b", "y")]).messages[0].tool_results[1].content == "y"
    message = Message.user("Look").with_image(PNG).with_file(PDF, name="a.pdf").with_audio(b"ID3", name="a.mp3")
    message = message.with_text("!").with_tool_call("c", "f", {"a": 1}).with_tool_result("c", ["x"]).with_thinking("Hm", "s")
    assert message.images == (Image(PNG),) and message.files == (File(PDF, name="a.pdf"),) and message.completion == "Look!"
    assert message.tool_calls[0].name == "f" and message.tool_results[0].content == '["x"]' and message.thinking == "Hm"


def test_frozen_snapshots_and_a_builder_that_goes_on() -> None:
    growing = Conversation.user("A")
    frozen = growing.freeze()
    growing.ai("B")
    assert len(frozen) == 1 and len(growing) == 2 and frozen.freeze() is frozen
    with pytest.raises(ConfigError, match="frozen"):
        frozen.user("C")
    assert frozen.copy().user("C") != frozen and pickle.loads(pickle.dumps(frozen)).frozen


def test_transcripts_with_the_sdks_objects_are_one_prompt() -> None:
    class Answer:
        role, content = "assistant", "Hi"

        def model_dump(self, **_: Any) -> dict[str, Any]:
            return {"role": self.role, "content": self.content}

    transcript = [{"role": "user", "content": "Hi"}, Answer()]
    assert list(as_prompts(transcript)) == [transcript]


# -- logs and fingerprints -----------------------------------------------------------------------------------------------

words = st.text(max_size=4)
ids = st.sampled_from(["a", "b"])
data = st.one_of(st.binary(max_size=3), st.just(PNG))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False, width=16) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=4)
objects = st.dictionaries(words, json_values, max_size=2)
images = st.builds(
    Image, data=data, media_type=st.sampled_from(["image/png", "image/gif"]), detail=st.sampled_from(["auto", "low"]))
media = st.one_of(
    images, st.builds(lambda url: Image(url=f"https://h/{url}"), ids), st.builds(lambda id: File(file_id=id), ids),
    st.builds(File, data=data, name=st.none() | ids), st.builds(Audio, data=data, media_type=st.just("audio/wav")))
texts = st.builds(Text, words, st.none() | words, st.none() | ids)
part = st.one_of(
    texts, media,
    st.builds(Thinking, words, st.none() | words, st.none() | ids, st.none() | ids, st.booleans(), st.none() | objects),
    st.builds(Refusal, words), st.builds(Raw, ids, json_values),
    st.builds(ToolCall, ids, ids, objects, st.none() | words, st.none() | words, st.booleans()),
    st.builds(
        ToolResult, ids, st.one_of(words, objects, st.lists(texts | images, min_size=1, max_size=2).map(tuple)),
        st.booleans()))
message = st.builds(
    Message, st.sampled_from(["system", "user", "assistant", "tool"]), st.lists(part, max_size=3).map(tuple), st.none() | ids)
conversations = st.builds(Conversation, st.lists(message, max_size=3), model_used=st.none() | ids)


@settings(max_examples=60, deadline=None)
@given(conversations)
def test_logs_lose_nothing(conversation: Conversation) -> None:
    log = json.loads(json.dumps(conversation.to_log()))
    back = Conversation.from_log(log)
    assert back == conversation and back.model_used == conversation.model_used
    assert back.to_log() == log and back.fingerprint == conversation.fingerprint
    assert [Message.from_log(message.to_log()) for message in conversation] == conversation.messages
    said = {json.dumps(message.to_log(), sort_keys=True) for message in conversation}
    assert len({message.fingerprint for message in conversation}) == len(said)
    compact = json.loads(json.dumps(conversation.to_log(lossless=False)))
    assert len(Conversation.from_log(compact)) == len(conversation)


@settings(max_examples=150, deadline=None)
@given(conversations, conversations)
def test_fingerprints_differ_where_anything_does(one: Conversation, other: Conversation) -> None:
    said = [json.dumps(each.to_log()["messages"], sort_keys=True) for each in (one, other)]
    assert (one.fingerprint == other.fingerprint) is (said[0] == said[1])


def test_fingerprints_of_what_looks_alike() -> None:
    alike = [
        Conversation.user("ab"), Conversation.user(["a", "b"]), Conversation.user("a").user("b"), Conversation.ai("ab"),
        Conversation.user("ab", image=PNG), Conversation.user("ab", image=PNG + b"\0"), Conversation.user(["ab", Refusal("")]),
        Conversation([Message("user", (Text("ab"),), "ann")]), Conversation.user([Text("ab", "sig")]),
        Conversation.user(Raw("a", {"1": 1})), Conversation.user(Raw("a", {1: 1, "b": 1})), Conversation.user(Raw("a", b"x")),
        Conversation.user(Raw("a", {"1": True})), Conversation.user(Raw("a", {"1": "1"})),
    ]
    assert len({conversation.fingerprint for conversation in alike}) == len(alike)


def test_a_compact_log_says_what_it_left_out() -> None:
    log = Conversation.user("See", image=PNG).to_log(lossless=False)
    assert PNG64 not in json.dumps(log)
    assert Conversation.from_log(log).messages[0].completion == "See[image left out of this log: image/png, 32 bytes]"
    with pytest.raises(ConfigError, match="version 99"):
        Conversation.from_log({**log, "version": 99})
