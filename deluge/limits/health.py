"""When a lane pauses, on what evidence, and how it comes back: spread, not at once."""

from __future__ import annotations

from collections import deque
from random import Random

from deluge.limits.ledger import MIN_WAIT
from deluge.limits.pace import OPEN, SETTLED, Ramp
from deluge.adaptation import CooldownRules


class LaneHealth:
    """One lane's evidence of being limited, and the cooldown that follows from it.

    One 429 says nothing about the lane. Three in a row do, five of the last 25 replies, or a header that says that
    nothing remains. Then nothing starts until ``cooling_until``, and what is in flight grows again from a few.
    """

    __slots__ = ("rules", "cooling_until", "cooldowns", "_rng", "_in_a_row", "_last", "_began_at", "_series", "_calm",
                 "_ramp")

    def __init__(self, rng: Random | None = None, rules: CooldownRules | None = None) -> None:
        self.rules = rules or CooldownRules()
        self.cooling_until = float("-inf")
        self.cooldowns = 0
        self._rng = rng or Random()
        self._in_a_row = 0
        self._last: deque[bool] = deque(maxlen=self.rules.last)
        self._began_at = float("-inf")
        self._series = 0  # cooldowns since the lane was calm
        self._calm = 0
        self._ramp: Ramp | None = None

    def __repr__(self) -> str:
        last = f"{sum(self._last)} of {len(self._last)}"
        return f"<LaneHealth {self._in_a_row} in a row, {last}, {self.cooldowns} cooldowns>"

    def good(self, now: float) -> None:
        """A reply that was not a 429."""
        self._in_a_row = 0
        self._last.append(False)
        if self._ramp is not None:
            self._ramp.good()
        if self._series:
            self._calm += 1
            if self._calm >= self.rules.calm_after:
                self._series = 0

    def limited(self, now: float, retry_after: float | None = None, sent_at: float | None = None) -> bool:
        """A 429; True when the lane begins to cool down because of it.

        Replies to what was ``sent_at`` a time before the present or the last cooldown began say nothing new: they only
        prolong it, by their own ``retry_after``.
        """
        cooling = now < self.cooling_until
        if cooling or (sent_at is not None and sent_at <= self._began_at):
            if cooling and retry_after is not None:
                self._cool_until(now + self._spread(retry_after))
            return False
        self._in_a_row += 1
        self._last.append(True)
        self._calm = 0
        scattered = self._in_a_row < self.rules.in_a_row
        if scattered and sum(self._last) < self.rules.of_last:
            return False
        self._cool(now, self._cooldown(retry_after, self.rules.first_scattered if scattered else self.rules.first))
        self._series += 1
        return True

    def nothing_left(self, now: float, reset_in: float | None = None) -> bool:
        """A header says that nothing remains for ``reset_in`` seconds; True when a cooldown begins."""
        wait = self.rules.first if reset_in is None else reset_in
        if wait <= 0.0:
            return False
        if now < self.cooling_until:
            self._cool_until(now + min(wait, self.rules.longest))
            return False
        self._cool(now, wait)
        return True

    def told(self, until: float, now: float) -> bool:
        """Somebody else who uses the same quota met the limit: nothing starts before then either, and not at once after.

        True when a cooldown begins.
        """
        if until <= max(now, self.cooling_until):
            return False
        wait = self._spread(min(until - now, self.rules.longest))
        begins = now >= self.cooling_until
        if begins:
            self.cooldowns += 1
            self._began_at = now
        self._cool_until(now + wait)
        return begins

    def cap(self, now: float) -> int:
        """How many may be in flight: none while it cools, few right after, any number later."""
        if now < self.cooling_until:
            return 0
        if self._ramp is None:
            return OPEN
        cap = self._ramp.cap(now)
        if cap >= OPEN:
            self._ramp = None
        return cap

    def next_change(self, now: float) -> float:
        """Seconds until ``cap`` changes by itself; a minute when it will not."""
        if now < self.cooling_until:
            return max(MIN_WAIT, self.cooling_until - now)
        return SETTLED if self._ramp is None else self._ramp.next_change(now)

    def _cooldown(self, retry_after: float | None, first: float) -> float:
        default = min(self.rules.longest_default, first * 2.0 ** min(self._series, 30))
        if not retry_after or retry_after <= 0.0:
            return default
        return max(retry_after, default) if self._series else retry_after  # again, though we waited as told

    def _cool(self, now: float, wait: float) -> None:
        self.cooldowns += 1
        self._began_at = now
        self._in_a_row = self._calm = 0
        self._last.clear()
        self._cool_until(now + self._spread(wait))

    def _cool_until(self, until: float) -> None:
        if until <= self.cooling_until:
            return
        self.cooling_until = until
        doubling = self.rules.recovery_doubling * self._rng.uniform(1.0, 1.5)
        self._ramp = Ramp(self.rules.recovery_start, doubling, per_good=1.0)
        self._ramp.restart(until)

    def _spread(self, wait: float) -> float:
        wait = min(max(0.0, wait), self.rules.longest)
        return wait + self._rng.uniform(0.0, min(self.rules.spread_most, self.rules.spread * wait))
