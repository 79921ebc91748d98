"""``python -m deluge.testing [--port N] [--latency S] …``: the rehearsal server as a process of its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from deluge.testing.limits import RateLimits
from deluge.testing.server import RehearsalServer


def shares(text: str) -> dict[str, float]:
    """``500=.05,reset=.01`` as shares by kind."""
    pairs = (row.partition("=") for row in text.split(","))
    return {kind.strip(): float(part) for kind, _, part in pairs}


SERVER: dict[str, Callable[[str], Any]] = {
    "host": str, "port": int, "latency": float, "every": float, "profile": str, "seed": int, "script": shares,
    "api_key": str, "certfile": str, "keyfile": str, "remember": int,
    "batch_seconds": float,
}
LIMITS: dict[str, Callable[[str], Any]] = {
    "requests": float, "tokens": float, "per": float, "kind": str, "slice": float, "counts": str,
}
USAGE = "usage: python -m deluge.testing " + " ".join(f"[--{name.replace('_', '-')} X]" for name in (*SERVER, *LIMITS))


def server_of(words: Sequence[str]) -> RehearsalServer:
    """The server that these command line words describe; ``SystemExit`` tells how to write them."""
    server: dict[str, Any] = {"remember": 0}
    limits: dict[str, Any] = {}
    pairs = [word for text in words for word in text.split("=", 1)] if all("=" in w for w in words) else list(words)
    for flag, value in zip(pairs[::2], pairs[1::2]):
        name = flag.removeprefix("--").replace("-", "_")
        known = SERVER.get(name) or LIMITS.get(name)
        if known is None or not flag.startswith("--"):
            raise SystemExit(f"{flag} is not known\n{USAGE}")
        try:
            (server if name in SERVER else limits)[name] = known(value)
        except ValueError:
            raise SystemExit(f"{flag} cannot be {value!r}\n{USAGE}") from None
    if len(pairs) % 2:
        raise SystemExit(USAGE)
    return RehearsalServer(**server, limits=RateLimits(**limits) if limits else None)


def main(words: Sequence[str]) -> int:
    """Serves until Ctrl-C; the first line of the output is the base URL."""
    try:
        with server_of(words) as server:
            sys.stdout.write(server.base_url + "\n")
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
