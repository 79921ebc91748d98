"""Tools: what a model may call."""

from deluge.tools.tool import MCPServer, Tool

__all__ = ["MCPServer", "Tool"]
