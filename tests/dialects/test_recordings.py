"""Every recorded exchange, through its dialect: whole, and as streams byte by byte, in random pieces and cut short.

A recording is a JSON file in ``tests/recordings/<dialect>/``:

    {"name", "model": id of the catalog or {"flags": [...], "efforts", "price", ...}, "prompt", "params", "options",
     "status", "headers", "reply": object or text, "stream": [text of the server-sent events ...], "expect": {...}}

In an AWS event stream the items of ``stream`` are pairs: headers (or the type of the event) and payload.

With both ``reply`` and ``stream`` the two must give the same response. ``expect`` names what is checked.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from deluge import _plugins
from deluge._eventstream import framed, stream_events
from deluge._sse import server_events
from deluge.dialects._replies import failure_response
from deluge.models.model import Model, Price, Provider
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.usage import Usage
from deluge.wire import HttpReply, StreamDelta

FOLDER = Path(__file__).parents[1] / "recordings"
FILES = sorted(FOLDER.glob("*/*.json"))
NOW = 1_700_000_000.0
FRAMINGS = {"sse": server_events, "eventstream": stream_events}


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return data


def recorded_model(data: Any, dialect: str) -> Model:
    if isinstance(data, str):
        return get_model(data)
    fields = dict(data or {})
    provider = Provider(fields.pop("provider", "host"), "https://host.example/v1", dialect,
                        service_tiers=tuple(fields.pop("service_tiers", ())))
    price = Price(**fields.pop("price", {}))
    tiers = {name: Price(**value) for name, value in fields.pop("service_prices", {}).items()}
    return Model("a-model", "its-name", provider, price=price, service_prices=tiers,
                 flags=frozenset(fields.pop("flags", ())), efforts=tuple(fields.pop("efforts", ())), **fields)


def context(data: dict[str, Any], dialect: str, *, stream: bool = False) -> RequestContext:
    model = recorded_model(data.get("model"), dialect)
    options = dict(data.get("options", {}))
    options["tools"] = tuple(options.get("tools", ()))
    template = RequestTemplate(
        model, SamplingParams(**data.get("params", {})), RequestOptions(**options), model.provider.base_url,
        "sk-secret-key",
    )
    return RequestContext(as_conversation(data.get("prompt", "Hi")), template, NOW, stream)


def body_of(data: dict[str, Any]) -> bytes:
    reply = data["reply"]
    return reply.encode("utf-8", "surrogatepass") if isinstance(reply, str) else json.dumps(reply).encode()


def framed_item(headers: Any, payload: Any) -> bytes:
    if isinstance(headers, str):
        headers = {":event-type": headers, ":content-type": "application/json", ":message-type": "event"}
    return framed(headers, json.dumps(payload).encode())


def replayed(dialect: Any, ctx: RequestContext, chunks: list[bytes]) -> tuple[list[StreamDelta], APIResponse]:
    deltas: list[StreamDelta] = []
    events = dialect.events(ctx, FRAMINGS[dialect.framing](chunks))
    while True:
        try:
            deltas.append(next(events))
        except StopIteration as end:
            return deltas, end.value


def check(response: APIResponse, expect: dict[str, Any]) -> None:
    for name, wanted in expect.items():
        if name == "usage":
            assert response.usage == Usage.from_dict(wanted)
        elif name == "verdict":
            assert response._verdict is not None
            assert {key: getattr(response._verdict, key) for key in wanted} == wanted
        elif name == "error_message":
            assert wanted in (response.error_message or "")
        elif name == "tool_calls":
            found = [{key: getattr(call, key) for key in one} for call, one in zip(response.tool_calls, wanted)]
            assert (found, len(response.tool_calls)) == (wanted, len(wanted))
        elif name == "parts":
            assert response.content is not None
            assert [type(part).__name__ for part in response.content.parts] == wanted
        elif name == "cost":
            assert response.cost == (None if wanted is None else pytest.approx(wanted))
        elif name != "deltas":
            assert getattr(response, name) == wanted, name
    if response.is_error:
        assert response._verdict is not None and response._verdict.kind == response.error_kind
        assert response.content is None and response.finish_reason == "error"
        assert response.retry_with_different_model == response._verdict.switch_model
        assert response.give_up_if_no_other_models != response._verdict.retry
    else:
        assert response._verdict is None and response.error_kind is None
    assert "sk-secret-key" not in repr(response) + str(response.error_message)


def same(one: APIResponse, other: APIResponse) -> None:
    for name in ("is_error", "error_kind", "content", "finish_reason", "usage", "cost", "logprobs", "service_tier",
                 "response_id", "model_external", "completion", "thinking", "refusal", "tool_calls"):
        assert getattr(one, name) == getattr(other, name), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recording(path: Path) -> None:
    data, dialect = load(path), _plugins.load("dialects", path.parent.name)
    expect, headers = data["expect"], data.get("headers", {})
    whole = None
    if "reply" in data:
        ctx = context(data, path.parent.name)
        whole = dialect.parse(ctx, HttpReply(data.get("status", 200), headers, body_of(data)))
        check(whole, expect)
        assert whole.status_code == data.get("status", 200) and whole.provider == ctx.model.provider.name
    if "stream" in data:
        replay_stream(data, dialect, path.parent.name, expect, whole)


def replay_stream(data: dict[str, Any], dialect: Any, folder: str, expect: dict[str, Any], whole: Any) -> None:
    raw = b"".join(item.encode() if isinstance(item, str) else framed_item(*item) for item in data["stream"])
    ctx = context(data, folder, stream=True)
    ways = [[raw], [raw[i:i + 1] for i in range(len(raw))]]
    dice = random.Random(7)
    for _ in range(5):
        cuts = sorted(dice.randrange(len(raw) + 1) for _ in range(12))
        ways.append([raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)])])
    results = [replayed(dialect, ctx, way) for way in ways]
    for deltas, response in results:
        check(response, {name: value for name, value in expect.items() if name != "request_id"})
        assert deltas == results[0][0]
        if whole is not None:
            same(response, whole)
        if "deltas" in expect:
            assert [[delta.kind, delta.text] for delta in deltas] == expect["deltas"]
        if not response.is_error:
            said = "".join(delta.text for delta in deltas if delta.kind == "text")
            assert said == (response.completion or "")
    assert results[0][1].is_error or answers_only_whole(dialect, ctx, raw, results[0][1])


def answers_only_whole(dialect: Any, ctx: RequestContext, raw: bytes, full: APIResponse) -> bool:
    """A stream cut at any byte is an error or the whole answer, never a short one."""
    for end in range(len(raw)):
        response = replayed(dialect, ctx, [raw[:end]])[1]
        if response.is_error:
            assert response.error_kind == "connection" and response._verdict.retry, raw[:end]
        else:
            assert response.content == full.content and response.finish_reason == full.finish_reason, raw[:end]
    return True


@pytest.mark.parametrize("failure, kind, retry, switch", [
    ("connection", "connection", True, True), ("timeout", "timeout", True, True),
    ("cancelled", "cancelled", False, False),
    ("too_large", "parse", False, True), ("config", "bad_request", False, True),
])
def test_a_failed_transport_is_the_same_everywhere(failure: Any, kind: str, retry: bool, switch: bool) -> None:
    ctx = context({}, "openai_chat")
    response = failure_response(ctx, HttpReply(failure=failure, message="it went wrong"))
    check(response, {"is_error": True, "error_kind": kind, "error_message": "it went wrong", "status_code": None,
                     "verdict": {"retry": retry, "switch_model": switch, "blocklist": False}})
