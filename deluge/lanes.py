"""A lane: everything that belongs to one model while prompts for it are under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush, heapreplace
from random import Random

from deluge.dialects._rate_limits import RateLimitInfo
from deluge.experience import Experience
from deluge.limits import (
    Adaptation, Bucket, BucketMaker, Claim, Counting, LaneHealth, LaneNotice, LaneQuota, MIN_WAIT, Mode, Ramp, Slots,
    TokenEstimator,
)
from deluge.limits.pace import SETTLED
from deluge.models.model import AUTO, Limits, Model
from deluge.status import LaneLimits, LimitingFactor
from deluge.tasks import Flight, Queue, Task
from deluge.wire import Verdict

PROBE_AFTER = 300.0  # seconds after which one prompt tries a blocklisted model again
IDLE = 60.0  # seconds after which nobody misses a lane, where there are many
NEVER = float("inf")
Leases = Callable[[str, "str | None"], BucketMaker]


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """What all lanes of a client have in common.

    ``shared``: the client-wide requests and tokens per minute, None where there is none. ``auto``: whether each of the
    two is left to the provider. ``slots``: the client's maximum; ``auto_slots``: whether it is to be found out.
    ``replaces_default``: the client-wide limits are the defaults, which a model's own limits replace. ``leases``: what
    makes the buckets of a model and key that are shared with other processes.
    """

    shared: tuple[float | None, float | None] = (None, None)
    auto: bool = False
    slots: int = 225
    auto_slots: bool = False
    replaces_default: bool = False
    mode: Mode = "rolling"
    rules: Adaptation = Adaptation()
    leases: Leases | None = None


class Lane:
    """One model's queue head, limits, health and estimates. Owned by the scheduler.

    ``exempt``: neither the client-wide requests nor its tokens hold for it, because its model's own limits replace the
    defaults; ``shared_requests`` and ``shared_tokens`` say so one by one.
    ``retry_at``: before this time it refuses whatever is asked; ``refusal`` says why.
    ``holder``: the task that was refused; it keeps its turn until it starts or ends.
    ``blocked``: the verdict that blocklisted it; ``probe``: the task that tries whether it still holds.
    ``quota``: its limits, given and learned; ``adaptive``: how many may be in flight; ``latency``: of good replies, in
    seconds, 0.0 before the first; ``experience``: what attempts took, for estimates.
    """

    __slots__ = (
        "model", "api_key", "quota", "health", "ramp", "adaptive", "estimator", "running", "slots", "exempt",
        "shared_requests", "waiting", "holder", "retry_at", "refusal", "suspects", "blocked", "blocked_at", "probe",
        "closed_until", "quiet_at", "latency", "experience", "auto", "_busy_since",
        "_opening", "_settings", "_own_tokens", "_turns", "_gone", "_joined",
    )

    def __init__(
        self, model: Model, api_key: str | None, limits: Limits | None, settings: LaneSettings, rng: Random,
        own_address: bool = True,
    ) -> None:
        given, defaults, rules = model.limits if limits is None else limits, settings.replaces_default, settings.rules
        self.model = model.id
        self.api_key = api_key
        self.shared_requests = int(not defaults or model.limits.requests_per_minute is None)
        self._own_tokens = defaults and model.limits.tokens_per_minute is not None
        self._settings = settings
        self.exempt = self._own_tokens and not self.shared_requests
        counting = Counting.of(model) if own_address else Counting()
        make = None if settings.leases is None else settings.leases(model.id, api_key)
        self.quota = LaneQuota(given, self._shared(settings.shared), settings.mode, rules, counting, make)
        self.auto = settings.auto or AUTO in (given.requests_per_minute, given.tokens_per_minute)
        self.health = LaneHealth(rng, rules.cooldown)
        self._opening = self.auto and self.quota.requests_per_minute is None
        self.ramp = (Ramp(rules.auto_start, rules.auto_doubling, per_good=1.0) if self._opening
                     else Ramp.of_lane(self.quota.requests_per_minute))
        self.estimator = TokenEstimator()
        slots = given.concurrent_requests
        self.slots = int(slots) if isinstance(slots, (int, float)) and slots < NEVER else None
        self.adaptive = Slots(self._most_slots(settings.slots), rules, settings.auto_slots or slots == AUTO)
        self.latency = self._busy_since = 0.0
        self.experience = Experience()
        self.running = 0
        self.waiting = 0
        self.holder: Task | None = None
        self.retry_at = 0.0
        self.refusal: LimitingFactor | None = None
        self.suspects: set[int] = set()
        self.blocked: Verdict | None = None
        self.blocked_at = 0.0
        self.probe: Task | None = None
        self.closed_until = self.quiet_at = 0.0  # the latter: since when nothing is in flight
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

    def follow(self, settings: LaneSettings, now: float) -> None:
        """The user chose the client-wide limits: from now on they hold for this lane too."""
        chosen = (settings.shared, settings.auto) != (self._settings.shared, self._settings.auto)
        self._settings = settings
        self.adaptive.limit(self._most_slots(settings.slots))
        self.retry_at = 0.0
        if not chosen:
            return
        self.exempt, self.shared_requests, self._own_tokens = False, 1, False
        self.auto = settings.auto or AUTO in (self.quota.given.requests_per_minute, self.quota.given.tokens_per_minute)
        self.quota.follow(settings.shared, now)
        fresh = Ramp.of_lane(self.quota.requests_per_minute)
        self.ramp.start, self.ramp.doubling = fresh.start, fresh.doubling  # for the next burst

    def _shared(self, shared: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
        """Those of the client-wide limits that hold here."""
        return (shared[0] if self.shared_requests else None), (None if self._own_tokens else shared[1])

    def _most_slots(self, shared: int) -> int:
        return shared if self.slots is None else min(shared, self.slots)

    def shared_tokens(self, tokens: int) -> int:
        """What a prompt of that many tokens takes of the client-wide tokens."""
        return 0 if self._own_tokens else tokens

    def most_tokens(self, shared_tpm: float | None) -> float | None:
        """The tokens that one prompt may have at most: a minute's worth, of the lane or of the client."""
        own, shared = self.quota.given.tokens_per_minute, None if self._own_tokens else shared_tpm
        if not isinstance(own, (int, float)) or own == NEVER:
            return shared
        return own if shared is None else min(own, shared)

    def admits(self, task: Task, now: float) -> bool:
        """Whether this task may start, as far as the lane is concerned; if not, it holds the lane until it may."""
        estimator, most = self.estimator, task.template_for(task.model).params.max_new_tokens
        task.read, task.written = estimator.input(task.size), estimator.output(most)
        task.tokens = max(1, task.read + task.written)
        wait = self.check(task, most, now)
        if wait > 0.0:
            self.holder, self.retry_at = task, now + wait
            return False
        return True

    def check(self, task: Task, most: int, now: float) -> float:
        """0.0 when this task, with its estimates, may start; else seconds to wait, with ``refusal`` set."""
        wait = self.closed(now)
        if wait > 0.0:
            return wait
        quota = self.quota
        wait = quota.check(task.read, task.written, most, now)
        self.refusal = quota.refusal if wait > 0.0 else None
        return wait

    def closed(self, now: float) -> float:
        """0.0 when another one may be in flight; else seconds to wait, with ``refusal`` set."""
        health = self.health
        if now < health.cooling_until:
            self.refusal = "cooldown"
            return health.cooling_until - now
        running = self.running
        if running >= int(self.adaptive.cap):
            self.refusal = "slots"
            return SETTLED  # a reply has to come first
        paced = self.quota.pace.rate > 0.0  # an even pace needs no other way back from a cooldown
        full = running >= self.ramp.cap(now)
        if full or (not paced and running >= health.cap(now)):
            self.refusal = "slots"
            if full and not self.ramp.is_watched:
                self.ramp.filled(self.quota.claims.departing(), now)
            change = self.ramp.next_change(now)
            return max(MIN_WAIT, change if paced else min(change, health.next_change(now)))
        return 0.0

    def would_wait(self, task: Task, name: str, now: float) -> float:
        """Like ``admits`` for a task that waits in another lane, where it keeps its turn."""
        if now < self.retry_at:
            return self.retry_at - now
        most = task.template_for(name).params.max_new_tokens
        task.read, task.written = self.estimator.input(task.size), self.estimator.output(most)
        task.tokens = max(1, task.read + task.written)
        return self.check(task, most, now)

    def waited(self, now: float) -> float:
        """For how long there has been no moment without an attempt in flight."""
        return now - self._busy_since if self.running else 0.0

    def ready_in(self, now: float) -> float:
        """About how many seconds a prompt that is queued now waits for its start."""
        paused = max(0.0, self.health.cooling_until - now)
        cap = int(self.adaptive.cap)
        if not self.waiting and self.running < cap:
            return paused
        limit = self.quota.pace.rate or (self.quota.requests_per_minute or NEVER) / 60.0
        speed = min(limit, cap / self.latency if self.latency else NEVER)
        queued = self.waiting + max(0, self.running + 1 - cap)
        return paused + (queued / speed if speed < NEVER else queued * 0.001)

    def take(self, task: Task, now: float) -> Claim:
        """Debits the lane for a start that ``check`` allowed."""
        if self.running == 0:
            self.ramp.began(now)
            self._busy_since = now
        self.running += 1
        return self.quota.take(task.read, task.written, task.template_for(task.model).params.max_new_tokens, now)

    def good(self, flight: Flight, output_tokens: int, now: float) -> None:
        """A good reply has just come; its slot is free already."""
        latency = now - flight.started_at
        self.latency += (latency - self.latency) * (0.1 if self.latency else 1.0)
        self.ramp.good()
        rpm = self.quota.requests_per_minute
        self.adaptive.good(self.running + 1, latency, output_tokens, now, 0.0 if rpm is None else rpm / 60.0 * self.latency)
        if self._opening:
            self._open(now)

    def _open(self, now: float) -> None:
        """The first good reply of a lane that its provider leads: whatever the headers said is known by now."""
        self._opening = False
        fresh = Ramp.of_lane(self.quota.requests_per_minute or 60.0 * self._settings.rules.auto_start)
        self.ramp.restart(now, max(self.running + 1, fresh.start), fresh.doubling)

    def hear(self, info: RateLimitInfo, flight: Flight, now: float) -> bool:
        """What the headers of a reply say; True when a limit has changed by it."""
        changed = self.quota.hear(info, flight.own, flight.switch.sent_at or flight.started_at, now)
        self.retry_at = 0.0
        return changed

    def cooled(self) -> None:
        """A cooldown begins because of 429s: fewer may be in flight after it."""
        self.adaptive.cut(self.running)

    def told(self, notice: LaneNotice, now: float) -> None:
        """News from another process that uses the same quota."""
        if notice.limits is not None:
            self.quota.learn(notice.limits, now)
        if notice.cooling_until is not None and self.health.told(notice.cooling_until, now):
            self.retry_at = 0.0

    def release(self, now: float) -> None:
        """A slot of the lane is free again."""
        self.running -= 1
        if self.running == 0:
            self.quiet_at = now
            self.ramp.ended(now)
        self.retry_at = 0.0

    def is_over(self, now: float) -> bool:
        """Whether nothing would be lost with it: idle for a while, its minute over, not shut and not cooling down."""
        if self.running or self.waiting or self.probe is not None or now < self.quiet_at + IDLE:
            return False
        if now < max(self.closed_until, self.health.cooling_until):
            return False
        return (self.blocked is None or now >= self.blocked_at + PROBE_AFTER) and self.quota.is_unused(now)

    def report(self, now: float, wall: float) -> LaneLimits:
        """Everything about its limits at that time. ``wall``: the epoch time of monotonic zero."""
        quota, left, slots = self.quota, self.quota.remaining(now), int(self.adaptive.cap)
        cooling, closed = self.health.cooling_until, self.closed_until
        why: str | None = self.refusal if self.waiting else None
        if self.blocked is not None:
            why = "blocklisted"
        elif now < closed:
            why = "closed"
        elif now < cooling:
            why = "cooldown"
        return LaneLimits(
            model=self.model, given=replace(quota.promised, concurrent_requests=self.slots), learned=quota.limits(),
            in_force=replace(quota.in_force(), concurrent_requests=slots), remaining_requests=left[0],
            remaining_tokens=left[1], remaining_input_tokens=left[2], remaining_output_tokens=left[3],
            paced=quota.pace.rate or None, running=self.running, slots=slots, slots_most=self.adaptive.most,
            cooldown_until=wall + cooling if now < cooling else None,
            closed_until=wall + closed if now < closed else None, why=why,
        )

    def __repr__(self) -> str:
        state = "blocked" if self.blocked is not None else (self.refusal or "open")
        return f"<Lane {self.model} {self.running} running | {self.waiting} ready | {state}>"


def bound_by(bucket: Bucket, now: float) -> LimitingFactor:
    """Which of the two limits refuses."""
    return "requests/min" if bucket.lacks_requests(now) else "tokens/min"
