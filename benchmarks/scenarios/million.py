"""Inputs larger than memory: 1,000,000 prompts from a generator through `map`, answers dropped as they come.

Zero latency, 32 slots, against 10,000 prompts in a process of their own (before and after, the median).
Reach: peak memory within 100 MB of that of 10,000, CPU per prompt within 1.1.
"""
import statistics

from harness import Bench, Report, Server, at_most, compete

SLOTS, FEW = 32, 10_000


def run(bench: Bench) -> Report:
    """Ours alone: the peers' batch calls take lists."""
    many = bench.size(1_000_000, 100_000)
    rows, figures, raw = [], [], {}
    with Server("zero") as server:

        def once(prompts: int):
            return lambda name: compete(name, server, patience=1_800, prompts=prompts, slots=SLOTS, feed="generator")

        for name in bench.names(("ours",)):
            bench.failures.clear()
            runs = [bench.attempt(name, once(size)) for size in (FEW, FEW, many, FEW, FEW)]
            raw[name] = [result for result in runs if result]
            small = [r for r in raw[name] if r["prompts"] == FEW]
            large = [r for r in raw[name] if r["prompts"] == many]
            rows += [[name, f"{r['prompts']:,}", f"{r['answered']:,}", f"{r['cpu_us']:.0f}",
                      f"{r['rss_peak'] / 1024:.0f}", f"{r['wall']:.1f}"] for r in raw[name]]
            if not small or not large:
                continue
            peak = (large[0]["rss_peak"] - statistics.median(r["rss_peak"] for r in small)) / 1024
            share = large[0]["cpu_us"] / statistics.median(r["cpu_us"] for r in small)
            figures += [at_most("peak memory beyond that of 10,000, MB", peak, 100),
                        at_most("CPU per prompt / that of 10,000", share, 1.1)]
    return Report(f"{many:,} prompts from a generator through `map`",
                  ["contender", "prompts", "answered", "CPU µs/prompt", "peak MB", "wall s"], rows, figures, raw=raw)
