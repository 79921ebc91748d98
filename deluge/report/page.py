"""The page itself: sections of figures and charts, in one HTML text without scripts. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from deluge._version import __version__
from deluge.progress._words import latency, money, seconds
from deluge.report.charts import MOST_BARS, Bar, bars, escaped, legend, shares, table
from deluge.report.gather import Gathered, Step
from deluge.report.runfile import RunNotes
from deluge.report.style import STYLE
from deluge.status import LATENCY_BUCKETS, percentile

# What limited the run -> colour. Whatever else a run may name takes the last one.
FACTORS = {"requests/min": "a", "tokens/min": "e", "slots": "c", "cooldown": "b", "budget": "d", "input": "f"}
_PERCENTILES = (0.5, 0.9, 0.95, 0.99)


def page(name: str, run: Gathered, notes: Sequence[RunNotes] = ()) -> str:
    """The whole page about the records of a file of this name."""
    parts = (
        _head(name, run), _tiles(run), _throughput(run, notes), _tokens(run, notes), _limits(run, notes), _latencies(run),
        _models(run), _errors(run, notes), _prompts("Slowest answers", run.slowest), _prompts("Failed prompts", run.failures),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(name)}</title><style>{STYLE}</style></head><body><main>"
        f"{''.join(parts)}</main></body></html>\n"
    )


def _head(name: str, run: Gathered) -> str:
    span = f"{_moment(run.first_at)} to {_moment(run.last_at)}" if run.last_at else "no times recorded"
    damaged = f", {run.damaged:,} damaged lines left out" if run.damaged else ""
    return (f"<header><h1>{escaped(name)}</h1>"
            f'<p class="soft">{escaped(span)} (UTC){escaped(damaged)} | deluge {escaped(__version__)}</p></header>')


def _tiles(run: Gathered) -> str:
    p50, p95 = run.percentile(0.5), run.percentile(0.95)
    answered = f"{run.answered:,}" if not run.cut else f"{run.answered:,} ({run.cut:,} cut)"
    cost = money(run.cost) if run.cost or not run.unpriced else "unknown"
    tiles = [
        (answered, f"answered of {run.prompts:,}"), (f"{run.failed:,}", "failed"), (f"{run.requests:,}", "requests"),
        (cost, f"cost, {run.unpriced:,} unpriced" if run.unpriced else "cost"),
        (f"{run.input_tokens + run.cached_tokens:,}", f"tokens in, {run.cached_tokens:,} cached"),
        (f"{run.output_tokens:,}", f"tokens out, {run.reasoning_tokens:,} reasoning"),
        (seconds(run.seconds), "from first to last"),
        ("-" if p50 is None or p95 is None else f"{latency(p50)} / {latency(p95)}", "latency p50 / p95"),
    ]
    shown = "".join(f"<div><b>{escaped(figure)}</b><span>{escaped(word)}</span></div>" for figure, word in tiles)
    return f'<div class="tiles">{shown}</div>'


def _throughput(run: Gathered, notes: Sequence[RunNotes]) -> str:
    steps, width = _steps(run)
    if not steps:
        return ""
    limit = max((note.requests_per_minute for note in notes if note.requests_per_minute), default=None)
    per_minute = 60.0 / width
    data = [
        Bar((("a", step.answered * per_minute), ("b", step.failed * per_minute)),
            f"{_moment(at)}: {step.answered:,} answered, {step.failed:,} failed in {seconds(width)}", _clock(at))
        for at, step in steps
    ]
    line = bars(data, label="prompts per minute over time", limit=limit,
                limit_label=f"limit {limit:,.0f} requests/min" if limit else "")
    return _section("Throughput", "Prompts that ended, per minute.", line, legend([("a", "answered"), ("b", "failed")]))


def _tokens(run: Gathered, notes: Sequence[RunNotes]) -> str:
    steps, width = _steps(run)
    if not any(step.tokens for _, step in steps):
        return ""
    limit = max((note.tokens_per_minute for note in notes if note.tokens_per_minute), default=None)
    data = [
        Bar((("c", step.tokens * 60.0 / width),), f"{_moment(at)}: {step.tokens:,} tokens in {seconds(width)}", _clock(at))
        for at, step in steps
    ]
    line = bars(data, label="tokens per minute over time", limit=limit,
                limit_label=f"limit {limit:,.0f} tokens/min" if limit else "")
    return _section("Tokens", "Tokens of what ended, per minute.", line)


def _limits(run: Gathered, notes: Sequence[RunNotes]) -> str:
    """What limited the run, minute by minute; without notes what the records show of it: prompts under way."""
    minutes = [
        (note.started_at + minute * 60.0, factors) for note in notes for minute, factors in sorted(note.limited.items())
    ]
    if not minutes:
        return _under_way(run, noted=bool(notes))
    minutes = minutes[-MOST_BARS:]
    named = {factor for _, factors in minutes for factor in factors}
    style = {**FACTORS, **{factor: "f" for factor in sorted(named - FACTORS.keys())}}
    data = [
        Bar(shares(factors, style), f"{_moment(at)}: " + (", ".join(
            f"{factor} {spent:.0f} s" for factor, spent in sorted(factors.items(), key=lambda item: -item[1])) or "nothing"),
            _clock(at))
        for at, factors in minutes
    ]
    return _section("What limited the run", "Seconds of each minute in which prompts had to wait, by what they waited for.",
                    bars(data, label="what limited the run, minute by minute", top=60.0),
                    legend([(style[factor], factor) for factor in style if factor in named]))


def _under_way(run: Gathered, noted: bool) -> str:
    steps, width = _steps(run)
    if not any(step.in_flight for _, step in steps):
        return ""
    data = [
        Bar((("f", step.in_flight / width),), f"{_moment(at)}: {step.in_flight / width:.1f} under way on average",
            _clock(at))
        for at, step in steps
    ]
    why = "Nothing did, as far as its notes tell" if noted else "The run left no notes about its limits"
    said = f"{why}; this is how many requests were under way."
    return _section("What limited the run", said, bars(data, label="requests under way over time"))


def _latencies(run: Gathered) -> str:
    if not any(run.latencies):
        return ""
    merged = [sum(run.latencies[first:first + 4]) for first in range(0, LATENCY_BUCKETS, 4)]
    used = [number for number, count in enumerate(merged) if count]
    data = [
        Bar((("a", float(merged[number])),), f"{_edge(number)} to {_edge(number + 1)}: {merged[number]:,} answers",
            _edge(number))
        for number in range(used[0], used[-1] + 1)
    ]
    row = [latency(value) for share in _PERCENTILES if (value := run.percentile(share)) is not None]
    return _section("Latency", "Seconds that an answer took, on a logarithmic scale.",
                    bars(data, label="histogram of latencies"),
                    table([f"p{share * 100:.0f}" for share in _PERCENTILES], [row]))


def _models(run: Gathered) -> str:
    if not run.models:
        return ""
    rows = []
    for name, sums in sorted(run.models.items(), key=lambda item: (-item[1].cost, -item[1].prompts, item[0])):
        p50 = percentile(sums.latencies, 0.5)
        cost = money(sums.cost) if sums.cost or not sums.unpriced else "unknown"
        rows.append([
            name, f"{sums.prompts:,}", f"{sums.failed:,}", f"{sums.input_tokens:,}", f"{sums.cached_tokens:,}",
            f"{sums.output_tokens:,}", f"{sums.reasoning_tokens:,}", cost, "-" if p50 is None else latency(p50),
        ])
    heads = ("model", "prompts", "failed", "in", "cached", "out", "reasoning", "cost", "p50")
    return _section("Models", "Tokens and cost by model.", table(heads, rows, range(1, 9)))


def _errors(run: Gathered, notes: Sequence[RunNotes]) -> str:
    retries: dict[str, int] = {}
    for note in notes:
        for kind, count in note.retries.items():
            retries[kind] = retries.get(kind, 0) + count
    if not run.kinds and not retries and not run.retried and not run.possibly_billed:
        return _section("Errors and retries", "None.")
    rows = [[kind, f"{retries.get(kind, 0):,}" if retries else "-", f"{run.kinds.get(kind, 0):,}"]
            for kind in sorted(set(retries) | set(run.kinds), key=lambda kind: (-run.kinds.get(kind, 0), kind))]
    said = (f"{run.retried:,} prompts took more than one attempt, "
            f"{run.possibly_billed:,} had one that was possibly billed for nothing.")
    return _section("Errors and retries", said, table(("kind", "retries", "failed prompts"), rows, (1, 2)) if rows else "")


def _prompts(title: str, shown: Sequence[Mapping[str, Any]]) -> str:
    if not shown:
        return ""
    return _section(title, f"{len(shown):,} of them.", "".join(_prompt(item) for item in shown))


def _prompt(item: Mapping[str, Any]) -> str:
    name = item["id"] if item["id"] is not None else item["index"]
    took = item["latency"]
    facts = [f"#{name}", item["model"], None if took is None else latency(took), item["error_kind"],
             item["status_code"], f"{item['attempts']} attempts" if item["attempts"] not in (None, 1) else None]
    summary = " | ".join(str(fact)[:200] for fact in facts if fact not in (None, ""))
    blocks = [(word, item[word]) for word in ("error_message", "prompt", "completion") if item[word]]
    body = "".join(f'<p class="soft">{escaped(word.replace("_", " "))}</p><pre>{escaped(text)}</pre>' for word, text in blocks)
    return f"<details><summary>{escaped(summary)}</summary>{body}</details>"


def _section(title: str, lead: str, *parts: str) -> str:
    return f'<section><h2>{escaped(title)}</h2><p class="soft">{escaped(lead)}</p>{"".join(parts)}</section>'


def _steps(run: Gathered) -> tuple[list[tuple[float, Step]], float]:
    """The time steps as bars: few enough to be seen, each with its length in seconds."""
    steps = run.timeline.filled()
    group = max(1, -(-len(steps) // MOST_BARS))
    if group == 1:
        return steps, float(run.timeline.seconds)
    merged = []
    for first in range(0, len(steps), group):
        total = Step()
        for _, step in steps[first:first + group]:
            total.answered += step.answered
            total.failed += step.failed
            total.tokens += step.tokens
            total.in_flight += step.in_flight
        merged.append((steps[first][0], total))
    return merged, float(run.timeline.seconds * group)


def _edge(number: int) -> str:
    """The lower end of the number-th bar of the latency histogram."""
    return latency(2.0 ** (-14 + number / 4))


def _moment(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _clock(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.timezone.utc).strftime("%H:%M:%S")
