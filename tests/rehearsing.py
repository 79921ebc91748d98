"""Clients of a rehearsal server for the tests: no limits of their own, silent, closed at the end."""

from __future__ import annotations

import threading
from typing import Any

from deluge import LLMClient
from deluge.testing import RehearsalServer

MODEL = "rehearsed"
UNLIMITED = {"max_requests_per_minute": None, "max_tokens_per_minute": None}


def client_of(server: RehearsalServer, model_names: Any = MODEL, **settings: Any) -> LLMClient:
    """A client whose every model is served by the server."""
    return LLMClient(model_names, **{"base_url": server.base_url, "progress": None, **UNLIMITED, **settings})


def our_threads() -> list[threading.Thread]:
    """The live threads of all clients."""
    names = ("deluge-worker", "deluge-courier", "deluge-scheduler", "deluge-lobby", "deluge-quota")
    return [thread for thread in threading.enumerate() if thread.name.startswith(names)]
