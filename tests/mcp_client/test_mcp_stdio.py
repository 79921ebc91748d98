"""MCP servers that are processes: calls from many threads, deaths and new starts, ends without remains."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import mcp_peer
import pytest
from processes import run

from deluge import MCPError, MCPServer, Tool, ToolError
from deluge.mcp import Cancellation, Connection, Progress, close_connections, connection_of, tools_of
from deluge.prompt import ToolCall
from deluge.tools.result import ToolFailure

PEER = mcp_peer.__file__


def program(*options: str, **settings: Any) -> MCPServer:
    return MCPServer("peer", command=sys.executable, args=("-I", "-S", PEER, *options), timeout=10, **settings)


def gone(pid: int) -> bool:
    """Whether no process has the number, not even a dead one that nobody has reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def pid_of(connection: Connection) -> int:
    found = connection.call("environment")
    assert isinstance(found, str)
    return int(json.loads(found)["pid"])


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection(program()) as made:
        yield made


def test_nothing_starts_before_the_first_call_and_a_close_ends_the_process() -> None:
    before = threading.active_count()
    connection = Connection(program())
    assert threading.active_count() == before and not connection.is_open and "not open" in repr(connection)
    pid = pid_of(connection)
    session = connection.open()
    assert connection.is_open and session.server_info == {"name": "peer", "version": "1"}
    assert session.version == "2025-11-25" and session.instructions == "Be kind." and "tools" in session.capabilities
    assert repr(connection) == f"<Connection 'peer' | {sys.executable} | version 2025-11-25>"
    connection.close()
    assert gone(pid) and not connection.is_open
    connection.close()
    again = pid_of(connection)
    assert again != pid
    connection.close()
    assert gone(again)


def test_tools_are_listed_over_all_pages_and_again_after_they_changed(connection: Connection) -> None:
    assert [row["name"] for row in connection.tools()] == list(mcp_peer.TOOLS)
    asked = len(lists(connection))
    connection.tools()
    assert len(lists(connection)) == asked == 4
    connection.call("grow")
    assert connection.tools()[-1]["name"] == "new"


def lists(connection: Connection) -> list[Any]:
    return [message for message in seen(connection) if message.get("method") == "tools/list"]


def seen(connection: Connection) -> list[Any]:
    found = connection.call("seen")
    assert isinstance(found, str)
    return list(json.loads(found))


def until(condition: Callable[[], bool]) -> None:
    """Calls until it holds; each call is a round trip to another process."""
    end = monotonic() + 10
    while not condition():
        assert monotonic() < end


def test_two_hundred_threads_share_one_connection(connection: Connection) -> None:
    with ThreadPoolExecutor(200) as pool:
        texts = [f"{number} äöü\n" for number in range(200)]
        assert list(pool.map(lambda text: connection.call("echo", {"text": text}), texts)) == texts
    first = [message["method"] for message in seen(connection)[:2]]
    assert first == ["initialize", "notifications/initialized"]
    assert sum(message.get("method") == "initialize" for message in seen(connection)) == 1


def test_what_a_server_asks_is_answered(connection: Connection) -> None:
    def answered(method: str) -> Any:
        found = connection.call("ask", {"method": method})
        assert isinstance(found, str)
        return json.loads(found)

    assert answered("ping")["result"] == {} and answered("elicitation/create")["result"] == {"action": "decline"}
    assert answered("roots/list")["error"]["code"] == answered("sampling/createMessage")["error"]["code"] == -32601
    connection.ping()


def test_progress_comes_to_the_calling_thread(connection: Connection) -> None:
    told: list[tuple[Progress, int]] = []
    assert connection.call("steps", on_progress=lambda news: told.append((news, threading.get_ident()))) == "walked"
    assert [news for news, _ in told] == [Progress(float(n), 3.0, f"step {n}") for n in (1, 2, 3)]
    assert {ident for _, ident in told} == {threading.get_ident()}


def test_a_call_that_takes_too_long_is_cancelled_at_the_server(connection: Connection) -> None:
    connection.ping()
    with pytest.raises(MCPError, match="did not answer tools/call in time") as caught:
        connection.call("wait", timeout=0.05)
    assert caught.value.kind == "timeout" and caught.value.server == "peer"
    until(lambda: any(message.get("method") == "notifications/cancelled" for message in seen(connection)))
    with pytest.raises(ZeroDivisionError):
        connection.call("steps", on_progress=lambda news: 1 / 0)
    until(lambda: sum(message.get("method") == "notifications/cancelled" for message in seen(connection)) == 2)


