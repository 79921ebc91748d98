"""Google's own SDK beside our dialect: the same input gives the same body, and each reads what the other's side sends."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deluge.dialects.gemini import DIALECT
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt import Audio, Conversation, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.testing import RehearsalServer
from deluge.tools import Tool

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

RECORDINGS = Path(__file__).parents[1] / "recordings" / "gemini"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", "The weather.", SCHEMA)


@pytest.fixture(scope="module")
def types() -> Any:
    pytest.importorskip("google.genai")
    return pytest.importorskip("google.genai.types")


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0) as running:
        yield running


@pytest.fixture(scope="module", params=["v1", "v1beta"])
def sdk(request: pytest.FixtureRequest, types: Any, server: RehearsalServer) -> Any:
    from google import genai

    options = types.HttpOptions(base_url=server.url, api_version=request.param)
    return genai.Client(api_key="k", http_options=options, vertexai=False)


def ours(prompt: Any, model: str = "gemini-3.8-flash", params: dict[str, Any] | None = None, *, stream: bool = False,
         base_url: str = "https://x.example/v1", **options: Any) -> dict[str, Any]:
    prompt = Conversation(prompt).freeze() if isinstance(prompt, list) else as_conversation(prompt)
    template = RequestTemplate(get_model(model), SamplingParams(**params or {}), RequestOptions(**options), base_url, "k")
    body: dict[str, Any] = json.loads(DIALECT.build(RequestContext(prompt, template, stream=stream)).body)
    return body


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def plain(value: Any, free: bool = False) -> Any:
    """The SDK writes some fields in snake case, levels in capitals, and seals in URL-safe base64."""
    if isinstance(value, list):
        return [plain(item, free) for item in value]
    if isinstance(value, dict):
        return {name if free else camel(name): plain(item, free or camel(name) in FREE) for name, item in value.items()
                if item is not None}
    return value


FREE = {"args", "response", "parametersJsonSchema", "responseJsonSchema"}


def sent_by(sdk: Any, server: RehearsalServer, **fields: Any) -> dict[str, Any]:
    """What the SDK sends for this; whatever comes back."""
    try:
        sdk.models.generate_content(**fields)
    except Exception as error:  # the rehearsal may refuse it: what was sent counts
        assert type(error).__module__.startswith("google.genai"), error
    found: dict[str, Any] = plain(server.requests[-1].body)
    return found


PARAMETERS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("gemini-3.8-flash", {}, {}, {}),
    ("gemini-2.5-flash", {"temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ("a", "b")}, {},
     {"temperature": 0.5, "top_p": 0.9, "seed": 3, "stop_sequences": ["a", "b"]}),
    ("gemini-3.8-flash", {"reasoning_effort": "low"}, {},
     {"thinking_config": {"include_thoughts": True, "thinking_level": "low"}}),
    ("gemini-2.5-flash", {"thinking_budget": 777, "temperature": 1.0}, {},
     {"temperature": 1.0, "top_p": 1.0, "thinking_config": {"include_thoughts": True, "thinking_budget": 777}}),
    ("gemini-3.8-flash", {"logprobs": True, "top_logprobs": 4}, {}, {"response_logprobs": True, "logprobs": 4}),
    ("gemini-3.8-flash", {"json_mode": True}, {}, {"response_mime_type": "application/json"}),
    ("gemini-3.8-flash", {}, {"output_schema": SCHEMA},
     {"response_mime_type": "application/json", "response_json_schema": SCHEMA}),
    ("gemini-3.8-flash", {}, {"service_tier": "flex"}, {"service_tier": "flex"}),
    ("gemini-3.8-flash", {}, {"tools": (WEATHER, {"googleSearch": {}})}, {"tools": [
        {"function_declarations": [
            {"name": "get_weather", "description": "The weather.", "parameters_json_schema": SCHEMA}]},
        {"google_search": {}}], "tool_config": {"include_server_side_tool_invocations": True}}),
    ("gemini-3.8-flash", {}, {"tools": (WEATHER,), "tool_choice": "get_weather"}, {
        "tools": [{"function_declarations": [
            {"name": "get_weather", "description": "The weather.", "parameters_json_schema": SCHEMA}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["get_weather"]}}}),
]


@pytest.mark.parametrize("model, params, options, config", PARAMETERS)
def test_the_same_parameters_give_the_same_body(
    types: Any, sdk: Any, server: RehearsalServer, model: str, params: dict[str, Any], options: dict[str, Any],
    config: dict[str, Any],
) -> None:
    theirs = sent_by(sdk, server, model=model, contents="Hi", config={"max_output_tokens": 512, **config})
    mine = ours("Hi", model, params, **options)
    level = theirs["generationConfig"].get("thinkingConfig", {})
    if "thinkingLevel" in level:
        level["thinkingLevel"] = level["thinkingLevel"].lower()
    assert mine == theirs


def test_the_same_conversation_gives_the_same_contents(types: Any, sdk: Any, server: RehearsalServer) -> None:
    part, blob = types.Part, types.Blob(mime_type="image/png", data=b"pixels")
    theirs = sent_by(sdk, server, model="gemini-3.8-flash", config=types.GenerateContentConfig(
        system_instruction=[part(text="Be brief."), part(text="Be kind.")], max_output_tokens=512,
    ), contents=[
        types.Content(role="user", parts=[
            part(text="Look"), part(inline_data=blob),
            part(file_data=types.FileData(mime_type="application/pdf", file_uri="https://e.example/a.pdf")),
            part(inline_data=types.Blob(mime_type="audio/wav", data=b"sound"))]),
        types.Content(role="model", parts=[
            part(text="Hm", thought=True),
            part(function_call=types.FunctionCall(id="call_1", name="get_weather", args={"city_name": "Bonn"}),
                 thought_signature=b"seal"),
            part(function_call=types.FunctionCall(id="call_2", name="get_weather", args={}))]),
        types.Content(role="user", parts=[
            part(function_response=types.FunctionResponse(
                id="call_1", name="get_weather", response={"output": "map"},
                parts=[types.FunctionResponsePart.from_bytes(data=b"pixels", mime_type="image/png")])),
            part(function_response=types.FunctionResponse(
                id="call_2", name="get_weather", response={"error": "no such city"}))]),
    ])
    seal = base64.b64encode(b"seal").decode()
    mine = ours([
        Message.system("Be brief."),
        Message.user((Text("Look"), Image(b"pixels"), File(url="https://e.example/a.pdf"), Audio(b"sound"))),
        Message.ai((Thinking("Hm", provider="gemini"),
                    ToolCall("call_1", "get_weather", {"city_name": "Bonn"}, signature=seal, provider="gemini"),
                    ToolCall("call_2", "get_weather", {}))),
        Message("tool", (ToolResult("call_1", (Text("map"), Image(b"pixels"))),
                         ToolResult("call_2", "no such city", True))),
        Message.system("Be kind."),
    ])
    assert mine["contents"] == theirs["contents"]
    assert mine["systemInstruction"]["parts"] == theirs["systemInstruction"]["parts"]


@pytest.mark.parametrize("model", ["gemini-4-argon", "gemini-3.1-pro-preview", "gemini-2.5-flash", "gemini-2.5-pro"])
@pytest.mark.parametrize("effort", [None, "none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_bodies_are_of_the_published_types(types: Any, model: str, effort: str | None) -> None:
    params = {"reasoning_effort": effort, "stop": ("x",), "seed": 1, "logprobs": True, "strict_tools": True}
    body = ours("Hi", model, params, tools=(WEATHER, {"codeExecution": {}}), service_tier="priority", tool_choice="auto")
    types.GenerationConfig.model_validate(body.pop("generationConfig"))
    types.ToolConfig.model_validate(body.pop("toolConfig"))
    types.ServiceTier(body.pop("serviceTier"))
    for tool in body.pop("tools"):
        types.Tool.model_validate(tool)
    for content in body.pop("contents"):
        types.Content.model_validate(content)
    assert body == {}


def test_recorded_replies_are_of_the_published_types(types: Any) -> None:
    checked = 0
    for path in sorted(RECORDINGS.glob("*.json")):
        odd = path.stem.startswith(("error_", "unknown_", "arguments_that_are_no", "image_and_sound", "tier_told"))
        data = json.loads(path.read_text("utf-8"))
        if not odd and "reply" in data:
            types.GenerateContentResponse.model_validate(data["reply"])
            checked += 1
    assert checked > 10


# -- the SDK against the rehearsal provider ----------------------------------------------------------------------------

def test_the_sdk_gets_answers(types: Any, sdk: Any) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level="low"), response_logprobs=True, logprobs=2)
    answer = sdk.models.generate_content(model="gemini-3.8-flash", contents="What is 6 * 7?", config=config)
    parts = answer.candidates[0].content.parts
    assert answer.text == "42" and parts[0].thought and answer.usage_metadata.thoughts_token_count == 16
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.candidates[0].logprobs_result.chosen_candidates[0].token == "42"
    assert sdk.models.count_tokens(model="x", contents="What is 6 * 7?").total_tokens > 3


def test_the_sdk_streams(types: Any, sdk: Any) -> None:
    chunks = list(sdk.models.generate_content_stream(model="x", contents="[[say " + "abc " * 20 + "]]"))
    assert "".join(chunk.text or "" for chunk in chunks) == "abc " * 20 and len(chunks) > 3
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP and chunks[-1].usage_metadata


def test_the_sdk_calls_functions_by_itself(types: Any, sdk: Any) -> None:
    asked = []

    def get_weather(city: str) -> str:
        """The weather."""
        asked.append(city)
        return "rain"

    answer = sdk.models.generate_content(
        model="gemini-3.8-flash", contents="Use get_weather for 'Bonn'. [[rounds 2]]", config={"tools": [get_weather]})
    assert asked == ["Bonn", "Bonn"] and answer.text == "The tool says: rain"


def test_the_sdk_gets_structured_output(types: Any, sdk: Any) -> None:
    from pydantic import BaseModel

    class Place(BaseModel):
        city: str
        size: int

    config = {"response_mime_type": "application/json", "response_schema": Place}
    answer = sdk.models.generate_content(model="gemini-3.8-flash", contents="'Bonn' has 3 parts", config=config)
    assert answer.parsed == Place(city="Bonn", size=3)


def test_the_sdk_understands_refusals(types: Any, sdk: Any) -> None:
    from google.genai import errors

    with pytest.raises(errors.ClientError) as refused:
        sdk.models.generate_content(model="gemini-3.8-flash", contents="Hi", config={"temperature": 1.9, "top_p": 1.5})
    assert refused.value.code == 400 and refused.value.status == "INVALID_ARGUMENT"
    with pytest.raises(errors.ServerError):
        sdk.models.generate_content(model="gemini-3.8-flash", contents="[[fault 503]]")
    blocked = sdk.models.generate_content(model="gemini-3.8-flash", contents="[[filter]]")
    assert blocked.candidates[0].finish_reason == types.FinishReason.SAFETY
