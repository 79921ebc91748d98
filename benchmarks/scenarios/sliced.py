"""An account that gives its minute out in slices of a second, and hardly a 429.

6,000 requests and 600,000 tokens a minute, so that a second lets 100 requests in and refuses the rest. Latency is
lognormal around 300 ms, 225 slots, 3,000 prompts: what 30 s allow. Once with the limits given, once with limits `"auto"`
and nothing else. `used` is what was let in during the 30 s from the first request, of 3,000.
Reach: given, >= 98 % used and <= 0.5 % of the requests met with a 429; auto, >= 95 % and <= 1.5 %.
"""
from accounts import AUTO, HEADINGS, LIMIT, TOKENS, each, middle, rate, row
from harness import Bench, Report, at_least, at_most

SECONDS = 30.0
PROMPTS = int(LIMIT * SECONDS / 60)
REACH = {"limits given": (98, 0.5), "limits auto": (95, 1.5)}


def run(bench: Bench) -> Report:
    """Ours alone: no peer knows of slices."""
    account = {"requests": LIMIT, "tokens": TOKENS}
    clients = {"limits given": {"requests_per_minute": LIMIT, "tokens_per_minute": TOKENS}, "limits auto": AUTO}
    found = each(bench, {name: {"kind": "sliced", "account": account, "client": {"prompts": PROMPTS, **client}}
                         for name, client in clients.items()})
    rows, figures = [], []
    for name, runs in found.items():
        for each_run in runs:
            each_run["used"] = 100 * rate(each_run, 0.0, SECONDS) / LIMIT
            rows.append(row(name, each_run, f"{each_run['used']:.1f} %"))
        used, refused = REACH[name]
        figures += [at_least(f"{name}: % of the quota used over {SECONDS:g} s", middle(runs, "used"), used),
                    at_most(f"{name}: % of requests met with a 429", middle(runs, "share_429"), refused)]
    return Report(f"Slices of a second: {LIMIT:,} requests per minute, {PROMPTS:,} prompts", HEADINGS, rows, figures,
                  raw=found)
