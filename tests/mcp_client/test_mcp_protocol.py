"""The parts of the MCP client that touch nothing: messages, headers, contents."""

from __future__ import annotations

import base64
import pickle
from typing import Any

import pytest

from deluge import MCPError
from deluge.mcp import protocol
from deluge.mcp.content import content_of
from deluge.mcp.pending import Pending, Progress, progress_of
from deluge.mcp.tools import callable_name
from deluge.prompt import Audio, File, Image, Text
from deluge.tools.result import ToolFailure
from deluge.tools.server import VERSIONS

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def test_the_versions_are_those_that_a_server_may_be_told_to_speak() -> None:
    assert (*protocol.HANDSHAKES, *protocol.STATELESS) == VERSIONS


@pytest.mark.parametrize("data, count", [
    ('{"jsonrpc": "2.0", "id": 1, "result": {}}', 1), (b'[{"id": 1}, {"method": "x"}]', 2), (b"[]", 0),
])
def test_messages_come_alone_or_in_batches(data: Any, count: int) -> None:
    assert len(protocol.messages_in(data)) == count


@pytest.mark.parametrize("data", ["", "Hello", "1", "null", "[1]", b"\xff", "{"])
def test_what_is_no_message_is_a_value_error(data: Any) -> None:
    with pytest.raises(ValueError):
        protocol.messages_in(data)


@pytest.mark.parametrize("method, answer", [
    ("ping", {"result": {}}), ("elicitation/create", {"result": {"action": "decline"}}),
    ("roots/list", {"error": {"code": -32601, "message": "deluge does not offer roots/list"}}),
    ("sampling/createMessage", {"error": {"code": -32601, "message": "deluge does not offer sampling/createMessage"}}),
])
def test_a_servers_own_requests_are_answered(method: str, answer: Any) -> None:
    assert protocol.answer_to({"id": "a", "method": method}) == {"jsonrpc": "2.0", "id": "a", **answer}
    assert protocol.answer_to({"id": None, "method": method}) is None


def test_what_a_stateless_server_wants_to_know_is_declined_or_refused() -> None:
    question = {"method": "elicitation/create", "params": {}}
    assert protocol.answers_to_inputs({"a": question}) == {"a": {"action": "decline"}}
    assert protocol.answers_to_inputs(None) == {}
    assert protocol.answers_to_inputs({"a": question, "b": {"method": "sampling/createMessage"}}) is None
    assert protocol.answers_to_inputs([1]) is None


