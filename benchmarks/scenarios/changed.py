"""The account's limit is cut in half and, 30 s later, doubled, while a run goes on.

6,000 requests a minute, limits `"auto"`, latency lognormal around 300 ms, 225 slots; 45 s more after the doubling. Once
with an account that gives its minute out in slices of a second, once with a bucket, which the run has emptied by then.
`down` is the time from the cut until what is let in during the next two seconds is at most 3 % over the new rate and
stays so; `up` the time from the doubling until it is at most 5 % under the old one.
Reach: <= 5 s down, <= 30 s up, >= 95 % of the new rate from then on, <= 1 % of the requests met with a 429.
"""
from accounts import AUTO, HEADINGS, LIMIT, TOKENS, each, middle, rate, row
from harness import Bench, Report, at_least, at_most

HALF, LOW, HIGH = LIMIT / 2, 30.0, 45.0  # seconds with the half and with the whole again
SETTLED = {"sliced": 10.0, "bucket": 40.0}  # seconds before the cut
WINDOW = 2.0


def down(run: dict, cut: float) -> float:
    """Seconds after the cut until no two seconds until the doubling are over the new rate."""
    late = [step for step in steps(LOW - WINDOW) if rate(run, cut + step, cut + step + WINDOW) > 1.03 * HALF]
    return max(late) + 0.5 if late else 0.0


def up(run: dict, doubled: float) -> float:
    """Seconds after the doubling until two seconds reach the old rate."""
    return next((step for step in steps(HIGH - WINDOW)
                 if rate(run, doubled + step, doubled + step + WINDOW) >= 0.95 * LIMIT), HIGH)


def steps(end: float) -> "list[float]":
    """Every half second."""
    return [0.5 * number for number in range(int(2 * end) + 1)]


def run(bench: Bench) -> Report:
    """Ours alone."""
    account = {"requests": LIMIT, "tokens": 10 * TOKENS}
    found = each(bench, {kind: {
        "kind": kind, "account": account, "changes": {settled: HALF, settled + LOW: LIMIT},
        "client": {"prompts": 40_000, "seconds": settled + LOW + HIGH + 1, "feed": "generator", **AUTO},
    } for kind, settled in SETTLED.items()})
    rows, figures = [], []
    for name, runs in found.items():
        for each_run in runs:
            cut, doubled = each_run["changed"]
            each_run.update(
                down=down(each_run, cut), up=up(each_run, doubled), low=100 * rate(each_run, cut + 5, cut + LOW) / HALF,
                high=100 * rate(each_run, doubled + 30, doubled + HIGH) / LIMIT)
            rows.append(row(name, each_run, f"{each_run['low']:.1f} %, {each_run['high']:.1f} %"))
        figures += [at_most(f"{name}: s until the lower rate is kept", middle(runs, "down"), 5),
                    at_most(f"{name}: s until the old rate is reached", middle(runs, "up"), 30),
                    at_least(f"{name}: % of the lower limit used from 5 s on", middle(runs, "low"), 95),
                    at_least(f"{name}: % of the old limit used from 30 s on", middle(runs, "high"), 95),
                    at_most(f"{name}: % of requests met with a 429", middle(runs, "share_429"), 1)]
    return Report(f"The limit changes: {LIMIT:,} requests per minute, half of it, and all of it again", HEADINGS, rows,
                  figures, raw=found)
