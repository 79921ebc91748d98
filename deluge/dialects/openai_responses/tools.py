"""Tools as the Responses API takes them: flat, with MCP servers and the provider's own among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.errors import InputError
from deluge.request import RequestTemplate
from deluge.tools import MCPServer, Tool
from deluge.tools.schema import strict_schema

_CHOICES = ("auto", "none", "required")

Wire = dict[str, Any]


def wire_tool(template: RequestTemplate, tool: Tool | MCPServer | Mapping[str, Any]) -> Wire:
    """One tool. A dict goes as it is; one in the words of chat completions is flattened."""
    if isinstance(tool, MCPServer):
        return _server(template, tool)
    if isinstance(tool, Tool):
        return _function(template, tool)
    kind = tool.get("type")
    inner = tool.get(kind) if kind in ("function", "custom") else None
    if not isinstance(inner, Mapping):
        return dict(tool)
    if kind == "function":
        return {"type": kind, "strict": False, **inner}
    form = inner.get("format")
    grammar = form.get("grammar") if isinstance(form, Mapping) else None
    if isinstance(grammar, Mapping):
        return {"type": kind, **inner, "format": {"type": "grammar", **grammar}}
    return {"type": kind, **inner}


def tool_choice(choice: str, tools: list[Wire]) -> str | Wire:
    """The choice in this API's words; a name is that of a function, an MCP server, or a kind of built-in tool."""
    if choice in _CHOICES:
        return choice
    for tool in tools:
        kind = tool.get("type")
        if tool.get("name") == choice and kind in ("function", "custom"):
            return {"type": kind, "name": choice}
        if kind == "mcp" and tool.get("server_label") == choice:
            return {"type": "mcp", "server_label": choice}
        if kind == choice:
            return {"type": choice}
    return {"type": "function", "name": choice}


def _function(template: RequestTemplate, tool: Tool) -> Wire:
    wanted = template.params.strict_tools if tool.strict is None else tool.strict
    strict = strict_schema(tool.parameters) if wanted and template.model.has("supports_strict_tools") else None
    return {
        "type": "function", "name": tool.name, "description": tool.description,
        "parameters": dict(tool.parameters) if strict is None else strict,
        "strict": strict is not None,  # left out, the server would choose
    }


def calls_server(template: RequestTemplate, server: MCPServer) -> bool:
    """Whether the provider calls this MCP server itself."""
    return _not_theirs(template, server) is None


def _server(template: RequestTemplate, server: MCPServer) -> Wire:
    """An MCP server that the provider calls itself, without asking back."""
    why = _not_theirs(template, server)
    if why:
        raise InputError(f"MCP server {server.name!r}: {why}. run_agent_loop calls it from here")
    made: Wire = {"type": "mcp", "server_label": server.name, "server_url": server.url, "require_approval": "never"}
    if server.token is not None:
        made["authorization"] = server.token
    if server.headers:
        made["headers"] = dict(server.headers)
    if server.allowed_tools is not None:
        made["allowed_tools"] = list(server.allowed_tools)
    return made


def _not_theirs(template: RequestTemplate, server: MCPServer) -> str | None:
    """Why the provider cannot call this server; None when it can."""
    if template.options.force_local_mcp:
        return "force_local_mcp=True keeps it from the provider"
    if server.url is None:
        return "it is a command on this machine, which the provider cannot reach"
    if not template.model.has("native_mcp"):
        return f"{template.model.provider.name} does not call MCP servers itself for {template.model.id}"
    return None
