"""What a provider says about trying again: ``retry-after-ms``, ``retry-after`` and ``x-should-retry``."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping

LONGEST = 366 * 86_400.0  # more than a year is nonsense

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER = re.compile(r"\+?(\d{1,12}(?:\.\d*)?|\.\d+)", re.ASCII)
_DATE = re.compile(
    r"(?:[a-z]+,? +)?(\d{1,2})[ -]([a-z]{3})[ -](\d{4}|\d{2}) +(\d\d):(\d\d):(\d\d)(?: +(?:gmt|utc|z|[+-]0000))?",
    re.ASCII | re.IGNORECASE)
_ASCTIME = re.compile(r"[a-z]{3} +([a-z]{3}) +(\d{1,2}) +(\d\d):(\d\d):(\d\d) +(\d{4})", re.ASCII | re.IGNORECASE)


def parse_retry_after(headers: Mapping[str, str], now_wall: float) -> float | None:
    """Seconds that the provider asked us to wait; None when it named none, or nonsense.

    ``headers`` has lower-case names; ``now_wall`` is in seconds since the epoch, for HTTP dates (RFC 9110 10.2.3).
    """
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None and seconds / 1000.0 <= LONGEST:
        return seconds / 1000.0
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is None and text:
        date = _date(text.strip())
        seconds = None if date is None else date - now_wall
    return seconds if seconds is not None and 0.0 <= seconds <= LONGEST else None


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """What ``x-should-retry`` says; None when it says nothing."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def _number(text: str | None) -> float | None:
    found = _NUMBER.fullmatch(text.split(",")[0].strip()) if text else None  # a repeated field arrives joined
    return float(found[1]) if found else None


def _date(text: str) -> float | None:
    found = _DATE.fullmatch(text)
    if found:
        day, month, year, hour, minute, second = found.groups()
    else:
        found = _ASCTIME.fullmatch(text)
        if not found:
            return None
        month, day, hour, minute, second, year = found.groups()
    if month.lower() not in _MONTHS:
        return None
    full_year = int(year) + (0 if len(year) == 4 else 2000 if int(year) < 70 else 1900)
    numbers = full_year, _MONTHS.index(month.lower()) + 1, int(day), int(hour), int(minute), int(second)
    if not (1 <= numbers[2] <= 31 and numbers[3] < 24 and numbers[4] < 60 and numbers[5] <= 60 and full_year >= 1970):
        return None
    return float(calendar.timegm(numbers))
