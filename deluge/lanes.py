"""A lane: everything that belongs to one model while prompts for it are under way."""

from __future__ import annotations

from random import Random

from deluge.limits import LaneHealth, Mode, Pace, QuotaBucket, Ramp, Reservation, TokenEstimator
from deluge.models.model import Limits
from deluge.status import LimitingFactor
from deluge.tasks import Task

PROBE_AFTER = 300.0  # seconds after which one prompt tries a blocklisted model again
NEVER = float("inf")


class Lane:
    """One model's queue head, limits, health and estimates. Owned by the scheduler.

    ``exempt``: the client-wide requests and tokens do not hold for it (its own limits replace the defaults).
    ``retry_at``: before this time it refuses whatever is asked; ``refusal`` says why.
    ``holder``: the task that was refused; it keeps its turn until it starts or ends.
    """

    __slots__ = (
        "model", "bucket", "health", "ramp", "pace", "estimator", "running", "slots", "exempt", "waiting", "holder",
        "retry_at", "refusal", "suspects", "blocked_at", "blocked_message", "probing", "closed_until",
    )

    def __init__(self, model: str, limits: Limits, *, exempt: bool, rpm: float | None, mode: Mode, rng: Random) -> None:
        own_rpm, own_tpm = _finite(limits.requests_per_minute), _finite(limits.tokens_per_minute)
        own = own_rpm is not None or own_tpm is not None
        self.model = model
        self.bucket = QuotaBucket(own_rpm, own_tpm, mode=mode) if own else None
        self.exempt = exempt
        finite = [value for value in (own_rpm, None if exempt else rpm) if value is not None]
        limit = min(finite) if finite else None
        self.health = LaneHealth(rng)
        self.ramp = Ramp.of_lane(limit)
        self.pace = Pace(limit)
        self.estimator = TokenEstimator()
        self.slots = None if limits.concurrent_requests == NEVER else limits.concurrent_requests
        self.running = 0
        self.waiting = 0
        self.holder: Task | None = None
        self.retry_at = 0.0
        self.refusal: LimitingFactor | None = None
        self.suspects: set[int] = set()
        self.blocked_at: float | None = None
        self.blocked_message = ""
        self.probing = False
        self.closed_until = 0.0

    def check(self, task: Task, tokens: int, now: float) -> float:
        """0.0 when this task may start, as far as the lane is concerned; else seconds to wait, with ``refusal`` set."""
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
                self.refusal = bound_by(self.bucket, tokens, now)
                return wait
        return 0.0

    def take(self, tokens: int, now: float) -> Reservation | None:
        """Debits the lane for a start that ``check`` allowed."""
        if self.running == 0:
            self.ramp.began(now)
        self.running += 1
        self.pace.took(now)
        return None if self.bucket is None else self.bucket.take(tokens, now)

    def release(self, now: float) -> None:
        """A slot of the lane is free again."""
        self.running -= 1
        if self.running == 0:
            self.ramp.ended(now)
        self.retry_at = 0.0

    @property
    def blocked(self) -> bool:
        """Whether the key or the model was refused for good (until a probe says otherwise)."""
        return self.blocked_at is not None

    def __repr__(self) -> str:
        state = "blocked" if self.blocked else (self.refusal or "open")
        return f"<Lane {self.model} {self.running} running | {self.waiting} ready | {state}>"


def bound_by(bucket: QuotaBucket, tokens: int, now: float) -> LimitingFactor:
    """Which of the two limits refuses."""
    return "requests/min" if bucket.check(0, now) > 0.0 else "tokens/min"


def _finite(limit: float | None) -> float | None:
    """Infinite means: no limit, not even the default one."""
    return None if limit is None or limit == NEVER else limit
