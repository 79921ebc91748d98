"""The rehearsal server's only thread: sockets, timers, and the doors through which other threads talk to it."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

from deluge.testing.connection import Connection
from deluge.testing.exchange import Request

Arrived = Callable[[Connection, Request], None]


class EventLoop:
    """Serves a listening socket until it is stopped. ``arrived`` and ``gone`` are called on its thread."""

    def __init__(self, listener: socket.socket, arrived: Arrived, gone: Callable[[Connection], None],
                 tls: ssl.SSLContext | None, max_body: int) -> None:
        self._arrived, self._gone, self._tls, self._max_body = arrived, gone, tls, max_body
        self.connections: dict[int, Connection] = {}
        self.accepted = 0
        self.every = 0.0
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._timers: list[tuple[float, int, Connection]] = []
        self._order = itertools.count()
        self._calls: deque[Callable[[], None]] = deque()
        self._held: list[Connection] | None = None
        self._stopping = False
        for sock in (listener, self._bell, self._ear):
            sock.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, None)
        self._selector.register(self._ear, selectors.EVENT_READ, self._ear)
        self._thread = threading.Thread(target=self._run, name="deluge-rehearsal", daemon=True)
        _live.add(self)
        self._thread.start()

    # -- from any thread ----------------------------------------------------------------------------------------

    def call(self, what: Callable[[], None]) -> None:
        """Runs it on the loop's thread, soon."""
        self._calls.append(what)
        try:
            self._bell.send(b"!")
        except OSError:
            pass  # full: it is awake anyway; closed: it has stopped

    def stop(self) -> None:
        """Closes every socket and waits for the thread."""
        self._stopping = True
        self.call(_nothing)
        if self._thread is not threading.current_thread():
            self._thread.join(10)

    def hold(self) -> None:
        """Replies that become due wait for ``release``."""
        self.call(self._hold)

    def release(self, count: int | None = None) -> None:
        """Sends what was held back, or the ``count`` oldest of it; without a count it also stops holding."""
        self.call(lambda: self._release(count))

    def abandon(self) -> None:
        """In a forked child: closes the copies of all descriptors; the parent's connections do not notice."""
        for connection in list(self.connections.values()):
            _close_copy(connection.sock)
        for sock in (self._listener, self._bell, self._ear):
            _close_copy(sock)
        descriptor = getattr(self._selector, "fileno", None)
        if descriptor is not None:
            os.close(descriptor())  # unregistering would change the set that the parent polls

    # -- the loop's own -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._poll()
                while self._calls:
                    self._calls.popleft()()
                self._ring()
        finally:
            for connection in list(self.connections.values()):
                connection.close()
            for sock in (self._listener, self._bell, self._ear):
                sock.close()
            self._selector.close()
            _live.discard(self)

    def _poll(self) -> None:
        timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        for key, events in self._selector.select(timeout):
            thing = key.data
            if thing is None:
                self._accept()
            elif thing is self._ear:
                self._ear.recv(65536)
            elif not thing.closed:
                thing.ready(bool(events & selectors.EVENT_READ), bool(events & selectors.EVENT_WRITE))

    def _ring(self) -> None:
        """Wakes the connections whose time has come."""
        timers, now = self._timers, time.monotonic()
        while timers and timers[0][0] <= now:
            connection = heapq.heappop(timers)[2]
            if connection.closed:
                continue
            if self._held is not None:
                self._held.append(connection)
            else:
                connection.wake()

    def _accept(self) -> None:
        for _ in range(512):
            try:
                sock = self._listener.accept()[0]
            except OSError:  # none left, gone again, or out of descriptors
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self.accepted += 1
            connection = Connection(sock, self.accepted, self, self._max_body)
            self.connections[self.accepted] = connection
            self._selector.register(sock, selectors.EVENT_READ, connection)

    def arrived(self, connection: Connection, request: Request) -> None:
        """A whole request is there."""
        self._arrived(connection, request)

    def wait(self, connection: Connection, seconds: float) -> None:
        """Wakes the connection after so many seconds (at the next multiple of ``every``, where that is set)."""
        at = time.monotonic() + seconds
        if self.every:
            at += -at % self.every
        heapq.heappush(self._timers, (at, next(self._order), connection))

    def watch(self, connection: Connection, writing: bool) -> None:
        """Whether it wants to know when the socket takes bytes again."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        self._selector.modify(connection.sock, events, connection)

    def gone(self, connection: Connection) -> None:
        """The connection is about to be closed."""
        self.connections.pop(connection.id, None)
        self._selector.unregister(connection.sock)
        self._gone(connection)

    def _hold(self) -> None:
        if self._held is None:
            self._held = []

    def _release(self, count: int | None) -> None:
        held = self._held or []
        if count is None:
            self._held = None
        else:
            self._held = held[count:]
        for connection in held[:count]:
            if not connection.closed:
                connection.wake()


def _nothing() -> None:
    """Only rings the bell."""


def _close_copy(sock: socket.socket) -> None:
    try:
        os.close(sock.detach())
    except OSError:
        pass


_live: weakref.WeakSet[EventLoop] = weakref.WeakSet()


def _forked() -> None:
    for loop in list(_live):
        loop.abandon()
    _live.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
