"""Descriptions of MCP servers: what is refused, what is never shown, configurations of other programs."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deluge import MCPServer, ToolError
from deluge.tools.server import name_of_address

SECRETS = ("token-secret", "header-secret", "env-secret", "query-secret", "arg-secret")


def test_secrets_are_never_shown_and_never_pickled() -> None:
    url = MCPServer("docs", "https://example.org/mcp?key=query-secret", "token-secret", {"X-Key": "header-secret"})
    program = MCPServer("files", command="npx", args=["--key", "arg-secret"], env={"KEY": "env-secret"}, allowed_tools=["a"])
    assert repr(url) == "<MCPServer 'docs' | https://example.org/mcp?…>" and str(url) == "MCP server 'docs'"
    assert repr(program) == "<MCPServer 'files' | npx (2 arguments) | tools: a>"
    for server in (url, program):
        shown = repr(server) + str(server)
        assert not any(secret in shown for secret in SECRETS)
        data = pickle.dumps(server)
        assert not any(secret.encode() in data for secret in ("token-secret", "header-secret", "env-secret"))
    again = pickle.loads(pickle.dumps(url))
    assert again == replace(url, token=None, headers=None) and again.withheld == ("token", "headers")
    assert repr(again).endswith("| without its token, headers>") and pickle.loads(pickle.dumps(again)) == again
    assert replace(again, token="new").token == "new" and pickle.loads(pickle.dumps(program)).withheld == ("env",)


def test_copies_keep_everything() -> None:
    server = MCPServer("docs", "https://example.org/mcp", "t")
    assert copy.copy(server).token == copy.deepcopy([server])[0].token == "t"
    assert replace(server, name="other").token == "t"


def test_texts_are_told_without_secrets() -> None:
    server = MCPServer("docs", "https://e.org", headers={"Authorization": "Basic abcdef", "x": "ab"})
    assert server.redacted("he sent abcdef and ab") == "he sent *** and ab"


def test_what_is_given_is_kept_apart_from_what_the_caller_changes() -> None:
    headers, args = {"a": "b"}, ["x"]
    server = MCPServer("n", "https://e.org", headers=headers)
    program = MCPServer("n", command="c", args=args, cwd=Path("/tmp"))  # type: ignore[arg-type]
    headers["a"], args[0] = "changed", "changed"
    assert server.headers == {"a": "b"} and program.args == ("x",) and program.cwd == "/tmp"


@pytest.mark.parametrize("settings, words", [
    ({}, "needs a url or a command, and not both"), ({"url": "https://e.org", "command": "c"}, "and not both"),
    ({"url": "ftp://e.org"}, "http:// or https://"), ({"url": "https://"}, "name a host"), ({"url": 3}, "http://"),
    ({"url": "file:///etc/passwd"}, "http://"), ({"url": "https://u:p@e.org"}, "give token= or headers="),
    ({"command": ""}, "name or path of a program"), ({"command": ["npx"]}, "arguments go into args"),
    ({"command": "c", "args": "-y"}, "args is a list"), ({"command": "c", "args": [1]}, "args is a list"),
    ({"command": "c", "token": "t"}, "belong to a url"), ({"command": "c", "headers": {"a": "b"}}, "belong to a url"),
    ({"url": "https://e.org", "args": ["x"]}, "args belong to a command"),
    ({"url": "https://e.org", "env": {"a": "b"}}, "env belong to a command"),
    ({"url": "https://e.org", "token": ""}, "token is a text"), ({"url": "https://e.org", "token": "a\nb"}, "token is a text"),
    ({"url": "https://e.org", "headers": {"a b": "c"}}, "header 'a b'"),
    ({"url": "https://e.org", "headers": {"a": "b\r\nc: d"}}, "header 'a'"),
    ({"url": "https://e.org", "headers": {"a": 1}}, "maps names to texts"),
    ({"url": "https://e.org", "headers": [1]}, "maps names to texts"),
    ({"url": "https://e.org", "token": "t", "headers": {"authorization": "x"}}, "one too many"),
    ({"url": "https://e.org", "allowed_tools": "echo"}, "allowed_tools is a list"),
    ({"url": "https://e.org", "timeout": 0}, "above 0"), ({"url": "https://e.org", "timeout": True}, "above 0"),
    ({"url": "https://e.org", "timeout": float("nan")}, "above 0"),
    ({"url": "https://e.org", "protocol_version": "2023-01-01"}, "protocol_version is one of 2024-11-05"),
])
def test_what_cannot_be_used_is_refused_with_a_reason(settings: Any, words: str) -> None:
    with pytest.raises(ToolError, match=words) as caught:
        MCPServer("n", **settings)
    assert "MCP server 'n'" in str(caught.value) and "b\r" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "  ", None])
def test_a_server_has_a_name(name: Any) -> None:
    with pytest.raises(ToolError, match="needs a name"):
        MCPServer(name, "https://e.org")


def test_configurations_of_other_programs_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCS_TOKEN", "token-secret")
    monkeypatch.delenv("NO_SUCH", raising=False)
    config = {"mcpServers": {
        "files": {"command": "npx", "args": ["-y", "${NO_SUCH:-files}"], "env": {"A": "b"}, "cwd": "/tmp", "type": "stdio"},
        "docs": {"type": "http", "url": "https://e.org/mcp", "headers": {"Authorization": "Bearer ${DOCS_TOKEN}"}},
        "off": {"command": "x", "disabled": True}, "wind": {"serverUrl": "https://w.org", "allowedTools": ["a"]},
    }}
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps(config))
    found = MCPServer.from_mcp_config(path)
    assert found == MCPServer.from_mcp_config(str(path)) == MCPServer.from_mcp_config(config)
    assert found == [
        MCPServer("files", command="npx", args=("-y", "files"), env={"A": "b"}, cwd="/tmp"),
        MCPServer("docs", "https://e.org/mcp", headers={"Authorization": "Bearer token-secret"}),
        MCPServer("wind", "https://w.org", allowed_tools=("a",)),
    ]
    assert MCPServer.from_mcp_config({"servers": {}}) == []


@pytest.mark.parametrize("config, words", [
    ({}, "looks like"), ({"mcpServers": []}, "looks like"), ("/no/such/file.json", "cannot be read"),
    ({"mcpServers": {"a": 1}}, "'a': its entry"), ({"mcpServers": {"a": {}}}, "'a' needs a url or a command"),
    ({"mcpServers": {"a": {"type": "sse", "url": "https://e.org"}}}, "old transport"),
    ({"mcpServers": {"a": {"url": "https://e.org", "headers": {"k": "${NO_SUCH_VARIABLE}"}}}}, "variable NO_SUCH_VARIABLE"),
])
def test_configurations_that_cannot_be_used_say_why(config: Any, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        MCPServer.from_mcp_config(config)


@pytest.mark.parametrize("url, command, name", [
    ("https://e.org:8080/mcp?x", None, "e.org:8080"), (None, "/usr/bin/npx", "npx"), (None, None, "server"),
    ("nonsense", None, "server"),
])
def test_a_server_without_a_name_is_called_by_its_address(url: Any, command: Any, name: str) -> None:
    assert name_of_address(url, command) == name
