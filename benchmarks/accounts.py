"""One run of ours against an account with limits, and what its log says: what the scenarios of limits have in common.

Prompts of about 160 characters are repeated as their answers: 82 tokens together, where the account allows 100.
"""
import os
import statistics
from collections.abc import Mapping, Sequence

from harness import Bench, Provider, compete

LIMIT, TOKENS = 6_000, 600_000  # per minute
LATENCY, SPREAD = 0.3, 0.4  # seconds, and the sigma of a lognormal distribution
CHARS, SLOTS = 124, 225
AUTO = {"requests_per_minute": "auto", "tokens_per_minute": "auto"}
HEADINGS = ["run", "sent", "let in", "429", "used", "wall s", "CPU µs/prompt", "load"]


def spend(kind: str, account: Mapping[str, object], client: Mapping[str, object],
          changes: "Mapping[float, float] | None" = None) -> dict:
    """One run, with the account's log; times are seconds since the first request arrived."""
    with Provider(kind, changes, latency=LATENCY, spread=SPREAD, **account) as server:
        options = {"prompt_chars": CHARS, "slots": SLOTS, "warmup": 0, **client}
        result = compete("ours", server, **options)
        found = server.ask("log")
    first = found["arrivals"][0]
    times = {name: [at - first for at in found[name]] for name in ("arrivals", "accepted", "refusals", "changed")}
    return {**result, **times, "share_429": 100 * len(times["refusals"]) / len(times["arrivals"]), "load": os.getloadavg()[0]}


def each(bench: Bench, runs: Mapping[str, Mapping[str, object]]) -> "dict[str, list[dict]]":
    """Every run by its name: `kind`, `account`, `client` and `changes` of `spend`."""
    return bench.interleave(list(runs), 1, lambda name: spend(**runs[name]))


def rate(run: dict, begin: float, end: float) -> float:
    """Requests per minute that were let in between two times."""
    return sum(begin <= at < end for at in run["accepted"]) * 60.0 / (end - begin)


def row(name: str, run: dict, used: str) -> "list[str]":
    """One line of the table."""
    return [name, f"{len(run['arrivals']):,}", f"{len(run['accepted']):,}", f"{len(run['refusals']):,}", used,
            f"{run['wall']:.1f}", f"{run['cpu_us']:.0f}", f"{run['load']:.1f}"]


def middle(runs: Sequence[dict], field: str) -> "float | None":
    """The median of the rounds."""
    return statistics.median(run[field] for run in runs) if runs else None
