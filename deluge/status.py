"""What a run looks like at one instant: the frozen snapshot that displays, the summary and dashboards read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from deluge.models.model import Limits
from deluge.usage import NO_USAGE, Usage

LimitingFactor = Literal["requests/min", "tokens/min", "slots", "cooldown", "budget", "input"]


@dataclass(frozen=True, slots=True)
class Capacity:
    """The limits in force and what is left of them; None = not known, ``math.inf`` = no limit.

    ``default``: neither the user nor the model chose these limits.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    slots: int | None = None
    remaining_requests: float | None = None
    remaining_tokens: float | None = None
    default: bool = False


UNKNOWN_CAPACITY = Capacity()


@dataclass(frozen=True, slots=True)
class Share:
    """What a process has of a quota that it shares; limits per minute, None = no limit.

    ``processes`` share it, ``hungry`` of them want more than they have. ``fair_…``: the limit over the hungry ones (at
    least this process). ``leased_…``: what may be started without asking. ``alone``: the quota cannot be asked at the
    moment, and the process keeps to its part of the limits.
    """

    processes: int
    hungry: int
    fair_requests_per_minute: float | None
    fair_tokens_per_minute: float | None
    leased_requests: int
    leased_tokens: int
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """The limits of one model, as ``client.limits()`` tells them; None = no limit, or not known.

    ``given``: by you, the catalog or the defaults. ``learned``: what the provider's headers say that the account has.
    ``in_force``: the lower of both, with the slots of the moment. ``remaining_…``: what may still be used now.
    ``paced``: starts per second, where the provider slices its minute. ``slots``: how many may be in flight at the
    moment, of ``slots_most``; ``running``: how many are. ``cooldown_until``, ``closed_until``: epoch seconds, where the
    model pauses, or takes nothing until a quota comes back. ``why``: what holds it back: ``requests/min``,
    ``tokens/min``, ``slots``, ``cooldown``, ``closed``, ``blocklisted``; None when nothing does. ``share``: of a quota
    that is shared with other processes.
    """

    model: str
    given: Limits
    learned: Limits
    in_force: Limits
    remaining_requests: float | None = None
    remaining_tokens: float | None = None
    remaining_input_tokens: float | None = None
    remaining_output_tokens: float | None = None
    paced: float | None = None
    running: int = 0
    slots: int
    slots_most: int
    cooldown_until: float | None = None
    closed_until: float | None = None
    why: str | None = None
    share: Share | None = None


