"""Many slow requests at once: 1 s latency, 1,000 slots, 10,000 prompts.

The ideal is 10 s of wall time; what is over it is ramp, hand-offs and wake-ups.
Reach: wall <= 1.05 of the ideal.
"""
from harness import HEADINGS, Bench, Report, Server, at_most, compare, compete, of

CONTENDERS = ("ours", "lm_deluge_async", "aiohttp_gather", "http_client_threads")
SLOTS = 1_000


def run(bench: Bench) -> Report:
    """Every contender, interleaved."""
    prompts = bench.size(10_000, 3_000)
    with Server("latency", seconds=1) as server:
        found = bench.interleave(bench.names(CONTENDERS), bench.size(3, 1), lambda name: compete(
            name, server, prompts=prompts, slots=SLOTS))
    wall = of(found.get("ours", []), "wall")
    return Report(f"1 s latency, {SLOTS:,} slots, {prompts:,} prompts", HEADINGS, compare(found, bench),
                  [at_most("wall / ideal", wall and wall / (prompts / SLOTS), 1.05)], raw=found)
