"""The rehearsal server inside this process: the rehearsal models start it by themselves, at the first prompt."""

from __future__ import annotations

import atexit
import os
import threading

from deluge.testing.server import RehearsalServer

_lock = threading.Lock()
_server: RehearsalServer | None = None


def embedded_url() -> str:
    """The base URL of the one server that this process shares; the first call starts it.

    A forked child starts its own: the parent's thread did not come along.
    """
    return embedded_server().base_url


def embedded_server() -> RehearsalServer:
    """That server itself, to look at what it saw. It keeps no log, so that a million prompts cost no memory."""
    global _server
    with _lock:
        if _server is None:
            _server = RehearsalServer(remember=0).start()
            atexit.register(_server.stop)
        return _server


def _forked() -> None:
    global _lock, _server
    _lock, _server = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
