"""The connections of this process, one for each server, found again by the server's description."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable
from time import monotonic

from deluge.mcp.connection import Connection
from deluge.tools import MCPServer

KEPT = 32  # connections that are kept open although nobody holds them
KEPT_FOR = 600.0  # seconds without use


class _Shared:
    """Weak by nature: a connection that nobody holds and that was not asked for lately closes itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: weakref.WeakValueDictionary[Hashable, Connection] = weakref.WeakValueDictionary()
        self._recent: OrderedDict[Hashable, tuple[Connection, float]] = OrderedDict()

    def get(self, server: MCPServer) -> Connection:
        """The connection to this server."""
        key, now = _key(server), monotonic()
        dropped = []
        with self._lock:
            connection = self._known.get(key)
            if connection is None:
                connection = self._known[key] = Connection(server)
            self._recent[key] = connection, now
            self._recent.move_to_end(key)
            while self._recent:
                oldest, (_, used_at) = next(iter(self._recent.items()))
                if len(self._recent) <= KEPT and now - used_at <= KEPT_FOR:
                    break
                dropped.append(self._recent.pop(oldest))  # closes itself outside the lock, unless somebody holds it
        del dropped
        return connection

    def close(self) -> None:
        """Closes all of them."""
        with self._lock:
            connections = list(self._known.values())
            self._recent.clear()
        for connection in connections:
            connection.close()

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()


def _key(server: MCPServer) -> Hashable:
    pairs = (tuple(sorted((mapping or {}).items())) for mapping in (server.headers, server.env))
    return (server.name, server.url, server.token, server.command, server.args, server.cwd, server.allowed_tools,
            server.timeout, server.protocol_version, *pairs)


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.after_fork)


def connection_of(server: MCPServer) -> Connection:
    """The connection to this server that everybody in this process shares; nothing is opened yet.

    Servers are the same when all of their description is, secrets included. A connection that nobody holds stays open
    for ten minutes after it was last asked for (32 of them at most).
    """
    return _shared.get(server)


def close_connections() -> None:
    """Closes every shared connection: sessions end, server processes too. The next call opens what it needs again."""
    _shared.close()