def test_a_stateless_request_says_who_it_is_and_keeps_its_own_notes() -> None:
    made = protocol.enveloped({"name": "x", "_meta": {"progressToken": 3}}, "2026-07-28")
    assert made["name"] == "x" and made["_meta"]["progressToken"] == 3
    assert made["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert made["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "deluge"
    assert made["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {}


@pytest.mark.parametrize("text, value", [
    ("plain", "plain"), ("with blanks inside", "with blanks inside"), ("", ""), (" edge", "=?base64?IGVkZ2U=?="),
    ("ä", "=?base64?w6Q=?="), ("a\r\nb: c", "=?base64?YQ0KYjogYw==?="), ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
])
def test_texts_become_values_that_a_header_can_carry(text: str, value: str) -> None:
    assert protocol.header_value(text) == value


def test_arguments_go_into_headers_where_the_schema_says_so() -> None:
    schema = {"properties": {
        "city": {"type": "string", "x-mcp-header": "City"}, "fast": {"type": "boolean", "x-mcp-header": "Fast"},
        "deep": {"properties": {"n": {"type": "integer", "x-mcp-header": "N"}}}, "other": {"type": "string"},
        "missing": {"x-mcp-header": "Missing"}, "none": {"x-mcp-header": "None"}, "list": {"x-mcp-header": "List"},
    }}
    given = {"city": "Köln", "fast": True, "deep": {"n": 3}, "other": "x", "none": None, "list": [1]}
    assert protocol.argument_headers(schema, given) == {
        "Mcp-Param-City": "=?base64?S8O2bG4=?=", "Mcp-Param-Fast": "true", "Mcp-Param-N": "3"}
    assert protocol.argument_headers(None, given) == protocol.argument_headers(schema, {}) == {}


def test_routing_headers_repeat_method_and_name() -> None:
    assert protocol.routing_headers("tools/call", {"name": "a b"}) == {"Mcp-Method": "tools/call", "Mcp-Name": "a b"}
    assert protocol.routing_headers("tools/list", {"name": "a"}) == {"Mcp-Method": "tools/list"}


@pytest.mark.parametrize("result, content", [
    ({"content": [{"type": "text", "text": "a"}]}, "a"),
    ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
    ({"content": []}, ""), ({}, ""), ({"content": "x"}, ""), ({"content": [1]}, ""),
    ({"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]}, [Image(base64.b64decode(PNG))]),
    ({"content": [{"type": "image", "data": PNG}]}, [Image(base64.b64decode(PNG))]),
    ({"content": [{"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"}]}, [Audio(b"RIFF")]),
    ({"content": [{"type": "text", "text": "a"}, {"type": "resource", "resource": {
        "uri": "file:///x/a%20b.bin", "blob": "AAA="}}]},
     [Text("a"), File(b"\0\0", media_type="application/octet-stream", name="a b.bin")]),
    ({"content": [{"type": "resource", "resource": {"uri": "x:y", "text": "t"}}]}, "t"),
    ({"content": [{"type": "resource_link", "uri": "x:y", "name": "n", "_meta": {}}]},
     '{"type":"resource_link","uri":"x:y","name":"n"}'),
    ({"content": [], "structuredContent": {"a": 1}}, '{"a":1}'),
    ({"content": [{"type": "text", "text": '{ "a": 1 }'}], "structuredContent": {"a": 1}}, '{ "a": 1 }'),
    ({"content": [{"type": "text", "text": "3"}], "structuredContent": {"result": 3}}, "3"),
    ({"content": [{"type": "text", "text": "x"}], "structuredContent": {"result": "x"}}, "x"),
    ({"content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}], "structuredContent": {"result": [1, 2]}},
     "1\n2"),
    ({"content": [{"type": "text", "text": "about"}], "structuredContent": {"a": 1}}, 'about\n{"a":1}'),
])
def test_contents_become_texts_or_parts(result: Any, content: Any) -> None:
    assert content_of(result) == content


def test_data_that_is_not_base64_is_an_error() -> None:
    with pytest.raises(MCPError, match="base64"):
        content_of({"content": [{"type": "image", "data": "?", "mimeType": "image/png"}]})


def test_a_failure_of_the_tool_carries_its_content() -> None:
    failure = pickle.loads(pickle.dumps(ToolFailure([Text("a"), Image(b"x")])))
    assert str(failure) == "a" and failure.content == (Text("a"), Image(b"x"))
    assert str(ToolFailure([Image(b"x")])) == "the tool failed"


def test_progress_is_read_from_notifications() -> None:
    assert progress_of({"progress": 1, "total": 2, "message": "m"}) == Progress(1.0, 2.0, "m")
    assert progress_of({"progress": 1.5, "total": "x", "message": 3}) == Progress(1.5)
    assert progress_of({}) is progress_of(None) is None


def test_a_request_ends_once() -> None:
    pending, stopped = Pending(1), []
    pending.stops(lambda: stopped.append(1))
    assert not pending.wait(0.0)
    pending.resolve({"result": {}})
    pending.fail(ValueError("late"))
    pending.cancel()
    assert pending.wait(0.0) and pending.outcome() == {"result": {}} and stopped == [] and not pending.cancelled


def test_names_are_made_callable_and_stay_apart() -> None:
    assert callable_name("read_file") == "read_file" and callable_name("sub.tool/x") == "sub_tool_x"
    long = callable_name("n" * 100)
    assert len(long) == 64 and long != callable_name("n" * 101)
    assert callable_name("a.b", taken={"a_b"}).startswith("a_b_") and callable_name("") == "_"


def test_an_error_keeps_what_it_says_when_it_is_pickled() -> None:
    error = MCPError("m", server="s", kind="auth", code=-1, status_code=401)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.server, again.kind, again.code, again.status_code) == ("m", "s", "auth", -1, 401)
