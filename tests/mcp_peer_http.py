"""The HTTP side of the MCP server for tests. What it is told to do wrong is in ``HttpPeer``'s fields."""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mcp_peer import Message, Peer


class HttpPeer(ThreadingHTTPServer):
    """Keeps the headers of every request in ``requests``, and its sessions in ``sessions``."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, peer: Peer, token: str | None) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.peer = peer
        self.token = token
        self.url = f"http://127.0.0.1:{self.server_port}/mcp"
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sessions: set[str] = set()
        self.in_json = False
        self.torn = 0  # so many streams of tool calls end after a priming event; a GET takes them up again
        self.instead: tuple[int, dict[str, str], bytes] | None = None  # what every POST gets
        self.unknown = 404  # the status for a session that is not known
        self.listening = threading.Event()
        self.aside: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self.held: queue.SimpleQueue[Message] = queue.SimpleQueue()
        peer.say_aside = self.aside.put

    def stop(self) -> None:
        self.aside.put(None)
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up


class Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpPeer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        message = json.loads(body)
        if not self._admitted(message.get("method") == "initialize"):
            return
        if server.instead is not None:
            return self._reply(*server.instead)
        if "id" not in message or "method" not in message:
            server.peer.take(message, lambda reply: None)
            return self._reply(202, {}, b"")
        headers = {}
        if message["method"] == "initialize" and not server.peer.stateless:
            headers["Mcp-Session-Id"] = f"session-{len(server.sessions)}-{len(server.requests)}"
            server.sessions.add(headers["Mcp-Session-Id"])
        if server.in_json or message["method"] != "tools/call" and message["method"] != "subscriptions/listen":
            replies: list[Message] = []
            server.peer.take(message, replies.append)
            return self._json(replies[-1], headers)
        self._begin_stream(headers)
        if server.torn:
            server.torn -= 1
            self._chunk("id: 1\nretry: 1\ndata:\n\n")
            server.peer.take(message, server.held.put)
        elif message["method"] == "subscriptions/listen":
            server.peer.take(message, server.aside.put)
            self._speak_aside()
        else:
            server.peer.take(message, lambda reply: self._chunk(f"event: message\ndata: {json.dumps(reply)}\n\n"))
        self._chunk("")

    def do_GET(self) -> None:
        if not self._admitted(False):
            return
        if self.headers.get("last-event-id"):
            self._begin_stream({})
            self._chunk(f"id: 2\ndata: {json.dumps(self.server.held.get(timeout=10))}\n\n")
            return self._chunk("")
        self._begin_stream({})
        self._speak_aside()

    def do_DELETE(self) -> None:
        if self._admitted(False):
            self.server.sessions.discard(self.headers.get("mcp-session-id", ""))
            self._reply(200, {}, b"")

    def _speak_aside(self) -> None:
        self.server.listening.set()
        while (message := self.server.aside.get()) is not None:
            self._chunk(f"data: {json.dumps(message)}\n\n")
        self._chunk("")

    def _admitted(self, first: bool) -> bool:
        server = self.server
        server.requests.append((self.command, {name.lower(): value for name, value in self.headers.items()}))
        if server.token is not None and self.headers.get("authorization") != f"Bearer {server.token}":
            self._reply(401, {"WWW-Authenticate": "Bearer"}, b"who is " + self.headers.get("authorization", "").encode())
        elif not first and not server.peer.stateless and self.headers.get("mcp-session-id") not in server.sessions:
            self._reply(server.unknown, {}, b"No such session")
        else:
            return True
        return False

    def _json(self, message: Message, headers: dict[str, str]) -> None:
        code = message.get("error", {}).get("code")
        status = 400 if code in (-32022, -32602) else 404 if code == -32601 else 200
        self._reply(status, {"Content-Type": "application/json", **headers}, json.dumps(message).encode())

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _begin_stream(self, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
