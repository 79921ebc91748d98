"""Rate limits as providers run them: a bucket, a rolling window, or slices of a minute. Pure: time is an argument."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["bucket", "rolling", "sliced"]
_HAIR = 1e-9  # sums of floats may miss by this much


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What may arrive in ``per`` seconds; None = no limit.

    ``kind``: ``bucket`` starts full and refills continuously, ``rolling`` allows the limit in any such time, ``sliced``
    cuts the time into slices of ``slice`` seconds, each with its part of the limit (a slice as long as ``per`` is a
    fixed window). ``counts``: whether output is counted as it was written (``actual``) or as the request reserved it
    (``reserved``, its maximum of tokens). ``headers``: whether replies tell what is left. ``retry_after``: whether a
    429 says when.
    """

    requests: float | None = None
    tokens: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    per: float = 60.0
    kind: Kind = "bucket"
    slice: float = 1.0
    counts: Literal["actual", "reserved"] = "actual"
    headers: bool = True
    retry_after: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """What the limiter says to one request.

    ``refused``: the counter that had no room; empty when the request is let in. ``retry_after``: seconds until it would
    have been let in, infinite when it never will. ``state``: (limit, remaining, seconds until all of it is there) by
    counter.
    """

    refused: str = ""
    retry_after: float = 0.0
    asked: float = 0.0
    state: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


class _Counter(Protocol):
    """One limited quantity."""

    limit: float

    def free(self, now: float) -> float:
        """How much may be taken at this moment."""

    def take(self, amount: float, now: float) -> None:
        """Takes it, whether it is free or not."""

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much is free; infinite when it never is."""

    def full_in(self, now: float) -> float:
        """Seconds until nothing is taken any more."""


class _Bucket:
    """Starts full; refills by ``limit / per`` a second."""

    __slots__ = ("limit", "per", "_level", "_at")

    def __init__(self, limit: float, per: float, now: float) -> None:
        self.limit, self.per, self._level, self._at = limit, per, limit, now

    def free(self, now: float) -> float:
        self._level = min(self.limit, self._level + max(0.0, now - self._at) * self.limit / self.per)
        self._at = max(self._at, now)
        return self._level

    def take(self, amount: float, now: float) -> None:
        self._level = self.free(now) - amount

    def wait(self, amount: float, now: float) -> float:
        if amount > self.limit:
            return math.inf
        missing = amount - self.free(now)
        return missing * self.per / self.limit if missing > _HAIR else 0.0

    def full_in(self, now: float) -> float:
        return (self.limit - self.free(now)) * self.per / self.limit


class _Rolling:
    """No more than the limit in any ``per`` seconds."""

    __slots__ = ("limit", "per", "_taken", "_used")

    def __init__(self, limit: float, per: float, now: float) -> None:
        self.limit, self.per = limit, per
        self._taken: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def free(self, now: float) -> float:
        while self._taken and self._taken[0][0] + self.per <= now:
            self._used -= self._taken.popleft()[1]
        return self.limit - self._used

    def take(self, amount: float, now: float) -> None:
        self._taken.append((now, amount))
        self._used += amount

    def wait(self, amount: float, now: float) -> float:
        if amount > self.limit:
            return math.inf
        missing = amount - self.free(now)
        if missing <= _HAIR:
            return 0.0
        for at, taken in self._taken:
            missing -= taken
            if missing <= _HAIR:
                return max(0.0, at + self.per - now)
        return self.full_in(now)

    def full_in(self, now: float) -> float:
        self.free(now)
        return max(0.0, self._taken[-1][0] + self.per - now) if self._taken else 0.0


class _Sliced:
    """Each slice has its part of the limit. A larger amount is let in when nothing is owed, and then paid off."""

    __slots__ = ("limit", "per", "slice", "_origin", "_index", "_used")

    def __init__(self, limit: float, per: float, now: float, slice: float) -> None:
        self.limit, self.per, self.slice = limit, per, slice
        self._origin, self._index, self._used = now, 0, 0.0

    def _part(self, now: float) -> float:
        """What one slice allows, after what was owed has been paid from the slices that passed."""
        part = self.limit * self.slice / self.per
        index = int((now - self._origin) / self.slice + _HAIR)
        if index > self._index:
            self._used = max(0.0, self._used - part * (index - self._index))
            self._index = index
        return part

    def free(self, now: float) -> float:
        return self._part(now) - self._used

    def take(self, amount: float, now: float) -> None:
        self._part(now)
        self._used += amount

    def wait(self, amount: float, now: float) -> float:
        if amount > self.limit:
            return math.inf
        part = self._part(now)
        missing = self._used - max(0.0, part - amount)
        return self._slices(math.ceil(missing / part), now) if missing > _HAIR else 0.0

    def full_in(self, now: float) -> float:
        part = self._part(now)
        return self._slices(math.ceil(self._used / part), now) if self._used else 0.0

    def _slices(self, count: int, now: float) -> float:
        return max(0.0, self._origin + (self._index + count) * self.slice - now)


class Limiter:
    """Lets requests in or refuses them: all counters together, or none."""

    def __init__(self, limits: RateLimits, now: float) -> None:
        self.limits = limits
        self._counters = _counters(limits, now)

    def change(self, limits: RateLimits, now: float) -> None:
        """New limits from now on. What was taken stays taken, unless the kind of limit changes."""
        old, new = self._counters, _counters(limits, now)
        if (limits.kind, limits.per, limits.slice) == (self.limits.kind, self.limits.per, self.limits.slice):
            for name in old.keys() & new.keys():
                old[name].limit, new[name] = new[name].limit, old[name]
        self.limits, self._counters = limits, new

    def take(self, tokens_in: float, tokens_out: float, reserved_out: float, now: float) -> Decision:
        """Whether one request with these tokens may pass."""
        out = tokens_out if self.limits.counts == "actual" else reserved_out
        asked = {"requests": 1.0, "tokens": tokens_in + out, "input_tokens": tokens_in, "output_tokens": out}
        refused, longest = "", 0.0
        for name, counter in self._counters.items():
            wait = counter.wait(asked[name], now)
            if wait > longest:
                refused, longest = name, wait
        if refused:
            return Decision(refused, longest, asked[refused], self.state(now))
        for name, counter in self._counters.items():
            counter.take(asked[name], now)
        return Decision(state=self.state(now))

    def state(self, now: float) -> dict[str, tuple[float, float, float]]:
        """(limit, remaining, seconds until all of it is there) by counter."""
        if not self.limits.headers:
            return {}
        return {
            name: (counter.limit, max(0.0, counter.free(now)), counter.full_in(now))
            for name, counter in self._counters.items()
        }


def duration(seconds: float) -> str:
    """Seconds as the reset headers write them: ``850ms``, ``1.2s``, ``6m0s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"


def _counters(limits: RateLimits, now: float) -> dict[str, _Counter]:
    given = {name: getattr(limits, name) for name in ("requests", "tokens", "input_tokens", "output_tokens")}
    return {name: _counter(limits, limit, now) for name, limit in given.items() if limit is not None}


def _counter(limits: RateLimits, limit: float, now: float) -> _Counter:
    if limits.kind == "bucket":
        return _Bucket(limit, limits.per, now)
    if limits.kind == "rolling":
        return _Rolling(limit, limits.per, now)
    return _Sliced(limit, limits.per, now, limits.slice)
