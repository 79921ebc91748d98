"""What a run has done so far, counted by the engine and read by everybody.

One thread at a time writes (the engine's owner); any thread may read. There is no lock: every counter is one attribute,
and what is made of several (the costs, the seconds per limiting factor) is replaced as a whole.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from deluge.models.model import Limits
from deluge.params import SamplingParams
from deluge.response import APIResponse
from deluge.status import (
    LATENCY_BUCKETS, UNKNOWN_CAPACITY, Capacity, LimitingFactor, StatusSnapshot, Totals, latency_bucket, percentile,
)
from deluge.usage import Usage

DEFAULT_MAX_NEW_TOKENS: int = SamplingParams.model_fields["max_new_tokens"].default
_FOLD_AT = 1_000


class ExactSum:
    """A sum of floats that equals ``math.fsum`` over all of them, bit for bit, at the price of a list append each."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[float] = []

    def add(self, value: float) -> None:
        """Adds one finite float."""
        parts = self._parts
        parts.append(value)
        if len(parts) >= _FOLD_AT:
            self._parts = _folded(parts)

    def value(self) -> float:
        """The sum, rounded once."""
        return math.fsum(list(self._parts))


def _folded(parts: list[float]) -> list[float]:
    """A few floats with exactly the same sum: the rounded sum, what rounding left, what rounding that left, …"""
    rest, folded = list(parts), []
    while (rounded := math.fsum(rest)) != 0.0:
        folded.append(rounded)
        rest.append(-rounded)
    return folded


