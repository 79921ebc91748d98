"""One connection to a server, shared by all threads, begun when it is first needed and begun again when it was lost."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, TypeVar

from deluge import _log
from deluge.errors import ConfigError, MCPError
from deluge.mcp import lifetime
from deluge.mcp.content import ResultPart, content_of
from deluge.mcp.http import HttpChannel
from deluge.mcp.inbox import Inbox
from deluge.mcp.pending import Lost, is_cancelled
from deluge.mcp.protocol import MAX_MESSAGE
from deluge.mcp.session import OnProgress, Session
from deluge.mcp.stdio import StdioChannel
from deluge.tools import MCPServer
from deluge.tools.result import ToolFailure
from deluge.transport import LeanTransport

_SLICE = 1.0  # seconds of one wait for the lock, so that Ctrl-C gets through wherever a lock cannot be interrupted
MAX_IDLE = 64  # sockets that are kept for the next calls over HTTP
_T = TypeVar("_T")
_logger = _log.logger("mcp")


class Connection:
    """A connection to one MCP server. Nothing is opened, and no thread started, before the first call.

    All its methods may be called from any thread, at the same time; all share one process or one HTTP session. A server
    that has died is started again, a session that was lost is begun again, once for a call. ``close()`` ends it, and the
    next call opens it again; a forgotten connection closes itself.
    """

    def __init__(self, server: MCPServer) -> None:
        if not isinstance(server, MCPServer):
            raise ConfigError(f"a connection is to an MCPServer, not to {type(server).__name__}")
        self.server = server
        self._link = _Link(server)
        weakref.finalize(self, self._link.close, False).atexit = False

    def tools(self, *, timeout: float | None = None) -> tuple[Mapping[str, Any], ...]:
        """The descriptions of the tools that may be used, as the server gives them (``name``, ``inputSchema`` …).

        They are kept until the server says that they have changed. ``MCPError`` when it cannot be reached or refuses.
        """
        allowed = self.server.allowed_tools
        found = self._link.run(lambda session, until: session.tools(until), timeout, repeatable=True)
        return found if allowed is None else tuple(row for row in found if row["name"] in allowed)

    def call(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None,
        on_progress: OnProgress | None = None, repeatable: bool = False,
    ) -> str | list[ResultPart]:
        """What the tool gives back: a text, or a list of parts where there is more than text.

        ``ToolFailure`` when the tool says that it failed, ``MCPError`` when the server cannot be reached, refuses or does
        not answer within ``timeout`` seconds (the server is told that the call is cancelled). ``on_progress`` gets
        ``Progress`` in this thread. ``repeatable``: may be sent again when the server died during the call.
        """
        allowed = self.server.allowed_tools
        if allowed is not None and name not in allowed:
            raise MCPError(f"{self.server}: the tool {name!r} is not among its allowed_tools",
                           server=self.server.name, kind="permission")
        given = arguments or {}
        result = self._link.run(
            lambda session, until: session.call(name, given, until, on_progress), timeout, repeatable=repeatable)
        content = content_of(result)
        if result.get("isError"):
            raise ToolFailure(content)
        return content

    def ping(self, *, timeout: float | None = None) -> None:
        """Returns when the server has answered; ``MCPError`` when it does not."""
        self._link.run(lambda session, until: session.ping(until), timeout, repeatable=True)

    def open(self, *, timeout: float | None = None) -> Session:
        """The session (``version``, ``server_info``, ``capabilities``, ``instructions``), begun if it was not."""
        return self._link.run(lambda session, until: session, timeout, repeatable=True)

    def close(self) -> None:
        """Ends what is running, the session and the server's process. The next call opens it again."""
        self._link.close(True)

    @property
    def is_open(self) -> bool:
        """Whether there is a session at the moment."""
        session = self._link.session
        return session is not None and not session.channel.ended

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        session = self._link.session
        state = f"version {session.version}" if session is not None and self.is_open else "not open"
        return f"<Connection {self.server.name!r} | {self.server.target} | {state}>"


