"""What reading rate-limit headers costs: CPU per prompt with and without them in the replies.

Zero latency, 32 slots; the limits of the headers never bind. In turn: replies without such headers, replies with
the six of OpenAI and limits given, and the same with limits `"auto"`.
Reach: <= 5 µs of CPU per prompt with limits given, <= 10 µs with limits `"auto"`, which the headers lead.
"""
import statistics

from accounts import AUTO
from harness import HEADINGS, Bench, Report, Server, at_most, compare, compete

SLOTS = 32
WITHOUT, GIVEN, LED = "no headers", "headers, limits given", "headers, limits auto"
REACH = {GIVEN: 5, LED: 10}


def run(bench: Bench) -> Report:
    """Ours alone, in turn."""
    prompts = bench.size(20_000, 4_000)
    with Server("zero", no_limit_headers=True) as bare, Server("zero") as full:
        found = bench.interleave([WITHOUT, GIVEN, LED], 7, lambda name: compete(
            "ours", bare if name == WITHOUT else full, prompts=prompts, slots=SLOTS, **(AUTO if name == LED else {})))
    figures = []
    for name, limit in REACH.items():
        pairs = list(zip(found[WITHOUT], found[name]))
        added = statistics.median(with_them["cpu_us"] - without["cpu_us"] for without, with_them in pairs) if pairs else None
        figures.append(at_most(f"{name}: µs of CPU added per prompt", added, limit))
    return Report(f"Rate-limit headers in every reply: zero latency, {SLOTS} slots, {prompts:,} prompts", HEADINGS,
                  compare(found, bench, WITHOUT), figures, raw=found)
