"""``deluge rehearse``: the rehearsal provider as a process of its own."""

from __future__ import annotations

import argparse
import threading

from deluge.cli.signals import Signals
from deluge.cli.terminal import say
from deluge.testing import RehearsalServer


def rehearse(options: argparse.Namespace, signals: Signals) -> int:
    """Serves until Ctrl-C or TERM, which end it cleanly (0)."""
    server = RehearsalServer(port=options.port)
    try:
        server.start()
    except OSError as error:
        return say(f"port {options.port} cannot be used: {error.strerror}", code=2)
    with server:
        print(f"rehearsal provider at {server.base_url} (Ctrl-C ends it)", flush=True)
        print(f'try: deluge ask "hi" -m rehearsal-echo --base-url {server.base_url}', flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0
