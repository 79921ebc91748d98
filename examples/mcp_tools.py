"""Tools of an MCP server. This file is both sides: started with ``serve``, it is the server."""

import json
import sys

ADD = {
    "name": "add", "description": "Adds two numbers.",
    "inputSchema": {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"],
    },
}


def serve() -> None:
    """A server of the smallest kind. Real ones are made with the packages ``mcp`` or ``fastmcp``."""
    for line in sys.stdin:
        message = json.loads(line)
        method, params = message.get("method"), message.get("params", {})
        if method == "initialize":
            result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                      "serverInfo": {"name": "sums", "version": "1"}}
        elif method == "tools/list":
            result = {"tools": [ADD]}
        elif method == "tools/call":
            total = params["arguments"]["a"] + params["arguments"]["b"]
            result = {"content": [{"type": "text", "text": f"{total:g}"}]}
        else:
            result = {}
        if "id" in message:
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


def main() -> None:
    """An agent with the server's tools."""
    from deluge import LLMClient, Tool

    tools = Tool.from_mcp("sums", command=sys.executable, args=[__file__, "serve"])
    print(tools[0].call(a=40, b=2))
    client = LLMClient("rehearsal-echo", progress=None)  # calls what is in double brackets
    conversation, response = client.run_agent_loop('[[call add {"a": 40, "b": 2}]]', tools=tools)
    print(len(conversation.messages), "messages, the last:", response.completion)


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
