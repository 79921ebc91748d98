"""Bedrock held against botocore: its types check our bodies, its parsers read our recordings, it talks to the rehearsal."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from deluge import _plugins
from deluge._eventstream import framed, stream_events
from deluge.models.registry import get_model
from deluge.params import EFFORTS, SamplingParams
from deluge.prompt import Audio, Conversation, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.testing import RehearsalServer
from deluge.tools import Tool
from deluge.transport import Attempt, LeanTransport
from deluge.transport._aws import AwsSigner
from deluge.wire import HttpCall

botocore = pytest.importorskip("botocore")
awsrequest = pytest.importorskip("botocore.awsrequest")
session = pytest.importorskip("botocore.session")
config = pytest.importorskip("botocore.config")
exceptions = pytest.importorskip("botocore.exceptions")

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
URL = "https://bedrock-runtime.us-east-1.amazonaws.com"
RECORDINGS = sorted((Path(__file__).parents[1] / "recordings" / "bedrock").glob("*.json"))
TOOL = Tool("f", "Does f.", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
_BLOBS = ("bytes", "redactedContent")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials of nobody's, and no configuration."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG", "AWS_SESSION_TOKEN": "tok/en==",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def sdk(url: str = URL, token: bool = False) -> Any:
    settings = config.Config(retries={"total_max_attempts": 1}, read_timeout=10)
    return session.Session().create_client("bedrock-runtime", "us-east-1", endpoint_url=url, config=settings)


class Body:
    """The raw body of a reply, as urllib3 would give it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self, amount: int = 1024, **more: Any) -> Iterator[bytes]:
        yield from (self.data[at:at + 7] for at in range(0, len(self.data), 7))

    def read(self, *more: Any) -> bytes:
        data, self.data = self.data, b""
        return data

    def close(self) -> None:
        pass


def answering(client: Any, status: int, headers: dict[str, str], data: bytes) -> list[Any]:
    """Lets the client get this reply to whatever it sends; what it sent."""
    sent: list[Any] = []

    def before_send(request: Any, **more: Any) -> Any:
        sent.append(request)
        return awsrequest.AWSResponse(request.url, status, headers, Body(data))

    client.meta.events.register("before-send.bedrock-runtime", before_send)
    return sent


def as_arguments(value: Any) -> Any:
    """A body as botocore's arguments: base64 becomes bytes again."""
    if isinstance(value, dict):
        return {
            name: base64.b64decode(item) if name in _BLOBS and isinstance(item, str) else as_arguments(item)
            for name, item in value.items()
        }
    return [as_arguments(item) for item in value] if isinstance(value, list) else value


def built(row: str, prompt: Any = "Hi", stream: bool = False, **more: Any) -> HttpCall:
    params = SamplingParams(**more.pop("params", {}))
    template = RequestTemplate(get_model(row), params, RequestOptions(**more), URL, "k", "bedrock")
    call: HttpCall = _plugins.load("dialects", "bedrock").build(RequestContext(as_conversation(prompt), template, 0.0, stream))
    return call


