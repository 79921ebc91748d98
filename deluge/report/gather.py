"""What a file of records adds up to. Reads it line by line and keeps sums, histograms and the few prompts worth showing."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import Any

from deluge import _json
from deluge.errors import ConfigError
from deluge.status import LATENCY_BUCKETS, latency_bucket, percentile

SHOWN = 25  # slowest and failed prompts that are shown
LARGEST = 1e15  # of what a record may count; beyond it sums would end in numbers that are none
TEXT = 2_000  # characters of a shown text
MOST_STEPS = 720  # time steps that are kept; beyond that two become one
SOURCES = ("api", "batch")  # records of these were paid for


@dataclass(slots=True)
class ModelSums:
    """One model's share."""

    prompts: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    latencies: list[int] = field(default_factory=lambda: [0] * LATENCY_BUCKETS)


@dataclass(slots=True)
class Step:
    """One step of time: what ended in it."""

    answered: int = 0
    failed: int = 0
    requests: int = 0
    tokens: int = 0
    in_flight: float = 0.0  # seconds of prompts under way


class Timeline:
    """Steps of equal length that cover the run, at first of a second; they double as the run turns out longer."""

    __slots__ = ("seconds", "steps")

    def __init__(self) -> None:
        self.seconds = 1
        self.steps: dict[int, Step] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Counts one record at the time it ended, and its last attempt while it was under way."""
        at = _number(record.get("finished_at"))
        if not 0.0 < at < 1e11:
            return
        step = self._at(at)
        if record.get("is_error"):
            step.failed += 1
        else:
            step.answered += 1
        step.requests += max(0, int(_number(record.get("attempts"))))
        step.tokens += _tokens(record)
        self._under_way(at, min(_number(record.get("latency")), 86_400.0))
        while len(self.steps) > MOST_STEPS:
            self._halve()

    def _at(self, at: float) -> Step:
        return self.steps.setdefault(int(at // self.seconds), Step())

    def _under_way(self, end: float, latency: float) -> None:
        start = end - latency
        first, last = int(start // self.seconds), int(end // self.seconds)
        for number in range(max(first, last - MOST_STEPS), last + 1):
            begin = max(start, number * self.seconds)
            until = min(end, (number + 1) * self.seconds)
            if until > begin and (number in self.steps or number >= first):
                self.steps.setdefault(number, Step()).in_flight += until - begin

    def _halve(self) -> None:
        """Two steps become one."""
        self.seconds *= 2
        old, self.steps = self.steps, {}
        for number, step in old.items():
            into = self.steps.setdefault(number // 2, Step())
            into.answered += step.answered
            into.failed += step.failed
            into.requests += step.requests
            into.tokens += step.tokens
            into.in_flight += step.in_flight

    def filled(self) -> list[tuple[float, Step]]:
        """Start (epoch seconds) and step, in order, without holes; a long rest between two runs stays one empty step."""
        found: list[tuple[float, Step]] = []
        before: int | None = None
        for number in sorted(self.steps):
            if before is not None:
                gap = number - before - 1
                missing = range(before + 1, number) if gap <= 120 else (before + 1,)
                found += [(float(other * self.seconds), Step()) for other in missing]
            found.append((float(number * self.seconds), self.steps[number]))
            before = number
        return found


class Gathered:
    """Sums over records. ``damaged``: lines that are no record."""

    def __init__(self) -> None:
        self.prompts = self.answered = self.failed = self.cut = self.damaged = 0
        self.requests = self.retried = self.possibly_billed = self.unpriced = 0
        self.input_tokens = self.cached_tokens = self.output_tokens = self.reasoning_tokens = 0
        self.costs: list[float] = []
        self.first_at, self.last_at = math.inf, 0.0
        self.models: dict[str, ModelSums] = {}
        self.kinds: dict[str, int] = {}
        self.finishes: dict[str, int] = {}
        self.sources: dict[str, int] = {}
        self.latencies = [0] * LATENCY_BUCKETS
        self.timeline = Timeline()
        self._slowest: list[tuple[float, int, dict[str, Any]]] = []
        self.failures: list[dict[str, Any]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Counts one record."""
        self.prompts += 1
        source = _word(record.get("source")) or "api"
        self.sources[source] = self.sources.get(source, 0) + 1
        failed = bool(record.get("is_error"))
        if failed:
            self._fail(record)
        else:
            self.answered += 1
            self.cut += record.get("finish_reason") == "length"
            finish = _word(record.get("finish_reason")) or "unknown"
            self.finishes[finish] = self.finishes.get(finish, 0) + 1
        if source in SOURCES:
            self._paid(record, failed)
        self.timeline.add(record)

    def _fail(self, record: Mapping[str, Any]) -> None:
        self.failed += 1
        kind = _word(record.get("error_kind")) or "unknown"
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if len(self.failures) < SHOWN:
            self.failures.append(_shown(record))

    def _paid(self, record: Mapping[str, Any], failed: bool) -> None:
        attempts = int(_number(record.get("attempts")))
        self.requests += attempts
        self.retried += attempts > 1
        self.possibly_billed += bool(record.get("possibly_billed"))
        sums = self.models.setdefault(_word(record.get("model")) or "?", ModelSums())
        sums.prompts += 1
        sums.failed += failed
        for ours, theirs in (("input_tokens", "input_tokens"), ("output_tokens", "output_tokens"),
                             ("cached_tokens", "cache_read_tokens"), ("reasoning_tokens", "reasoning_tokens")):
            count = int(_number(record.get(theirs)))
            setattr(sums, ours, getattr(sums, ours) + count)
            setattr(self, ours, getattr(self, ours) + count)
        self._cost(record, sums)
        self._time(record, sums, failed)

    def _cost(self, record: Mapping[str, Any], sums: ModelSums) -> None:
        cost = record.get("cost")
        if isinstance(cost, (int, float)) and not isinstance(cost, bool) and abs(cost) < LARGEST:
            sums.cost += cost
            self.costs.append(float(cost))
            if len(self.costs) >= 1_000:
                self.costs = [math.fsum(self.costs)]
        elif _tokens(record):
            sums.unpriced += 1
            self.unpriced += 1

    def _time(self, record: Mapping[str, Any], sums: ModelSums, failed: bool) -> None:
        for name in ("started_at", "finished_at"):
            at = _number(record.get(name))
            if 0.0 < at < 1e11:
                self.first_at, self.last_at = min(self.first_at, at), max(self.last_at, at)
        latency = _number(record.get("latency"))
        if latency <= 0.0 or failed:
            return
        bucket = latency_bucket(latency)
        self.latencies[bucket] += 1
        sums.latencies[bucket] += 1
        if len(self._slowest) < SHOWN:
            heappush(self._slowest, (latency, self.prompts, _shown(record)))
        elif latency > self._slowest[0][0]:
            heappushpop(self._slowest, (latency, self.prompts, _shown(record)))

    @property
    def cost(self) -> float:
        """Dollars, where prices are known."""
        return math.fsum(self.costs)

    @property
    def seconds(self) -> float:
        """From the first request to the last end, rests between runs included."""
        return max(0.0, self.last_at - self.first_at) if self.last_at else 0.0

    @property
    def slowest(self) -> list[dict[str, Any]]:
        """The slowest answers, slowest first."""
        return [shown for _, _, shown in sorted(self._slowest, key=lambda item: (-item[0], item[1]))]

    def percentile(self, share: float) -> float | None:
        """A latency in seconds."""
        return percentile(self.latencies, share)


