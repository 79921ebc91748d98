"""A small MCP server for tests, over stdio (as a program) and over HTTP (in this process), standard library alone.

    python mcp_peer.py [option ...]

Options of both: ``versions=a,b`` (what it speaks), ``stateless`` (no handshake), ``mute`` (never answers). Of the program:
``stay`` (ignores the end of its input and SIGTERM), ``broken`` (ends at once), ``log=PATH`` (a line for every start).
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Message = dict[str, Any]
Say = Callable[[Message], None]
NEVER = "2099-01-01"
PNG = "iVBORw0KGgo="
TOOLS = (
    "echo", "environment", "wait", "steps", "ask", "die", "die_once", "fail", "media", "structured", "shout", "grow",
    "flood", "seen", "sub.tool", "more",
)


class Peer:
    """What the server knows and does, whatever carries its messages."""

    def __init__(self, *options: str) -> None:
        self.options = dict(option.partition("=")[::2] for option in options)
        self.versions = self.options.get("versions", "2025-11-25").split(",")
        self.stateless = "stateless" in self.options
        self.seen: list[Message] = []
        self.arrived = threading.Condition()
        self.cancelled: dict[Any, threading.Event] = {}
        self.asked: dict[Any, queue.SimpleQueue[Message]] = {}
        self.tools = list(TOOLS)
        self.say_aside: Say = lambda message: None
        self.released = False  # then what ends a wait is no cancellation

    def take(self, message: Message, say: Say) -> None:
        """One message; replies go to ``say``. Blocks while the tool runs."""
        if message.get("method") == "tools/call":
            self.cancelled[message["id"]] = threading.Event()
        with self.arrived:
            self.seen.append(message)
            self.arrived.notify_all()
        method = message.get("method")
        if method is None:
            self.asked.pop(message["id"]).put(message)
        elif method == "notifications/cancelled":
            if (event := self.cancelled.get(message["params"]["requestId"])) is not None:
                event.set()
        elif "id" in message and "mute" not in self.options:
            self._answer(method, message, say)

    def until_seen(self, count: int, method: str) -> list[Message]:
        """The messages of this method, when there are so many."""
        with self.arrived:
            found: list[Message] = []

            def enough() -> bool:
                found[:] = [message for message in self.seen if message.get("method") == method]
                return len(found) >= count

            assert self.arrived.wait_for(enough, 10), [message.get("method") for message in self.seen]
            return found

    def _answer(self, method: str, message: Message, say: Say) -> None:
        id, params = message["id"], message.get("params", {})
        if self.stateless and method == "initialize":
            say(error(id, -32022, "Unsupported protocol version"))
        elif self.stateless and params.get("_meta", {}).get("io.modelcontextprotocol/protocolVersion") != "2026-07-28":
            say(error(id, -32602, "params._meta is missing"))
        elif method == "server/discover" and self.stateless:
            say(result(id, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": True}}}))
        elif method == "subscriptions/listen":
            self.say_aside = say
            say({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}})
        elif method == "initialize":
            wanted = params["protocolVersion"]
            say(result(id, {
                "protocolVersion": wanted if wanted in self.versions else self.versions[-1],
                "capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": "peer", "version": "1"},
                "instructions": "Be kind."}))
        elif method == "ping":
            say(result(id, {}))
        elif method == "tools/list":
            say(result(id, self._page(int(params.get("cursor", 0)))))
        elif method == "tools/call":
            self._call(id, params, say)
        else:
            say(error(id, -32601, "Method not found"))

    def _page(self, start: int) -> Message:
        end = start + 4
        rows = [self._described(name) for name in self.tools[start:end]]
        return {"tools": rows} | ({"nextCursor": str(end)} if end < len(self.tools) else {})

    def _described(self, name: str) -> Message:
        properties: Message = {"text": {"type": "string"}} if name == "echo" else {}
        if name == "echo" and self.stateless:
            properties["text"]["x-mcp-header"] = "Text"
        notes = {"idempotentHint": True} if name == "die_once" else {}
        return {"name": name, "description": f"It can {name}.", "annotations": notes,
                "inputSchema": {"type": "object", "properties": properties}}

    def _call(self, id: Any, params: Message, say: Say) -> None:
        name, given = params["name"], params.get("arguments", {})
        method = getattr(self, f"tool_{name}", None)
        if method is None:
            say(error(id, -32602, f"Unknown tool: {name}"))
        elif name in ("wait", "steps", "ask", "grow"):
            method(id, params, say)
        else:
            say(result(id, method(**given)))

    def tool_echo(self, text: str = "") -> Message:
        return texts(text)

    def tool_environment(self) -> Message:
        return texts(json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid()}))

    def tool_die(self) -> Message:
        os._exit(7)

    def tool_die_once(self, path: str) -> Message:
        if not os.path.exists(path):
            open(path, "w").close()
            os._exit(7)
        return texts("survived")

    def tool_fail(self) -> Message:
        return {**texts("it", "broke"), "isError": True}

    def tool_media(self) -> Message:
        return {"content": [
            {"type": "text", "text": "look"}, {"type": "image", "data": PNG, "mimeType": "image/png"},
            {"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"},
            {"type": "resource", "resource": {"uri": "file:///a%20b.pdf", "mimeType": "application/pdf", "blob": "JVBERi0="}},
            {"type": "resource", "resource": {"uri": "file:///c.txt", "text": "words"}},
            {"type": "resource_link", "uri": "https://example.org/d", "name": "d"},
        ]}

    def tool_structured(self) -> Message:
        return {"content": [], "structuredContent": {"a": [1, None]}}

    def tool_shout(self) -> Message:
        sys.stdout.write("Starting up!\n\n[1]\n")
        print("a word on stderr", file=sys.stderr, flush=True)
        return texts("shouted")

    def tool_flood(self, size: int) -> Message:
        return texts("x" * size)

    def tool_seen(self) -> Message:
        return texts(json.dumps(self.seen))

    def tool_wait(self, id: Any, params: Message, say: Say) -> None:
        if not self.cancelled[id].wait(20) or self.released:
            say(result(id, texts("nobody cancelled")))

    def tool_steps(self, id: Any, params: Message, say: Say) -> None:
        token = params["_meta"]["progressToken"]
        for done in (1, 2, 3):
            say({"jsonrpc": "2.0", "method": "notifications/progress",
                 "params": {"progressToken": token, "progress": done, "total": 3, "message": f"step {done}"}})
        say(result(id, texts("walked")))

    def tool_ask(self, id: Any, params: Message, say: Say) -> None:
        question, answers = f"q{id}", queue.SimpleQueue[Message]()
        self.asked[question] = answers
        say({"jsonrpc": "2.0", "id": question, "method": params["arguments"]["method"], "params": {}})
        say(result(id, texts(json.dumps(answers.get(timeout=10)))))

    def tool_grow(self, id: Any, params: Message, say: Say) -> None:
        self.tools.append("new")
        aside = say if params["arguments"].get("here") else self.say_aside
        aside({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        say(result(id, texts("grown")))


def result(id: Any, value: Message) -> Message:
    return {"jsonrpc": "2.0", "id": id, "result": value}


def error(id: Any, code: int, message: str) -> Message:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}


def texts(*words: str) -> Message:
    return {"content": [{"type": "text", "text": word} for word in words]}


def main(*options: str) -> None:
    """The program: messages by line."""
    peer, lock = Peer(*options), threading.Lock()
    if "log" in peer.options:
        with open(peer.options["log"], "a") as log:
            log.write("start\n")
    if "broken" in peer.options:
        sys.exit("no such thing as " + os.environ.get("SECRET", "a secret"))

    def say(message: Message) -> None:
        with lock:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    peer.say_aside = say
    if "stay" in peer.options:
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        threading.Thread(target=peer.take, args=(json.loads(line), say), daemon=True).start()
    if "stay" in peer.options:
        threading.Event().wait()


@contextmanager
def http_peer(*options: str, token: str | None = None) -> Iterator[Any]:
    """The server behind a URL while the block runs."""
    from mcp_peer_http import HttpPeer

    server = HttpPeer(Peer(*options), token)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
