"""Throughput with short latency: 50 ms, 225 slots (the default), one core.

The ideal is 225 / 0.05 = 4,500 prompts per second.
Reach: >= 85 % of the ideal, >= 1.9 of lm-deluge.
"""
from harness import HEADINGS, Bench, Report, Server, at_least, compare, compete, of, ratio

CONTENDERS = ("ours", "lm_deluge_async", "aiohttp_gather", "http_client_threads", "urllib3_threads")
SLOTS, LATENCY = 225, 0.05


def run(bench: Bench) -> Report:
    """Every contender, interleaved."""
    prompts = bench.size(20_000, 5_000)
    with Server("latency", seconds=LATENCY) as server:
        found = bench.interleave(bench.names(CONTENDERS), bench.size(5, 2), lambda name: compete(
            name, server, prompts=prompts, slots=SLOTS))
    rate = of(found.get("ours", []), "rate")
    return Report(f"50 ms latency, {SLOTS} slots, {prompts:,} prompts", HEADINGS, compare(found, bench),
                  [at_least("share of the ideal 4,500 prompts/s", rate and rate / (SLOTS / LATENCY), 0.85),
                   at_least("prompts/s ours / lm_deluge_async", ratio(found, "ours", "lm_deluge_async", "rate"), 1.9)],
                  raw=found)