def test_calls_are_cancelled_from_another_thread(connection: Connection) -> None:
    connection.ping()
    cancellation, errors = Cancellation(), []

    def call() -> None:
        with cancellation.covers(), pytest.raises(MCPError, match="cancelled") as caught:
            connection.call("wait")
        errors.append(caught.value.kind)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: sum(message.get("method") == "tools/call" and message["params"]["name"] == "wait"
                      for message in seen(connection)) == 3)
    cancellation.cancel()
    for thread in threads:
        thread.join(10)
    with cancellation.covers(), pytest.raises(MCPError, match="cancelled"):
        connection.call("echo", {"text": "late"})
    assert errors == ["cancelled"] * 3 and connection.call("echo", {"text": "on"}) == "on"


def test_a_server_that_dies_is_started_again_and_no_call_is_run_twice(connection: Connection) -> None:
    first = pid_of(connection)
    with pytest.raises(MCPError, match=r"exit code 7.*may have been run") as caught:
        connection.call("die")
    assert caught.value.kind == "connection" and gone(first)
    assert pid_of(connection) != first
    with pytest.raises(MCPError, match="it was tried twice"):
        connection.call("die", repeatable=True)


def test_a_call_that_may_be_repeated_is(tmp_path: Path) -> None:
    tools = {tool.name: tool for tool in tools_of(program())}
    assert tools["die_once"].call(path=str(tmp_path / "once")) == "survived"  # its description says idempotentHint
    close_connections()


def test_a_server_killed_between_calls_is_started_again(connection: Connection) -> None:
    pid = pid_of(connection)
    os.kill(pid, 9)
    until(lambda: not connection.is_open)
    assert pid_of(connection) != pid


def test_noise_on_stdout_does_no_harm_and_stderr_is_logged(
    connection: Connection, caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "deluge.mcp"):
        assert connection.call("shout") == "shouted"
        until(lambda: connection.call("echo") == "" and "a word on stderr" in caplog.text)
    assert connection.call("flood", {"size": 1_000_000}) == "x" * 1_000_000


def test_the_program_gets_no_variables_but_the_needed_and_the_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HOME", "/somewhere")
    with Connection(program(env={"GIVEN": "1"}, cwd=str(tmp_path))) as connection:
        found = connection.call("environment")
    assert isinstance(found, str)
    told = json.loads(found)
    assert "OPENAI_API_KEY" not in told["env"] and told["env"]["GIVEN"] == "1" and told["env"]["HOME"] == "/somewhere"
    assert told["cwd"] == str(tmp_path.resolve())


@pytest.mark.parametrize("settings, words", [
    ({"command": "no-such-program-here"}, "'no-such-program-here' cannot be started: No such file"),
    ({"command": sys.executable, "cwd": "/no/such/place"}, "cannot be started"),
    ({"command": sys.executable, "args": ("-I", PEER, "broken"), "env": {"SECRET": "hidden-word"}},
     r"its process has ended \(exit code 1\): no such thing as \*\*\*"),
    ({"command": sys.executable, "args": ("-I", "-S", PEER, "mute"), "timeout": 0.5}, "did not answer initialize in time"),
    ({"command": sys.executable, "args": ("-I", "-S", PEER, f"versions={mcp_peer.NEVER}")}, "speaks version '2099-01-01'"),
    ({"command": sys.executable, "args": ("-I", "-S", PEER), "protocol_version": "2024-11-05"}, "not 2024-11-05"),
])
def test_a_server_that_cannot_be_used_is_an_error_that_says_why(settings: Any, words: str) -> None:
    with pytest.raises(MCPError, match=words) as caught:
        Tool.from_mcp("peer", **settings)
    assert caught.value.server == "peer" and "MCP server 'peer'" in str(caught.value)
    assert "hidden-word" not in str(caught.value)


