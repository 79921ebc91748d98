"""Beside the SDKs of OpenAI, Mistral and Cohere: chat completions fit their types, and they read what we send and serve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rehearsing import client_of

from deluge.dialects.openai_chat import DIALECT
from deluge.models.registry import get_model
from deluge.params import EFFORTS, SamplingParams
from deluge.prompt import Audio, Conversation, File, Image, Message, Text
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.testing import RehearsalServer
from deluge.tools import Tool
from deluge.wire import HttpReply

pydantic = pytest.importorskip("pydantic")

pytestmark = pytest.mark.integration

RECORDINGS = Path(__file__).parents[1] / "recordings" / "openai_chat"
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
STRICT = {**PARAMETERS, "additionalProperties": False}
TOOL = Tool("f", "Does f.", PARAMETERS)
FUNCTION = {"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": STRICT, "strict": True}}
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "signature": "seal", "closed": True}
CALLS = [{"id": "callabcd1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
         {"id": "callabcd2", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}]


def context(
    name: str, prompt: Any, params: dict[str, Any] | None = None, stream: bool = False, **options: Any
) -> RequestContext:
    row = get_model(name)
    template = RequestTemplate(row, SamplingParams(**params or {}), RequestOptions(**options), row.provider.base_url, "k")
    return RequestContext(as_conversation(prompt), template, stream=stream)


def sent(name: str, prompt: Any, params: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(DIALECT.build(context(name, prompt, params, **options)).body)
    return body


def talk(name: str, content: Any = "So") -> Conversation:
    """Several turns, with media, parallel calls (one of which cannot be read) and a picture in a result."""
    message = {"role": "assistant", "content": content, "tool_calls": CALLS}
    reply = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    said = DIALECT.parse(context(name, "x"), HttpReply(200, {}, json.dumps(reply).encode()))
    made = Conversation().system("S").user((
        Text("See"), Image(b"x"), Image(url="https://x.example/i.png", detail="low"), File(b"%PDF", name="a.pdf"),
        File(file_id="f1"), Audio(b"x", "audio/mpeg"),
    )).with_response(said)
    made.with_tool_result("callabcd1", (Text("a"), Image(b"y"))).with_tool_result("callabcd2", "two")
    return made.user("More").ai("Sure").add(Message.user("Go"))


def plain(value: Any) -> Any:
    if isinstance(value, pydantic.BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (str, bytes, int, float, bool, type(None))):
        return value
    return [plain(item) for item in value]


# -- OpenAI -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["gpt-6-luna", "gpt-5.4", "gpt-5", "o3", "gpt-4.1", "o1-mini", "command-a", "grok-4.3"])
@pytest.mark.parametrize("effort", [None, *EFFORTS])
def test_bodies_fit_openais_types(name: str, effort: Any) -> None:
    types = pytest.importorskip("openai.types.chat.completion_create_params")
    params = {"reasoning_effort": effort, "verbosity": "low", "logprobs": True, "top_logprobs": 3, "stop": tuple("abcdef"),
              "seed": 1}
    wanted: dict[str, Any] = {"output_schema": PARAMETERS, "service_tier": "flex", "cache": "last_2_user_messages"}
    for stream, kind in (False, types.CompletionCreateParamsNonStreaming), (True, types.CompletionCreateParamsStreaming):
        for options in wanted, {"tools": (TOOL,), "tool_choice": "f"}:
            body = sent(name, talk(name), params, stream=stream, **options)
            assert plain(pydantic.TypeAdapter(kind).validate_python(body)) == body
            assert len(body.get("stop", ())) <= 4 or name in ("command-a", "grok-4.3")


def test_openais_sdk_sends_the_same() -> None:
    openai = pytest.importorskip("openai")
    with RehearsalServer(latency=0.0) as server:
        with openai.OpenAI(api_key="k", base_url=server.base_url) as sdk:
            sdk.chat.completions.create(
                model="gpt-5.4", max_completion_tokens=99, tools=[FUNCTION], tool_choice="auto", reasoning_effort="none",
                temperature=0.2, top_p=1.0, logprobs=True, top_logprobs=2, service_tier="priority", verbosity="low",
                messages=[{"role": "developer", "content": "S"}, {"role": "user", "content": [
                    {"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "https://x.example/i.png"}}]}],
            )
        theirs = server.requests[-1]
        params = {"reasoning_effort": "none", "temperature": 0.2, "logprobs": True, "top_logprobs": 2, "max_new_tokens": 99,
                  "verbosity": "low"}
        prompt = Conversation().system("S").user((Text("Hi"), Image(url="https://x.example/i.png")))
        with client_of(server, "gpt-5.4", api_key="k", sampling_params=params) as client:
            client.ask(prompt, tools=[TOOL], service_tier="priority").raise_for_error()
        ours = server.requests[-1]
    assert {**ours.body, "tool_choice": "auto"} == theirs.body and ours.path == theirs.path


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.json")), ids=lambda path: path.stem)
def test_recordings_in_openais_words_are_of_its_types(path: Path) -> None:
    chat = pytest.importorskip("openai.types.chat")
    data = json.loads(path.read_text("utf-8"))
    if path.stem.partition("_")[0] not in ("text", "parallel", "refusal", "logprobs", "cut", "billed", "annotations"):
        return  # what compatible servers make of them
    reply = data["reply"]
    assert chat.ChatCompletion.model_validate(reply).model_dump(exclude_unset=True)["choices"]
    for text in data.get("stream", ()):
        line = text.partition("data: ")[2].strip()
        if line and line != "[DONE]":
            chat.ChatCompletionChunk.model_validate_json(line)


def test_openais_sdk_works_against_the_rehearsal() -> None:
    openai = pytest.importorskip("openai")
    with RehearsalServer(latency=0.0, api_key="right") as server:
        with openai.OpenAI(api_key="right", base_url=server.base_url, max_retries=0) as sdk:
            messages: list[Any] = [{"role": "user", "content": "Use f on 17"}]
            ask: dict[str, Any] = {"model": "gpt-5.4", "tools": [FUNCTION]}
            said = sdk.chat.completions.create(messages=messages, **ask).choices[0]
            assert said.finish_reason == "tool_calls"
            assert json.loads(said.message.tool_calls[0].function.arguments) == {"a": 17}
            with sdk.chat.completions.stream(messages=messages, **ask) as stream:
                whole = stream.get_final_completion().choices[0]
            assert whole.message.tool_calls[0].function.arguments == said.message.tool_calls[0].function.arguments
            messages.append(said.message.to_dict())
            with pytest.raises(openai.BadRequestError):
                sdk.chat.completions.create(messages=messages, **ask)
            messages.append({"role": "tool", "tool_call_id": said.message.tool_calls[0].id, "content": "five"})
            assert sdk.chat.completions.create(messages=messages, **ask).choices[0].message.content == "The tool says: five"
            parsed = sdk.chat.completions.parse(model="gpt-5.4", messages=[{"role": "user", "content": "Ada is 36"}],
                                                response_format=Person)
            assert isinstance(parsed.choices[0].message.parsed, Person)
            with pytest.raises(openai.AuthenticationError):
                sdk.with_options(api_key="wrong").chat.completions.create(model="gpt-5.4", messages=messages)


class Person(pydantic.BaseModel):
    name: str
    age: int


# -- Mistral ------------------------------------------------------------------------------------------------------------

def unknown_fields(value: Any, seen: Any, where: str = "") -> list[str]:
    """What a body has and the SDK's models of it have not: Mistral answers 422 to it."""
    if isinstance(seen, pydantic.BaseModel):
        fields = {field.alias or name: getattr(seen, name) for name, field in type(seen).model_fields.items()}
        missing = [f"{where}.{key}" for key in value if key not in fields]
        known = [(item, fields[key], f"{where}.{key}") for key, item in value.items() if key in fields]
        return missing + [name for one in known for name in unknown_fields(*one)]
    if isinstance(value, list) and isinstance(seen, list):
        return [x for one, other in zip(value, seen) for x in unknown_fields(one, other, f"{where}[]")]
    return []


