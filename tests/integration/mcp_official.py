"""MCP servers made with the official SDK and with fastmcp, as a program.

    python mcp_official.py mcp|fastmcp|paged stdio|http LOG [port=N] [token=T] [json] [stateless]

Over HTTP it prints its port. LOG gets a line for every request's headers and for every call that was cancelled.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

import anyio

kind, transport, log_path, *rest = sys.argv[1:]
options = dict(item.partition("=")[::2] for item in rest)


def log(**what: Any) -> None:
    with open(log_path, "a") as file:
        file.write(json.dumps(what) + "\n")


def paged() -> Any:
    """The bare server of the SDK, with a page for every two tools."""
    import mcp_types as types
    from mcp.server.lowlevel import Server

    names = [f"tool{number}" for number in range(7)]

    async def listed(context: Any, params: Any) -> Any:
        start = int(params.cursor or 0) if params else 0
        rows = [types.Tool(name=name, description=name, input_schema={"type": "object"}) for name in names[start:start + 2]]
        return types.ListToolsResult(tools=rows, next_cursor=str(start + 2) if start + 2 < len(names) else None)

    async def called(context: Any, params: Any) -> Any:
        return types.CallToolResult(content=[types.TextContent(type="text", text=f"{params.name} {params.arguments}")])

    return Server("paged", on_list_tools=listed, on_call_tool=called)


def full() -> Any:
    """A server with tools of every sort, in the words of either library."""
    if kind == "mcp":
        from mcp.server.mcpserver import Context, Image, MCPServer

        server: Any = MCPServer("official")
    else:
        from fastmcp import Context, FastMCP
        from fastmcp.utilities.types import Image

        server = FastMCP("fast", list_page_size=2)

    async def steps(count: int, context: Any) -> str:
        for done in range(count):
            await context.report_progress(done + 1, count)
        return "walked"

    async def ask(context: Any) -> str:
        return str(await context.elicit("Your name?", None if kind == "fastmcp" else Empty))

    for function in (steps, ask):
        function.__annotations__["context"] = Context
        server.tool()(function)

    @server.tool()
    def picture() -> Any:
        return Image(data=b"\x89PNG\r\n\x1a\n", format="png")

    return with_plain_tools(server)


def with_plain_tools(server: Any) -> Any:
    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    @server.tool()
    async def slow(seconds: float) -> str:
        try:
            await anyio.sleep(seconds)
        except BaseException:
            log(cancelled=seconds)
            raise
        return "slept"

    @server.tool()
    def fail() -> str:
        raise ValueError("out of order")

    @server.tool()
    def table() -> dict[str, Any]:
        return {"rows": [1, 2], "ä": None}

    @server.tool()
    def die() -> str:
        os._exit(9)

    return server


def watched(app: Any) -> Any:
    """The application behind a look at every request's headers, and its token."""
    async def watching(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        log(method=scope["method"], headers=headers)
        if "token" in options and headers.get("authorization") != f"Bearer {options['token']}":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            return await send({"type": "http.response.body", "body": b"unauthorized"})
        await app(scope, receive, send)

    return watching


def serve(server: Any) -> None:
    import uvicorn

    settings = {"json_response": "json" in options, "stateless_http": "stateless" in options}
    app = server.http_app(path="/mcp", **settings) if kind == "fastmcp" else server.streamable_http_app(**settings)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(options.get("port", 0))))
    listener.listen(512)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(watched(app), log_level="error", timeout_graceful_shutdown=1, ws="none")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    from pydantic import BaseModel

    class Empty(BaseModel):
        name: str

    made = paged() if kind == "paged" else full()
    if transport == "http":
        serve(made)
    elif kind == "paged":
        from mcp.server.stdio import stdio_server

        async def run() -> None:
            async with stdio_server() as (reader, writer):
                await made.run(reader, writer, made.create_initialization_options())

        anyio.run(run)
    elif kind == "mcp":
        made.run("stdio")
    else:
        made.run("stdio", show_banner=False)