class StatusTracker(Totals):
    """Counts prompts, requests, tokens, dollars and what limits the run.

    ``total`` is what ``open(total=…)`` announced: calls add to the total only what goes beyond it.
    """

    __slots__ = (
        "name", "_announced", "_added", "_clock", "_started", "_began_at", "_ended_at", "_running", "_queued",
        "_backing_off", "_succeeded", "_failed", "_cancelled", "_cut", "_cut_at_default", "_resumed", "_duplicates",
        "_cache_hits", "_sent", "_retries_by_kind", "_failed_by_kind", "_rate_limit_errors", "_possibly_billed",
        "_input", "_output", "_cache_read", "_cache_write", "_cache_write_1h", "_reasoning", "_costs", "_unpriced",
        "_limited", "_minutes", "_capacity", "learned", "promised", "_latencies", "_models",
    )

    def __init__(self, name: str = "LLMClient", total: int | None = None,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self._clock = clock
        self._running = self._queued = self._backing_off = 0
        self._capacity = UNKNOWN_CAPACITY
        self.learned: dict[str, Limits] = {}
        self.promised: dict[str, Limits] = {}
        self._announced: int | None = None
        self._zero()
        self._announced = total

    def __repr__(self) -> str:
        now = self.snapshot()
        total = "?" if now.total is None else f"{now.total:,}"
        by = f" | limited by {now.limiting_factor}" if now.limiting_factor else ""
        return (f"<StatusTracker {self.name} {now.done:,}/{total} done, {now.failed:,} failed | "
                f"{now.running:,} running, {now.queued:,} queued{by}>")

    def _zero(self) -> None:
        self._announced = None
        self._started = self._added = 0
        self._began_at: float | None = None
        self._ended_at: float | None = None
        self._succeeded = self._failed = self._cancelled = self._cut = self._cut_at_default = 0
        self._resumed = self._duplicates = self._cache_hits = 0
        self._sent = self._rate_limit_errors = self._possibly_billed = self._unpriced = 0
        self._retries_by_kind: dict[str, int] = {}
        self._failed_by_kind: dict[str, int] = {}
        self._input = self._output = self._cache_read = self._cache_write = 0
        self._cache_write_1h = self._reasoning = 0
        self._costs = ExactSum()
        self._limited: tuple[dict[str, float], LimitingFactor | None, float] = ({}, None, 0.0)
        self._minutes: dict[int, dict[str, float]] = {}
        self._latencies = [0] * LATENCY_BUCKETS
        self._models: dict[str, int] = {}

    # ---- what the engine says ----------------------------------------------------------------------------------------

    def add_to_total(self, count: int) -> None:
        """A call brings this many prompts."""
        self._added += count

    def started(self, count: int = 1) -> None:
        """Prompts were taken in, whether they will be sent or not."""
        if self._began_at is None:
            self._began_at = self._clock()
        self._started += count

    def sent(self) -> None:
        """A request has left."""
        self._sent += 1

    def attempt_failed(self, kind: str, will_retry: bool, possibly_billed: bool = False) -> None:
        """An attempt brought no answer; ``will_retry``: its prompt is tried again, here or with another model."""
        if will_retry:
            self._retries_by_kind[kind] = self._retries_by_kind.get(kind, 0) + 1
        if kind == "rate_limit":
            self._rate_limit_errors += 1
        if possibly_billed:
            self._possibly_billed += 1

    def finished(self, response: APIResponse) -> None:
        """A prompt has ended with this response. Hits of cache, journal and dedupe bring no usage and no cost."""
        self._ended_at = self._clock()
        paid = response.source in ("api", "batch")
        if not paid:
            self._free(response.source)
        if response.is_error:
            self._lost(response)
        else:
            self._succeeded += 1
            if response.finish_reason == "length":
                self._shortened(response)
            latency = response.latency
            if paid and latency is not None:
                self._latencies[latency_bucket(latency)] += 1
        if paid:
            model = response.model_internal
            self._models[model] = self._models.get(model, 0) + 1
            self._pay(response.usage, response.cost, response.is_error)

    def late(self, usage: Usage, cost: float | None) -> None:
        """An answer came after its prompt had been cancelled: it was paid for all the same."""
        self._pay(usage, cost, True)

    def gauge(self, running: int, queued: int, backing_off: int, limiting_factor: LimitingFactor | None, now: float,
              capacity: Capacity | None = None) -> None:
        """What is under way from ``now`` on (seconds of the tracker's clock); ``capacity`` None is as before."""
        self._running, self._queued, self._backing_off = running, queued, backing_off
        if capacity is not None:
            self._capacity = capacity
        spent, factor, since = self._limited
        if factor != limiting_factor:
            if factor is not None:
                spent = {**spent, factor: spent.get(factor, 0.0) + max(0.0, now - since)}
                self._add_minutes(self._minutes, factor, since, now)
            self._limited = (spent, limiting_factor, now)

    def reset(self, in_flight: int = 0) -> None:
        """Zeroes the counters; the ``in_flight`` prompts that have not ended yet count in the new totals."""
        factor, now = self._limited[1], self._clock()
        self._zero()
        self._limited = ({}, factor, now)
        self._added = self._started = in_flight
        self._began_at = now if in_flight else None

    # ---- what everybody reads ----------------------------------------------------------------------------------------

    def snapshot(self) -> StatusSnapshot:
        """The counters at this instant, frozen; from any thread, at any time (some 20 microseconds)."""
        done = self._succeeded + self._failed + self._cancelled  # before `started`, so that it is never the larger one
        usage, cost = self.usage, self.cost
        latencies = self._latencies.copy()
        end = self._end(done)
        retries = self._retries_by_kind.copy()
        return StatusSnapshot(
            client_name=self.name, total=self._total(), started=self._started, running=self._running,
            queued=self._queued, backing_off=self._backing_off, succeeded=self._succeeded, failed=self._failed,
            cancelled=self._cancelled, cut=self._cut, cut_at_default=self._cut_at_default, resumed=self._resumed,
            duplicates=self._duplicates, cache_hits=self._cache_hits, requests_sent=self._sent,
            retries=sum(retries.values()), retries_by_kind=retries, failed_by_kind=self._failed_by_kind.copy(),
            rate_limit_errors=self._rate_limit_errors, possibly_billed=self._possibly_billed, usage=usage,
            cost=cost, unpriced=self._unpriced, limiting_factor=self.limiting_factor, limited_by=self._spent(end),
            limited_minutes=self._minutes_until(end),
            capacity=self._capacity, learned=self.learned.copy(), promised=self.promised.copy(),
            seconds=0.0 if self._began_at is None else max(0.0, end - self._began_at),
            latency_p50=percentile(latencies, 0.5), latency_p95=percentile(latencies, 0.95), models=self._models.copy(),
        )

    @property
    def usage(self) -> Usage:
        """All tokens so far."""
        return Usage(self._input, self._output, self._cache_read, self._cache_write, self._cache_write_1h,
                     self._reasoning)

    @property
    def cost(self) -> float:
        """All dollars so far, where prices are known."""
        return self._costs.value()

    @property
    def limiting_factor(self) -> LimitingFactor | None:
        """What keeps the run from being faster right now; None when nothing does."""
        return self._limited[1]

    # ---- details -----------------------------------------------------------------------------------------------------

    def _total(self) -> int | None:
        if self._announced is None and not self._added:
            return None
        return max(self._announced or 0, self._added, self._started)

    def _end(self, done: int) -> float:
        """Now, or the end of the last prompt when nothing is under way: idle time is nobody's speed."""
        ended_at = self._ended_at
        return self._clock() if ended_at is None or self._started > done else ended_at

    def _spent(self, end: float) -> dict[str, float]:
        spent, factor, since = self._limited
        if factor is None or end <= since:
            return spent.copy()
        return {**spent, factor: spent.get(factor, 0.0) + end - since}

    def _minutes_until(self, end: float) -> dict[int, dict[str, float]]:
        _, factor, since = self._limited
        minutes = self._minutes.copy()
        if factor is not None and end > since:
            self._add_minutes(minutes, factor, since, end)
        return minutes

    def _add_minutes(self, minutes: dict[int, dict[str, float]], factor: LimitingFactor, since: float, until: float) -> None:
        """Adds the seconds to the minutes that they fall into; what a minute holds is replaced as a whole."""
        began = since if self._began_at is None else self._began_at
        at = max(since, began)
        while at < until:
            minute = int((at - began) // 60.0)
            end = min(until, began + (minute + 1) * 60.0)
            end = end if end > at else until
            spent = minutes.get(minute, {})
            minutes[minute] = {**spent, factor: spent.get(factor, 0.0) + end - at}
            at = end

    def _pay(self, usage: Usage, cost: float | None, is_error: bool) -> None:
        if usage.input_tokens or usage.output_tokens or usage.total_tokens:
            self._input += usage.input_tokens
            self._output += usage.output_tokens
            self._cache_read += usage.cache_read_tokens
            self._cache_write += usage.cache_write_tokens
            self._cache_write_1h += usage.cache_write_1h_tokens
            self._reasoning += usage.reasoning_tokens
        elif is_error and cost is None:
            return
        if cost is None or not math.isfinite(cost):
            self._unpriced += 1
        else:
            self._costs.add(cost)

    def _free(self, source: str) -> None:
        if source == "journal":
            self._resumed += 1
        elif source == "dedupe":
            self._duplicates += 1
        else:
            self._cache_hits += 1

    def _lost(self, response: APIResponse) -> None:
        kind = response.error_kind or "server"
        if kind == "cancelled":
            self._cancelled += 1
        else:
            self._failed += 1
        self._failed_by_kind[kind] = self._failed_by_kind.get(kind, 0) + 1

    def _shortened(self, response: APIResponse) -> None:
        self._cut += 1
        params = response.sampling_params
        if params is not None and params.max_new_tokens == DEFAULT_MAX_NEW_TOKENS:
            self._cut_at_default += 1
