"""Estimates against the run, on the rehearsal provider's four profiles.

A client estimates the prompts before it has met the model, of which it knows what the model is made to take; it is asked
some of them, estimates all of them again, and runs them. Both estimates are held against the run.
`limited` waits for its 600 requests a minute, the others for their slots. `flaky` hangs for 5 s in one request of 400, which
is a sixth of all the time that its slots are taken: it is asked more, before and in the run, so that chance is small in both
(of 3,000 prompts some 8 hang, of 12,000 some 30; with `--quick` both are a quarter, and chance decides). `slow` runs for
so long that a straggler of 10 s at its end is no more than the seventh part. Takes five minutes; wants a quiet machine, since
answers that take longer before the estimate than after it are believed.
Reach: tokens within 10 %, wall within 15 %.
"""
import random
import time

from harness import Bench, Report, at_most

# slots, prompts, and how many of them are asked first
PROFILES = {"echo": (20, 6_000, 2_000), "slow": (60, 1_600, 400), "flaky": (20, 12_000, 3_000), "limited": (50, 1_200, 150)}


def prompts(count: int) -> "list[str]":
    """Texts of many lengths."""
    dice = random.Random(1)
    return [f"{number}: " + "the river carries it down to the sea " * dice.randint(1, 12) for number in range(count)]


def once(profile: str, slots: int, count: int, first: int) -> dict:
    """One estimate, and one run."""
    from deluge import LLMClient
    texts = prompts(count)
    with LLMClient(f"rehearsal-{profile}", max_concurrent_requests=slots, progress=None, max_attempts=10) as client:
        before = client.estimate(texts)
        client.process_prompts(random.Random(2).sample(texts, first))
        made = client.estimate(texts)
        client.reset_tracker()
        start = time.monotonic()
        answers = client.process_prompts(texts)
        wall = time.monotonic() - start
        usage = client.status().usage
    assert not any(answer.is_error for answer in answers)
    return {
        "wall": wall, "said": made.seconds, "low": made.seconds_low, "high": made.seconds_high,
        "before": before.seconds, "limited_by": made.limited_by, "tokens": usage.total_tokens,
        "expected": made.input_tokens + made.output_tokens, "unlearned": before.input_tokens + before.output_tokens,
    }


def run(bench: Bench) -> Report:
    """Ours alone, each profile once: the provider is a part of this process."""
    rows, figures = [], []
    for profile, (slots, count, first) in PROFILES.items():
        found = once(profile, slots, bench.size(count, count // 4), bench.size(first, first // 4))
        of_tokens = abs(found["expected"] / found["tokens"] - 1)
        of_wall = abs(found["said"] / found["wall"] - 1)
        rows.append([profile, f"{found['expected']:,}", f"{found['tokens']:,}", f"{of_tokens:.1%}",
                     f"{found['said']:.1f} ({found['low']:.1f} to {found['high']:.1f})", f"{found['wall']:.1f}",
                     f"{of_wall:.1%}", str(found["limited_by"]), f"{found['unlearned'] / found['tokens'] - 1:+.1%}",
                     f"{found['before'] / found['wall'] - 1:+.1%}"])
        at_first = [abs(found[said] / found[came] - 1) for said, came in (("unlearned", "tokens"), ("before", "wall"))]
        figures += [at_most(f"{profile}: {what} off by", off, reach) for what, off, reach in (
            ("tokens", of_tokens, 0.10), ("wall", of_wall, 0.15),
            ("tokens said before any answer", at_first[0], 0.10), ("wall said before any answer", at_first[1], 0.15))]
    return Report("Estimates against the run", [
        "profile", "tokens said", "tokens used", "off by", "s said", "s taken", "off by", "limited by",
        "tokens said before any answer", "s said before any answer",
    ], rows, figures, raw={})
