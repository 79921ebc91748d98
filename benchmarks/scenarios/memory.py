"""What a held result weighs: `process_prompts`, all responses kept.

Resident memory after the run minus before it (the prompts are there before), for two sizes in two processes; the
slope between them is free of what is paid once. The characters of the answers are taken off; everything else counts,
the string's header too.
Reach: <= 1.5 KB per prompt.
"""
from harness import Bench, Report, Server, at_most, compete, of

CONTENDERS = ("ours", "lm_deluge_async")
SLOTS = 32


def run(bench: Bench) -> Report:
    """Every contender, interleaved."""
    few, many = bench.size(20_000, 4_000), bench.size(100_000, 20_000)
    with Server("zero") as server:

        def once(name: str) -> dict:
            small = compete(name, server, prompts=few, slots=SLOTS)
            large = compete(name, server, prompts=many, slots=SLOTS)
            grown = [(r["rss_after"] - r["rss_before"]) * 1024 - r["characters"] for r in (small, large)]
            return {**large, "held": (grown[1] - grown[0]) / (many - few)}

        found = bench.interleave(bench.names(CONTENDERS), bench.size(3, 1), once)
    rows = [[name, f"{of(r, 'held'):,.0f}", f"{of(r, 'rss_peak') / 1024:.0f}"] if r else [name, "failed", ""]
            for name, r in found.items()]
    held = of(found.get("ours", []), "held")
    return Report(f"Results held: {few:,} and {many:,} prompts", ["contender", "bytes per prompt", "peak MB"], rows,
                  [at_most("KB per prompt beyond the answers' text", held and held / 1024, 1.5)], raw=found)