@pytest.mark.parametrize("versions", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_version_is_agreed_on(versions: str) -> None:
    with Connection(program(f"versions={versions}")) as connection:
        assert connection.open().version == versions and not connection.open().stateless


def test_a_server_without_a_handshake_is_found_out() -> None:
    with Connection(program("stateless")) as connection:
        assert connection.open().version == "2026-07-28" and connection.open().stateless
        assert connection.call("echo", {"text": "a"}) == "a"
        assert [row["name"] for row in connection.tools()] == list(mcp_peer.TOOLS)
        connection.ping()
        connection.call("grow")
        assert connection.tools()[-1]["name"] == "new"
    with Connection(program("stateless", protocol_version="2026-07-28")) as connection:
        assert all(message["method"] != "initialize" for message in seen(connection))
    with Connection(program(protocol_version="2026-07-28")) as connection, pytest.raises(MCPError, match="Method not found"):
        connection.ping()


def test_threads_that_wait_for_a_failing_start_share_its_failure(tmp_path: Path) -> None:
    log, errors = tmp_path / "starts", []
    connection = Connection(program("broken", f"log={log}"))
    barrier = threading.Barrier(20)

    def call() -> None:
        barrier.wait(10)
        with pytest.raises(MCPError) as caught:
            connection.call("echo")
        errors.append(caught.value)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(errors) == len(set(map(id, errors))) == 20
    assert log.read_text().count("start") <= 3  # one, and those for whoever came when it was over


def test_a_close_ends_what_is_running(connection: Connection) -> None:
    connection.ping()
    errors: list[str] = []

    def call() -> None:
        with pytest.raises(MCPError, match="the connection was closed") as caught:
            connection.call("wait")
        errors.append(caught.value.kind)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: any(message.get("params", {}).get("name") == "wait" for message in seen(connection)))
    connection.close()
    thread.join(10)
    assert errors == ["cancelled"]


def test_a_forgotten_connection_closes_itself() -> None:
    connection = Connection(program())
    pid = pid_of(connection)
    process = connection.open().channel.process  # type: ignore[attr-defined]
    del connection
    assert process.wait(10) is not None and gone(pid)


def test_a_server_that_ignores_everything_is_killed_and_leaves_nothing() -> None:
    connection = Connection(program("stay"))
    pid = pid_of(connection)
    channel = connection.open().channel
    channel.leave()  # type: ignore[attr-defined]
    channel.signal(9)  # type: ignore[attr-defined]
    assert channel.process.wait(10) == -9 and gone(pid)  # type: ignore[attr-defined]
    connection.close()


@pytest.mark.slow
def test_closing_takes_its_time_with_a_server_that_ignores_everything() -> None:
    connection = Connection(program("stay"))
    pid, began = pid_of(connection), monotonic()
    connection.close()
    assert gone(pid) and 3.5 < monotonic() - began < 6


def test_an_exiting_interpreter_waits_for_no_call_and_leaves_no_server(tmp_path: Path) -> None:
    script = tmp_path / "leave.py"
    script.write_text(f"""
import json, sys, threading
from deluge import MCPServer
from deluge.mcp import connection_of
pids = []
for options in ((), ("stay",)):
    c = connection_of(MCPServer("peer", command=sys.executable, args=("-I", "-S", {PEER!r}, *options)))
    pids.append(json.loads(c.call("environment"))["pid"])
def call():
    try:
        c.call("wait")
    except Exception as error:
        print(error, flush=True)
thread = threading.Thread(target=call)
thread.start()
print(*pids, flush=True)
""")
    began = monotonic()
    done = run(sys.executable, script, cwd=tmp_path)
    first, second = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "the interpreter is exiting" in second and all(gone(int(pid)) for pid in first.split())
    assert monotonic() - began < 8


