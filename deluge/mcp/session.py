"""A connection after its beginning: the version is agreed on, requests go out and their results come back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Protocol

from deluge.errors import MCPError
from deluge.mcp.inbox import Inbox
from deluge.mcp.pending import Lost, Pending, Progress, cancellable
from deluge.mcp.protocol import (
    HANDSHAKES, METHOD_NOT_FOUND, STATELESS, Message, answers_to_inputs, argument_headers, enveloped, initialize_params,
    notification, request,
)
from deluge.tools import MCPServer

MAX_PAGES, MAX_TOOLS = 1_000, 100_000
MAX_ROUNDS = 10  # of a stateless server that wants to know something before it answers
_KINDS = {METHOD_NOT_FOUND: "not_found", -32600: "bad_request", -32602: "bad_request"}
OnProgress = Callable[[Progress], object]


class Channel(Protocol):
    """What carries messages: a process, or HTTP."""

    @property
    def ended(self) -> bool:
        """Whether nothing can be sent any more."""

    def settle(self, version: str) -> None:
        """The version is agreed on."""

    def exchange(self, message: Message, pending: Pending, until: float, extra: Mapping[str, str] | None = None) -> None:
        """Sends a request (over HTTP with ``extra`` headers), returns when it has ended; ``TimeoutError``, ``Lost``."""

    def post(self, message: Message) -> None:
        """Sends a message that gets no reply."""

    def withdraw(self, pending: Pending, reason: str) -> None:
        """Tells the server that a reply is not wanted any more; never waits."""

    def listen(self, subscription: Message | None = None) -> None:
        """Begins to hear what the server says by itself; ``subscription`` asks a stateless one for it."""

    def retire(self) -> None:
        """Lets go of what the server has ended; never waits."""

    def close(self, wait: bool = True) -> None:
        """Ends it."""


class Session:
    """One life of a connection. ``Lost`` says that it is over."""

    def __init__(self, server: MCPServer, channel: Channel, inbox: Inbox) -> None:
        self.server = server
        self.channel = channel
        self.version = ""
        self.server_info: Mapping[str, Any] = {}
        self.capabilities: Mapping[str, Any] = {}
        self.instructions: str | None = None
        self._inbox = inbox
        self._ids = itertools.count(1)
        self._tools: tuple[Message, ...] | None = None

    # -- the beginning -------------------------------------------------------------------------------------------

    def begin(self, until: float) -> None:
        """Agrees on a version. A server that refuses the handshake is asked whether it is a stateless one."""
        wanted = self.server.protocol_version
        if wanted in STATELESS:
            self._discover(until)
            return
        try:
            reply = self.request("initialize", initialize_params(wanted or HANDSHAKES[-1]), until)
        except MCPError as refusal:
            if wanted is not None or refusal.code is None:
                raise
            try:
                self._discover(until)
            except MCPError:
                raise refusal from None
            return
        version = reply.get("protocolVersion")
        if version not in HANDSHAKES or wanted not in (None, version):
            asked = wanted or f"{HANDSHAKES[0]} to {HANDSHAKES[-1]}"
            raise self.error(f"speaks version {str(version)[:40]!r} of the protocol, not {asked}", kind="bad_request")
        self._settle(version, reply)
        self.channel.post(notification("notifications/initialized"))
        self.channel.listen()

    def _discover(self, until: float) -> None:
        version = STATELESS[-1]
        self.version = version
        self.channel.settle(version)
        try:
            reply = self.request("server/discover", {}, until)
        except MCPError:
            self.version = ""
            raise
        offered = reply.get("supportedVersions")
        if not isinstance(offered, list) or version not in offered:
            raise self.error(f"does not speak version {version} of the protocol", kind="bad_request")
        self._settle(version, reply)
        tools = self.capabilities.get("tools")
        if isinstance(tools, Mapping) and tools.get("listChanged"):
            wanted = enveloped({"notifications": {"toolsListChanged": True}}, version)
            self.channel.listen(request(next(self._ids), "subscriptions/listen", wanted))

    def _settle(self, version: str, reply: Message) -> None:
        self.version = version
        self.channel.settle(version)
        meta = reply.get("_meta")
        info = reply.get("serverInfo") or (isinstance(meta, Mapping) and meta.get("io.modelcontextprotocol/serverInfo"))
        self.server_info = info if isinstance(info, Mapping) else {}
        capabilities, said = reply.get("capabilities"), reply.get("instructions")
        self.capabilities = capabilities if isinstance(capabilities, Mapping) else {}
        self.instructions = said if isinstance(said, str) else None

    @property
    def stateless(self) -> bool:
        """Whether every request says all that the server has to know."""
        return self.version in STATELESS

    # -- requests ------------------------------------------------------------------------------------------------

    def request(
        self, method: str, params: Mapping[str, Any], until: float, on_progress: OnProgress | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Message:
        """The result. ``MCPError`` for an error or when the time is over, ``Lost`` when the connection is."""
        id = next(self._ids)
        if on_progress is not None:
            params = {**params, "_meta": {**params.get("_meta", {}), "progressToken": id}}
        if self.stateless:
            params = enveloped(params, self.version)
        pending = Pending(id, on_progress)
        self._inbox.expect(pending)
        try:
            with cancellable(pending):
                self.channel.exchange(request(id, method, params), pending, until, extra)
            pending.tell()
            if pending.cancelled:
                self._withdraw(method, pending, "cancelled")
                raise self.error("was called, and the call was cancelled", kind="cancelled")
            return self._result(method, pending.outcome())
        except TimeoutError:
            self._withdraw(method, pending, "timed out")
            raise self.error(f"did not answer {method} in time", kind="timeout") from None
        except (Lost, MCPError):
            raise
        except BaseException:
            self._withdraw(method, pending, "interrupted")
            raise
        finally:
            self._inbox.forget(pending)

    def _withdraw(self, method: str, pending: Pending, reason: str) -> None:
        if method != "initialize":  # which must not be cancelled
            self.channel.withdraw(pending, reason)

    def _result(self, method: str, reply: Message) -> Message:
        result = reply.get("result")
        if isinstance(result, dict):
            return result
        error = reply.get("error")
        if not isinstance(error, Mapping):
            raise self.error(f"answered {method} with what is no result", kind="parse")
        code, words = error.get("code"), self.server.redacted(str(error.get("message", "")))
        raise self.error(
            f"answered {method} with an error: {words[:2_000] or 'no reason given'}",
            kind=_KINDS.get(code, "server") if isinstance(code, int) else "server", code=code if isinstance(code, int) else 0,
        )

    def error(self, words: str, *, kind: str, code: int | None = None) -> MCPError:
        """What is wrong with this server."""
        return MCPError(f"{self.server} {words}", server=self.server.name, kind=kind, code=code)

    # -- tools ---------------------------------------------------------------------------------------------------

    def tools(self, until: float) -> tuple[Message, ...]:
        """The server's own descriptions of its tools, from all pages; asked for again after it said that they changed."""
        found = self._tools
        if found is None or self._inbox.tools_changed:
            self._inbox.tools_changed = False
            found = self._tools = tuple(self._listed(until))
        return found

    def _listed(self, until: float) -> list[Message]:
        found: list[Message] = []
        cursor, seen = None, set()
        for _ in range(MAX_PAGES):
            page = self.request("tools/list", {} if cursor is None else {"cursor": cursor}, until)
            rows = page.get("tools")
            if not isinstance(rows, list) or not all(map(_is_tool, rows)):
                raise self.error("lists its tools in no known form", kind="parse")
            found += rows
            cursor = page.get("nextCursor")
            if not cursor or not isinstance(cursor, str):
                return found
            if cursor in seen or len(found) > MAX_TOOLS:
                break
            seen.add(cursor)
        raise self.error("lists its tools without end", kind="parse")

    def call(self, name: str, arguments: Mapping[str, Any], until: float, on_progress: OnProgress | None) -> Message:
        """What ``tools/call`` gives back, after as many rounds as a stateless server wants."""
        params: dict[str, Any] = {"name": name, "arguments": dict(arguments)}
        extra = self._argument_headers(name, arguments, until)
        for _ in range(MAX_ROUNDS):
            result = self.request("tools/call", params, until, on_progress, extra)
            if result.get("resultType") != "input_required":
                return result
            answers = answers_to_inputs(result.get("inputRequests"))
            if answers is None:
                raise self.error(f"wants more for {name!r} than deluge can give it", kind="bad_request")
            params = {**params, "inputResponses": answers, "requestState": result.get("requestState")}
            if params["requestState"] is None:
                del params["requestState"]
            if not answers:
                self._pause(until)
        raise self.error(f"asks again and again before it answers {name!r}", kind="server")

    def _argument_headers(self, name: str, arguments: Mapping[str, Any], until: float) -> Mapping[str, str] | None:
        """What a stateless server wants to see of the arguments in the headers: its tool's schema says so."""
        if not self.stateless or self.server.url is None:
            return None
        schema = next((row.get("inputSchema") for row in self.tools(until) if row["name"] == name), None)
        return argument_headers(schema, arguments)

    def ping(self, until: float) -> None:
        """Returns when the server has answered."""
        self.request("server/discover" if self.stateless else "ping", {}, until)

    def _pause(self, until: float) -> None:
        pending = Pending(0)
        with cancellable(pending):
            if pending.wait(min(until, monotonic() + 0.1)):
                pending.outcome()


def _is_tool(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("name"), str)