def read_records(path: str | os.PathLike[str]) -> Gathered:
    """The sums over a file of records; ``ConfigError`` when it cannot be read."""
    gathered = Gathered()
    try:
        with open(path, "rb") as file:
            for record in _records(file, gathered):
                gathered.add(record)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    return gathered


def _records(lines: Iterable[bytes], gathered: Gathered) -> Iterable[Mapping[str, Any]]:
    for line in lines:
        if not line.strip():
            continue
        try:
            record = _json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and "is_error" in record:
            yield record
        else:
            gathered.damaged += 1


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record goes onto the page: cut texts, plain values."""
    names = ("index", "id", "model", "error_kind", "error_message", "status_code", "latency", "attempts", "request_id")
    shown = {name: record.get(name) for name in names}
    shown["latency"] = _number(record.get("latency")) or None
    shown["prompt"], shown["completion"] = _text(record.get("prompt")), _text(record.get("completion"))
    return shown


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return text if len(text) <= TEXT else text[:TEXT] + " …"


def _tokens(record: Mapping[str, Any]) -> int:
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    return sum(int(_number(record.get(name))) for name in names)


def _word(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _number(value: Any) -> float:
    """A number that is not negative, and no larger than anything that is counted; 0.0 for whatever else is in its place."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if 0.0 <= number < LARGEST else 0.0
