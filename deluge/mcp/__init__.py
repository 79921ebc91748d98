"""A client of the Model Context Protocol for ordinary blocking code: over stdio and over streamable HTTP.

    tools = tools_of(MCPServer("files", command="files-server"))     # Tools like any other
    with connection_of(server) as connection:                        # or by hand
        connection.call("read", {"path": "notes.txt"})

A server has one connection in a process, shared by all threads. Nothing is opened before the first call.
"""

from __future__ import annotations

from deluge.mcp.connection import Connection
from deluge.mcp.pending import Cancellation, Progress
from deluge.mcp.shared import close_connections, connection_of
from deluge.mcp.tools import tools_of, tools_of_all

__all__ = ["Cancellation", "Connection", "Progress", "close_connections", "connection_of", "tools_of", "tools_of_all"]
