"""What a provider says about its limits in the headers of every reply."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?"
                       r"(?:(\d+(?:\.\d+)?)ms)?(?:(\d+(?:\.\d+)?)[uµ]s)?(?:(\d+)ns)?", re.ASCII)
_UNITS = (86_400.0, 3_600.0, 60.0, 1.0, 1e-3, 1e-6, 1e-9)
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)

# counter, window in seconds where the name tells it, then the names of limit, remaining and reset.
_NAMES: tuple[tuple[str, float | None, str, str, str], ...] = tuple(
    (counter, window, f"{prefix}limit{suffix}", f"{prefix}remaining{suffix}", f"{prefix}reset{suffix}")
    for counter, window, prefix, suffix in (
        ("requests", None, "x-ratelimit-", "-requests"),  # OpenAI, Azure, Groq, xAI, Fireworks
        ("tokens", None, "x-ratelimit-", "-tokens"),
        ("requests", 60.0, "x-ratelimit-", "-requests-minute"),  # Cerebras
        ("tokens", 60.0, "x-ratelimit-", "-tokens-minute"),  # Cerebras, Mistral
        ("requests", 60.0, "x-ratelimit-", "-req-minute"),  # Mistral
        ("requests", 86_400.0, "x-ratelimit-", "-requests-day"),
        ("tokens", 86_400.0, "x-ratelimit-", "-tokens-day"),
        ("requests", None, "anthropic-ratelimit-requests-", ""),
        ("tokens", None, "anthropic-ratelimit-tokens-", ""),
        ("input_tokens", None, "anthropic-ratelimit-input-tokens-", ""),
        ("output_tokens", None, "anthropic-ratelimit-output-tokens-", ""),
        ("requests", None, "x-ratelimit-", ""),  # OpenRouter, Together
    )
)


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit. ``counter`` is requests, tokens, input_tokens or output_tokens.

    ``reset_in`` and ``window`` are seconds; ``dated``: the reset was a time of the provider's clock.
    """

    counter: str
    limit: float | None = None
    remaining: float | None = None
    reset_in: float | None = None
    window: float | None = None
    dated: bool = False


@dataclass(frozen=True, slots=True)
class RateLimitInfo:
    """All limits that one reply names; false when it names none."""

    quotas: tuple[Quota, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.quotas)

    def of(self, counter: str) -> Quota | None:
        """The first limit on this counter (the shortest window comes first)."""
        return next((quota for quota in self.quotas if quota.counter == counter), None)

    @property
    def exhausted_for(self) -> float | None:
        """Seconds until there is room again; None while something remains of every limit, or no reset is named."""
        waits = [quota.reset_in for quota in self.quotas if quota.remaining == 0 and quota.reset_in is not None]
        return max(waits) if waits else None


NOTHING_SAID = RateLimitInfo()


def rate_limits(headers: Mapping[str, str], now: float = 0.0) -> RateLimitInfo:
    """The limits that these headers (lower-case names) tell. ``now`` is epoch seconds, for resets given as a time."""
    found = None
    for counter, window, limit, remaining, reset in _NAMES:
        if remaining in headers:
            until = headers.get(reset)
            quota = Quota(
                counter, _number(headers.get(limit)), _number(headers[remaining]), seconds_until(until, now), window,
                window is None and until is not None and _is_moment(until),
            )
            found = [quota] if found is None else [*found, quota]
    return NOTHING_SAID if found is None else RateLimitInfo(tuple(found))


def seconds_until(text: str | None, now: float) -> float | None:
    """Seconds from ``now``: of a Go duration (6m0s, 1m3.5s, 6ms), plain seconds, epoch time, or RFC 3339 time."""
    text = (text or "").strip()
    if not text or len(text) > 64:
        return None
    if _NUMBER.fullmatch(text):
        value = float(text)
        if value < 1e9:
            return value
        return max(0.0, (value / 1000.0 if value >= 1e12 else value) - now) if now else None
    duration = _DURATION.fullmatch(text)
    if duration:
        return sum(float(value) * unit for value, unit in zip(duration.groups(), _UNITS) if value)
    return _until_date(text, now)


def _is_moment(text: str) -> bool:
    """Whether it is a time and no number of seconds."""
    return "-" in text or (text.strip().isdecimal() and len(text.strip()) > 9)


def _until_date(text: str, now: float) -> float | None:
    try:
        moment = dt.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", re.sub(r"\.\d+", "", text)))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    return max(0.0, moment.timestamp() - now) if now else None


def _number(text: str | None) -> float | None:
    text = (text or "").strip()
    return float(text) if len(text) < 32 and _NUMBER.fullmatch(text) else None