def test_a_forked_child_opens_its_own(connection: Connection) -> None:
    pid = pid_of(connection)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            mine = pid_of(connection)
            connection.close()
            os.write(writer, f"{mine} {gone(mine)}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    mine, ended = os.read(reader, 100).decode().split()
    os.close(reader), os.close(writer)
    assert int(mine) != pid and ended == "True"
    assert pid_of(connection) == pid
    connection.close()
    assert gone(pid)


INTERRUPTED = """
import json, os, signal, sys, threading
import mcp_peer
from deluge import MCPServer
from deluge.mcp import Connection

def interrupted(connection, begun, told):
    connection.ping()
    killer = threading.Thread(target=lambda: (begun(), os.kill(os.getpid(), signal.SIGINT)))
    killer.start()
    try:
        connection.call("wait", timeout=15)
    except KeyboardInterrupt:
        killer.join()
        told()
        assert connection.call("echo", {"text": "alive"}) == "alive"
        print("interrupted", flush=True)

def seen(connection, word):
    while word not in connection.call("seen"):
        pass

with mcp_peer.http_peer() as server, Connection(MCPServer("peer", server.url)) as connection:
    peer = server.peer
    interrupted(connection, lambda: peer.until_seen(1, "tools/call"), lambda: peer.until_seen(1, "notifications/cancelled"))
program = MCPServer("peer", command=sys.executable, args=("-I", "-S", mcp_peer.__file__))
with Connection(program) as connection:
    interrupted(connection, lambda: seen(connection, '"wait"'), lambda: seen(connection, "notifications/cancelled"))
"""


def test_ctrl_c_ends_a_call_and_the_server_is_told(tmp_path: Path) -> None:
    began = monotonic()
    path = f"import sys; sys.path.insert(0, {str(Path(PEER).parent)!r})"
    done = run(sys.executable, "-c", path + INTERRUPTED, cwd=tmp_path)
    assert done.stdout.split() == ["interrupted"] * 2, done.stderr
    assert monotonic() - began < 12


def test_a_start_that_one_thread_gives_up_is_no_failure_for_the_next() -> None:
    connection = Connection(program())
    cancellation = Cancellation()
    cancellation.cancel()
    with cancellation.covers(), pytest.raises(MCPError, match="cancelled"):
        connection.call("echo")
    with pytest.raises(MCPError, match="in time"):
        connection.call("echo", timeout=1e-6)
    assert connection.call("echo", {"text": "a"}) == "a"
    connection.close()


def test_tools_of_a_server_are_tools_like_any_other(tmp_path: Path) -> None:
    server = program(allowed_tools=["echo", "sub.tool", "fail", "media"])
    tools = {tool.name: tool for tool in tools_of(server, timeout=5)}
    assert list(tools) == ["echo", "fail", "media", "sub_tool"]
    assert tools["echo"].description == "It can echo." and tools["echo"].call(text="a") == "a"
    with pytest.raises(ToolError, match="do not fit"):
        tools["echo"].call(text=1)
    with pytest.raises(ToolFailure, match="it\nbroke"):
        tools["fail"].call()
    failed = tools["fail"].result_for(ToolCall("1", "fail", {}))
    assert failed.is_error and failed.content == "it\nbroke"
    parts = tools["media"].result_for(ToolCall("2", "media", {})).content
    assert [type(part).__name__ for part in parts] == ["Text", "Image", "Audio", "File", "Text", "Text"]
    unknown = tools["sub_tool"].result_for(ToolCall("3", "sub_tool", {}))
    assert unknown.is_error and "Unknown tool: sub.tool" in unknown.content
    assert connection_of(server) is connection_of(program(allowed_tools=("echo", "sub.tool", "fail", "media")))
    with pytest.raises(MCPError, match="not among its allowed_tools"):
        connection_of(server).call("die")
    with pytest.raises(MCPError, match="has no tool 'nothing'"):
        tools_of(program(allowed_tools=("nothing",)))
    close_connections()


def test_one_tool_is_taken_by_its_name_and_a_configuration_gives_all() -> None:
    settings = {"command": sys.executable, "args": ["-I", "-S", PEER]}
    assert Tool.from_mcp(command=sys.executable, args=["-I", "-S", PEER], tool_name="echo").call(text="one") == "one"
    with pytest.raises(MCPError, match="no tool 'two'"):
        Tool.from_mcp("peer", command=sys.executable, args=["-I", "-S", PEER], tool_name="two")
    with pytest.raises(ToolError, match="not described like this.*colour"):
        Tool.from_mcp("peer", command="x", colour="red")  # type: ignore[call-overload]
    entries = {"a": {**settings, "allowedTools": ["echo", "fail"]}, "b": {**settings, "allowedTools": ["echo"]}}
    tools = Tool.from_mcp_config({"mcpServers": entries})
    assert [tool.name for tool in tools] == ["a_echo", "fail", "b_echo"] and tools[2].call(text="b") == "b"
    with pytest.raises(MCPError, match="MCP server 'c'"):
        Tool.from_mcp_config({"mcpServers": {**entries, "c": {"command": "no-such-program-here"}}})
    close_connections()
