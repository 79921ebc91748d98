"""A thousand replies at the same instant, once a second: 10,000 prompts, 1,000 slots, 10 runs.

The server keeps every request until the next whole second and releases all of them together. A client that drowns in
the burst misses the next second; the ideal is ten releases. A stall is a run that needs two releases (two seconds)
more than that.
Reach: no stall in 10 of 10 runs, CPU <= 0.5 of lm-deluge.
"""
from harness import HEADINGS, Bench, Figure, Report, Server, at_most, compare, compete, ratio

CONTENDERS = ("ours", "lm_deluge_async")
SLOTS = 1_000


def run(bench: Bench) -> Report:
    """Every contender, interleaved."""
    prompts = bench.size(10_000, 3_000)
    ideal = prompts // SLOTS
    with Server("lockstep", seconds=1) as server:
        found = bench.interleave(bench.names(CONTENDERS), bench.size(10, 2), lambda name: compete(
            name, server, patience=120, prompts=prompts, slots=SLOTS))
    runs = found.get("ours", [])
    stalled = sum(r["wall"] > ideal + 3 or r["answered"] < prompts for r in runs)
    notes = [f"{name}: releases per run {[len(r['server']['releases']) for r in results]}, "
             f"wall {[round(r['wall'], 1) for r in results]}" for name, results in found.items()]
    return Report(f"{SLOTS:,} replies released at the same instant, once a second, {prompts:,} prompts", HEADINGS,
                  compare(found, bench),
                  [Figure(f"stalled runs of {len(runs)}", float(stalled) if runs else None, "0",
                          stalled == 0 if runs else None),
                   at_most("CPU ours / lm_deluge_async", ratio(found, "ours", "lm_deluge_async", "cpu_us"), 0.5)],
                  notes, raw=found)
