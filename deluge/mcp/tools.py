"""Tools of MCP servers as tools like any other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from deluge.errors import MCPError
from deluge.mcp.connection import Connection
from deluge.mcp.content import ResultPart
from deluge.mcp.session import OnProgress
from deluge.mcp.shared import connection_of
from deluge.tools import MCPServer, Tool

_OTHER = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST = 64


class MCPRun:
    """The function behind a tool of an MCP server: calls it through the connection that all share.

    Pickles with the server's description, without its secrets.
    """

    __slots__ = ("server", "tool", "timeout", "repeatable", "on_progress", "_connection")

    def __init__(
        self, server: MCPServer, tool: str, timeout: float | None = None, repeatable: bool = False,
        on_progress: OnProgress | None = None, connection: Connection | None = None,
    ) -> None:
        self.server, self.tool, self.timeout = server, tool, timeout
        self.repeatable, self.on_progress = repeatable, on_progress
        self._connection = connection  # held, so that it stays open as long as there is a tool

    def __call__(self, /, **arguments: Any) -> str | list[ResultPart]:
        if self._connection is None:
            self._connection = connection_of(self.server)
        return self._connection.call(
            self.tool, arguments, timeout=self.timeout, repeatable=self.repeatable, on_progress=self.on_progress)

    def __reduce__(self) -> tuple[Any, ...]:
        return MCPRun, (self.server, self.tool, self.timeout, self.repeatable, self.on_progress)

    def __repr__(self) -> str:
        return f"<MCPRun {self.tool!r} of {self.server.name!r}>"


def tools_of(
    server: MCPServer, *, timeout: float | None = None, on_progress: OnProgress | None = None,
) -> list[Tool]:
    """The server's tools (those that its ``allowed_tools`` let through), ready to be called from any thread.

    ``MCPError`` when the server cannot be reached, refuses, or lacks a tool that ``allowed_tools`` names. ``timeout``:
    seconds for every call, instead of the server's own. Names keep to what models may call: other signs become ``_``.
    """
    connection = connection_of(server)
    rows = connection.tools()
    missing = set(server.allowed_tools or ()) - {str(row["name"]) for row in rows}
    if missing:
        raise MCPError(f"{server} has no tool {', '.join(map(repr, sorted(missing)))}", server=server.name, kind="not_found")
    made: dict[str, Tool] = {}
    for row in rows:
        run = MCPRun(server, str(row["name"]), timeout, _repeatable(row), on_progress, connection)
        tool = _tool(server, row, run, callable_name(run.tool, taken=made.keys()))
        made[tool.name] = tool
    return list(made.values())


def tools_of_all(servers: list[MCPServer], *, timeout: float | None = None) -> list[Tool]:
    """The tools of several servers. Where two have a tool of the same name, both are called ``<server>_<tool>``."""
    found = [(server, tool) for server in servers for tool in tools_of(server, timeout=timeout)]
    names = [tool.name for _, tool in found]
    return [
        tool if names.count(tool.name) == 1
        else Tool(callable_name(f"{server.name}_{tool.name}"), tool.description, tool.parameters, tool.run, tool.strict)
        for server, tool in found
    ]


def callable_name(name: str, taken: Any = ()) -> str:
    """The name in letters, digits, ``_`` and ``-``, 64 at most; a mark of its own where it would mean two tools."""
    plain = _OTHER.sub("_", name) or "_"
    if len(plain) <= _LONGEST and plain not in taken:
        return plain
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[:_LONGEST - 9]}_{mark}"


def _tool(server: MCPServer, row: Mapping[str, Any], run: MCPRun, name: str) -> Tool:
    given = row.get("inputSchema")
    schema = {**(given if isinstance(given, Mapping) else {}), "type": "object"}
    schema.pop("$schema", None)
    if not isinstance(schema.get("properties"), Mapping):
        schema["properties"] = {}
    said = row.get("description") or row.get("title") or ""
    return Tool(name, str(said), schema, run)


def _repeatable(row: Mapping[str, Any]) -> bool:
    """Whether the server says that calling the tool twice does no more than calling it once."""
    notes = row.get("annotations")
    return isinstance(notes, Mapping) and (notes.get("readOnlyHint") is True or notes.get("idempotentHint") is True)
