"""Tools as Converse takes them: functions, and those that a model's own provider describes.

https://docs.aws.amazon.com/bedrock/latest/userguide/tool-use.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from deluge.dialects._notes import Notes
from deluge.dialects.anthropic.tools import TOOL_BETAS, StrictTools
from deluge.errors import InputError
from deluge.request import RequestTemplate
from deluge.tools import MCPServer, Tool

_CONVERSE = ("toolSpec", "systemTool", "cachePoint")

Wire = dict[str, Any]


@dataclass(slots=True)
class Toolbox:
    """``tools`` of ``toolConfig``; ``own``: tools of the model's provider, with the ``betas`` that they need."""

    tools: list[Wire] = field(default_factory=list)
    own: list[Wire] = field(default_factory=list)
    betas: list[str] = field(default_factory=list)


def toolbox(template: RequestTemplate, notes: Notes) -> Toolbox:
    """All tools of the call. ``InputError`` for an MCP server: Bedrock calls none."""
    box, strict = Toolbox(), StrictTools(template, notes)
    for tool in template.options.tools:
        if isinstance(tool, MCPServer):
            raise InputError(
                f"MCP server {tool.name!r}: Bedrock calls no MCP servers; use run_agent_loop, which calls it from here"
            )
        if isinstance(tool, Tool):
            box.tools.append(_function(tool, strict))
        elif any(name in tool for name in _CONVERSE):
            box.tools.append(dict(tool))
        else:
            box.own.append(dict(tool))
            beta = TOOL_BETAS.get(str(tool.get("type")))
            box.betas += [] if beta is None else [beta]
    return box


def tools_by_name(names: Iterable[str]) -> Wire:
    """A ``toolConfig`` for a conversation with tool calls whose tools this call does not have."""
    schema = {"json": {"type": "object"}}
    return {"tools": [{"toolSpec": {"name": name, "inputSchema": schema}} for name in names]}


def _function(tool: Tool, strict: StrictTools) -> Wire:
    made: Wire = {"name": tool.name}
    if tool.description:
        made["description"] = tool.description
    held = strict.of(tool)
    made["inputSchema"] = {"json": {"type": "object", **tool.parameters} if held is None else held}
    if held is not None:
        made["strict"] = True
    return {"toolSpec": made}
