"""One account's quota: requests and tokens per minute, admitted together or not at all."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pyrate_limiter import AbstractBucket, Rate, RateItem
from pyrate_limiter.abstracts.algorithm import Decision

from deluge.errors import ConfigError
from deluge.limits.ledger import MIN_WAIT, UNLIMITED, Ledger, Mode, RefillLedger, Reservation, RollingLedger


@dataclass(frozen=True, slots=True)
class BucketSnapshot:
    """A bucket at one moment; None means "no limit".

    ``refill_in``: seconds until some of what is used comes back, 0.0 when nothing is used.
    """

    mode: Mode
    requests_per_minute: float | None
    tokens_per_minute: float | None
    used_requests: int
    used_tokens: int
    remaining_requests: int | None
    remaining_tokens: int | None
    refill_in: float
    frozen_until: float


class Bucket(Protocol):
    """What admission asks of the limits that all lanes of a client share: ``QuotaBucket``, or one that is fed leases.

    One thread calls it, with monotonic seconds. None in an attribute is no limit.
    """

    requests_per_minute: float | None
    tokens_per_minute: float | None

    def check(self, tokens: int, now: float, requests: int = 1) -> float:
        """0.0 when that much would be admitted now, else seconds after which to ask again (at least 0.001)."""

    def take(self, tokens: int, now: float, requests: int = 1) -> Reservation:
        """Debits; called right after a ``check`` that said 0.0."""

    def sent(self, reservation: Reservation, at: float) -> None:
        """The request left at that time; only the first call counts."""

    def settle(self, reservation: Reservation, actual_tokens: int, now: float) -> None:
        """Corrects the reserved tokens to what was used, once."""

    def refund(self, reservation: Reservation) -> None:
        """The request never left."""

    def charge(self, requests: int, tokens: int, now: float) -> None:
        """Debits without asking."""

    def set_limits(self, *, requests_per_minute: float | None, tokens_per_minute: float | None, now: float) -> None:
        """Other limits from now on."""

    def lacks_requests(self, now: float) -> bool:
        """Whether there is no room for one more request, however few its tokens."""

    def clamp(self, tokens: int) -> int:
        """As many tokens as one reservation can hold at most."""

    def snapshot(self, now: float) -> BucketSnapshot:
        """Limits, use and what remains."""


# Makes a bucket: requests and tokens per minute, the mode, and a word for which of a lane's limits it is.
BucketMaker = Callable[["float | None", "float | None", Mode, str], Bucket]


class _Keep:
    """Marks an argument that was not given, where None means "no limit"."""


_KEEP = _Keep()


class QuotaBucket(AbstractBucket):
    """Requests and tokens per minute in O(1), as a pyrate-limiter bucket.

    ``mode="rolling"``: in any ``window`` seconds no more requests leave, and no more reserved tokens, than the limits
    allow. ``mode="bucket"``: full at the start and refilled continuously. Limits are per minute whatever the window:
    one of a second holds a sixtieth of them, and at least one request and one token. None is no limit.

    One thread owns it and passes ``now`` (monotonic seconds). ``clock`` serves the pyrate-limiter methods only: there
    the weight of an item is its tokens, every item is one request, and the ``Limiter`` brings the lock.
    """

    is_async = False

    def __init__(
        self, requests_per_minute: float | None, tokens_per_minute: float | None, *, mode: Mode = "rolling",
        window: float = 60.0, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if mode not in ("rolling", "bucket"):
            raise ConfigError(f"limit_mode must be 'rolling' or 'bucket', not {mode!r}")
        self.mode: Mode = mode
        self.window = _positive("window", window)
        self.requests_per_minute = _limit("requests_per_minute", requests_per_minute)
        self.tokens_per_minute = _limit("tokens_per_minute", tokens_per_minute)
        self.frozen_until = -UNLIMITED
        self._seconds = clock
        capacities = self._capacities()
        self._ledger: Ledger = (RollingLedger if mode == "rolling" else RefillLedger)(*capacities, self.window)
        self._largest = capacities[1]

    def __repr__(self) -> str:
        return f"<QuotaBucket {self.mode} {self.requests_per_minute} requests/min {self.tokens_per_minute} tokens/min>"

    def check(self, tokens: int, now: float, requests: int = 1) -> float:
        """0.0 when a request of that many tokens would be admitted now, else seconds to wait (at least 0.001).

        Answers that are settled or refunded meanwhile may make room earlier.
        """
        if tokens > self._largest:
            tokens = int(self._largest)
        wait = self._ledger.wait(tokens, requests, now)
        if now < self.frozen_until:
            return max(wait, self.frozen_until - now, MIN_WAIT)
        return wait

    def take(self, tokens: int, now: float, requests: int = 1) -> Reservation:
        """Debits requests and tokens (clamped to the limit); call it right after a ``check`` that said 0.0."""
        reservation = Reservation(int(self._largest) if tokens > self._largest else tokens, requests, now)
        self._ledger.take(reservation, now)
        return reservation

    def reserve(self, tokens: int, now: float, requests: int = 1) -> Reservation | float:
        """A reservation, or the seconds to wait for one."""
        wait = self.check(tokens, now, requests)
        return wait if wait > 0.0 else self.take(tokens, now, requests)

    def sent(self, reservation: Reservation, at: float) -> None:
        """The request left the client at that time, from which it is counted. Only the first call counts."""
        if reservation.state == "pending":
            self._ledger.sent(reservation, at)
            reservation.state = "sent"

    def settle(self, reservation: Reservation, actual_tokens: int, now: float) -> None:
        """Corrects the reserved tokens to what the request really used, once; an overrun is owed at once."""
        if reservation.state == "closed":
            return
        self.sent(reservation, now)
        difference = int(actual_tokens) - reservation.tokens
        if difference:
            self._ledger.correct(reservation, difference, now)
        reservation.state = "closed"

    def refund(self, reservation: Reservation) -> None:
        """The request never left the client: everything that it reserved is free again."""
        if reservation.state != "closed":
            self._ledger.refund(reservation)
            reservation.state = "closed"

    def charge(self, requests: int, tokens: int, now: float) -> None:
        """Debits what was sent without asking this bucket."""
        self._ledger.charge(int(requests), int(tokens), now)

    def freeze(self, until: float) -> None:
        """Admits nothing before that time; an earlier time than the one in force changes nothing."""
        self.frozen_until = max(self.frozen_until, until)

    def set_limits(
        self, *, requests_per_minute: float | None | _Keep = _KEEP, tokens_per_minute: float | None | _Keep = _KEEP,
        now: float,
    ) -> None:
        """Changes the limits from now on; what was used stays used, so a lower limit first waits for its own."""
        if not isinstance(requests_per_minute, _Keep):
            self.requests_per_minute = _limit("requests_per_minute", requests_per_minute)
        if not isinstance(tokens_per_minute, _Keep):
            self.tokens_per_minute = _limit("tokens_per_minute", tokens_per_minute)
        requests, self._largest = self._capacities()
        self._ledger.limit(requests, self._largest, now)

    def lacks_requests(self, now: float) -> bool:
        """Whether there is no room for one more request, however few its tokens."""
        return self._ledger.used(now)[0] + 1 > self._capacities()[0]

    def clamp(self, tokens: int) -> int:
        """As many tokens as one reservation can hold at most."""
        return int(self._largest) if tokens > self._largest else tokens

    def snapshot(self, now: float) -> BucketSnapshot:
        """Limits, use and what remains, right now."""
        used_requests, used_tokens = self._ledger.used(now)
        requests, tokens = self._capacities()
        return BucketSnapshot(
            mode=self.mode, requests_per_minute=self.requests_per_minute, tokens_per_minute=self.tokens_per_minute,
            used_requests=used_requests, used_tokens=used_tokens,
            remaining_requests=None if requests == UNLIMITED else max(0, int(requests) - used_requests),
            remaining_tokens=None if tokens == UNLIMITED else max(0, int(tokens) - used_tokens),
            refill_in=self._ledger.refill_in(now), frozen_until=self.frozen_until,
        )

    def _capacities(self) -> tuple[float, float]:
        share = self.window / 60.0
        return (UNLIMITED if self.requests_per_minute is None else max(1.0, self.requests_per_minute * share),
                UNLIMITED if self.tokens_per_minute is None else max(1.0, self.tokens_per_minute * share))

    # The pyrate-limiter bucket: ``Limiter(QuotaBucket(...))`` works.

    @property
    def rates(self) -> list[Rate]:
        """The limits in pyrate-limiter's words."""
        limited = [_rate(capacity, self.window) for capacity in self._capacities() if capacity != UNLIMITED]
        return limited or [_rate(sys.maxsize, self.window)]

    @rates.setter
    def rates(self, value: Any) -> None:
        raise AttributeError("use set_limits()")

    def now(self) -> int:
        """The bucket's own clock in milliseconds."""
        return int(self._seconds() * 1000)

    def put(self, item: RateItem) -> bool:
        """True when the item was admitted as one request of ``weight`` tokens."""
        return self._record(item, self._decide(item))

    def put_decision(self, item: RateItem) -> Decision:
        """Admits the item, or says which rate refused it and for how many milliseconds (None: it never fits)."""
        decision = self._decide(item)
        self._record(item, decision)
        return decision

    def waiting(self, item: RateItem) -> int:
        """Milliseconds until the item that was refused last fits; 0 after an admission, -1 when it never fits."""
        if self.failing_rate is None:
            return 0
        if item.weight > self._largest:
            return -1
        return math.ceil(self.check(item.weight, self._seconds()) * 1000)

    def leak(self, current_timestamp: int | None = None) -> int:
        """0: the window drops what is old by itself, on the thread that asks."""
        return 0

    def flush(self) -> None:
        """Forgets everything that was used."""
        self._ledger.clear()
        self.frozen_until = -UNLIMITED
        self.failing_rate = None
        self._last_wait = None

    def count(self) -> int:
        """Requests that count at the moment."""
        return self._ledger.used(self._seconds())[0]

    def peek(self, index: int) -> RateItem | None:
        """None: single items are not kept."""
        return None

    def _decide(self, item: RateItem) -> Decision:
        if item.weight <= 0:
            return Decision()
        if item.weight > self._largest:
            return Decision(self.rates[-1], None)
        now = self._seconds()
        wait = self.check(item.weight, now)
        if wait > 0.0:
            return Decision(self.rates[-1], math.ceil(wait * 1000))
        self.sent(self.take(item.weight, now), now)
        return Decision()


def _rate(capacity: float, window: float) -> Rate:
    return Rate(max(1, int(capacity)), max(1, round(window * 1000)))


def _positive(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < UNLIMITED:
        raise ConfigError(f"{name} must be a positive number, not {value!r}")
    return float(value)


def _limit(name: str, value: float | None) -> float | None:
    return None if value is None else _positive(name, value)
