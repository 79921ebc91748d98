"""A snapshot in words, for displays and summaries: short figures, and the parts of a line by importance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from deluge.status import StatusSnapshot

Part = tuple[str, str]  # text and style: "", "dim", "red", "yellow", "green"
SEPARATOR = " · "
_COUNTED = (("requests_per_minute", "requests"), ("tokens_per_minute", "tokens"),
            ("input_tokens_per_minute", "input tokens"), ("output_tokens_per_minute", "output tokens"))


def short(count: float) -> str:
    """A count in four or five characters: 999, 1.2k, 248k, 3.1M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size * 0.9995:
            scaled = count / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:,.0f}{unit}"
    return f"{count:.0f}"


def money(dollars: float) -> str:
    """Dollars with the digits that matter: $0.000012, $0.4213, $12.35, $1,234.50."""
    if dollars == 0:
        return "$0"
    if abs(dollars) >= 9.99995:
        return f"${dollars:,.2f}"
    digits = 4 if abs(dollars) >= 0.00095 else min(12, 1 - math.floor(math.log10(abs(dollars))))
    return f"${dollars:.{digits}f}"


def speed(per_second: float) -> str:
    """Prompts per second, or per minute when they are few."""
    if per_second >= 99.95:
        return f"{per_second:,.0f} prompts/s"
    if per_second >= 0.95:
        return f"{per_second:.1f} prompts/s"
    return f"{per_second * 60:.1f} prompts/min"


def seconds(value: float) -> str:
    """A duration: 134.3 s, 23 min 4 s, 2 h 12 min."""
    if value < 600:
        return f"{value:.1f} s"
    if value < 7_170:
        return f"{int(value) // 60} min {int(value) % 60} s"
    minutes = round(value / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"


def latency(value: float) -> str:
    """A latency: 85 ms, 1.2 s."""
    return f"{value * 1e3:.0f} ms" if value < 0.9995 else f"{value:.1f} s"


def clock(value: float) -> str:
    """A duration as a clock shows it: 0:51, 12:03, 1:02:03."""
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def name(now: StatusSnapshot, longest: int = 24) -> str:
    """The client's name, fit for one line."""
    text = "".join(char if char.isprintable() else " " for char in now.client_name)
    return text if len(text) <= longest else text[:longest - 1] + "…"


def progress(now: StatusSnapshot) -> list[Part]:
    """How far it is: 312/500, 62 %, 0:51 left."""
    if now.total is None:
        return [(f"{now.done:,} done", ""), (clock(now.seconds), "dim")]
    parts = [(f"{now.done:,}/{now.total:,}", "")]
    if now.total:
        parts.append((f"{100 * now.done // now.total} %", ""))
    left = now.seconds_left
    if left is not None and now.done < now.total:
        parts.append((f"{clock(math.ceil(left))} left", "dim"))
    return parts


def traffic(now: StatusSnapshot) -> list[Part]:
    """What is going on: failures, speed, what runs and waits, what limits it, and what the account turned out to have."""
    parts = [(f"{now.failed:,} failed", "red")] if now.failed else []
    if now.done:
        parts.append((speed(now.prompts_per_second), ""))
    parts.append((f"{now.running:,} running", ""))
    if now.queued:
        parts.append((f"{now.queued:,} queued", ""))
    if now.backing_off:
        parts.append((f"{now.backing_off:,} backing off", ""))
    if now.limiting_factor:
        parts.append((f"limited by {now.limiting_factor}", "yellow"))
    return parts + _account(now)


def accounts(now: StatusSnapshot) -> Iterator[tuple[str, list[tuple[float, str, float | None]]]]:
    """By model, the limits that its provider told: the number per minute, of what, and the number that was given."""
    for model, learned in now.learned.items():
        given = now.promised.get(model)
        told = [(float(number), word, None if given is None else _number(getattr(given, name)))
                for name, word in _COUNTED for number in [_number(getattr(learned, name))] if number is not None]
        if told:
            yield model, told


def _number(limit: object) -> float | None:
    return float(limit) if isinstance(limit, (int, float)) and limit != math.inf else None


def _account(now: StatusSnapshot) -> list[Part]:
    """What accounts turned out to have, where it is not what was given."""
    found = []
    for model, told in accounts(now):
        other = [f"{short(number)} {word}/min" for number, word, given in told if number != given]
        if other:
            found.append((f"{'account' if len(now.learned) == 1 else model} has {', '.join(other)}", "dim"))
    return found


def spending(now: StatusSnapshot) -> list[Part]:
    """What it has taken: dollars, tokens, retries."""
    usage, parts = now.usage, []
    if now.cost:
        parts.append((money(now.cost), ""))
    if usage.total_tokens:
        parts += [(f"{short(usage.input_tokens)} in", ""), (f"{short(usage.output_tokens)} out", "")]
    if usage.cache_read_tokens:
        parts.append((f"{short(usage.cache_read_tokens)} cached", ""))
    if now.retries:
        parts.append((f"{now.retries:,} {'retry' if now.retries == 1 else 'retries'}", ""))
    return parts


def outcome(now: StatusSnapshot) -> list[Part]:
    """How it ended, when the display goes away."""
    whole = max(now.total or 0, now.started)
    parts = [(f"{now.succeeded:,} of {whole:,} answered", "")]
    if now.failed:
        parts.append((f"{now.failed:,} failed", "red"))
    if now.cancelled:
        parts.append((f"{now.cancelled:,} cancelled", "yellow"))
    parts.append((seconds(now.seconds), ""))
    if now.done:
        parts.append((speed(now.prompts_per_second), ""))
    return parts + spending(now)


def line(parts: Iterable[Part]) -> str:
    """The parts as plain text."""
    return SEPARATOR.join(text for text, _ in parts)


def fit(parts: list[Part], width: int) -> list[Part]:
    """The first parts that fit into ``width`` columns."""
    kept: list[Part] = []
    used = 0
    for part in parts:
        used += len(part[0]) + (len(SEPARATOR) if kept else 0)
        if used > width:
            break
        kept.append(part)
    return kept
