"""A provider that counts: the rehearsal server with an account's limits, in a process of its own.

    python benchmarks/provider.py --kind sliced --requests 6000 --tokens 600000 --latency 0.3 --spread 0.4
    python benchmarks/provider.py --kind bucket --requests 6000 --change 25:3000 --change 55:6000

Answers come after a lognormal latency and repeat the prompt; a token is four characters. ``--change`` gives the limit on
requests another value so many seconds after the first request. It talks as server.py does: the first line on stdout is
{"port", "ca"}; `stats`, `log` (when requests arrived, which of them were let in, when limits changed) and `reset`
(which begins nothing anew: an account is made for one run) on stdin; end of file ends it.
"""
import argparse
import json
import sys
import threading
import time
from dataclasses import replace

from deluge.testing import Latency, Profile, RateLimits, RehearsalServer
from server import cpu

KEPT = 200_000  # requests in the log


def account(options: argparse.Namespace) -> RehearsalServer:
    """The server that the command line describes."""
    latency = Latency(options.latency, spread=options.spread)
    limits = RateLimits(options.requests, options.tokens, kind=options.kind)
    return RehearsalServer(profile=Profile("account", "an account with limits", latency), limits=limits, remember=KEPT)


def let_change(server: RehearsalServer, limits: RateLimits, changes: "list[str]", changed: "list[float]") -> None:
    """Changes the limit on requests at its times, which are counted from the first request."""
    server.wait_for_requests(1, 600)
    first = server.requests[0].at
    for change in changes:
        after, _, requests = change.partition(":")
        time.sleep(max(0.0, first + float(after) - time.monotonic()))
        limits = replace(limits, requests=float(requests))
        server.set_limits(limits)
        changed.append(time.monotonic())


def stats(server: RehearsalServer, began: float) -> "dict[str, object]":
    """All counters."""
    return {"requests": server.count, "answered": server.outcomes["answered"], "refused": server.outcomes["refused"],
            "connections": server.accepted, "cpu": cpu() - began}


def log(server: RehearsalServer, changed: "list[float]") -> "dict[str, object]":
    """What arrived when: all of it, and what was let in."""
    seen = list(server.requests)
    return {"arrivals": [row.at for row in seen], "accepted": [row.at for row in seen if row.status == 200],
            "refusals": [row.at for row in seen if row.status == 429], "changed": changed}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("bucket", "rolling", "sliced"), default="bucket")
    parser.add_argument("--requests", type=float)
    parser.add_argument("--tokens", type=float)
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument("--spread", type=float, default=0.4)
    parser.add_argument("--change", action="append", default=[], metavar="SECONDS:REQUESTS")
    options = parser.parse_args()
    changed: "list[float]" = []
    with account(options) as server:
        began = cpu()
        if options.change:
            limits = RateLimits(options.requests, options.tokens, kind=options.kind)
            threading.Thread(target=let_change, args=(server, limits, options.change, changed), daemon=True).start()
        print(json.dumps({"port": server.port, "ca": None}), flush=True)
        for line in sys.stdin:
            found = stats(server, began)
            print(json.dumps({**found, **log(server, changed)} if line.strip() == "log" else found), flush=True)
            if line.strip() == "reset":
                began = cpu()


if __name__ == "__main__":
    main()
