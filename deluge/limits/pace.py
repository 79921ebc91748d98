"""How fast a burst may grow: caps on what is in flight, and small slices for a provider that slices its minute."""

from __future__ import annotations

from collections import deque

from deluge.limits.ledger import MIN_WAIT

CLIENT_START = 100  # in flight at once when a burst begins
CLIENT_DOUBLING = 0.05
LANE_START = 10  # at least, or one second's worth of the lane's requests
LANE_DOUBLING = 0.25
REST = 10.0  # a burst ends when nothing was in flight for so long
OPEN = 1_000_000_000  # a cap that binds nobody
SETTLED = 60.0  # what next_change() says when nothing will change by itself


class Ramp:
    """A cap on what is in flight that doubles from the beginning of a burst; it never limits starts per second."""

    __slots__ = ("start", "doubling", "rest", "_began_at", "_quiet_at", "_bonus", "_cap", "_step_at", "_per_good")

    def __init__(self, start: float = CLIENT_START, doubling: float = CLIENT_DOUBLING, *, rest: float = REST,
                 per_good: float = 0.0) -> None:
        self.start = max(1, int(start))
        self.doubling = doubling
        self.rest = rest
        self._per_good = per_good
        self._began_at: float | None = None
        self._quiet_at: float | None = None
        self._bonus = 0.0
        self._cap = self.start
        self._step_at = 0.0

    @classmethod
    def of_client(cls) -> Ramp:
        """The ramp of everything that a client has in flight."""
        return cls()

    @classmethod
    def of_lane(cls, requests_per_minute: float | None) -> Ramp:
        """The ramp of one lane; without a limit it is open from the start."""
        if requests_per_minute is None:
            return cls(OPEN)
        return cls(max(LANE_START, requests_per_minute / 60.0), LANE_DOUBLING, per_good=1.0)

    def __repr__(self) -> str:
        return f"<Ramp cap {self._cap} from {self.start}, doubling every {self.doubling} s>"

    def began(self, now: float) -> None:
        """Something starts while nothing was in flight: a new burst, unless the last one ended only just now."""
        rested = self._quiet_at is not None and now - self._quiet_at >= self.rest
        if self._began_at is None or rested:
            self.restart(now)
        self._quiet_at = None

    def ended(self, now: float) -> None:
        """Nothing is in flight any more."""
        self._quiet_at = now

    def restart(self, now: float, start: float | None = None, doubling: float | None = None) -> None:
        """Begins again from the start (or from another one, which stays)."""
        if start is not None:
            self.start = max(1, int(start))
        if doubling is not None:
            self.doubling = doubling
        self._began_at, self._quiet_at, self._bonus = now, None, 0.0
        self._cap, self._step_at = self.start, now + self.doubling

    def good(self) -> None:
        """A good reply: the cap grows by itself and by this."""
        self._bonus += self._per_good

    def cap(self, now: float) -> int:
        """How many may be in flight."""
        began_at = self._began_at
        if began_at is None:
            return self.start
        if now >= self._step_at and self._cap < OPEN:
            steps = int((now - began_at) / self.doubling + 1e-9)
            self._cap = OPEN if steps > 40 else min(OPEN, self.start << steps)
            self._step_at = began_at + (steps + 1) * self.doubling
        return OPEN if self._cap >= OPEN else self._cap + int(self._bonus)

    def next_change(self, now: float) -> float:
        """Seconds until the cap doubles; a minute when it is open or waits for ``began``."""
        if self._began_at is None or self._cap >= OPEN:
            return SETTLED
        return max(MIN_WAIT, self._step_at - now)


