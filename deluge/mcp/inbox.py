"""What comes from a server: replies go to those who wait, the server's own requests are answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from deluge import _log
from deluge.errors import MCPError
from deluge.mcp.pending import Pending, progress_of
from deluge.mcp.protocol import Message, answer_to, messages_in

_logger = _log.logger("mcp")


class Inbox:
    """Sorts what one server says. Every thread that reads from it calls ``receive``."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.answer: Callable[[Message], None] = lambda message: None
        self.tools_changed = False
        self._lock = threading.Lock()
        self._waiting: dict[str, Pending] = {}

    def expect(self, pending: Pending) -> None:
        """This request's reply is wanted."""
        with self._lock:
            self._waiting[str(pending.id)] = pending

    def forget(self, pending: Pending) -> None:
        """This request's reply is not wanted any more."""
        with self._lock:
            self._waiting.pop(str(pending.id), None)

    def read(self, data: bytes | str) -> int:
        """Takes the messages of a line, a body or an event; how many there were. What is no message is passed over."""
        try:
            messages = messages_in(data)
        except ValueError:
            _log.event(_logger, logging.DEBUG, "a server wrote what is no message", client=self.server)
            return 0
        for message in messages:
            self.receive(message)
        return len(messages)

    def receive(self, message: Message) -> None:
        """One message."""
        method = message.get("method")
        if not isinstance(method, str):
            self._reply(message)
        elif "id" in message:
            answer = answer_to(message)
            if answer is not None:
                self.answer(answer)
        else:
            self._notified(method, message.get("params"))

    def _reply(self, message: Message) -> None:
        with self._lock:
            pending = self._waiting.get(str(message.get("id")))
        if pending is not None and ("result" in message or "error" in message):
            pending.resolve(message)

    def _notified(self, method: str, params: object) -> None:
        if method == "notifications/progress" and isinstance(params, dict):
            with self._lock:
                pending = self._waiting.get(str(params.get("progressToken")))
            progress = progress_of(params)
            if pending is not None and progress is not None:
                pending.note(progress)
        elif method == "notifications/tools/list_changed":
            self.tools_changed = True
        elif method == "notifications/message" and isinstance(params, dict):
            _log.event(_logger, logging.DEBUG, f"{self.server}: {params.get('data')}", client=self.server)

    def fail_all(self, error_of: Callable[[Pending], Exception]) -> None:
        """Whatever waits gets an error."""
        with self._lock:
            waiting = list(self._waiting.values())
        for pending in waiting:
            pending.fail(error_of(pending))

    def cancel_all(self, reason: str) -> None:
        """Whatever waits is cancelled."""
        self.fail_all(lambda pending: MCPError(f"MCP server {self.server!r}: {reason}", server=self.server, kind="cancelled"))

    def after_fork(self) -> None:
        """In the child nobody waits any more."""
        self._lock = threading.Lock()
        for pending in self._waiting.values():
            pending.forsake()
        self._waiting.clear()
