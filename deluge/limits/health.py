"""When a lane pauses, on what evidence, and how it comes back: spread, not at once."""

from __future__ import annotations

from collections import deque
from random import Random

from deluge.limits.pace import OPEN, Ramp

IN_A_ROW = 3
OF_LAST = 5
LAST = 25
FIRST_COOLDOWN = 2.0  # seconds, when the provider names none; doubles on repetition
LONGEST_DEFAULT = 60.0
LONGEST_COOLDOWN = 86_400.0  # even when the provider names more: a day
CALM_AFTER = 25  # good replies after which a cooldown is forgotten
SPREAD = 0.1  # of the cooldown, up to SPREAD_MOST seconds: lanes and processes do not wake up together
SPREAD_MOST = 5.0
RECOVERY_START = 4
RECOVERY_DOUBLING = 0.5


class LaneHealth:
    """One lane's evidence of being limited, and the cooldown that follows from it.

    One 429 says nothing about the lane. Three in a row do, five of the last 25 replies, or a header that says that
    nothing remains. Then nothing starts until ``cooling_until``, and what is in flight grows again from a few.
    """

    __slots__ = ("cooling_until", "cooldowns", "_rng", "_in_a_row", "_last", "_began_at", "_repeated", "_calm", "_ramp")

    def __init__(self, rng: Random | None = None) -> None:
        self.cooling_until = float("-inf")
        self.cooldowns = 0
        self._rng = rng or Random()
        self._in_a_row = 0
        self._last: deque[bool] = deque(maxlen=LAST)
        self._began_at = float("-inf")
        self._repeated = 0
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
        if self._repeated:
            self._calm += 1
            if self._calm >= CALM_AFTER:
                self._repeated = 0

    def limited(self, now: float, retry_after: float | None = None, sent_at: float | None = None) -> bool:
        """A 429; True when the lane cools down because of it.

        Replies to what was sent before the present or last cooldown began tell nothing new: they only prolong it, by
        their own ``retry_after``.
        """
        if now < self.cooling_until or (sent_at is not None and sent_at <= self._began_at):
            if retry_after is not None and now < self.cooling_until:
                self._cool_until(now + self._spread(min(retry_after, LONGEST_COOLDOWN)))
            return False
        self._in_a_row += 1
        self._last.append(True)
        self._calm = 0
        if self._in_a_row < IN_A_ROW and sum(self._last) < OF_LAST:
            return False
        default = min(LONGEST_DEFAULT, FIRST_COOLDOWN * 2.0 ** min(self._repeated, 10))
        if retry_after is not None and retry_after > 0:
            default = max(retry_after, default if self._repeated else 0.0)
        self._repeated += 1
        self._cool(now, default)
        return True

    def nothing_left(self, now: float, reset_in: float | None = None) -> bool:
        """A header says that nothing remains until ``reset_in`` seconds from now; True when a cooldown begins."""
        wait = FIRST_COOLDOWN if reset_in is None else reset_in
        if wait <= 0.0 or now < self.cooling_until:
            self._cool_until(now + max(0.0, min(wait, LONGEST_COOLDOWN)))
            return False
        self._cool(now, wait)
        return True

    def cap(self, now: float) -> int:
        """How many may be in flight: none while it cools, few right after, everything later."""
        if now < self.cooling_until:
            return 0
        if self._ramp is None:
            return OPEN
        cap = self._ramp.cap(now)
        if cap >= OPEN:
            self._ramp = None
        return cap

    def next_change(self, now: float) -> float:
        """Seconds until ``cap`` changes by itself."""
        if now < self.cooling_until:
            return max(0.001, self.cooling_until - now)
        return Ramp(OPEN).next_change(now) if self._ramp is None else self._ramp.next_change(now)

    def _cool(self, now: float, wait: float) -> None:
        self.cooldowns += 1
        self._began_at = now
        self._in_a_row = 0
        self._last.clear()
        self._calm = 0
        self._cool_until(now + self._spread(min(wait, LONGEST_COOLDOWN)))

    def _cool_until(self, until: float) -> None:
        if until <= self.cooling_until:
            return
        self.cooling_until = until
        ramp = Ramp(RECOVERY_START, RECOVERY_DOUBLING * self._rng.uniform(1.0, 1.5), per_good=1.0)
        ramp.restart(until)
        self._ramp = ramp

    def _spread(self, wait: float) -> float:
        return wait + self._rng.uniform(0.0, min(SPREAD_MOST, SPREAD * wait))
