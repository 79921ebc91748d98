"""Agents and MCP servers: called by the provider where it can, from here where it cannot or must not."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rehearsing import client_of
from test_agents import body, check_whole, client_for, results_of

from deluge import MCPServer
from deluge.mcp import close_connections
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]

SERVER = '''
import json, sys
def say(id, result):
    print(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if method == "initialize":
        say(message["id"], {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                            "serverInfo": {"name": "weather", "version": "1"}})
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        say(message["id"], {"tools": [{"name": name, "inputSchema": schema} for name in ("forecast", "hang", "add")]})
    elif method == "tools/call":
        with open(sys.argv[1], "a") as log:
            log.write(params["name"] + "\\n")
        if params["name"] != "hang":
            say(message["id"], {"content": [{"type": "text", "text": "rain in " + params["arguments"]["city"]}]})
    elif method == "notifications/cancelled":
        with open(sys.argv[1], "a") as log:
            log.write("cancelled\\n")
    elif "id" in message:
        say(message["id"], {})
'''


@pytest.fixture
def weather(tmp_path: Path) -> Iterator[MCPServer]:
    script = tmp_path / "weather.py"
    script.write_text(SERVER)
    yield MCPServer("weather", command=sys.executable, args=(str(script), str(tmp_path / "log")))
    close_connections()


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses", "anthropic", "gemini", "bedrock"])
def test_a_server_that_the_provider_cannot_call_is_called_from_here(
    rehearsal: RehearsalServer, weather: MCPServer, dialect: str
) -> None:
    with client_for(rehearsal, dialect) as client:
        talk, response = client.run_agent_loop('[[call forecast {"city": "Bonn"}]] [[rounds 2]]', tools=[weather])
        assert response.completion == "The tool says: rain in Bonn", response.error_message
        check_whole(talk)
        assert [run.call.name for run in response.trajectory.tool_runs] == ["forecast"] * 2


def test_many_agents_share_one_connection(rehearsal: RehearsalServer, weather: MCPServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=2) as client:
        prompts = [f'[[call forecast {{"city": "C{n}"}}]]' for n in range(20)]
        pairs = client.process_agent_loops(prompts, tools=[weather])
        assert [response.completion for _, response in pairs] == [f"The tool says: rain in C{n}" for n in range(20)]


@pytest.mark.parametrize("dialect, field", [("openai_responses", "tools"), ("anthropic", "mcp_servers")])
def test_the_provider_calls_it_where_it_can(rehearsal: RehearsalServer, dialect: str, field: str) -> None:
    docs = MCPServer("docs", url="https://mcp.example.org/mcp", token="secret")
    with client_for(rehearsal, dialect) as client:
        _, response = client.run_agent_loop("hi", tools=[docs])
        assert response.completion == "hi" and "mcp.example.org" in str(body(rehearsal)[field])


@pytest.mark.parametrize("dialect", ["openai_responses", "anthropic"])
def test_force_local_mcp_keeps_it_from_the_provider(rehearsal: RehearsalServer, dialect: str) -> None:
    nowhere = MCPServer("nowhere", url="http://127.0.0.1:9/mcp", timeout=2)
    with client_for(rehearsal, dialect, force_local_mcp=True) as client:
        talk, response = client.run_agent_loop("hi", tools=[nowhere])
        assert response.is_error and response.error_kind == "connection" and "nowhere" in (response.error_message or "")
        assert response.trajectory.stop_reason == "error" and rehearsal.count == 0 and len(talk) == 1


def test_names_that_are_taken_have_the_servers_name_before_them(rehearsal: RehearsalServer, weather: MCPServer) -> None:
    def add(a: int) -> int:
        return a + 1

    with client_of(rehearsal) as client:
        talk, _ = client.run_agent_loop('[[call add {"a": 1}]] [[call weather_add {"city": "Ulm"}]]', tools=[weather, add])
        assert [result.content for result in results_of(talk)] == ["2", "rain in Ulm"]


def test_a_call_that_is_given_up_is_cancelled_at_the_server(rehearsal: RehearsalServer, weather: MCPServer) -> None:
    log = Path(weather.args[1])
    with client_of(rehearsal) as client:
        (result,) = results_of(client.run_agent_loop('[[call hang {"city": "x"}]]', tools=[weather], tool_timeout=0.1)[0])
        assert result.is_error and "did not end within 0.1 s" in str(result.content)
        handle = client.start_agent_loop_nowait('[[call hang {"city": "x"}]]', tools=[weather])
        wait_for(log, "hang", 2)
        assert handle.cancel()
        wait_for(log, "cancelled", 2)


def wait_for(log: Path, word: str, times: int) -> None:
    pause = threading.Event()
    for _ in range(2_000):
        if log.exists() and log.read_text().split().count(word) >= times:
            return
        pause.wait(0.005)
    raise AssertionError(f"{word!r} was not seen {times} times")
