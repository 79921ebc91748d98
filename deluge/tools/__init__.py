"""Tools: what a model may call."""

from deluge.tools.server import MCPServer
from deluge.tools.tool import Tool

__all__ = ["MCPServer", "Tool"]
