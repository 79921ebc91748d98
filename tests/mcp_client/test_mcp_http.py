"""MCP servers behind a URL: sessions lost and found, secrets on every request, streams torn, refusals told."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import mcp_peer
import pytest

from deluge import MCPError, MCPServer, Tool
from deluge.mcp import Cancellation, Connection, Progress, close_connections

TOKEN, SECRET = "token-of-mine", "value-of-mine"


def connected(server: Any, **settings: Any) -> Connection:
    given: dict[str, Any] = {"token": TOKEN, "headers": {"X-Team": SECRET, "Accept": "text/html"}, "timeout": 10, **settings}
    return Connection(MCPServer("peer", server.url, **given))


@pytest.fixture
def server() -> Iterator[Any]:
    with mcp_peer.http_peer(token=TOKEN) as made:
        yield made


@pytest.fixture
def connection(server: Any) -> Iterator[Connection]:
    with connected(server) as made:
        yield made


def test_every_request_has_token_headers_session_and_version(server: Any, connection: Connection) -> None:
    assert connection.call("echo", {"text": "a"}) == "a"
    assert len(connection.tools()) == len(mcp_peer.TOOLS) and connection.open().version == "2025-11-25"
    assert server.listening.wait(10)
    server.sessions.clear()  # the server forgets: a new session is begun, and nothing is lost on the way
    assert connection.call("echo", {"text": "b"}) == "b"
    with pytest.raises(MCPError, match="in time"):
        connection.call("wait", timeout=0.05)
    server.peer.until_seen(1, "notifications/cancelled")
    connection.close()
    methods = [method for method, _ in server.requests]
    assert {"POST", "GET", "DELETE"} == set(methods) and methods[-1] == "DELETE" and server.sessions == set()
    for method, headers in server.requests:
        assert headers["authorization"] == f"Bearer {TOKEN}" and headers["x-team"] == SECRET
        assert headers["accept"] == "application/json, text/event-stream"
    posts = [headers for method, headers in server.requests if method == "POST"]
    begun = [at for at, message in enumerate(server.peer.seen) if message.get("method") == "initialize"]
    assert len(begun) == 2 and sum("mcp-session-id" not in headers for headers in posts) == 2
    assert all("mcp-protocol-version" in headers for headers in posts if "mcp-session-id" in headers)


@pytest.mark.parametrize("in_json", [False, True])
def test_threads_share_one_session_and_survive_its_loss(server: Any, connection: Connection, in_json: bool) -> None:
    server.in_json = in_json
    texts = [str(number) for number in range(80)]
    with ThreadPoolExecutor(80) as pool:
        assert list(pool.map(lambda text: connection.call("echo", {"text": text}), texts)) == texts
        server.sessions.clear()
        assert list(pool.map(lambda text: connection.call("echo", {"text": text}), texts)) == texts
    assert len(server.peer.until_seen(2, "initialize")) == 2
    assert all(isinstance(message.get("params", {}), dict) for message in server.peer.seen)


def test_an_unknown_session_may_be_a_bad_request_too(server: Any, connection: Connection) -> None:
    connection.ping()
    server.unknown = 400
    server.sessions.clear()
    connection.ping()
    assert len(server.peer.until_seen(2, "initialize")) == 2


def test_calls_that_run_end_by_themselves_when_the_session_is_lost_beside_them(server: Any, connection: Connection) -> None:
    connection.ping()
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(connection.call("wait")))
    thread.start()
    id = server.peer.until_seen(1, "tools/call")[0]["id"]
    server.sessions.clear()
    assert connection.call("echo", {"text": "b"}) == "b"
    server.peer.released = True
    server.peer.cancelled[id].set()
    thread.join(10)
    assert results == ["nobody cancelled"]


def test_progress_questions_and_media_come_through_the_stream(server: Any, connection: Connection) -> None:
    told: list[Progress] = []
    assert connection.call("steps", on_progress=told.append) == "walked"
    assert [news.message for news in told] == ["step 1", "step 2", "step 3"]
    found = connection.call("ask", {"method": "elicitation/create"})
    assert isinstance(found, str) and json.loads(found)["result"] == {"action": "decline"}
    assert len(connection.call("media")) == 6

    def refuse(news: Progress) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        connection.call("steps", on_progress=refuse)
    server.peer.until_seen(1, "notifications/cancelled")


def test_a_torn_stream_is_taken_up_again(server: Any, connection: Connection) -> None:
    server.torn = 1
    assert connection.call("echo", {"text": "a"}) == "a"
    resumed = [headers for method, headers in server.requests if headers.get("last-event-id")]
    assert [headers["last-event-id"] for headers in resumed] == ["1"] and resumed[0]["authorization"] == f"Bearer {TOKEN}"


def test_the_servers_own_stream_tells_that_tools_have_changed(server: Any, connection: Connection) -> None:
    assert len(connection.tools()) == len(mcp_peer.TOOLS) and server.listening.wait(10)
    server.aside.put({"jsonrpc": "2.0", "id": "q", "method": "ping"})
    server.peer.asked["q"] = server.held
    connection.call("grow")
    assert server.held.get(timeout=10)["result"] == {}
    end = monotonic() + 10
    while len(connection.tools()) == len(mcp_peer.TOOLS):
        assert monotonic() < end
    assert connection.tools()[-1]["name"] == "new"


def test_calls_are_cancelled_from_another_thread(server: Any, connection: Connection) -> None:
    connection.ping()
    cancellation, errors = Cancellation(), []

    def call() -> None:
        with cancellation.covers(), pytest.raises(MCPError) as caught:
            connection.call("wait")
        errors.append(caught.value.kind)

    thread = threading.Thread(target=call)
    thread.start()
    asked = server.peer.until_seen(1, "tools/call")[0]
    cancellation.cancel()
    thread.join(10)
    assert errors == ["cancelled"]
    assert server.peer.until_seen(1, "notifications/cancelled")[0]["params"]["requestId"] == asked["id"]
    assert server.peer.cancelled[asked["id"]].wait(10)


@pytest.mark.parametrize("status, headers, body, words, kind", [
    (302, {"Location": "http://user:pw@other.example/x?k=1"}, b"", "redirects to http://other.example/x; redirects",
     "bad_request"),
    (401, {}, f"no {TOKEN}".encode(), r"refuses the token \(401\): no \*\*\*", "auth"),
    (403, {}, b"", r"does not permit this \(403\)", "permission"), (404, {}, b"", "is not at this url", "not_found"),
    (405, {}, b"", "takes no messages at this url", "not_found"), (429, {}, b"", "too many requests", "rate_limit"),
    (500, {}, f"oops\n {SECRET}".encode(), r"refuses the request \(500\): oops \*\*\*", "server"),
    (200, {"Content-Type": "text/html"}, b"<html>", r"answered in 'text/html' \(200\)", "parse"),
    (200, {"Content-Type": "application/json"}, b"{}", "not with a reply", "parse"),
    (200, {"Content-Type": "application/json"}, b"nonsense", "not with a reply", "parse"),
    (200, {"Content-Type": "text/event-stream"}, b"data: 1\n\n", "ended without a reply", "connection"),
    (202, {}, b"", r"answered with nothing \(202\)", "parse"),
    (400, {"Content-Type": "application/json"}, b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "No"}}',
     "answered initialize with an error: No", "bad_request"),
])
def test_refusals_say_what_is_wrong_and_tell_no_secret(
    server: Any, status: int, headers: Any, body: bytes, words: str, kind: str,
) -> None:
    server.instead = status, headers, body
    with pytest.raises(MCPError, match=words) as caught:
        Tool.from_mcp("peer", server.url, token=TOKEN, headers={"X-Team": SECRET})
    assert caught.value.kind == kind and caught.value.server == "peer"
    assert TOKEN not in str(caught.value) and SECRET not in str(caught.value) and "pw" not in str(caught.value)
    assert all(method == "POST" for method, _ in server.requests)  # a redirect is not followed
    close_connections()


def test_a_server_that_wants_a_token_says_so(server: Any) -> None:
    with connected(server, token=None) as connection, pytest.raises(MCPError, match="give it token= or headers=") as caught:
        connection.tools()
    assert caught.value.kind == "auth" and caught.value.status_code == 401
    with connected(server, token=None, headers={"authorization": f"Bearer {TOKEN}"}) as connection:
        assert connection.call("echo", {"text": "a"}) == "a"


def test_nobody_listens_at_the_url() -> None:
    with mcp_peer.http_peer() as server:
        pass
    with connected(server, timeout=5) as connection, pytest.raises(MCPError, match="cannot be reached") as caught:
        connection.tools()
    assert caught.value.kind == "connection"


def test_a_server_that_never_answers_times_out(server: Any) -> None:
    server.peer.options["mute"] = ""
    server.in_json = False
    with connected(server, timeout=0.3) as connection, pytest.raises(MCPError) as caught:
        connection.tools()
    assert caught.value.kind in ("timeout", "parse", "connection")


def test_a_server_without_sessions_works_as_well() -> None:
    with mcp_peer.http_peer("stateless") as server, connected(server) as connection:
        assert connection.open().version == "2026-07-28"
        assert connection.call("echo", {"text": "ä"}) == "ä"
        assert connection.call("steps", on_progress=lambda news: None) == "walked"
        assert server.listening.wait(10)
        connection.call("grow")
        end = monotonic() + 10
        while connection.tools()[-1]["name"] != "new":
            assert monotonic() < end
        cancellation = Cancellation()
        threading.Thread(target=lambda: (server.peer.until_seen(4, "tools/call"), cancellation.cancel())).start()
        server.peer.tool_wait = lambda id, params, say: say({"jsonrpc": "2.0", "method": "x"}) or threading.Event().wait(0.3)
        with cancellation.covers(), pytest.raises(MCPError, match="cancelled"):
            connection.call("wait")
        call = next(headers for _, headers in server.requests if headers.get("mcp-name") == "echo")
    assert call["mcp-method"] == "tools/call" and call["mcp-param-text"] == "=?base64?w6Q=?="
    assert call["mcp-protocol-version"] == "2026-07-28" and "mcp-session-id" not in call
    assert not [message for message in server.peer.seen if message.get("method") == "notifications/cancelled"]


def test_a_forked_child_begins_its_own_session(server: Any, connection: Connection) -> None:
    assert connection.call("echo", {"text": "a"}) == "a"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if connection.call("echo", {"text": "child"}) == "child" else 2
            connection.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert connection.call("echo", {"text": "b"}) == "b" and len(server.peer.until_seen(2, "initialize")) == 2
    assert len(server.sessions) == 1


def test_a_close_ends_what_is_running(server: Any, connection: Connection) -> None:
    connection.ping()
    errors: list[str] = []

    def call() -> None:
        with pytest.raises(MCPError, match="the connection was closed") as caught:
            connection.call("wait")
        errors.append(caught.value.kind)

    thread = threading.Thread(target=call)
    thread.start()
    server.peer.until_seen(1, "tools/call")
    connection.close()
    thread.join(10)
    assert errors == ["cancelled"] and not connection.is_open
    assert connection.call("echo", {"text": "again"}) == "again"
