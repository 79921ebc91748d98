"""Tools as Claude takes them: functions, the provider's own, and MCP servers that the provider calls itself.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview, .../agents-and-tools/mcp-connector
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deluge.dialects._notes import Notes
from deluge.dialects.anthropic.schema import MAX_OPTIONAL, MAX_TOOLS, MAX_UNIONS, Closed, closed_schema
from deluge.errors import InputError
from deluge.request import RequestTemplate
from deluge.tools import MCPServer, Tool

MCP_BETA = "mcp-client-2025-11-20"
# Those of the provider's own tools that need a word in the header still.
TOOL_BETAS = {
    "computer_20241022": "computer-use-2024-10-22", "bash_20241022": "computer-use-2024-10-22",
    "text_editor_20241022": "computer-use-2024-10-22", "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24", "advisor_20260301": "advisor-tool-2026-03-01",
    "mcp_toolset": MCP_BETA,
}
_LOCALLY = "use run_agent_loop, which calls it from here"

Wire = dict[str, Any]


@dataclass(slots=True)
class Toolbox:
    """The fields ``tools`` and ``mcp_servers``, and the words for the header."""

    tools: list[Wire] = field(default_factory=list)
    servers: list[Wire] = field(default_factory=list)
    betas: list[str] = field(default_factory=list)


def toolbox(template: RequestTemplate, notes: Notes) -> Toolbox:
    """All tools of the call. ``InputError`` for an MCP server that only this side can call."""
    box, strict = Toolbox(), StrictTools(template, notes)
    for tool in template.options.tools:
        if isinstance(tool, Tool):
            box.tools.append(_function(tool, strict))
        elif isinstance(tool, MCPServer):
            server, toolset = _server(template, tool)
            box.servers.append(server)
            box.tools.append(toolset)
            box.betas.append(MCP_BETA)
        else:
            _own(tool, box)
    box.betas = list(dict.fromkeys(box.betas))
    return box


def _own(tool: Mapping[str, Any], box: Toolbox) -> None:
    """A dict of the user's: a tool of the provider's as it is, an MCP server with the toolset that belongs to it."""
    if tool.get("type") == "url" and "url" in tool:
        box.servers.append(dict(tool))
        box.tools.append({"type": "mcp_toolset", "mcp_server_name": tool.get("name")})
        box.betas.append(MCP_BETA)
        return
    box.tools.append(dict(tool))
    beta = TOOL_BETAS.get(str(tool.get("type")))
    if beta is not None:
        box.betas.append(beta)


def _function(tool: Tool, strict: StrictTools) -> Wire:
    made: Wire = {"name": tool.name}
    if tool.description:
        made["description"] = tool.description
    held = strict.of(tool)
    made["input_schema"] = {"type": "object", **tool.parameters} if held is None else held
    if held is not None:
        made["strict"] = True
    return made


class StrictTools:
    """Which tools Claude is held to. A request may have only so many of them."""

    def __init__(self, template: RequestTemplate, notes: Notes) -> None:
        self.notes = notes
        self.params = template.params
        self.offered = template.model.has("supports_strict_tools")
        self.tools = self.optional = self.unions = 0

    def of(self, tool: Tool) -> Wire | None:
        """The tool's schema in its strict form; None when it is sent as it is."""
        if not (self.params.strict_tools if tool.strict is None else tool.strict):
            return None
        reason = None if self.offered else "the model has no strict tools"
        closed = None if reason else closed_schema({"type": "object", **tool.parameters})
        if reason is None:
            reason = self._refusal(tool, closed)
        if reason is None and closed is not None:
            self.tools, self.optional, self.unions = (
                self.tools + 1, self.optional + closed.optional, self.unions + closed.unions,
            )
            return closed.schema
        if tool.strict or self.params.is_set("strict_tools"):
            self.notes.add("strict_tools", f"tool {tool.name!r}: {reason}")
        return None

    def _refusal(self, tool: Tool, closed: Closed | None) -> str | None:
        if closed is None:
            return "its schema cannot be read"
        # Unasked, nothing may be lost: a limit that only the description tells is weaker than none is for a checker.
        if closed.narrowed:
            return f"its schema has no strict form ({', '.join(closed.narrowed)})"
        if (self.tools + 1 > MAX_TOOLS or self.optional + closed.optional > MAX_OPTIONAL
                or self.unions + closed.unions > MAX_UNIONS):
            return "a request may have only so many strict tools, optional and several-typed properties"
        return None


def calls_server(template: RequestTemplate, server: MCPServer) -> bool:
    """Whether the provider calls this MCP server itself."""
    try:
        _server(template, server)
    except InputError:
        return False
    return True


def _server(template: RequestTemplate, server: MCPServer) -> tuple[Wire, Wire]:
    """A server that the provider calls, and the toolset that names which of its tools may be used."""
    what = f"MCP server {server.name!r}"
    if template.options.force_local_mcp:
        raise InputError(f"{what} is to be called locally (force_local_mcp): {_LOCALLY}")
    if not template.model.has("native_mcp"):
        raise InputError(f"{what}: {template.model.provider.name} calls no MCP servers here; {_LOCALLY}")
    if server.url is None or not server.url.startswith("https://"):
        raise InputError(f"{what}: the provider calls servers at https:// addresses only; {_LOCALLY}")
    token, headers = server.token, dict(server.headers or {})
    for name in list(headers):
        if name.lower() == "authorization" and headers[name].lower().startswith("bearer "):
            token = token or headers.pop(name)[7:].strip()
    if headers:
        raise InputError(f"{what}: the provider sends no headers of yours but the token; {_LOCALLY}")
    made: Wire = {"type": "url", "name": server.name, "url": server.url}
    if token is not None:
        made["authorization_token"] = token
    toolset: Wire = {"type": "mcp_toolset", "mcp_server_name": server.name}
    if server.allowed_tools is not None:
        toolset["default_config"] = {"enabled": False}
        toolset["configs"] = {name: {"enabled": True} for name in server.allowed_tools}
    return made, toolset
