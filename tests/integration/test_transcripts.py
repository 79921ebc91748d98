"""Transcripts of the official SDKs through import and export: their objects are read, their types accept what we write."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import TypeAdapter

from deluge import Conversation, LLMClient
from deluge.testing import RehearsalServer

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
genai = pytest.importorskip("google.genai")
chat_types = pytest.importorskip("openai.types.chat")
responses_types = pytest.importorskip("openai.types.responses")
anthropic_types = pytest.importorskip("anthropic.types")
genai_types = pytest.importorskip("google.genai.types")

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
              pytest.mark.filterwarnings("ignore::ResourceWarning")]
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
PNG64 = base64.b64encode(PNG).decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": ["string", "null"]}}, "required": ["city"],
          "additionalProperties": False}


def accepted(types: Any, value: Any) -> None:
    """What we wrote, held against the SDK's own types."""
    TypeAdapter(types).validate_python(value, strict=True)


def whole() -> Conversation:
    """A conversation with everything that all of them have words for."""
    conversation = Conversation.system("Be brief.").system("Be kind.").user("See", image=PNG)
    conversation.add(conversation.messages[-1].ai("Let me look").with_tool_call("call_1", "look", {"at": None}))
    return conversation.with_tool_result("call_1", "a cat").ai("It is a cat.").user("Thanks")


def test_what_is_exported_has_the_sdks_types() -> None:
    conversation = whole()
    accepted(list[chat_types.ChatCompletionMessageParam], conversation.to_openai())
    accepted(list[responses_types.ResponseInputItemParam], conversation.to_openai_responses()["input"])
    system, messages = conversation.to_anthropic()
    accepted(list[anthropic_types.TextBlockParam], system)
    accepted(list[anthropic_types.MessageParam], messages)
    system, contents = conversation.to_gemini()
    genai_types.GenerateContentConfig(system_instruction=system)
    assert [genai_types.Content(**content).role for content in contents] == ["user", "model", "user", "model", "user"]


def test_chat_completions_of_the_sdk() -> None:
    with RehearsalServer() as server, openai.OpenAI(base_url=server.base_url, api_key="k") as sdk:
        tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
        transcript: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Call weather"}]
        answer = sdk.chat.completions.create(model="m", messages=transcript, tools=tools, tool_choice="required")
        transcript.append(answer.choices[0].message)
        for call in answer.choices[0].message.tool_calls:
            transcript.append({"role": "tool", "tool_call_id": call.id, "content": "22 degrees"})
        answer = sdk.chat.completions.create(model="m", messages=transcript)
        transcript.append(answer.choices[0].message)
        conversation = Conversation.from_openai_chat(transcript)
        written = conversation.to_openai()
        accepted(list[chat_types.ChatCompletionMessageParam], written)
        assert written[2]["tool_calls"] == [call.model_dump(exclude_none=True) for call in transcript[2].tool_calls]
        assert written[-1]["content"] == answer.choices[0].message.content
        assert Conversation.from_openai_chat(written) == conversation
        with LLMClient("m", base_url=server.base_url, progress=None) as client:  # a transcript is one prompt
            (response,) = client.process_prompts([*transcript, {"role": "user", "content": "What is 6 * 7?"}])
        assert response.completion == "42"


def test_responses_of_the_sdk() -> None:
    with RehearsalServer() as server, openai.OpenAI(base_url=server.base_url, api_key="k") as sdk:
        tools = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
        items: list[Any] = [{"role": "user", "content": "Call weather"}]
        answer = sdk.responses.create(model="m", input=items, tools=tools, tool_choice="required")
        items += answer.output
        for call in answer.output:
            if call.type == "function_call":
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"})
        answer = sdk.responses.create(model="m", input=items, instructions="Be brief.")
        items += answer.output
        conversation = Conversation.from_openai_responses(items, "Be brief.")
        written = conversation.to_openai_responses()["input"]
        accepted(list[responses_types.ResponseInputItemParam], written)
        assert written[0] == {"role": "system", "content": "Be brief."} and written[-1]["content"] == answer.output_text
        assert Conversation.from_openai_responses(written).to_openai_responses()["input"] == written
        assert sdk.responses.create(model="m", input=written).status == "completed"


def test_messages_of_the_sdk() -> None:
    with RehearsalServer() as server, anthropic.Anthropic(base_url=server.url, api_key="k") as sdk:
        tools = [{"name": "weather", "input_schema": SCHEMA}]
        transcript: list[Any] = [{"role": "user", "content": "Call weather"}]
        answer = sdk.messages.create(
            model="claude-sonnet-4-6", max_tokens=500, messages=transcript, tools=tools, tool_choice={"type": "any"})
        transcript.append({"role": "assistant", "content": answer.content})
        results = [{"type": "tool_result", "tool_use_id": block.id, "content": "22 degrees"}
                   for block in answer.content if block.type == "tool_use"]
        transcript.append({"role": "user", "content": results})
        answer = sdk.messages.create(model="claude-sonnet-4-6", max_tokens=500, messages=transcript, system="Be brief.")
        conversation = Conversation.from_anthropic(transcript, "Be brief.").with_message(
            Conversation.from_anthropic([answer]).messages[0])
        system, messages = conversation.to_anthropic()
        accepted(list[anthropic_types.MessageParam], messages)
        assert system == "Be brief." and Conversation.from_anthropic(messages, system) == conversation
        assert [block["type"] for block in messages[1]["content"]] == [block.type for block in transcript[1]["content"]]


@pytest.mark.parametrize("block", [
    anthropic_types.ToolUseBlock(id="t", name="f", input={"a": None, "b": [None]}, type="tool_use"),
    anthropic_types.ThinkingBlock(thinking="Hm", signature="s", type="thinking"),
    anthropic_types.RedactedThinkingBlock(data="x", type="redacted_thinking"),
    anthropic_types.TextBlock(text="Hi", type="text", citations=None),
])
def test_each_block_of_an_answer_goes_round(block: Any) -> None:
    _, messages = Conversation.from_anthropic(
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [block, {"type": "text", "text": "So."}]}]
    ).to_anthropic()
    wanted = block.model_dump()
    assert messages[1]["content"][0] == {name: value for name, value in wanted.items() if value is not None}


def test_contents_of_the_sdk() -> None:
    types = genai_types
    contents = [
        types.Content(role="user", parts=[
            types.Part.from_text(text="See"), types.Part.from_bytes(data=PNG, mime_type="image/png"),
            types.Part.from_uri(file_uri="https://h.example/a.pdf", mime_type="application/pdf")]),
        types.Content(role="model", parts=[
            types.Part(text="Hm", thought=True),
            types.Part(function_call=types.FunctionCall(name="f", args={"a": None}), thought_signature=b"\xfb\xff")]),
        types.Content(role="user", parts=[types.Part.from_function_response(name="f", response={"result": 3})]),
        types.Content(role="model", parts=[types.Part.from_text(text="Yes.")]),
    ]
    conversation = Conversation.from_gemini(contents, types.Content(parts=[types.Part.from_text(text="Be brief.")]))
    system, written = conversation.to_gemini()
    assert system == "Be brief." and [types.Content.model_validate(content) for content in written] == contents
    assert written[0]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": PNG64}}
    assert Conversation.from_gemini(written, system) == conversation
    assert Conversation.from_unknown(contents) == (Conversation.from_gemini(contents), "gemini")
