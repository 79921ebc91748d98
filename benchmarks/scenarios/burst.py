"""A full bucket is emptied at once and never overdrawn.

An account of 6,000 requests a minute whose bucket is full at the beginning: the first 6,000 of 9,000 prompts may go as
fast as they can, and the rest comes at 100 a second, so that the last one can be let in 30 s after the first and not
before. Latency is lognormal around 300 ms, 225 slots. Once with limits `"auto"`, once with the limit given and
`limit_mode="bucket"`. `used` is those 30 s over the wall, which has the last answers' latency in it.
Reach: wall <= 1.05 of the best possible, no 429.
"""
from accounts import AUTO, HEADINGS, LATENCY, LIMIT, TOKENS, each, middle, row
from harness import Bench, Report, at_most

PROMPTS = 9_000
BEST = (PROMPTS - LIMIT) / (LIMIT / 60) + LATENCY


def run(bench: Bench) -> Report:
    """Ours alone."""
    account = {"requests": LIMIT, "tokens": 10 * TOKENS}
    given = {"requests_per_minute": LIMIT, "tokens_per_minute": 10 * TOKENS, "limit_mode": "bucket"}
    found = each(bench, {name: {"kind": "bucket", "account": account, "client": {"prompts": PROMPTS, **client}}
                         for name, client in (("limits auto", AUTO), ("limit_mode bucket", given))})
    rows, figures = [], []
    for name, runs in found.items():
        for each_run in runs:
            each_run["over"], each_run["refused"] = each_run["wall"] / BEST, len(each_run["refusals"])
            rows.append(row(name, each_run, f"{1 / each_run['over']:.1%}"))
        figures += [at_most(f"{name}: wall / best possible", middle(runs, "over"), 1.05),
                    at_most(f"{name}: requests met with a 429", middle(runs, "refused"), 0)]
    return Report(f"A full bucket of {LIMIT:,} requests, {PROMPTS:,} prompts", HEADINGS, rows, figures, raw=found)
