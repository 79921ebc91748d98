"""The shapes in which prompts come."""

from __future__ import annotations

import base64
from collections import deque
from typing import Any

import pytest

from deluge.errors import ConfigError
from deluge.prompt import (
    Audio, Conversation, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult,
)
from deluge.prompt.coerce import as_conversation, as_prompts

PNG = base64.b64encode(b"\x89PNG").decode()


def one(prompt: Any) -> list[Message]:
    made = as_conversation(prompt)
    assert made.frozen
    return list(made.messages)


def parts(*content: Any, role: str = "user") -> tuple[Any, ...]:
    return one([{"role": role, "content": list(content)}])[0].parts


def test_text_message_and_conversation() -> None:
    assert one("Hi") == [Message("user", (Text("Hi"),))] == one(Message.user("Hi"))
    frozen = as_conversation("Hi")
    assert as_conversation(frozen) is frozen
    growing = Conversation().system("A").user("B")
    made = as_conversation(growing)
    growing.user("C")
    assert len(made) == 2

    class Str(str):
        pass

    assert type(one(Str("x"))[0].parts[0].text) is str  # type: ignore[union-attr]


def test_openai_messages() -> None:
    found = one([
        {"role": "system", "content": "A"}, {"role": "developer", "content": "B"},
        {"role": "user", "content": [{"type": "text", "text": "C"}], "name": "Ann"},
        {"role": "assistant", "content": None, "reasoning_content": "Hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{oops"}},
        ]},
        {"role": "tool", "tool_call_id": "c1",
         "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "z"},
        {"role": "assistant", "content": "D", "refusal": "E"}, {"role": "user", "content": ""},
    ])
    assert [m.role for m in found] == ["system", "system", "user", "assistant", "tool", "tool", "assistant", "user"]
    assert found[2].name == "Ann" and found[3].thinking == "Hm"
    first, second = found[3].tool_calls
    assert first == ToolCall("c1", "f", {"a": 1}, '{"a": 1}')
    assert second.arguments == {} and second.text == "{oops" and "not JSON" in (second.error or "")
    assert found[4].parts == (ToolResult("c1", "x\ny"),) and found[6].parts == (Text("D"), Refusal("E"))


def test_openai_media() -> None:
    assert parts(
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://i.example/a.png"}},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "mp3"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"}},
        "loose text", Image(b"x"),
    ) == (
        Image(b"\x89PNG", media_type="image/jpeg", detail="low"), Image(url="https://i.example/a.png"),
        Audio(b"\x89PNG", "audio/mpeg"), File(file_id="file-1"), File(b"\x89PNG", name="a.pdf"), Text("loose text"),
        Image(b"x"),
    )


def test_anthropic_messages() -> None:
    redacted = {"type": "redacted_thinking", "data": "AAAA"}
    thinking = {"type": "thinking", "thinking": "Hm", "signature": "sig"}
    found = one({"system": "Be brief", "messages": [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "document", "source": {"type": "url", "url": "https://d.example/a.pdf"}, "title": "A"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
            {"type": "image", "source": {"type": "file", "file_id": "f1"}}]},
        {"role": "assistant", "content": [thinking, redacted, {"type": "text", "text": "A"},
                                          {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [
            {"type": "text", "text": "x"},
            {"type": "image", "source": {"type": "url", "url": "https://i.example/b"}}]}]},
    ]})
    assert [m.role for m in found] == ["system", "user", "assistant", "tool"]
    assert found[1].parts == (Image(b"\x89PNG"), File(url="https://d.example/a.pdf", name="A"),
                              File(b"hello", media_type="text/plain"), Image(file_id="f1"))
    assert found[2].parts == (Thinking("Hm", "sig", "anthropic", raw=thinking),
                              Thinking(provider="anthropic", redacted=True, raw=redacted),
                              Text("A"), ToolCall("t1", "f", {"a": 1}))
    assert found[3].parts == (ToolResult("t1", (Text("x"), Image(url="https://i.example/b")), True),)


def test_a_dict_may_be_a_message_a_body_or_a_log() -> None:
    assert one({"role": "user", "content": "x"}) == one("x") == one({"messages": [{"role": "user", "content": "x"}]})
    assert one(as_conversation("x").to_log()) == one("x")
    assert parts({"type": "document", "source": {"type": "content", "content": []}}) == (
        Raw("anthropic", {"type": "document", "source": {"type": "content", "content": []}}),)


@pytest.mark.parametrize("prompt, words", [
    (7, "prompt 3 is of type int"), (None, "prompt 3 is of type NoneType"), (b"x", "prompt 3 is of type bytes"),
    ([], "prompt 3 has no messages"), ({"a": 1}, "prompt 3 is a dict without 'role' or 'messages' (it has 'a')"),
    ([{"role": "user", "content": "x"}, 5], "prompt 3 cannot be read: message 1 is of type int"),
    ([{"role": "boss", "content": "x"}], "message 0 has the role 'boss'"),
    ([{"role": "user"}], "message 0 has content of type NoneType"),
    ([{"role": "user", "content": [{"type": "sculpture"}]}], "a part 0 of type 'sculpture', which is not known"),
    ([{"role": "user", "content": [{"type": "text"}]}], "a part 0 of type 'text' that is incomplete"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}], "not base64"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x/y;base64,?"}}]}], "not base64"),
    ([{"role": "tool", "content": "x"}], "no 'tool_call_id'"),
    ([{"role": "assistant", "tool_calls": [{"id": "c"}]}], "a tool call that is incomplete"),
])
def test_wrong_prompts_are_named(prompt: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        as_conversation(prompt, 3)
    assert words in str(caught.value)


def test_one_prompt_or_many() -> None:
    message = {"role": "user", "content": "x"}
    talk = Conversation().user("x")
    for single in ("x", Message.user("x"), talk, message, [message, message], {"messages": [message]}):
        assert len(list(as_prompts(single))) == 1
    for many in (["x", "y"], ("x", "y"), {"x", "y"}, deque(["x", "y"]), [[message], [message]], [message, "x"],
                 [{"messages": [message]}] * 2, [Message.user("x")] * 2, (text for text in "xy"),
                 {"x": 1, "y": 2}.keys()):
        assert len(list(as_prompts(many))) == 2
    assert list(as_prompts([])) == []


def test_generators_stay_lazy() -> None:
    def endless() -> Any:
        while True:
            yield "x"

    assert next(iter(as_prompts(endless()))) == "x"


def test_what_is_no_prompts_at_all() -> None:
    class Frame:
        columns, iloc = ["a"], None

        def __iter__(self) -> Any:
            return iter(self.columns)

    for wrong, words in ((7, "type int"), (None, "NoneType"), (b"x", "bytes"), (Frame(), "give one of its columns")):
        with pytest.raises(ConfigError, match=words):
            as_prompts(wrong)
