"""The block that tells how a run went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deluge.progress._words import accounts, latency, money, seconds
from deluge.progress._words import speed as pace
from deluge.status import StatusSnapshot
from deluge.tracker import DEFAULT_MAX_NEW_TOKENS

if TYPE_CHECKING:
    from deluge.estimates import Estimate

_LEAST_SHARE = 0.01  # of the time: what limits less is not worth a word


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings are called where the summary is read."""

    quota: str
    slots: str
    max_new_tokens: str


FLAGS = Settings("--rpm --tpm", "--concurrency", "--max-tokens")
ARGUMENTS = Settings("max_requests_per_minute, max_tokens_per_minute", "max_concurrent_requests", "max_new_tokens")


def summary(
    now: StatusSnapshot, next_step: str | None = None, settings: Settings = FLAGS, estimate: Estimate | None = None
) -> str:
    """Lines for people, each with a word of its own; lines that have nothing to say are left out.

    ``next_step``: the command that would go on. ``settings``: what advice calls the settings, on the command line or
    in Python (``ARGUMENTS``). ``estimate``: what was expected beforehand.
    """
    lines = (
        ("prompts", _prompts(now)), ("requests", _requests(now)), ("tokens", _tokens(now)), ("cost", _cost(now)),
        ("speed", _speed(now)), ("estimated", _estimate(now, estimate)),
        ("limited by", _limits(now, settings)), ("account", _account(now)),
        ("failed", _failures(now)),
        ("cut", _cut(now, settings)), ("next", next_step or ""),
    )
    return "".join(f"{word:<12}{text}\n" for word, text in lines if text)


def _prompts(now: StatusSnapshot) -> str:
    whole = max(now.total or 0, now.started, now.done)
    parts = [f"{now.succeeded - now.cut:,} answered"]
    for count, words in ((now.cut, "cut at length"), (now.failed, "failed"), (now.cancelled, "cancelled"),
                         (whole - now.done, "unfinished")):
        if count:
            parts.append(f"{count:,} {words}")
    text = f"{whole:,}: {', '.join(parts)}"
    if now.resumed or now.duplicates:
        text += f" | {now.resumed:,} resumed, {_counted(now.duplicates, 'duplicate')}"
    if now.cache_hits:
        text += f"{',' if now.resumed or now.duplicates else ' |'} {now.cache_hits:,} from the cache"
    return text


def _requests(now: StatusSnapshot) -> str:
    if not now.requests_sent and not now.retries:
        return ""
    text = f"{now.requests_sent:,} sent"
    if now.retries:
        text += f", {_counted(now.retries, 'retry', 'retries')} ({_kinds(now.retries_by_kind)})"
    return text + (f", {now.possibly_billed:,} possibly billed" if now.possibly_billed else "")


def _tokens(now: StatusSnapshot) -> str:
    usage = now.usage
    if not usage.total_tokens:
        return ""
    text = f"{usage.input_tokens:,} in"
    if usage.cache_read_tokens:
        text += f", {usage.cache_read_tokens:,} cached"
    if usage.cache_write_tokens:
        text += f", {usage.cache_write_tokens:,} written to the cache"
    text += f" | {usage.output_tokens:,} out"
    return text + (f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else "")


def _cost(now: StatusSnapshot) -> str:
    if not now.unpriced:
        return money(now.cost) if now.cost or now.usage.total_tokens else ""
    unpriced = f"{_counted(now.unpriced, 'prompt')} unpriced"
    return f"{money(now.cost)} ({unpriced})" if now.cost else f"unknown ({unpriced})"


def _estimate(now: StatusSnapshot, made: Estimate | None) -> str:
    """What had been expected of a run that nothing was resumed of and nothing left out of."""
    if made is None or now.resumed or now.cancelled or now.failed_by_kind.get("budget"):
        return ""
    return f"{made.input_tokens:,} in | {made.output_tokens:,} out, {_range(made)}, {_times(made)}"


def _range(made: Estimate) -> str:
    if made.cost is None or made.cost_low is None or made.cost_high is None:
        return "cost unknown"
    text = f"{money(made.cost)} ({money(made.cost_low)} to {money(made.cost_high)})"
    return text + (f", {_counted(made.unpriced, 'prompt')} unpriced" if made.unpriced else "")


def _times(made: Estimate) -> str:
    """The time, and from where to where when that is not the same."""
    said, low, high = (seconds(value) for value in (made.seconds, made.seconds_low, made.seconds_high))
    return said if low == said == high else f"{said} ({low} to {high})"


def estimate_lines(made: Estimate) -> str:
    """An estimate, for people."""
    how = "what the models answered so far" if made.learned else "a rule of thumb: no answers were seen yet"
    looked = f"{made.prompts:,}" + (f" ({made.sampled:,} of them looked at)" if made.sampled < made.prompts else "")
    by = f", limited by {made.limited_by}" if made.limited_by else ""
    lines = (
        ("prompts", looked), ("tokens", f"{made.input_tokens:,} in | {made.output_tokens:,} out expected, "
                                        f"{made.most_output_tokens:,} at most"),
        ("cost", _range(made)), ("time", f"{_times(made)}{by}"), ("by", how),
    )
    return "".join(f"{word:<12}{text}\n" for word, text in lines)


def _speed(now: StatusSnapshot) -> str:
    if not now.seconds or now.done <= now.resumed:
        return ""
    text = f"{seconds(now.seconds)}, {pace(now.prompts_per_second)}"
    if now.latency_p50 is None or now.latency_p95 is None:
        return text
    return text + f", p50 {latency(now.latency_p50)}, p95 {latency(now.latency_p95)}"


def _limits(now: StatusSnapshot, settings: Settings) -> str:
    shares = {name: share for name, share in now.limited_share.items() if share >= _LEAST_SHARE}
    text = ", ".join(f"{name} {share * 100:.0f} %" for name, share in shares.items())
    if not now.default_limits:
        return text
    names = [settings.quota] if {"requests/min", "tokens/min"} & shares.keys() else []
    names += [settings.slots] if not names and "slots" in shares else []
    return text + (f"   (limits are the defaults; raise them with {names[0]})" if names else "")


def _account(now: StatusSnapshot) -> str:
    """What the account's limits turned out to be, and what was given where that is another number."""
    found = []
    for model, told in accounts(now):
        words = [f"{number:,.0f} {word}/min" + (f" ({given:,.0f} given)" if given is not None and given != number else "")
                 for number, word, given in told]
        found.append(f"{model}: {', '.join(words)}")
    return " | ".join(found)


def _failures(now: StatusSnapshot) -> str:
    return _kinds({kind: count for kind, count in now.failed_by_kind.items() if kind != "cancelled"})


def _cut(now: StatusSnapshot, settings: Settings) -> str:
    if not now.cut_at_default:
        return ""
    return (f"{_counted(now.cut_at_default, 'answer')} ended at the default of {settings.max_new_tokens} "
            f"({DEFAULT_MAX_NEW_TOKENS}); raise it, above all for models that reason")


def _kinds(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in ranked if count)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
