"""A server behind a URL, over streamable HTTP: every message a POST, its replies as JSON or as a stream of events.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

from deluge import _json, _log
from deluge._sse import server_events
from deluge.errors import MCPError
from deluge.mcp import lifetime
from deluge.mcp.inbox import Inbox
from deluge.mcp.listener import Listener
from deluge.mcp.pending import Lost, Pending
from deluge.mcp.protocol import STATELESS, Message, notification, routing_headers
from deluge.mcp.refusal import Stopped, error_in, fail, refusal_of
from deluge.tools import MCPServer
from deluge.transport import Attempt, LeanTransport, StreamCut
from deluge.wire import HttpCall, HttpReply, ServerEvent

SIDE_TIME = 5.0  # seconds for a message that nobody waits for
GRACE = 2.0  # seconds for the end of a session
MAX_RESUMES = 5  # of a stream that brought nothing
_TAIL = 0.05  # seconds that a stream is read on after its reply, so that its socket can be used again

_logger = _log.logger("mcp")


@dataclass(slots=True)
class _Stream:
    """Where a stream of events was left: it can be taken up again behind ``last_id``, ``pause`` seconds later."""

    last_id: str = ""
    pause: float = 1.0
    events: int = 0


class HttpChannel:
    """A session with a server behind a URL. Each caller's thread carries its own request and reads its own reply.

    Token and headers go with every request. Redirects are not followed, so that nobody else ever sees them.
    """

    def __init__(self, server: MCPServer, inbox: Inbox, transport: LeanTransport) -> None:
        self._server = server
        self._inbox = inbox
        self._transport = transport
        self._version = ""
        self._session_id: str | None = None
        self._headers = self._all_headers()
        self._closed = threading.Event()
        self._listener: Listener | None = None
        inbox.answer = self.post
        lifetime.channels.add(self)

    def _all_headers(self) -> dict[str, str]:
        """What goes with every request; ours come last, so that they win."""
        token = {"Authorization": f"Bearer {self._server.token}"} if self._server.token is not None else {}
        version = {"MCP-Protocol-Version": self._version} if self._version else {}
        session = {"Mcp-Session-Id": self._session_id} if self._session_id is not None else {}
        return {**(self._server.headers or {}), **token, "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream", **version, **session}

    # -- for callers ---------------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether it was closed."""
        return self._closed.is_set()

    def settle(self, version: str) -> None:
        """From now on every request names the version."""
        self._version = version
        self._headers = self._all_headers()

    def exchange(self, message: Message, pending: Pending, until: float, extra: Mapping[str, str] | None = None) -> None:
        """Sends a request and reads until it has ended; ``TimeoutError``, ``Lost``, ``MCPError``."""
        attempt = Attempt(until)
        pending.stops(attempt.abort)
        self._transport.sweep(monotonic())
        reply = self._opened(message, attempt, extra)
        try:
            self._refused(reply, pending)
            if message["method"] == "initialize":
                self._session_id = reply.headers.get("mcp-session-id")
                self._headers = self._all_headers()
            self._replied(reply, pending, attempt)
        except Stopped:
            pending.cancel()
        finally:
            _close(reply)

    def _opened(self, message: Message, attempt: Attempt, extra: Mapping[str, str] | None) -> HttpReply:
        headers = self._headers
        if self._version in STATELESS:
            headers = {**headers, **routing_headers(message["method"], message.get("params", {})), **(extra or {})}
        call = HttpCall("POST", self._server.url or "", headers, _json.dumps(message), stream=True)
        reply = self._transport.stream(call, attempt)
        if reply.failure == "connection" and reply.reused and not reply.replied:
            reply = self._transport.stream(call, attempt)  # the server had closed the idle connection
        return reply

    def _refused(self, reply: HttpReply, pending: Pending) -> None:
        """Raises what a reply means that carries none of what was asked for; a JSON-RPC error in it is the reply."""
        if reply.failure is not None:
            fail(self._server, reply.failure, reply.message, sent=reply.sent)
        if 200 <= reply.status < 300:
            return
        about_session = reply.status == 404 or (reply.status == 400 and b"session" in reply.body.lower())
        if self._session_id is not None and about_session:
            raise Lost(f"the session is not known any more ({reply.status})", sent=False)
        error = error_in(reply.body)
        if error is None or reply.status in (401, 403):
            raise refusal_of(self._server, reply)
        pending.resolve(error)

    def _replied(self, reply: HttpReply, pending: Pending, attempt: Attempt) -> None:
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            self._streamed(reply, pending, attempt)
        elif kind == "application/json" and not pending.ended:
            body = self._whole(reply)
            error = error_in(body)
            if error is not None and error.get("id") is None:
                pending.resolve(error)
            else:
                self._inbox.read(body)
        if not pending.ended:
            what = f"in {kind[:40]!r}" if kind else "with nothing"
            raise MCPError(f"{self._server} answered {what} ({reply.status}), not with a reply",
                           server=self._server.name, kind="parse", status_code=reply.status)

    def _whole(self, reply: HttpReply) -> bytes:
        try:
            return b"".join(reply.chunks or ())
        except StreamCut as cut:
            fail(self._server, cut.kind, str(cut), sent=True)

    # -- streams -------------------------------------------------------------------------------------------------

    def _streamed(self, reply: HttpReply, pending: Pending, attempt: Attempt) -> None:
        """Reads the stream to its reply; takes it up again where it was cut, if the server numbers its events."""
        at = _Stream()
        for resumes in range(MAX_RESUMES + 1):
            before = at.events
            self._read_events(reply, pending, attempt, at)
            if pending.ended:
                return
            if not at.last_id or (resumes and at.events == before) or resumes == MAX_RESUMES:
                break
            if pending.wait(min(attempt.deadline, monotonic() + at.pause)):
                return
            _close(reply)
            reply = self._transport.stream(
                HttpCall("GET", self._server.url or "", {**self._headers, "Last-Event-ID": at.last_id}, stream=True), attempt)
            self._refused(reply, pending)
        raise Lost("the stream ended without a reply", sent=True, over=False)

    def _read_events(self, reply: HttpReply, pending: Pending, attempt: Attempt, at: _Stream) -> None:
        events = server_events(reply.chunks or ())
        while (event := self._next_event(events, pending, at)) is not None:
            at.events += 1
            at.last_id = event.id or at.last_id
            at.pause = at.pause if event.retry is None else event.retry / 1000
            if event.data:
                self._inbox.read(event.data)
            pending.tell()
            if pending.ended:
                attempt.extend(min(attempt.deadline, monotonic() + _TAIL))

    def _next_event(self, events: Iterator[ServerEvent], pending: Pending, at: _Stream) -> ServerEvent | None:
        """The next event; None at the end, and where the stream was cut if it can be taken up again there."""
        try:
            return next(events, None)
        except StreamCut as cut:
            if not pending.ended and (cut.kind != "connection" or not at.last_id):
                fail(self._server, cut.kind, str(cut), sent=True)
            return None
        except ValueError as error:
            raise MCPError(f"{self._server}: {error}", server=self._server.name, kind="parse") from None

    # -- beside the calls ----------------------------------------------------------------------------------------

    def post(self, message: Message) -> None:
        """Sends a message that gets no reply; what goes wrong is only logged."""
        call = HttpCall("POST", self._server.url or "", self._headers, _json.dumps(message))
        reply = self._transport.send(call, Attempt(monotonic() + SIDE_TIME))
        if not reply.ok:
            _log.event(_logger, logging.DEBUG, "an MCP server did not take a message", client=self._server.name,
                       status=reply.status, reason=reply.message or None)

    def withdraw(self, pending: Pending, reason: str) -> None:
        """Tells the server, on a thread; a stateless one has seen that the request was closed."""
        if self._version in STATELESS or self._closed.is_set():
            return
        said = notification("notifications/cancelled", {"requestId": pending.id, "reason": reason})
        threading.Thread(target=self.post, args=(said,), name="deluge-mcp-withdraw", daemon=True).start()

    def listen(self, subscription: Message | None = None) -> None:
        """Hears what the server says by itself, on a thread: through the session's stream, or a subscription."""
        if subscription is None and self._session_id is None:
            return
        headers = self._headers
        if subscription is not None:
            headers = {**headers, **routing_headers(subscription["method"], subscription.get("params", {}))}
        self._listener = Listener(self._transport, self._server, headers, subscription, self._inbox, self._closed)

    def retire(self) -> None:
        """The server has forgotten the session: there is nothing to end, and each running request hears it by itself."""
        self._closed.set()
        if self._listener is not None:
            self._listener.stop()

    def close(self, wait: bool = True) -> None:
        """Ends what is running and the session; without ``wait`` on a thread."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._inbox.cancel_all("the connection was closed")
        if self._listener is not None:
            self._listener.stop()
        if wait:
            self._end()
        else:
            threading.Thread(target=self._end, name="deluge-mcp-close", daemon=True).start()

    def _end(self) -> None:
        if self._session_id is not None:
            call = HttpCall("DELETE", self._server.url or "", self._headers)
            self._transport.send(call, Attempt(monotonic() + GRACE))
        self._transport.close()
        lifetime.channels.discard(self)

    def leave(self) -> None:
        """The interpreter exits: nobody waits any more. The server forgets the session by itself."""
        self._closed.set()
        self._inbox.cancel_all("the interpreter is exiting")
        self._transport.abort_all()

    def gone(self, until: float) -> bool:
        """There is no process."""
        return True

    def signal(self, number: int) -> None:
        """There is no process."""

    def after_fork(self) -> None:
        """In the child: the sockets are the parent's, and so is the session."""
        self._closed = threading.Event()
        self._closed.set()
        self._inbox.after_fork()


def _close(reply: HttpReply) -> None:
    """Lets go of a body; a connection with one that is half read is closed."""
    close = getattr(reply.chunks, "close", None)
    if close is not None:
        close()
