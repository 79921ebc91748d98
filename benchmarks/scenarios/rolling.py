"""The rolling minute on a real clock, by the server's log.

6,000 requests per minute, 50 ms latency, as many prompts as two (quick: one) whole minutes allow and one more. A
client that uses its limit fully sends request 0 at second 0 and request 12,000 at second 120; `used` is that ideal
over what it took.
Reach: no 60 s window over the limit, >= 98 % used.
"""
from harness import Bench, Report, Server, at_least, at_most, compete

LIMIT, SLOTS = 6_000, 225


def busiest(times: "list[float]", window: float = 60.0) -> int:
    """The most arrivals in any half-open window of that length."""
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def run(bench: Bench) -> Report:
    """Ours alone: no peer promises a rolling window."""
    minutes = bench.size(2, 1)
    with Server("latency", seconds=0.05) as server:

        def once(name: str) -> dict:
            result = compete(name, server, patience=60 * minutes + 120, prompts=LIMIT * minutes + 1, slots=SLOTS,
                             warmup=0, requests_per_minute=LIMIT)
            arrivals = sorted(server.ask("log")["arrivals"])
            return {**result, "busiest": busiest(arrivals), "sent": len(arrivals),
                    "used": 60.0 * minutes / (arrivals[-1] - arrivals[0])}

        found = bench.interleave(bench.names(("ours",)), 1, once)
    runs = found.get("ours", [])
    most = max((r["busiest"] for r in runs), default=None)
    used = min((r["used"] for r in runs), default=None)
    rows = [[name, f"{r['sent']:,}", f"{r['busiest']:,}", f"{r['used']:.2%}", f"{r['wall']:.1f}"]
            for name, results in found.items() for r in results]
    return Report(f"Rolling minute: {LIMIT:,} requests per minute for {minutes} min",
                  ["contender", "sent", "busiest 60 s", "used", "wall s"], rows,
                  [at_most("requests in the busiest 60 s", most, LIMIT),
                   at_least("share of the limit used", used, 0.98)], raw=found)