THOUGHT = Thinking("Hm.", "Sig=", "bedrock", raw={"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "Sig="}}})
HIDDEN = Thinking("", None, "bedrock", redacted=True, raw={"reasoningContent": {"redactedContent": "AQI="}})
TALK = Conversation([
    Message.system("Be brief."), Message.user("a"),
    Message("assistant", (THOUGHT, HIDDEN, Text("b"), ToolCall("c 1", "f", {"a": 1.5, "b": [None, True]}))),
    Message("tool", (ToolResult("c 1", (Text("see"), Image(b"png"), File(b"pdf", name="x.y.pdf"))),)),
    Message("user", (Text("c"), File(b"a,b", media_type="text/csv", name="t.csv"), File(b"v", media_type="video/mp4"),
                     Audio(b"w"))),
    Message.ai("d"), Message.user("e"),
])
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
REQUESTS: list[dict[str, Any]] = [
    {"row": "nova-pro"}, {"row": "nova-lite", "params": {"stop": ("x",), "top_p": 0.5}},
    {"row": "nova-pro", "service_tier": "flex"}, {"row": "nova-pro", "prompt": TALK, "tools": (TOOL,)},
    {"row": "claude-4.6-sonnet-bedrock", "prompt": TALK, "tools": (TOOL, Tool("g")), "tool_choice": "f"},
    {"row": "claude-4.6-sonnet-bedrock", "prompt": TALK, "cache": "system_and_tools", "tools": (TOOL,), "cache_ttl": "1h"},
    {"row": "claude-4.6-sonnet-bedrock", "prompt": TALK, "cache": "last_2_user_messages"},
    {"row": "claude-5.5-opus-bedrock", "prompt": TALK, "output_schema": SCHEMA, "params": {"reasoning_effort": "max"}},
    {"row": "claude-4.5-haiku-bedrock", "prompt": TALK, "params": {"thinking_budget": 3_000}, "tools": (TOOL,)},
    {"row": "claude-4.6-sonnet-bedrock", "tools": ({"type": "bash_20250124", "name": "bash"}, TOOL),
     "extra_headers": {"anthropic-beta": "x-1"}, "stream": True},
    {"row": "claude-4.8-opus-bedrock", "prompt": Conversation([Message.user("a"), Message.system("b")])},
    {"row": "nova-pro", "extra_body": {
        "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1", "trace": "enabled"},
        "performanceConfig": {"latency": "optimized"}, "requestMetadata": {"team": "a"},
        "additionalModelRequestFields": {"inferenceConfig": {"topK": 5}}}},
    *({"row": row, "params": {"reasoning_effort": effort}} for effort in EFFORTS for row in (
        "claude-3-haiku-bedrock", "claude-4-sonnet-bedrock", "claude-4.5-opus-bedrock", "claude-4.6-opus-bedrock",
        "claude-4.7-opus-bedrock", "claude-5-sonnet-bedrock", "claude-5-opus-bedrock", "claude-5.5-sonnet-bedrock",
        "claude-fable-5.1-bedrock-global")),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_botocore_sends_the_same_for_the_same_input(request_: dict[str, Any], aws: None) -> None:
    """Its types accept every field of ours, and what it makes of them is our body and address."""
    call = built(**request_)
    ours = json.loads(call.body)
    client = sdk()
    sent = answering(client, 200, {}, b"{}")
    send = client.converse_stream if call.stream else client.converse
    send(modelId=get_model(request_["row"]).name, **as_arguments(ours))
    assert json.loads(sent[0].body) == ours and sent[0].url == call.url and sent[0].method == call.method


def read(value: Any) -> Any:
    """What botocore gives, as JSON again."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: read(item) for name, item in value.items() if name != "ResponseMetadata"}
    return [read(item) for item in value] if isinstance(value, list) else value


def known(value: Any, seen: Any) -> None:
    """All that botocore's types know is in the recording, unchanged."""
    if isinstance(seen, dict):
        assert isinstance(value, dict)
        for name, item in seen.items():
            if name != "SDK_UNKNOWN_MEMBER":
                known(value[name], item)
    elif isinstance(seen, list):
        assert len(value) == len(seen)
        for one, other in zip(value, seen):
            known(one, other)
    else:
        assert value == seen


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_botocore_reads_the_recordings(path: Path, aws: None) -> None:
    data = json.loads(path.read_text("utf-8"))
    reply = data.get("reply")
    if not isinstance(reply, dict) or data["expect"].get("error_kind") == "parse":
        pytest.skip("nothing that botocore could read")
    client = sdk()
    answering(client, data.get("status", 200), data.get("headers", {}), json.dumps(reply).encode())
    ask = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    if data.get("status", 200) >= 300:
        with pytest.raises(exceptions.ClientError) as caught:
            client.converse(**ask)
        kind = data["headers"].get("x-amzn-errortype")
        if kind:
            assert caught.value.response["Error"]["Code"] == kind.partition(":")[0]
        return
    parsed = read(client.converse(**ask))
    known(reply, parsed)
    if not data["expect"]["is_error"] and "unknown" not in path.stem:
        assert parsed["output"]["message"]["content"] == reply["output"]["message"]["content"]
        assert parsed["usage"] == reply["usage"] if "usage" in reply else "usage" not in parsed


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_botocore_reads_the_recorded_streams(path: Path, aws: None) -> None:
    data = json.loads(path.read_text("utf-8"))
    if not data.get("stream"):
        pytest.skip("no stream")
    items = [(item if isinstance(item, dict) else {":event-type": item, ":content-type": "application/json",
                                                   ":message-type": "event"}, payload) for item, payload in data["stream"]]
    raw = b"".join(framed(headers, json.dumps(payload).encode()) for headers, payload in items)
    client = sdk()
    answering(client, 200, {"content-type": "application/vnd.amazon.eventstream"}, raw)
    stream = client.converse_stream(modelId="m", messages=[{"role": "user", "content": [{"text": "Hi"}]}])["stream"]
    seen: list[Any] = []
    broken = any(headers[":message-type"] != "event" for headers, _ in items)
    try:
        seen += stream
        assert not broken
    except exceptions.EventStreamError:
        assert broken
    events = [(headers[":event-type"], payload) for headers, payload in items if headers[":message-type"] == "event"]
    for (kind, payload), event in zip([one for one in events if one[0] != "heartbeat"],
                                      [one for one in seen if "SDK_UNKNOWN_MEMBER" not in one]):
        assert list(event) == [kind]
        known(payload, read(event[kind]))


def test_both_decoders_see_the_same_frames() -> None:
    eventstream = pytest.importorskip("botocore.eventstream")
    frames = [({":event-type": "a", "x": "ü" * 300}, b'{"a":1}'), ({}, b""), ({":message-type": "event"}, b"\x00" * 5_000)]
    raw = b"".join(framed(headers, payload) for headers, payload in frames)
    buffer = eventstream.EventStreamBuffer()
    buffer.add_data(raw)
    theirs = [(dict(message.headers), message.payload) for message in buffer]
    assert theirs == frames
    assert [(event.headers, event.data.encode()) for event in stream_events([raw])] == theirs


# -- signatures -------------------------------------------------------------------------------------------------------

def signed_by_hand(call: HttpCall, fields: dict[str, str], secret: str) -> str:
    """Signature Version 4 by the book, from what goes over the wire."""
    scope, names = re.findall(r"Credential=AKIDEXAMPLE/([^,]+), SignedHeaders=([^,]+)", fields["authorization"])[0]
    url = urlsplit(call.url)
    headers = {**{name.lower(): value for name, value in call.headers.items()}, **fields, "host": url.netloc}
    path = quote(url.path, safe="/~")  # the path is quoted once more
    canonical = "\n".join([
        call.method, path, url.query, *(f"{name}:{' '.join(headers[name].split())}" for name in names.split(";")), "",
        names, hashlib.sha256(call.body).hexdigest(),
    ])
    text = "\n".join(["AWS4-HMAC-SHA256", fields["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), "sha256").digest()
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@pytest.mark.parametrize("url, service, region", [
    (f"{URL}/model/us.amazon.nova-pro-v1%3A0/converse", "bedrock", "us-east-1"),
    ("https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1/chat/completions", "bedrock", "eu-west-1"),
    ("https://bedrock-mantle.us-west-2.api.aws/openai/v1/chat/completions", "bedrock-mantle", "us-west-2"),
    ("http://127.0.0.1:8123/model/a%2Fb/converse", "bedrock", "us-east-1"),
])
def test_signatures(url: str, service: str, region: str, aws: None) -> None:
    call = HttpCall("POST", url, {"content-type": "application/json", "accept": "application/json", "X-Mine": "a  b"},
                    '{"ü":1}'.encode(), sign="aws", sign_args={"service": "bedrock"})
    fields = dict(AwsSigner()(call))
    assert fields.keys() == {"authorization", "x-amz-date", "x-amz-security-token"}
    assert f"/{region}/{service}/aws4_request" in fields["authorization"] and fields["x-amz-security-token"] == "tok/en=="
    assert fields["authorization"].endswith(f"Signature={signed_by_hand(call, fields, 'wJalrXUtnFEMI/K7MDENG')}")


def test_signed_requests_arrive_as_they_were_signed(aws: None) -> None:
    call = built("nova-pro", "Hi")
    with RehearsalServer() as server:
        address = call.url.replace(URL, server.url)
        call = HttpCall("POST", address, {name: value for name, value in call.headers.items() if name != "authorization"},
                        call.body, sign="aws", sign_args={"service": "bedrock"})
        transport = LeanTransport(signers={"aws": AwsSigner()})
        reply = transport.send(call, Attempt(float("inf")))
        transport.close()
        assert reply.status == 200
        seen = server.requests[0].headers
        assert "x-amz-date" in seen and seen["host"] == urlsplit(address).netloc


def test_no_credentials_are_an_error_that_says_what_to_do(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    transport = LeanTransport(signers={"aws": AwsSigner()})
    call = HttpCall("POST", f"{URL}/model/m/converse", {}, b"{}", sign="aws", sign_args={"service": "bedrock"})
    for _ in range(200):  # one search for all of them
        reply = transport.send(call, Attempt(float("inf")))
    assert reply.failure == "config" and "AWS_BEARER_TOKEN_BEDROCK" in reply.message and not reply.sent


# -- the rehearsal provider ---------------------------------------------------------------------------------------------

def test_botocore_talks_to_the_rehearsal_provider(aws: None) -> None:
    spec = {"toolSpec": {"name": "add", "inputSchema": {"json": {
        "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}}
    ask = {"modelId": "us.amazon.nova-pro-v1:0", "messages": [{"role": "user", "content": [{"text": "call add with 7"}]}]}
    with RehearsalServer() as server:
        client = sdk(server.url)
        made = client.converse(**ask, toolConfig={"tools": [spec]},
                               additionalModelRequestFields={"thinking": {"type": "adaptive"}})
        content = made["output"]["message"]["content"]
        call = content[1]["toolUse"]
        assert made["stopReason"] == "tool_use" and call["input"] == {"a": 7} and "reasoningContent" in content[0]
        talk = [*ask["messages"], made["output"]["message"], {"role": "user", "content": [
            {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"json": {"sum": 14}}]}}]}]
        done = client.converse(modelId="m", messages=talk, toolConfig={"tools": [spec]})
        assert done["output"]["message"]["content"] == [{"text": 'The tool says: {"sum": 14}'}]
        events = list(client.converse_stream(**ask, toolConfig={"tools": [spec]})["stream"])
        pieces = [event["contentBlockDelta"]["delta"]["toolUse"]["input"] for event in events if "contentBlockDelta" in event]
        assert json.loads("".join(pieces)) == {"a": 7} and events[-1]["metadata"]["usage"]["outputTokens"] > 0
        assert client.count_tokens(modelId="m", input={"converse": {"messages": ask["messages"]}})["inputTokens"] > 5


def test_botocore_knows_the_rehearsal_providers_errors(aws: None) -> None:
    ask: dict[str, Any] = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": "a"}]}]}
    with RehearsalServer(script=["429", "503", None, "stream_error"]) as server:
        client = sdk(server.url)
        with pytest.raises(client.exceptions.ThrottlingException):
            client.converse(**ask)
        with pytest.raises(client.exceptions.ServiceUnavailableException):
            client.converse(**ask)
        with pytest.raises(client.exceptions.ValidationException, match="must alternate"):
            client.converse(**{**ask, "messages": ask["messages"] * 2})
        with pytest.raises(exceptions.EventStreamError, match="internalServerException"):
            list(client.converse_stream(**ask)["stream"])
