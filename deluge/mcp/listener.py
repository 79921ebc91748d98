"""The stream on which a server says things by itself: that its tools have changed, or questions of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from time import monotonic
from typing import Any

from deluge import _json
from deluge._sse import server_events
from deluge.mcp.inbox import Inbox
from deluge.mcp.protocol import Message
from deluge.tools import MCPServer
from deluge.transport import Attempt, LeanTransport, StreamCut
from deluge.wire import HttpCall

MAX_FAILURES = 3  # in a row; a stream that ends at once counts as one
_QUICK = 1.0


class Listener:
    """Reads the stream on a daemon thread until it is stopped, or the server does not offer it (any more)."""

    def __init__(
        self, transport: LeanTransport, server: MCPServer, headers: Mapping[str, str], subscription: Message | None,
        inbox: Inbox, closed: threading.Event,
    ) -> None:
        self._transport = transport
        self._url = server.url or ""
        self._headers = headers
        self._body = b"" if subscription is None else _json.dumps(subscription)
        self._inbox = inbox
        self._closed = closed
        self._attempt = Attempt()
        self._last_id = ""
        self._pause = 1.0
        threading.Thread(target=self._run, name="deluge-mcp-listener", daemon=True).start()

    def stop(self) -> None:
        """Ends it; the thread sees it within milliseconds."""
        self._attempt.abort()

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set() and failures < MAX_FAILURES:
            began = monotonic()
            heard = self._heard()
            if heard is None:
                return
            failures = 0 if heard or monotonic() - began > _QUICK else failures + 1
            self._closed.wait(self._pause)

    def _heard(self) -> int | None:
        """How many events a stream brought until it ended; None when there is no stream to be had."""
        resumed = {"Last-Event-ID": self._last_id} if self._last_id else {}
        method = "POST" if self._body else "GET"
        call = HttpCall(method, self._url, {**self._headers, **resumed}, self._body, stream=True)
        reply = self._transport.stream(call, self._attempt)
        if reply.failure is not None:
            return 0
        chunks: Any = reply.chunks or iter(())
        if reply.status != 200 or not reply.headers.get("content-type", "").startswith("text/event-stream"):
            return None
        count = 0
        try:
            with closing(chunks):
                for event in server_events(chunks):
                    count += 1
                    self._last_id = event.id or self._last_id
                    self._pause = self._pause if event.retry is None else max(event.retry / 1000, 0.1)
                    if event.data:
                        self._inbox.read(event.data)
        except (StreamCut, ValueError):
            pass
        return count
