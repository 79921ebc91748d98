"""How many attempts of a lane may be in flight: cut on evidence, grown by good replies. Pure."""

from __future__ import annotations

from deluge.adaptation import Adaptation

QUICK = 0.1  # how much one reply moves the mean of the time per output token
USUAL = 60.0  # seconds in which what is usual follows
FADING = 0.99  # what the most in flight still counts one reply later
FIRST = 20  # replies before the two are compared


class Slots:
    """A cap between 1 and ``most`` on what a lane has in flight.

    It is open until evidence cuts it, unless it is ``auto``: then it begins small and doubles each round of good
    replies until something speaks against it. Only replies that come while the cap binds make it grow.
    """

    __slots__ = ("most", "auto", "cap", "why", "_rules", "_opening", "_quick", "_usual", "_replies",
                 "_eased_at", "_seen_at", "_peak")

    def __init__(self, most: int, rules: Adaptation, auto: bool = False) -> None:
        self.most = most
        self.auto = auto
        self._rules = rules
        self.cap: float = min(most, rules.slots_start) if auto else most
        self.why = "start" if auto else ""
        self._opening = auto
        self._quick = self._usual = 0.0
        self._replies = 0
        self._peak = 0.0  # the most that were in flight lately
        self._eased_at = self._seen_at = 0.0

    def __repr__(self) -> str:
        return f"<Slots {int(self.cap)} of {self.most}{' ' + self.why if self.why else ''}>"

    def limit(self, most: int) -> None:
        """Another maximum, at once."""
        if self.cap >= self.most and not self.auto:
            self.cap = most
        self.most = most
        self.cap = max(1.0, min(self.cap, most))

    def good(self, running: int, latency: float, output_tokens: int, now: float, needed: float = 0.0) -> None:
        """A good reply; ``running`` were in flight, this one included.

        ``needed``: so many have to be in flight to use the limits. Below that a cap that a 429 cut grows with each reply.
        """
        peak = self._peak * FADING
        self._peak = running if running > peak else peak
        if self.auto and output_tokens:
            self._compare(latency / output_tokens, running, now)
        cap = self.cap
        if cap < self.most and running >= int(cap):
            quick = self._opening or (cap < needed and self.why == "rate limit")
            self.cap = min(self.most, cap + (1.0 if quick else 1.0 / cap))
            if self.cap >= self.most:
                self.why, self._opening = "", False

    def cut(self, running: int) -> None:
        """The lane begins to cool down; ``running`` were in flight when that was learned."""
        self._opening = False
        self.why = "rate limit"
        self.cap = max(1.0, min(self.cap, max(self._peak, running + 1)) * self._rules.slots_cut)

    def _compare(self, seconds: float, running: int, now: float) -> None:
        """Cuts gently when answers come more slowly than they use to: the server is full, though it refuses nothing."""
        self._replies += 1
        if self._replies <= FIRST:
            share = 1.0 / self._replies
            self._quick += (seconds - self._quick) * share
            self._usual, self._seen_at = self._quick, now
            return
        self._quick += (seconds - self._quick) * QUICK
        passed, self._seen_at = now - self._seen_at, now
        slow = self._quick > self._rules.slow * self._usual
        if not slow:
            self._usual += (self._quick - self._usual) * min(QUICK, passed / USUAL)
        elif running >= 0.5 * self.cap and now >= self._eased_at:
            self._opening = False
            self.cap = max(1.0, min(self.cap, running) * self._rules.slots_ease)
            self.why = "slow answers"
            self._eased_at = now + max(1.0, self._quick * 100.0)
