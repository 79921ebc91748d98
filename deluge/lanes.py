"""A lane: everything that belongs to one model while prompts for it are under way."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush, heapreplace
from random import Random

from deluge.limits import Bucket, LaneHealth, LaneNotice, Mode, Pace, QuotaBucket, Ramp, Reservation, TokenEstimator
from deluge.models.model import Limits, Model
from deluge.status import LimitingFactor
from deluge.tasks import Queue, Task
from deluge.wire import Verdict

PROBE_AFTER = 300.0  # seconds after which one prompt tries a blocklisted model again
NEVER = float("inf")


class Lane:
    """One model's queue head, limits, health and estimates. Owned by the scheduler.

    ``exempt``: neither the client-wide requests nor its tokens hold for it, because its model's own limits replace the
    defaults; ``shared_requests`` and ``shared_tokens`` say so one by one.
    ``retry_at``: before this time it refuses whatever is asked; ``refusal`` says why.
    ``holder``: the task that was refused; it keeps its turn until it starts or ends.
    ``blocked``: the verdict that blocklisted it; ``probe``: the task that tries whether it still holds.
    """

    __slots__ = (
        "model", "api_key", "bucket", "health", "ramp", "pace", "estimator", "running", "slots", "exempt", "shared_requests",
        "waiting", "holder", "retry_at", "refusal", "suspects", "blocked", "blocked_at", "probe", "closed_until", "_own_rpm",
        "_own_tokens", "_turns", "_gone", "_joined",
    )

    def __init__(
        self, model: Model, api_key: str | None, limits: Limits | None, *, replaces_default: bool,
        shared_rpm: float | None, mode: Mode, rng: Random,
    ) -> None:
        given = model.limits if limits is None else limits
        self._own_rpm, own_tpm = _finite(given.requests_per_minute), _finite(given.tokens_per_minute)
        own = self._own_rpm is not None or own_tpm is not None
        self.model = model.id
        self.api_key = api_key
        self.bucket = QuotaBucket(self._own_rpm, own_tpm, mode=mode) if own else None
        self.shared_requests = int(not replaces_default or model.limits.requests_per_minute is None)
        self._own_tokens = replaces_default and model.limits.tokens_per_minute is not None
        self.exempt = self._own_tokens and not self.shared_requests
        limit = self._limit(shared_rpm)
        self.health = LaneHealth(rng)
        self.ramp = Ramp.of_lane(limit)
        self.pace = Pace(limit)
        self.estimator = TokenEstimator()
        self.slots = None if given.concurrent_requests == NEVER else given.concurrent_requests
        self.running = 0
        self.waiting = 0
        self.holder: Task | None = None
        self.retry_at = 0.0
        self.refusal: LimitingFactor | None = None
        self.suspects: set[int] = set()
        self.blocked: Verdict | None = None
        self.blocked_at = 0.0
        self.probe: Task | None = None
        self.closed_until = 0.0
        self._turns: list[tuple[int, int, Queue]] = []  # the queues by the last turn of their calls, as far as known
        self._joined = self._gone = 0

    def join(self, queue: Queue) -> None:
        """A call begins to wait here."""
        self._joined += 1
        heappush(self._turns, (queue.call.served, self._joined, queue))

    def leave(self, queue: Queue) -> None:
        """A call has nothing left that waits here. Sweeps when most have gone, so that they are not kept."""
        del queue.call.ready[self]
        self._gone += 1
        if 2 * self._gone > len(self._turns):
            self._turns = [turn for turn in self._turns if turn[2].call.ready.get(self) is turn[2]]
            heapify(self._turns)
            self._gone = 0

    def queues(self) -> Iterator[Queue]:
        """What waits here, by call."""
        return (turn[2] for turn in list(self._turns) if turn[2].call.ready.get(self) is turn[2])

    def next(self) -> Task | None:
        """The oldest task of the call whose last turn is longest ago."""
        turns = self._turns
        while turns:
            served, joined, queue = turns[0]
            call = queue.call
            if call.ready.get(self) is not queue:
                heappop(turns)
                self._gone -= 1
            elif served != call.served:
                heapreplace(turns, (call.served, joined, queue))
            else:
                return queue.head(self)
        return None

    def follow(self, shared_rpm: float | None) -> None:
        """The user chose the client-wide limits: from now on they hold for this lane too."""
        self.exempt, self.shared_requests, self._own_tokens = False, 1, False
        self.pace.limit = limit = self._limit(shared_rpm)
        fresh = Ramp.of_lane(limit)
        self.ramp.start, self.ramp.doubling = fresh.start, fresh.doubling  # for the next burst
        self.retry_at = 0.0

    def _limit(self, shared_rpm: float | None) -> float | None:
        finite = [value for value in (self._own_rpm, shared_rpm if self.shared_requests else None) if value is not None]
        return min(finite) if finite else None

    def shared_tokens(self, tokens: int) -> int:
        """What a prompt of that many tokens takes of the client-wide tokens."""
        return 0 if self._own_tokens else tokens

    def most_tokens(self, shared_tpm: float | None) -> float | None:
        """The tokens that one prompt may have at most: a minute's worth, of the lane or of the client."""
        own = None if self.bucket is None else self.bucket.tokens_per_minute
        shared = None if self._own_tokens else shared_tpm
        return shared if own is None or (shared is not None and shared < own) else own

    def admits(self, task: Task, now: float) -> bool:
        """Whether this task may start, as far as the lane is concerned; if not, it holds the lane until it may."""
        task.tokens = tokens = self.estimator.estimate(task.size, task.template_for(task.model).params.max_new_tokens)
        wait = self.check(tokens, now)
        if wait > 0.0:
            self.holder, self.retry_at = task, now + wait
            return False
        return True

    def check(self, tokens: int, now: float) -> float:
        """0.0 when so many tokens may start; else seconds to wait, with ``refusal`` set."""
        health = self.health
        if now < health.cooling_until:
            self.refusal = "cooldown"
            return health.cooling_until - now
        room = min(self.ramp.cap(now), health.cap(now))
        if self.running >= room or (self.slots is not None and self.running >= self.slots):
            self.refusal = "slots"
            return max(0.001, min(self.ramp.next_change(now), health.next_change(now)))
        wait = self.pace.check(now)
        if wait > 0.0:
            self.refusal = "cooldown"
            return wait
        if self.bucket is not None:
            wait = self.bucket.check(tokens, now)
            if wait > 0.0:
                self.refusal = bound_by(self.bucket, now)
                return wait
        self.refusal = None
        return 0.0

    def take(self, tokens: int, now: float) -> Reservation | None:
        """Debits the lane for a start that ``check`` allowed."""
        if self.running == 0:
            self.ramp.began(now)
        self.running += 1
        self.pace.took(now)
        return None if self.bucket is None else self.bucket.take(tokens, now)

    def told(self, notice: LaneNotice, now: float) -> None:
        """News from another process that uses the same quota."""
        if notice.cooling_until is not None and self.health.told(notice.cooling_until, now):
            self.retry_at = 0.0

    def release(self, now: float) -> None:
        """A slot of the lane is free again."""
        self.running -= 1
        if self.running == 0:
            self.ramp.ended(now)
        self.retry_at = 0.0

    def __repr__(self) -> str:
        state = "blocked" if self.blocked is not None else (self.refusal or "open")
        return f"<Lane {self.model} {self.running} running | {self.waiting} ready | {state}>"


def bound_by(bucket: Bucket, now: float) -> LimitingFactor:
    """Which of the two limits refuses."""
    return "requests/min" if bucket.lacks_requests(now) else "tokens/min"


def _finite(limit: float | None) -> float | None:
    """Infinite means: no limit, not even the default one."""
    return None if limit is None or limit == NEVER else limit