@pytest.mark.parametrize("name", ["mistral-large-4", "mistral-medium-3.5", "pixtral-large", "ministral-8b"])
@pytest.mark.parametrize("effort", [None, "none", "high", "max"])
@pytest.mark.parametrize("stream", [False, True])
def test_bodies_fit_mistrals_models(name: str, effort: Any, stream: bool) -> None:
    models = pytest.importorskip("mistralai.client.models")
    kind = models.ChatCompletionStreamRequest if stream else models.ChatCompletionRequest
    params = {"reasoning_effort": effort, "verbosity": "low", "logprobs": True, "top_logprobs": 3, "stop": ("a",), "seed": 1}
    prompt = talk(name, [THOUGHT, {"type": "text", "text": "So"}])
    prompt.add(Message("user", (Text("I am Ada"),), name="ada"))
    for options in {"output_schema": PARAMETERS, "service_tier": "flex", "cache": "system_and_tools"}, {
            "tools": (TOOL,), "tool_choice": "f"}, {"tools": (TOOL,), "tool_choice": "required"}:
        body = sent(name, prompt, params, stream=stream, **options)
        assert unknown_fields(body, kind.model_validate(body)) == []
        assert body["messages"][2]["content"][0] == THOUGHT


def test_mistrals_sdk_sends_the_same() -> None:
    mistral = pytest.importorskip("mistralai.client")
    with RehearsalServer(latency=0.0) as server:
        function = {"name": "f", "description": "Does f.", "parameters": PARAMETERS}
        with mistral.Mistral(api_key="k", server_url=server.url) as sdk:
            sdk.chat.complete(
                model="mistral-large-4", max_tokens=99, temperature=0.2, top_p=1.0, random_seed=7, stop=["END"],
                reasoning_effort="high", tools=[{"type": "function", "function": function}], tool_choice="required",
                messages=[{"role": "system", "content": "S"}, {"role": "user", "content": [
                    {"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "https://x.example/i.png"}},
                    {"type": "document_url", "document_url": "https://x.example/a.pdf", "document_name": "a.pdf"},
                    {"type": "file", "file_id": "f1"}, {"type": "input_audio", "input_audio": "eA=="}]}],
            )
        theirs = server.requests[-1]
    prompt = Conversation().system("S").user((
        Text("Hi"), Image(url="https://x.example/i.png"), File(url="https://x.example/a.pdf", name="a.pdf"),
        File(file_id="f1"), Audio(b"x", "audio/mpeg"),
    ))
    params = {"max_new_tokens": 99, "temperature": 0.2, "seed": 7, "stop": "END", "reasoning_effort": "high"}
    ours = sent("mistral-large-4", prompt, params, tools=(TOOL,), tool_choice="required")
    assert ours == {key: value for key, value in theirs.body.items() if key != "stream"}


def test_mistrals_sdk_works_against_the_rehearsal() -> None:
    mistral = pytest.importorskip("mistralai.client")
    with RehearsalServer(latency=0.0, api_key="right") as server, \
            mistral.Mistral(api_key="right", server_url=server.url) as sdk:
        tools = [{"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}]
        messages: list[Any] = [{"role": "user", "content": "Use f on 17"}]
        said = sdk.chat.complete(model="mistral-large-4", messages=messages, tools=tools)
        call = said.choices[0].message.tool_calls[0]
        assert said.choices[0].finish_reason == "tool_calls" and json.loads(call.function.arguments) == {"a": 17}
        events = list(sdk.chat.stream(model="mistral-large-4", messages=[{"role": "user", "content": "What is 6 * 7?"}]))
        assert "".join(event.data.choices[0].delta.content or "" for event in events if event.data.choices) == "42"
        assert events[-1].data.usage.total_tokens > 0
        messages += [said.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "five"}]
        assert sdk.chat.complete(model="mistral-large-4", messages=messages, tools=tools).choices[0].message.content == \
            "The tool says: five"
        with mistral.Mistral(api_key="wrong", server_url=server.url) as stranger:
            with pytest.raises(Exception, match="Incorrect API key"):
                stranger.chat.complete(model="mistral-large-4", messages=messages)


# -- Cohere -------------------------------------------------------------------------------------------------------------

@pytest.fixture
def cohere() -> Any:
    pytest.importorskip("cohere")
    import cohere
    return cohere


def test_coheres_sdk_asks_for_the_same_in_its_own_words(cohere: Any) -> None:
    """Cohere's own endpoint has other names for what its compatible endpoint, which we ask, takes as OpenAI does."""
    names = {"top_p": "p", "stop": "stop_sequences"}
    with RehearsalServer(latency=0.0) as server:
        sdk = cohere.ClientV2(api_key="k", base_url=server.url)
        sdk.chat(model="command-a-03-2025", max_tokens=99, temperature=0.2, p=1.0, seed=7, stop_sequences=["END"],
                 messages=[{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
                 tools=[{"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": PARAMETERS}}])
        theirs = server.requests[-1].body
    params = {"max_new_tokens": 99, "temperature": 0.2, "seed": 7, "stop": "END"}
    ours = sent("command-a", Conversation().system("S").user("Hi"), params, tools=(TOOL,))
    assert {names.get(key, key): value for key, value in ours.items()} == {k: v for k, v in theirs.items() if k != "stream"}


def test_coheres_sdk_works_against_the_rehearsal(cohere: Any) -> None:
    with RehearsalServer(latency=0.0, api_key="right") as server:
        sdk = cohere.ClientV2(api_key="right", base_url=server.url)
        ask: dict[str, Any] = {"model": "command-a-03-2025", "tools": [
            {"type": "function", "function": {"name": "f", "description": "", "parameters": PARAMETERS}}]}
        messages: list[Any] = [{"role": "user", "content": "Use f on 17"}]
        said = sdk.chat(messages=messages, **ask)
        assert said.finish_reason == "TOOL_CALL" and json.loads(said.message.tool_calls[0].function.arguments) == {"a": 17}
        messages += [said.message, {"role": "tool", "tool_call_id": said.message.tool_calls[0].id, "content": [
            {"type": "document", "document": {"data": "five"}}]}]
        again = sdk.chat(messages=messages, **ask)
        assert again.message.content[0].text == "The tool says: five" and again.usage.tokens.output_tokens > 0
        question = [{"role": "user", "content": "What is 6 * 7?"}]
        pieces = list(sdk.chat_stream(model="command-a-03-2025", messages=question))
        assert "".join(piece.delta.message.content.text for piece in pieces if piece.type == "content-delta") == "42"
        assert pieces[-1].type == "message-end" and pieces[-1].delta.finish_reason == "COMPLETE"
        kinds = [piece.type for piece in sdk.chat_stream(messages=messages[:1], **ask)]
        assert "tool-call-start" in kinds and "tool-call-delta" in kinds
        with pytest.raises(cohere.UnauthorizedError):
            cohere.ClientV2(api_key="wrong", base_url=server.url).chat(model="command-a-03-2025", messages=question)
        with pytest.raises(cohere.NotFoundError):
            sdk.chat(model="rehearsal-nothing", messages=question)