class Totals:
    """The counters under the names of the user manual, for the tracker and for its snapshots."""

    __slots__ = ()

    def snapshot(self) -> StatusSnapshot:
        """The counters at this instant."""
        raise TypeError(f"{type(self).__name__} counts nothing")

    @property
    def num_tasks_started(self) -> int:
        """Prompts that were taken in."""
        return self.snapshot().started

    @property
    def num_tasks_in_progress(self) -> int:
        """Prompts whose request is under way."""
        return self.snapshot().running

    @property
    def num_tasks_succeeded(self) -> int:
        """Prompts that were answered, answers cut at ``length`` included."""
        return self.snapshot().succeeded

    @property
    def num_tasks_failed(self) -> int:
        """Prompts that ended without an answer; cancelled ones are counted apart."""
        return self.snapshot().failed

    @property
    def num_rate_limit_errors(self) -> int:
        """Attempts that were answered with a rate limit (429)."""
        return self.snapshot().rate_limit_errors

    @property
    def queue_depth(self) -> int:
        """Prompts that wait for their turn."""
        return self.snapshot().queued

    @property
    def total_requests(self) -> int:
        """HTTP requests that left, retries included."""
        return self.snapshot().requests_sent

    @property
    def total_retries(self) -> int:
        """Failed attempts after which the prompt was tried again."""
        return self.snapshot().retries

    @property
    def total_cost(self) -> float:
        """Dollars, as far as prices are known (``unpriced`` counts the rest)."""
        return self.snapshot().cost

    @property
    def total_input_tokens(self) -> int:
        """Input tokens without cached ones."""
        return self.snapshot().usage.input_tokens

    @property
    def total_output_tokens(self) -> int:
        """Output tokens with reasoning."""
        return self.snapshot().usage.output_tokens

    @property
    def total_cache_read_tokens(self) -> int:
        """Input tokens that providers read from their caches."""
        return self.snapshot().usage.cache_read_tokens

    @property
    def total_cache_write_tokens(self) -> int:
        """Input tokens that providers wrote to their caches."""
        return self.snapshot().usage.cache_write_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSnapshot(Totals):
    """Everything that was counted since the tracker was opened or reset.

    ``succeeded`` holds ``cut`` (answers that ended at ``length``), ``resumed`` (taken from a journal), ``duplicates``
    (answered by an equal prompt) and ``cache_hits``. ``failed`` is without ``cancelled``; ``failed_by_kind`` has both.
    ``usage`` and ``cost`` are the sums over the responses. ``limited_by`` has seconds per limiting factor,
    ``limited_minutes`` the same for each minute since the start.
    ``cut_at_default``: those of ``cut`` whose ``max_new_tokens`` was the default. Times are seconds.
    ``total`` is None while nobody knows how many prompts there will be. ``models``: prompts by answering model.
    ``learned``: by model, what its provider's headers say that the account may use per minute; ``promised``: what of it
    was given as a number.
    """

    client_name: str = "LLMClient"
    total: int | None = None
    started: int = 0
    running: int = 0
    queued: int = 0
    backing_off: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    cut: int = 0
    cut_at_default: int = 0
    resumed: int = 0
    duplicates: int = 0
    cache_hits: int = 0
    requests_sent: int = 0
    retries: int = 0
    retries_by_kind: Mapping[str, int] = field(default_factory=dict)
    failed_by_kind: Mapping[str, int] = field(default_factory=dict)
    rate_limit_errors: int = 0
    possibly_billed: int = 0
    usage: Usage = NO_USAGE
    cost: float = 0.0
    unpriced: int = 0
    limiting_factor: LimitingFactor | None = None
    limited_by: Mapping[str, float] = field(default_factory=dict)
    limited_minutes: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    capacity: Capacity = UNKNOWN_CAPACITY
    learned: Mapping[str, Limits] = field(default_factory=dict)
    promised: Mapping[str, Limits] = field(default_factory=dict)
    seconds: float = 0.0
    latency_p50: float | None = None
    latency_p95: float | None = None
    models: Mapping[str, int] = field(default_factory=dict)

    def snapshot(self) -> StatusSnapshot:
        """Itself."""
        return self

    @property
    def done(self) -> int:
        """Prompts that have ended, one way or the other."""
        return self.succeeded + self.failed + self.cancelled

    @property
    def prompts_per_second(self) -> float:
        """Answered and failed prompts per second, those that a journal answered left out."""
        return (self.succeeded + self.failed - self.resumed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the speed so far; None while that cannot be said."""
        speed = self.prompts_per_second
        if self.total is None or not speed:
            return None
        return max(0, self.total - self.done) / speed

    @property
    def default_limits(self) -> bool:
        """Whether the limits in force are the defaults, chosen by nobody."""
        return self.capacity.default

    @property
    def limited_share(self) -> dict[str, float]:
        """The share of the time (0-1) that each factor limited the run, largest first."""
        if self.seconds <= 0:
            return {}
        shares = {name: min(1.0, spent / self.seconds) for name, spent in self.limited_by.items() if spent > 0}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))


def percentile(counts: list[int], share: float) -> float | None:
    """The latency (seconds) under which ``share`` of a histogram of ``latency_bucket`` lies; None when it is empty."""
    rank = share * sum(counts)
    if not rank:
        return None
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return math.ldexp(math.exp((bucket + 0.5) / _PER_OCTAVE * math.log(2.0)), _LOWEST)
    return None


def latency_bucket(seconds: float) -> int:
    """The bucket of a latency: sixteen per factor of two, so that a percentile is off by 2.2 % at most."""
    return int((math.log2(seconds) - _LOWEST) * _PER_OCTAVE) if _SHORTEST < seconds < _LONGEST else _edge(seconds)


def _edge(seconds: float) -> int:
    return LATENCY_BUCKETS - 1 if seconds >= _LONGEST else 0


_PER_OCTAVE = 16
_LOWEST, _HIGHEST = -14, 17  # 61 microseconds to 36 hours
_SHORTEST, _LONGEST = 2.0 ** _LOWEST, 2.0 ** _HIGHEST
LATENCY_BUCKETS = (_HIGHEST - _LOWEST) * _PER_OCTAVE
