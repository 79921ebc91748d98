"""What `max_new_tokens` reserves and answers do not take is used by other prompts.

`max_new_tokens=4096`, answers of 100 tokens (206 with their prompts), 100,000 tokens a minute and no limit on requests;
the account counts what was written and its bucket is full at the beginning. Once with the limit given, which holds for
any minute, once with limits `"auto"`, where the refill of 20 s may be used as well. `used` is what was let in during the
20 s from the first request, in tokens, of that.
Reach: >= 95 % used after 20 s.
"""
from accounts import AUTO, HEADINGS, each, middle, row
from harness import Bench, Report, at_least

TOKENS, MOST, SECONDS = 100_000, 4_096, 20.0
ANSWER = 400  # characters: 100 tokens
EACH = 2 * ANSWER // 4 + 6  # tokens of a prompt and its answer, and what the message takes


def run(bench: Bench) -> Report:
    """Ours alone."""
    from traffic import prompt
    client = {"prompts": 2_000, "max_new_tokens": MOST, "seconds": SECONDS + 1,
              "prompt_chars": ANSWER - len(prompt(1_000, 0))}
    given = {"requests_per_minute": "none", "tokens_per_minute": TOKENS}
    found = each(bench, {name: {"kind": "bucket", "account": {"tokens": TOKENS}, "client": {**client, **limits}}
                         for name, limits in (("limits given", given), ("limits auto", AUTO))})
    rows, figures = [], []
    for name, runs in found.items():
        whole = TOKENS * (1 + SECONDS / 60 if name == "limits auto" else 1)
        for each_run in runs:
            taken = EACH * sum(at < SECONDS for at in each_run["accepted"])
            each_run["used"] = 100 * taken / whole
            rows.append(row(name, each_run, f"{each_run['used']:.1f} %"))
        figures.append(at_least(f"{name}: % of the token limit used after {SECONDS:g} s", middle(runs, "used"), 95))
    return Report(f"max_new_tokens={MOST:,}, answers of 100 tokens, {TOKENS:,} tokens per minute", HEADINGS, rows, figures,
                  raw=found)
