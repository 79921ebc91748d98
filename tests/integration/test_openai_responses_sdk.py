"""Beside OpenAI's own SDK: its types read what we send, its client sends the same, its models read our replies."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deluge import LLMClient
from deluge.dialects.openai_responses import DIALECT
from deluge.models.registry import get_model
from deluge.params import EFFORTS, SamplingParams
from deluge.prompt import Conversation, File, Image, Message, Text, ToolCall, ToolResult
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.testing import RehearsalServer
from deluge.tools import MCPServer, Tool
from deluge.wire import HttpReply

openai = pytest.importorskip("openai", minversion="3.50")
pydantic = pytest.importorskip("pydantic")

pytestmark = pytest.mark.integration

RECORDINGS = Path(__file__).parents[1] / "recordings" / "openai_responses"
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
STRICT = {**PARAMETERS, "additionalProperties": False}
FUNCTION = {"type": "function", "name": "f", "description": "Does f.", "parameters": STRICT, "strict": True}
TOOLS = (Tool("f", "Does f.", PARAMETERS), {"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}},
         MCPServer("s", "https://s.example/mcp", "token", headers={"a": "b"}, allowed_tools=("x",)))
SCHEMAS = {"reasoning": {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}],
                         "encrypted_content": "s", "status": "completed"},
           "call": {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}",
                    "status": "completed"},
           "search": {"id": "ws_1", "type": "web_search_call", "status": "completed",
                      "action": {"type": "search", "query": "q"}},
           "mcp": {"id": "mcp_1", "type": "mcp_call", "server_label": "s", "name": "x", "arguments": "{}", "output": "5"},
           "said": {"id": "m", "type": "message", "role": "assistant", "status": "completed", "phase": "commentary",
                    "content": [{"type": "output_text", "text": "So", "annotations": []}]}}


def template(name: str, params: dict[str, Any], **options: Any) -> RequestTemplate:
    row = get_model(name)
    return RequestTemplate(row, SamplingParams(**params), RequestOptions(**options), row.provider.base_url, "k")


def sent(name: str, prompt: Any, params: dict[str, Any], **options: Any) -> dict[str, Any]:
    ctx = RequestContext(as_conversation(prompt), template(name, params, **options))
    body: dict[str, Any] = json.loads(DIALECT.build(ctx).body)
    return body


def talk() -> Conversation:
    reply = {"id": "r", "status": "completed", "output": list(SCHEMAS.values())}
    ctx = RequestContext(as_conversation("x"), template("gpt-6-sol", {}))
    said = DIALECT.parse(ctx, HttpReply(200, {}, json.dumps(reply).encode()))
    made = Conversation().system("S").user((
        Text("See"), Image(b"x"), Image(url="https://x.example/i.png", detail="low"), Image(file_id="f"),
        File(b"%PDF", name="a.pdf"), File(file_id="f1"), File(url="https://x.example/a.pdf"),
    )).with_response(said)
    made.with_tool_result("c1", (Text("a"), Image(b"y"))).user("More")
    made.ai((ToolCall("c2", "f", {"a": 1}), ToolCall("c3", "g", {}, "x", type="custom")))
    return made.add(Message("tool", (ToolResult("c2", "two"), ToolResult("c3", "three"))))


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
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
    return pydantic.TypeAdapter(ResponseCreateParamsNonStreaming)


@pytest.mark.parametrize("name", ["gpt-6.1-sol", "gpt-6-luna", "gpt-5.4", "gpt-5", "o3", "gpt-4.1", "gpt-5.1-codex"])
@pytest.mark.parametrize("effort", [None, *EFFORTS])
@pytest.mark.parametrize("cache", [None, "system_and_tools", "last_3_user_messages", "automatic"])
def test_bodies_fit_the_published_types(types: Any, name: str, effort: Any, cache: Any) -> None:
    body = sent(name, talk(), {"reasoning_effort": effort, "verbosity": "low", "logprobs": True, "top_logprobs": 3},
                tools=TOOLS, tool_choice="f", output_schema=PARAMETERS, service_tier="flex", cache=cache, cache_ttl="12h",
                background=True)
    assert plain(types.validate_python(body)) == body


def test_the_sdk_sends_the_same() -> None:
    with RehearsalServer(latency=0.0) as server:
        sdk = openai.OpenAI(api_key="k", base_url=server.base_url)
        sdk.responses.create(
            model="gpt-6-sol", max_output_tokens=512, tools=[FUNCTION], tool_choice="auto", store=False,
            input=[{"role": "developer", "content": "S"}, {"role": "user", "content": "Hi"}],
            reasoning={"effort": "low", "summary": "auto"}, include=["reasoning.encrypted_content"],
            text={"format": {"type": "json_schema", "name": "response", "schema": STRICT, "strict": True},
                  "verbosity": "low"},
        )
        theirs = server.requests[-1]
        params = SamplingParams(reasoning_effort="low", verbosity="low", max_new_tokens=512)
        client = LLMClient("gpt-6-sol", base_url=server.base_url, api_key="k", progress=None, use_responses_api=True,
                           sampling_params=params)
        prompt = Conversation().system("S").user("Hi")
        client.ask(prompt, tools=[TOOLS[0]], output_schema=PARAMETERS).raise_for_error()
        ours = server.requests[-1]
    assert {**ours.body, "tool_choice": "auto"} == theirs.body and ours.path == theirs.path


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_answers_are_responses_of_the_sdk(path: Path) -> None:
    from openai.types.responses import Response, ResponseStreamEvent

    data = json.loads(path.read_text("utf-8"))
    odd = ("unknown_item_is_kept_raw", "unknown_block_is_kept_raw", "failed_new_code", "no_status", "mcp",
           "reasoning_left_out_of_the_count", "failed_but_counted")
    if path.stem in odd:
        return
    reply = data.get("reply")
    if isinstance(reply, dict) and reply.get("object") == "response":
        Response.model_validate(reply)
    events = pydantic.TypeAdapter(ResponseStreamEvent)
    for text in data.get("stream", ()) if "reply" in data else ():
        events.validate_json(text.partition("data: ")[2].strip())


def test_the_sdk_works_against_the_rehearsal() -> None:
    with RehearsalServer(latency=0.0, api_key="right") as server:
        sdk = openai.OpenAI(api_key="right", base_url=server.base_url, max_retries=0)
        ask: dict[str, Any] = {"model": "gpt-6-sol", "store": False, "tools": [FUNCTION], "include": [
            "reasoning.encrypted_content"], "reasoning": {"effort": "low", "summary": "auto"}}
        items: list[Any] = [{"role": "user", "content": "Use f on 17"}]
        said = sdk.responses.create(input=items, **ask)
        assert [item.type for item in said.output] == ["reasoning", "function_call"] and said.status == "completed"
        with sdk.responses.stream(input=items, **ask) as stream:
            events = [event.type for event in stream]
            whole = stream.get_final_response()
        assert [item.type for item in whole.output] == ["reasoning", "function_call"]
        assert "response.function_call_arguments.delta" in events and whole.usage.output_tokens == said.usage.output_tokens
        items += [item.to_dict() for item in said.output]
        with pytest.raises(openai.BadRequestError):
            sdk.responses.create(input=items, **ask)
        items.append({"type": "function_call_output", "call_id": said.output[1].call_id, "output": "five"})
        assert sdk.responses.create(input=items, **ask).output_text == "The tool says: five"
        with pytest.raises(openai.AuthenticationError):
            sdk.with_options(api_key="wrong").responses.create(model="gpt-6-sol", input="Hi")
        parsed = sdk.responses.parse(model="gpt-6-sol", input="Ada is 36", text_format=Person)
        assert isinstance(parsed.output_parsed, Person)


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_the_sdk_runs_jobs_against_the_rehearsal() -> None:
    with RehearsalServer(latency=0.0) as server:
        sdk = openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0)
        job = sdk.responses.create(model="gpt-6-sol", input="[[latency 0.2]] Hello", background=True)
        assert job.status == "queued" and job.output == []
        until = time.monotonic() + 10
        while job.status in ("queued", "in_progress") and time.monotonic() < until:
            job = sdk.responses.retrieve(job.id, include=["reasoning.encrypted_content"])
        assert job.status == "completed" and job.output_text == "[[latency 0.2]] Hello"
        assert server.requests[-1].path == f"/v1/responses/{job.id}"
        long = sdk.responses.create(model="gpt-6-sol", input="[[latency 60]] Hello", background=True)
        assert sdk.responses.cancel(long.id).status == "cancelled" and sdk.responses.retrieve(long.id).status == "cancelled"
        sdk.responses.delete(job.id)
        with pytest.raises(openai.NotFoundError):
            sdk.responses.retrieve(job.id)