class Pace:
    """Small bursts for a provider that slices the minute: open until 429s come inside our own limits.

    A few 429s among many starts say nothing: it begins with ``evidence`` of them within two seconds that are also a
    share ``begin_share`` of what was started then, and slows down on a share of ``slow_share``.

    Then no ``slice_in`` seconds start more than their share of the limit (of the burst that was measured, where there
    is no limit). A further 429 falls back to that share, or to ``cut`` of what was below it. ``relax`` is the growth:
    every ``regain_in`` seconds without a 429 up to the share, every ``probe_in`` seconds above it, twice as slowly
    after each probe that failed; far above it the pace ends.
    """

    __slots__ = ("limit", "rate", "_slice_in", "_relax", "_regain_in", "_probe_in", "_cut", "_share", "_failed",
                 "_starts", "_span", "_relax_at", "_deaf_until", "_second", "_seen", "_seen_before", "_missed",
                 "_missed_before", "_evidence", "_begin_share", "_slow_share")

    def __init__(self, requests_per_minute: float | None, *, slice_in: float = 0.25, relax: float = 1.1,
                 regain_in: float = 5.0, probe_in: float = 30.0, cut: float = 0.9, evidence: int = 5,
                 begin_share: float = 0.2, slow_share: float = 0.05) -> None:
        self.limit = requests_per_minute
        self.rate = 0.0  # starts per second; 0.0 while everything may start
        self._slice_in, self._relax, self._cut = slice_in, relax, cut
        self._regain_in, self._probe_in = regain_in, probe_in
        self._share = 0.0
        self._failed = 0
        self._starts: deque[float] = deque(maxlen=1)
        self._span = slice_in
        self._relax_at = self._deaf_until = 0.0
        self._evidence, self._begin_share, self._slow_share = evidence, begin_share, slow_share
        self._second = self._seen = self._seen_before = self._missed = self._missed_before = 0

    def __repr__(self) -> str:
        return f"<Pace {self.rate:.1f} starts/s>" if self.rate else "<Pace open>"

    @property
    def active(self) -> bool:
        """Whether starts are paced at the moment."""
        return self.rate > 0.0

    def check(self, now: float) -> float:
        """0.0 when a start is due, else seconds to wait."""
        if self.rate and now >= self._relax_at:
            self._grow(now)
        starts = self._starts
        if not self.rate or len(starts) < (starts.maxlen or 1):
            return 0.0
        wait = starts[0] + self._span - now
        return 0.0 if wait <= 1e-9 else max(MIN_WAIT, wait)

    def took(self, now: float) -> None:
        """A start was admitted."""
        if int(now) > self._second:
            self._tick(int(now))
        self._seen += 1
        self._starts.append(now)

    def limited(self, now: float) -> None:
        """A 429 inside our own limits: enough of them begin the pace, or slow it down at most once a second."""
        if int(now) > self._second:
            self._tick(int(now))
        self._missed += 1
        missed, seen = self._missed + self._missed_before, self._seen + self._seen_before
        few = missed < (self._slow_share * seen if self.rate else max(self._evidence, self._begin_share * seen))
        if few or now < self._deaf_until:
            return
        self._missed = self._missed_before = 0
        if not self.rate:
            self._share = self.limit / 60.0 if self.limit else max(self._seen, self._seen_before, 1) * self._cut
            self._set(self._share, now)
        elif self.rate > self._share:
            self._failed += 1
            self._set(self._share, now)
        else:
            self._set(self.rate * self._cut, now)
        self._deaf_until = now + max(1.0, self._span)

    def _tick(self, second: int) -> None:
        """Begins to count another second, and keeps the one before it."""
        following = second == self._second + 1
        self._seen_before, self._missed_before = (self._seen, self._missed) if following else (0, 0)
        self._second, self._seen, self._missed = second, 0, 0

    def _grow(self, now: float) -> None:
        if self.rate < self._share:
            self._set(min(self._share, self.rate * self._relax), now)
        elif self.rate * self._relax > 2.0 * self._share:
            self.rate, self._failed = 0.0, 0
        else:
            self._set(self.rate * self._relax, now)

    def _set(self, rate: float, now: float) -> None:
        self.rate = rate
        size = max(1, int(rate * self._slice_in))
        self._span = size / rate
        self._starts = deque(self._starts, maxlen=size)
        slow = self._probe_in * 2.0 ** min(self._failed, 4)
        self._relax_at = now + (self._regain_in if rate < self._share else slow)
