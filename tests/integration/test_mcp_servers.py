"""Our MCP client against servers made with the official SDK and with fastmcp, over both transports."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from deluge import MCPError, MCPServer, Tool
from deluge.mcp import Cancellation, Connection, Progress, close_connections, connection_of, tools_of
from deluge.prompt import Image, ToolCall

pytestmark = pytest.mark.integration
pytest.importorskip("mcp")
pytest.importorskip("fastmcp")

PROGRAM = str(Path(__file__).with_name("mcp_official.py"))
TOKEN = "token-of-mine"
TOOLS = {"add", "slow", "steps", "fail", "picture", "table", "die", "ask"}
WAYS = [
    pytest.param(kind, transport, version, tuple(options.split()), id=f"{kind}-{transport}-{version or 'any'}-{options}")
    for kind in ("mcp", "fastmcp") for transport, version, options in (
        ("stdio", None, ""), ("stdio", "2026-07-28", ""), ("http", None, ""), ("http", None, "json"),
        ("http", None, "stateless"), ("http", "2026-07-28", ""))
]


@contextmanager
def served(kind: str, log: Path, *options: str) -> Iterator[int]:
    """A server behind a URL; its port."""
    command = [sys.executable, PROGRAM, kind, "http", str(log), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


@contextmanager
def server_of(kind: str, transport: str, log: Path, version: str | None, options: tuple[str, ...]) -> Iterator[MCPServer]:
    if transport == "stdio":
        yield MCPServer("it", command=sys.executable, args=(PROGRAM, kind, "stdio", str(log)), protocol_version=version)
        return
    with served(kind, log, f"token={TOKEN}", *options) as port:
        yield MCPServer("it", f"http://127.0.0.1:{port}/mcp", TOKEN, {"X-Team": "a"}, protocol_version=version)


def entries(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def until(condition: Callable[[], bool]) -> None:
    end, pause = monotonic() + 10, threading.Event()
    while not condition():
        assert monotonic() < end
        pause.wait(0.02)


@pytest.mark.parametrize("kind, transport, version, options", WAYS)
def test_everything_over_every_way(kind: str, transport: str, version: str | None, options: Any, log: Path) -> None:
    with server_of(kind, transport, log, version, options) as server, connection_of(server) as connection:
        assert connection.open().version == (version or "2025-11-25")
        assert {row["name"] for row in connection.tools()} == TOOLS
        with ThreadPoolExecutor(200) as pool:
            sums = pool.map(lambda number: connection.call("add", {"a": number, "b": number}), range(200))
            assert list(sums) == [str(2 * number) for number in range(200)]
        if "json" not in options:
            told: list[Progress] = []
            assert connection.call("steps", {"count": 3}, on_progress=told.append) == "walked"
            assert [(news.done, news.total) for news in told] == [(1, 3), (2, 3), (3, 3)]
        found = connection.call("table")
        assert isinstance(found, str) and json.loads(found) == {"rows": [1, 2], "ä": None}
        assert connection.call("picture") == [Image(b"\x89PNG\r\n\x1a\n")]
        tools = {tool.name: tool for tool in tools_of(server)}
        for name in ("fail", "ask"):  # a question to the user is no dead end
            failed = tools[name].result_for(ToolCall("1", name, {}))
            assert failed.is_error or "decline" in failed.content
        check_cancellation(connection, log, stateless="stateless" in options)
        connection.ping()
    headers = [entry["headers"] for entry in entries(log) if "headers" in entry]
    assert all(row["authorization"] == f"Bearer {TOKEN}" and row["x-team"] == "a" for row in headers)
    assert bool(headers) == (transport == "http")


def check_cancellation(connection: Connection, log: Path, *, stateless: bool) -> None:
    began = monotonic()
    with pytest.raises(MCPError, match="in time"):
        connection.call("slow", {"seconds": 30.5}, timeout=0.3)
    cancellation = Cancellation()
    timer = threading.Timer(0.3, cancellation.cancel)
    timer.start()
    with cancellation.covers(), pytest.raises(MCPError, match="cancelled"):
        connection.call("slow", {"seconds": 31.5})
    timer.join()
    assert monotonic() - began < 5
    if not stateless:  # each request is alone there: the server cannot connect the notification with the call
        until(lambda: {"cancelled": 30.5} in entries(log) and {"cancelled": 31.5} in entries(log))


@pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
def test_a_program_that_dies_is_started_again(kind: str, log: Path) -> None:
    with server_of(kind, "stdio", log, None, ()) as server, Connection(server) as connection:
        assert connection.call("add", {"a": 1, "b": 2}) == "3"
        with pytest.raises(MCPError, match="exit code 9"):
            connection.call("die")
        assert connection.call("add", {"a": 3, "b": 4}) == "7"


@pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
def test_a_server_that_was_restarted_gets_a_new_session_and_the_token(kind: str, log: Path) -> None:
    with served(kind, log, f"token={TOKEN}") as port:
        connection = Connection(MCPServer("it", f"http://127.0.0.1:{port}/mcp", TOKEN))
        assert connection.call("add", {"a": 1, "b": 2}) == "3"
    with served(kind, log, f"token={TOKEN}", f"port={port}"), ThreadPoolExecutor(20) as pool:
        sums = pool.map(lambda number: connection.call("add", {"a": number, "b": 1}), range(100))
        assert list(sums) == [str(number + 1) for number in range(100)]
        connection.close()
    headers = [entry["headers"] for entry in entries(log)]
    assert len(headers) > 100 and all(row["authorization"] == f"Bearer {TOKEN}" for row in headers)
    assert len({row["mcp-session-id"] for row in headers if "mcp-session-id" in row}) == 2


@pytest.mark.parametrize("kind", ["mcp", "fastmcp"])
def test_a_wrong_token_is_an_error_that_says_so(kind: str, log: Path) -> None:
    with served(kind, log, f"token={TOKEN}") as port:
        with pytest.raises(MCPError, match=r"MCP server 'it' refuses the token \(401\)") as caught:
            Tool.from_mcp("it", f"http://127.0.0.1:{port}/mcp", token="wrong-token")
    assert caught.value.kind == "auth" and "wrong-token" not in str(caught.value)


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_pages_of_the_bare_server_are_read_to_the_end(transport: str, log: Path) -> None:
    with server_of("paged", transport, log, None, ()) as server:
        tools = tools_of(server)
        assert [tool.name for tool in tools] == [f"tool{number}" for number in range(7)]
        assert tools[6].call() == "tool6 {}"
        close_connections()
