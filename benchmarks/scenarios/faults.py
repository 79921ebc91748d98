"""A provider that misbehaves: 5 % 500, 2 % 429 (Retry-After: 1), 1 % reset, 0.5 % each hang, truncated, malformed.

50 ms latency, 225 slots, 5,000 prompts, five attempts, a timeout of 2 s. Which attempt of which prompt fails is fixed
by a seed, so that every client meets the same faults; with this seed every prompt has a good answer within its five
attempts. Times are the server's: from the first request to the good answer number 4,500, against the whole fault-free
run.
Reach: every prompt answered; none sent again after a good answer; 90 % answered within 1.3 of the fault-free wall.
"""
import math

from harness import Bench, Figure, Report, Server, at_most, compete, of

SLOTS, LATENCY, TIMEOUT = 225, 0.05, 2


def run(bench: Bench) -> Report:
    """Ours; peers on request (`--contenders ours,lm_deluge_async`)."""
    prompts = bench.size(5_000, 2_000)
    with Server("latency", seconds=LATENCY) as calm, Server("latency", seconds=LATENCY, faults=True) as rough:

        def once(name: str) -> dict:
            arguments = {"prompts": prompts, "slots": SLOTS, "warmup": 0, "timeout": TIMEOUT}
            compete(name, calm, **arguments)
            calm_log = calm.ask("log")
            result = compete(name, rough, **arguments)
            log = rough.ask("log")
            whole = calm_log["answers"][-1] - calm_log["arrivals"][0]
            answers = sorted(log["answers"])
            most = answers[min(len(answers), math.ceil(prompts * 0.9)) - 1] - log["arrivals"][0]
            return {**result, "calm": whole, "ninety": most / whole, "lost": prompts - result["answered"]}

        found = bench.interleave(bench.names(("ours",)), bench.size(5, 2), once)
    runs = found.get("ours", [])
    rows = [[name, f"{r['answered']:,} of {prompts:,}", f"{r['server']['duplicates']}", f"{r['server']['requests']:,}",
             f"{r['calm']:.2f}", f"{r['ninety'] * r['calm']:.2f}", f"{r['wall']:.2f}", f"{r['ninety']:.2f}"]
            for name, results in found.items() for r in results]
    duplicates = max((float(r["server"]["duplicates"]) for r in runs), default=None)
    return Report(f"Faults: {prompts:,} prompts, {SLOTS} slots, 50 ms",
                  ["contender", "answered", "sent after a good answer", "requests", "fault-free s", "90 % s", "all s",
                   "90 % / fault-free"], rows,
                  [Figure("prompts lost", of(runs, "lost", max), "0", not of(runs, "lost", max) if runs else None),
                   Figure("sent after a good answer", duplicates, "0", not duplicates if runs else None),
                   at_most("90 % answered / fault-free wall", of(runs, "ninety"), 1.3)], raw=found)
