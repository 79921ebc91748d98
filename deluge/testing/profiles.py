"""The rehearsal models: latency, limits and fault rates of each, in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from types import MappingProxyType

from deluge.testing.faults import Fault
from deluge.testing.limits import RateLimits

ATTEMPTS = 400
BACKOFF = 0.25  # seconds: what a client waits on average before it tries again for the first time
_NORMAL = NormalDist()
_NO_FAULTS: Mapping[str | Fault, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Latency:
    """How long an answer takes, in seconds: around ``typical``, between ``low`` and ``high``.

    ``spread`` is the sigma of a lognormal distribution; 0 takes evenly what lies between ``low`` and ``high``.
    """

    typical: float
    low: float = 0.0
    high: float = math.inf
    spread: float = 0.0

    def seconds(self, draw: float) -> float:
        """The latency for a number in [0, 1): the same number gives the same latency."""
        if self.spread:
            value = self.typical * math.exp(self.spread * _NORMAL.inv_cdf(min(max(draw, 1e-9), 1 - 1e-9)))
            return min(max(value, self.low), self.high)
        if math.isinf(self.high):
            return self.typical
        return self.low + (self.high - self.low) * draw


@dataclass(frozen=True, slots=True)
class Profile:
    """How one rehearsal model behaves.

    ``faults`` are the shares of requests that are spoilt, by kind; no prompt is spoilt more than ``max_faults`` times
    in a row, so that a client that tries again gets every answer. ``limits`` None means none.
    """

    name: str
    summary: str
    latency: Latency
    limits: RateLimits | None = None
    faults: Mapping[str | Fault, float] = field(default_factory=lambda: _NO_FAULTS)
    max_faults: int = 2

    def attempts(self) -> list[tuple[float, float, bool]]:
        """Four hundred attempts as they come on average: seconds, seconds until the next try, whether there is one."""
        made = [(self.latency.seconds((at + 0.5) / ATTEMPTS), 0.0, False) for at in range(ATTEMPTS)]
        at = 0
        for kind, share in self.faults.items():
            hangs = kind.seconds if isinstance(kind, Fault) else 0.0
            for _ in range(round(share * ATTEMPTS)):
                made[at] = (made[at][0] + hangs, BACKOFF, True)
                at += 1
        return made


ECHO = Profile("rehearsal-echo", "answers after about 50 ms", Latency(0.05, 0.04, 0.06))
SLOW = Profile("rehearsal-slow", "answers like a large model, after about 2 s", Latency(2.0, 0.5, 10.0, spread=0.5))
FLAKY = Profile(
    "rehearsal-flaky", "spoils one request in ten, in every way there is; the third try always works",
    Latency(0.05, 0.04, 0.06),
    faults=MappingProxyType({
        "500": .02, "503": .01, "429": .02, "529": .005, "reset": .01, "reset_body": .005, "truncated": .005,
        "malformed": .005, "empty": .005, "html": .005, "error_200": .005,
        "bad_chunk": .0025, Fault("hang_body", seconds=5): .0025,
    }),
)
LIMITED = Profile(
    "rehearsal-limited", "600 requests and 60,000 tokens a minute, with true headers", Latency(0.05, 0.04, 0.06),
    limits=RateLimits(requests=600, tokens=60_000),
)
INSTANT = Profile("rehearsal-instant", "answers at once", Latency(0.0))

EMBED = Profile("rehearsal-embed", "embeds texts, after about 50 ms", Latency(0.05, 0.04, 0.06))
RERANK = Profile("rehearsal-rerank", "ranks documents, after about 50 ms", Latency(0.05, 0.04, 0.06))

PROFILES: Mapping[str, Profile] = MappingProxyType({
    row.name: row for row in (ECHO, SLOW, FLAKY, LIMITED, INSTANT, EMBED, RERANK)
})
