"""Beside Anthropic's own SDK: its types read what we send, its client sends the same, its models read our replies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deluge import LLMClient
from deluge.dialects.anthropic import DIALECT
from deluge.dialects.anthropic.schema import closed_schema
from deluge.models.registry import get_model
from deluge.params import EFFORTS, SamplingParams
from deluge.prompt import Conversation, File, Image, Message, Raw, Text, Thinking, ToolCall
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.testing import RehearsalServer
from deluge.tools import MCPServer, Tool

anthropic = pytest.importorskip("anthropic", minversion="2.0")
pydantic = pytest.importorskip("pydantic")

pytestmark = pytest.mark.integration

RECORDINGS = Path(__file__).parents[1] / "recordings" / "anthropic"
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
TOOLS = (Tool("f", "Does f.", PARAMETERS), {"type": "web_search_20260318", "name": "web_search"},
         MCPServer("s", "https://s.example/mcp", "token", allowed_tools=("x",)))
SCHEMAS: list[dict[str, Any]] = [
    PARAMETERS, {"type": "array", "items": {"type": "string", "format": "uri"}, "minItems": 3},
    {"type": "object", "properties": {"x": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}}},
    {"$defs": {"A": {"type": "object", "properties": {"b": {"enum": ["x", "y"]}}, "required": ["b"]}}, "type": "object",
     "properties": {"a": {"$ref": "#/$defs/A"}, "n": {"type": "number", "exclusiveMaximum": 2, "title": "N"}}},
]


def talk() -> Conversation:
    made = Conversation().system("S").user((
        Text("See"), Image(b"x"), Image(url="https://x.example/i.png"), File(b"%PDF", name="a.pdf"), File(file_id="f1"),
        File(b"a,b", media_type="text/csv"),
    ))
    block = {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}
    citation = {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None,
                "start_char_index": 0, "end_char_index": 1}
    made.add(Message("assistant", (Thinking("Hm", "EqQB", "anthropic", raw=block), Text("So"), Raw("anthropic", {
        "citations": [citation]}), ToolCall("c1", "f", {"a": 1}), ToolCall("c2", "f", {"a": 2}))))
    made.with_tool_result("c1", (Text("a"), Image(b"y"))).with_tool_result("c2", {"x": 1}, is_error=True)
    return made.user("And?").system("Be brief.")


def sent(name: str, prompt: Any, params: dict[str, Any], **options: Any) -> dict[str, Any]:
    row = get_model(name)
    template = RequestTemplate(row, SamplingParams(**params), RequestOptions(**options), row.provider.base_url, "k")
    body: dict[str, Any] = json.loads(DIALECT.build(RequestContext(as_conversation(prompt), template)).body)
    return body


def plain(value: Any) -> Any:
    """Dicts and lists for the models and lazy iterators that validation makes of them."""
    if isinstance(value, pydantic.BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (str, bytes, int, float, bool, type(None))):
        return value
    return [plain(item) for item in value]


@pytest.fixture(scope="module")
def types() -> Any:
    from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming
    return pydantic.TypeAdapter(MessageCreateParamsNonStreaming)


@pytest.mark.parametrize("name", ["claude-4.5-haiku", "claude-4.5-opus", "claude-4.6-sonnet", "claude-4.8-opus",
                                  "claude-5-sonnet", "claude-5.5-sonnet", "claude-fable-5.2"])
@pytest.mark.parametrize("effort", [None, *EFFORTS])
@pytest.mark.parametrize("cache", [None, "system_and_tools", "last_3_user_messages", "automatic"])
def test_bodies_fit_the_published_types(types: Any, name: str, effort: Any, cache: Any) -> None:
    body = sent(name, talk(), {"reasoning_effort": effort, "stop": "x", "verbosity": "low"}, tools=TOOLS, tool_choice="f",
                output_schema=SCHEMAS[3], service_tier="fast", cache=cache, cache_ttl="1h")
    for parameter in ("temperature", "top_p"):  # the types of the newer version have none
        body.pop(parameter, None)
    assert body["tools"][0]["input_schema"].pop("additionalProperties", None) in (None, False)  # what a type may leave out
    assert plain(types.validate_python(body)) == body


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schemas_as_the_sdk_makes_them(schema: dict[str, Any]) -> None:
    closed = closed_schema(schema)
    assert closed is not None and closed.schema == anthropic.transform_schema(schema)


def test_the_sdk_sends_the_same() -> None:
    schema = anthropic.transform_schema(PARAMETERS)
    tool = {"name": "f", "description": "Does f.", "strict": True, "input_schema": schema}
    with RehearsalServer(latency=0.0) as server:
        sdk = anthropic.Anthropic(api_key="k", base_url=server.base_url.removesuffix("/v1"))
        sdk.messages.create(
            model="claude-opus-5", max_tokens=512, system="S", messages=[{"role": "user", "content": "Hi"}], tools=[tool],
            thinking={"type": "adaptive", "display": "summarized"}, tool_choice={"type": "auto"}, stop_sequences=["x"],
            output_config={"effort": "low", "format": {"type": "json_schema", "schema": schema}},
        )
        theirs = server.requests[-1]
        params = SamplingParams(reasoning_effort="low", stop="x", max_new_tokens=512)
        where: dict[str, Any] = {"base_url": server.base_url, "api_key": "k", "progress": None}
        with LLMClient("claude-5-opus", sampling_params=params, **where) as client:
            client.ask(Conversation().system("S").user("Hi"), tools=[TOOLS[0]], output_schema=PARAMETERS)
        sdk.close()
        ours = server.requests[1]  # what follows asks for a better answer
    assert {**ours.body, "tool_choice": {"type": "auto"}} == theirs.body and ours.path == theirs.path
    assert ours.headers["anthropic-version"] == theirs.headers["anthropic-version"]


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_answers_are_messages_of_the_sdk(path: Path) -> None:
    data = json.loads(path.read_text("utf-8"))
    reply = data.get("reply")
    if not isinstance(reply, dict) or reply.get("type") != "message" or "usage" not in reply or "content" not in reply:
        return
    if path.stem in ("unknown_block", "unknown_stop_reason"):
        return
    anthropic.types.beta.BetaMessage.model_validate(reply)


def test_the_sdk_works_against_the_rehearsal() -> None:
    with RehearsalServer(latency=0.0, api_key="right") as server:
        sdk = anthropic.Anthropic(api_key="right", base_url=server.base_url.removesuffix("/v1"), max_retries=0)
        ask: dict[str, Any] = {"model": "claude-opus-5", "max_tokens": 300, "messages": [
            {"role": "user", "content": "Use f on 17"}], "tools": [{"name": "f", "input_schema": PARAMETERS}]}
        said = sdk.messages.create(**ask, thinking={"type": "adaptive"})
        assert [block.type for block in said.content] == ["thinking", "tool_use"] and said.stop_reason == "tool_use"
        with sdk.messages.stream(**ask, thinking={"type": "adaptive"}) as stream:
            whole = stream.get_final_message()
        assert [block.to_dict() for block in whole.content] == [block.to_dict() for block in said.content]
        assert whole.usage.output_tokens == said.usage.output_tokens
        ask["messages"] += [
            {"role": "assistant", "content": [block.to_dict() for block in said.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": said.content[1].id, "content": "five"}]},
        ]
        assert sdk.messages.create(**ask).content[0].text == "The tool says: five"
        assert sdk.messages.count_tokens(model="claude-opus-5", messages=ask["messages"][:1]).input_tokens > 3
        with pytest.raises(anthropic.BadRequestError):
            sdk.messages.create(**{**ask, "messages": ask["messages"][:2]})
        with pytest.raises(anthropic.AuthenticationError):
            sdk.with_options(api_key="wrong").messages.create(**ask)
        sdk.close()


@pytest.mark.parametrize("name, make, base", [
    ("claude-5.5-opus-foundry", lambda url: anthropic.AnthropicFoundry(api_key="k", base_url=f"{url}/anthropic/"),
     "/anthropic/v1"),
    ("claude-5.5-opus-mantle", lambda url: anthropic.AnthropicBedrockMantle(
        api_key="k", aws_region="us-east-1", base_url=f"{url}/anthropic"), "/anthropic/v1"),
    ("claude-5.5-opus-vertex", lambda url: anthropic.AnthropicVertex(
        access_token="k", region="global", project_id="p", base_url=f"{url}/v1"),
     "/v1/projects/p/locations/global/publishers/anthropic/models/{model}"),
])
@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_asks_other_hosts_in_the_same_way(name: str, make: Any, base: str, stream: bool) -> None:
    with RehearsalServer(latency=0.0, api_key="k") as server:
        sdk, row = make(server.url), get_model(name)
        asked = {"model": row.name, "max_tokens": 512, "messages": [{"role": "user", "content": "What is 6 * 7?"}]}
        if stream:
            with sdk.messages.stream(**asked) as events:
                said = "".join(events.text_stream)
        else:
            said = sdk.messages.create(**asked).content[0].text
        sdk.close()
        theirs = server.requests[-1]
        with LLMClient(name, base_url=server.url + base, api_key="k", progress=None) as client:
            answer = list(client.stream_chat("What is 6 * 7?"))[-1] if stream else client.ask("What is 6 * 7?")
        ours = server.requests[-1]
    assert said == answer.completion == "42" and ours.path == theirs.path and ours.body == theirs.body
    assert ours.headers.get("anthropic-version") == theirs.headers.get("anthropic-version")