class _Link:
    """What threads of a connection may hold: the server and its present session."""

    def __init__(self, server: MCPServer) -> None:
        self.session: Session | None = None
        self._server = server
        self._lock = threading.Lock()  # held while a session begins
        self._leaving = threading.Lock()  # never held for long
        self._failures = 0
        self._failure: MCPError | None = None
        self._transport = LeanTransport(max_idle=MAX_IDLE, max_wire=MAX_MESSAGE, max_body=MAX_MESSAGE)
        lifetime.owners.add(self)

    def run(self, work: Callable[[Session, float], _T], timeout: float | None, *, repeatable: bool) -> _T:
        """The work's result in the present session; in a new one when that was lost and the work may be done again."""
        seconds = self._server.timeout if timeout is None else timeout
        if not seconds > 0:
            raise ConfigError(f"timeout is a number of seconds above 0, not {timeout!r}")
        until = monotonic() + seconds
        session = self._opened(until)
        try:
            return work(session, until)
        except Lost as lost:
            self._leave(session, lost)
            if lost.sent and not repeatable:
                raise self._error(f"{lost}; the call may have been run, so it was not sent again") from None
        session = self._opened(until)
        try:
            return work(session, until)
        except Lost as lost:
            self._leave(session, lost)
            raise self._error(f"{lost}; it was tried twice") from None

    def _leave(self, session: Session, lost: Lost) -> None:
        """The session is over for everybody, if it is."""
        if not lost.over:
            return
        with self._leaving:
            mine = self.session is session
            if mine:
                self.session = None
        if mine:
            _log.event(_logger, logging.INFO, f"{self._server}: {lost}", client=self._server.name)
            session.channel.retire()

    def _opened(self, until: float) -> Session:
        """The present session, else a new one; threads that waited for a failing start share its failure."""
        session = self.session
        if session is not None and not session.channel.ended:
            return session
        failures = self._failures
        self._acquire(until)
        try:
            if self.session is not None and not self.session.channel.ended:
                return self.session
            if self._failures != failures and self._failure is not None:
                raise _copied(self._failure)
            try:
                self.session = self._begun(until)
            except MCPError as error:
                if error.kind not in ("cancelled", "timeout"):  # those are this thread's alone
                    self._failures, self._failure = self._failures + 1, error
                raise
            return self.session
        finally:
            self._lock.release()

    def _acquire(self, until: float) -> None:
        """Takes the lock; others may hold it for as long as a server takes to start."""
        while not self._lock.acquire(timeout=max(min(until - monotonic(), _SLICE), 0.0)):
            if is_cancelled():
                raise self._error("the call was cancelled", kind="cancelled")
            if monotonic() >= until:
                raise self._error("did not begin in time", kind="timeout")

    def _begun(self, until: float) -> Session:
        server = self._server
        inbox = Inbox(server.name)
        channel = StdioChannel(server, inbox) if server.url is None else HttpChannel(server, inbox, self._transport)
        session = Session(server, channel, inbox)
        try:
            session.begin(until)
        except Lost as lost:
            channel.close(False)
            raise self._error(f"cannot be reached: {lost}" if server.url else str(lost)) from None
        except BaseException:
            channel.close(False)
            raise
        _log.event(_logger, logging.INFO, f"{server} speaks {session.version}", client=server.name)
        return session

    def _error(self, words: str, kind: str = "connection") -> MCPError:
        return MCPError(f"{self._server}: {words}" + _hint(self._server), server=self._server.name, kind=kind)

    def close(self, wait: bool) -> None:
        """Ends the present session; without ``wait`` on a thread."""
        session, self.session = self.session, None
        if session is not None:
            session.channel.close(wait)

    def after_fork(self) -> None:
        """In the child: the session is the parent's."""
        self._lock, self._leaving = threading.Lock(), threading.Lock()
        self.session = self._failure = None
        self._transport.forget()


def _hint(server: MCPServer) -> str:
    return f" (it was unpickled, without its {', '.join(server.withheld)})" if server.withheld else ""


def _copied(error: MCPError) -> MCPError:
    return MCPError(*error.args, server=error.server, kind=error.kind, code=error.code, status_code=error.status_code)
