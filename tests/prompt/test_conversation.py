"""Conversations read from other shapes, counted and shown."""

from __future__ import annotations

import io
from typing import Any, Optional

import pytest
from pydantic import BaseModel

from deluge.errors import ConfigError
from deluge.limits.estimate import TokenEstimator
from deluge.prompt import (
    Conversation, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult,
)
from deluge.prompt.size import size_of


class Function(BaseModel):
    name: str
    arguments: str


class Call(BaseModel):
    id: str
    function: Function
    type: str = "function"


class Answer(BaseModel):
    """What the SDKs' objects look like from outside."""

    role: str = "assistant"
    content: Any = None
    refusal: Optional[str] = None
    tool_calls: Optional[list[Call]] = None


class Block(BaseModel):
    type: str
    text: Optional[str] = None
    id: Optional[str] = None
    name: Optional[str] = None
    input: Optional[dict[str, Any]] = None


CALL = Call(id="c1", function=Function(name="f", arguments='{"a": 1}'))
OPENAI = [
    {"role": "system", "content": "A"}, {"role": "user", "content": "B"}, Answer(tool_calls=[CALL]),
    {"role": "tool", "tool_call_id": "c1", "content": "C"}, Answer(content="D"), {"role": "assistant", "tool_calls": [CALL]},
]
ANTHROPIC = [
    {"role": "user", "content": "B"},
    {"role": "assistant", "content": [
        Block(type="text", text="Hm"), Block(type="tool_use", id="t1", name="f", input={"a": 1})]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "C"}]},
]


def test_from_openai_chat() -> None:
    made = Conversation.from_openai_chat(OPENAI)
    call = ToolCall("c1", "f", {"a": 1}, '{"a": 1}')
    assert made.messages == [
        Message.system("A"), Message.user("B"), Message("assistant", (call,)), Message("tool", (ToolResult("c1", "C"),)),
        Message.ai("D"), Message("assistant", (call,)),
    ]
    assert len(made.user("more")) == 7  # it can grow


def test_from_anthropic() -> None:
    made = Conversation.from_anthropic(ANTHROPIC, system=[{"type": "text", "text": "A"}])
    assert made.messages == [
        Message.system("A"), Message.user("B"), Message("assistant", (Text("Hm"), ToolCall("t1", "f", {"a": 1}))),
        Message("tool", (ToolResult("t1", "C"),)),
    ]
    assert len(Conversation.from_anthropic(ANTHROPIC)) == 3


@pytest.mark.parametrize("messages, wanted", [
    (OPENAI, "openai"), (ANTHROPIC, "anthropic"), ([{"role": "user", "content": "x"}], "openai"),
    ({"messages": ANTHROPIC[:1], "system": "A"}, "anthropic"), ({"messages": OPENAI}, "openai"),
    (Conversation().user("x").to_log(), "log"), (iter(ANTHROPIC), "anthropic"),
    ([{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://i.example"}}]}], "anthropic"),
])
def test_from_unknown(messages: Any, wanted: str) -> None:
    made, kind = Conversation.from_unknown(messages)
    assert kind == wanted and not made.frozen and len(made) >= 1


@pytest.mark.parametrize("make, words", [
    (lambda: Conversation.from_openai_chat("x"), "not a str"),
    (lambda: Conversation.from_openai_chat([7]), "the conversation cannot be read: message 0 is of type int"),
    (lambda: Conversation.from_anthropic([{"role": "boss"}]), "message 0 has the role 'boss'"),
    (lambda: Conversation.from_unknown({"a": 1}), "neither a list of messages"),
])
def test_what_cannot_be_read_is_named(make: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert words in str(caught.value)


def test_tokens_are_guessed_as_the_limits_guess_them() -> None:
    talk = Conversation().system("Be brief.").user("Grüße " * 100, image=Image(b"x"))
    assert talk.count_tokens() == TokenEstimator().input(size_of(talk)) > 1000


def test_a_transcript_shows_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    talk = Conversation().system("Be brief.").user("x" * 30, image=Image(b"\x89PNG", name="a.png"), file=File(file_id="f1"))
    talk.add(Message("assistant", (
        Thinking("Hm"), Thinking(redacted=True), Text("one\ntwo"), ToolCall("c1", "f", {"a": "ä"}),
        ToolCall("c2", "g", {}, "{oops", "not JSON"), Refusal("No."), Raw("anthropic", {"type": "x"}),
    ), "Ann"))
    talk.with_tool_results([("c1", "ok"), ("c2", (Text("see"), Image(url="https://i.example")))])
    talk.with_tool_result("c3", {"a": 1})
    talk.print(20)
    assert capsys.readouterr().out == """system:
    Be brief.

user:
    xxxxxxxxxxxxxxxxxxxx… (10 more characters)
    [image a.png, image/png, 4 bytes]
    [file f1]

assistant (Ann):
    [thinking] Hm
    [thinking, not shown… (1 more characters)
    one
    two
    [tool call c1] f({"a… (7 more characters)
    [tool call c2] g({oo… (3 more characters)
    [refusal] No.
    [anthropic block] {"… (10 more characters)

tool:
    [tool result c1] ok
    [tool result c2] see… (26 more characters)

tool:
    [tool result c3] {"a… (4 more characters)
"""
    to = io.StringIO()
    talk.print(None, file=to)
    assert "[image a.png, image/png, 4 bytes]" in to.getvalue() and "more characters" not in to.getvalue()
    assert '[tool result c3] {"a":1}' in to.getvalue()
