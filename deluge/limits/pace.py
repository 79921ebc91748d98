"""How fast a burst may grow: caps on what is in flight, and an even pace for a provider that slices its minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from deluge.limits.ledger import MIN_WAIT
from deluge.adaptation import Adaptation

CLIENT_START = 100  # in flight at once when a burst begins
CLIENT_DOUBLING = 0.05
LANE_START = 10  # at least, or one second's worth of the lane's requests
LANE_DOUBLING = 0.25
REST = 10.0  # a burst ends when nothing was in flight for so long
OPEN = 1_000_000_000  # a cap that binds nobody
HELD = 2.0  # seconds for which a start that has not left yet keeps its lane's cap from doubling
LOOKS_EVERY = 0.025  # seconds, while it has not left
KEPT = 1_024  # starts and 429s that a pace looks back on
GROWS_EVERY = 0.25  # seconds
FULL = 1.0  # seconds: the longest slice of a minute that is reckoned with
JUDGED_EVERY = 0.5  # seconds between two cuts of a pace
TRIED = 30  # starts after a cut without which a pace does not grow
LEAST_CUT, LEAST_SHARE, MOST_CUT = 0.01, 0.01, 0.5
MOST_PINNED, PINNED_GROWTH = 0.05, 0.005  # where the limit is known: the largest cut, and the growth per second
BINDING = 0.5  # a pace of which less than that share is started does not bind: something else holds the lane back
LATELY = 10.0  # seconds
LOWEST = 1.0 / 60.0  # starts per second that a pace leaves
SETTLED = 60.0  # what next_change() says when nothing will change by itself


class Departure(Protocol):
    """A start that leaves a little later; ``sent_at`` is 0.0 until it has left."""

    sent_at: float


class Ramp:
    """A cap on what is in flight that doubles from the beginning of a burst; it never limits starts per second."""

    __slots__ = ("start", "doubling", "rest", "_began_at", "_quiet_at", "_bonus", "_cap", "_step_at", "_per_good", "_last",
                 "_filled_at")

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
        self._step_at = self._filled_at = 0.0
        self._last: tuple[Departure, ...] | None = None  # the starts that reached the cap

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
        self._last = None

    @property
    def is_watched(self) -> bool:
        """Whether it knows already which starts reached its cap."""
        return self._last is not None

    def filled(self, last: Sequence[Departure], now: float) -> None:
        """The cap is reached, by these starts: the time until it doubles counts from when all of them have left.

        A process that is busy, or that still loads what it sends with, lets its starts wait: without this the cap would
        grow before the provider has seen them.
        """
        if self._last is None:
            self._last, self._filled_at = tuple(last), now

    def good(self) -> None:
        """A good reply: the cap grows by itself and by this."""
        self._bonus += self._per_good

    def cap(self, now: float) -> int:
        """How many may be in flight."""
        if self._began_at is None:
            return self.start
        if now >= self._step_at and self._cap < OPEN and not self._is_held(now):
            self._last = None
            steps = int((now - self._began_at) / self.doubling + 1e-9)
            self._cap = OPEN if steps > 40 else min(OPEN, self.start << steps)
            self._step_at = self._began_at + (steps + 1) * self.doubling
        return OPEN if self._cap >= OPEN else self._cap + int(self._bonus)

    def _is_held(self, now: float) -> bool:
        """Whether the starts that reached the cap have left too late, or not all of them, for it to double now."""
        last = self._last
        if not last or self._began_at is None or now >= self._filled_at + HELD:
            return False
        left = [start.sent_at for start in last]
        sent_at = max(left) if all(left) else 0.0
        later = (sent_at + self.doubling if sent_at else now + LOOKS_EVERY) - self._step_at
        if later > 0.0:
            self._began_at += later
            self._step_at += later
        return now < self._step_at

    def next_change(self, now: float) -> float:
        """Seconds until the cap doubles; a minute when it is open or waits for ``began``."""
        if self._began_at is None or self._cap >= OPEN:
            return SETTLED
        return max(MIN_WAIT, self._step_at - now)


class Pace:
    """Starts spread evenly, for a provider that gives its minute out in slices: open until something speaks for it.

    What speaks for it: headers that say so (``pin``), or 429s inside our own limits that are most of what was sent
    since the first of them. Then requests and tokens leave at ``headroom`` of their limits, or of what passed where no
    limit is known. 429s under a pace cut it to what passed; there it stays for a while and then grows faster and
    faster, up to the headroom where the slices are known, else until it meets 429s again or is far above the limit.
    """

    __slots__ = ("limit", "tokens", "rate", "pinned", "_rules", "_due", "_tokens_due", "_sent", "_missed", "_refused",
                 "_ceiling", "_cut_at", "_judge_at", "_deaf_until", "_grown_at", "_taken")

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None = None,
                 rules: Adaptation | None = None) -> None:
        self.limit = requests_per_minute
        self.tokens = tokens_per_minute
        self.rate = 0.0  # starts per second; 0.0 while everything may start
        self.pinned = False
        self._rules = rules or Adaptation()
        self._due = self._tokens_due = 0.0
        self._sent: deque[float] = deque(maxlen=KEPT)  # the latest starts
        self._missed: deque[float] = deque(maxlen=KEPT)  # when the latest 429s had been sent
        self._refused: deque[float] = deque(maxlen=KEPT)  # the same, and longer ago
        self._taken = 0  # starts since the latest cut
        self._ceiling = self._cut_at = self._judge_at = self._deaf_until = self._grown_at = 0.0

    def __repr__(self) -> str:
        return f"<Pace {self.rate:.1f} starts/s>" if self.rate else "<Pace open>"

    @property
    def active(self) -> bool:
        """Whether starts are paced at the moment."""
        return self.rate > 0.0

    def check(self, now: float) -> float:
        """0.0 when a start is due, else seconds to wait."""
        if not self.rate:
            return 0.0
        if now >= self._grown_at + GROWS_EVERY:
            self._grow(now)
        wait = max(self._due, self._tokens_due) - now
        return 0.0 if wait <= 1e-9 or not self.rate else max(MIN_WAIT, wait)

    def took(self, now: float, tokens: int = 0) -> None:
        """A start was admitted."""
        self._sent.append(now)
        if self.rate:
            self._taken += 1
            late = now - self._rules.pace_credit
            self._due = min(now, max(self._due, late)) + 1.0 / self.rate  # one that went before it was due is no debt
            if self.tokens:
                self._tokens_due = min(now, max(self._tokens_due, late)) + tokens / self._token_rate

    def corrected(self, difference: int) -> None:
        """A reservation turned out to be so many tokens too small (or, below zero, too large)."""
        if self.rate and self.tokens:
            self._tokens_due += difference / self._token_rate

    def follow(self, requests_per_minute: float | None, tokens_per_minute: float | None, now: float) -> None:
        """Other limits: at once where they are lower."""
        lower = self.rate and self.limit and requests_per_minute and requests_per_minute < self.limit
        top, before = self._top, self.rate
        self.limit, self.tokens = requests_per_minute, tokens_per_minute
        if lower:
            self.rate = self._ceiling = min(before, self._top)
        elif before and self.pinned and self._top and top:  # what 429s took of it stays taken
            self.rate = self._ceiling = min(self._top, before * self._top / top)
            for name in ("_due", "_tokens_due"):  # what was taken already is paid off at the new rate
                setattr(self, name, min(getattr(self, name), now + (getattr(self, name) - now) * before / self.rate))

    def pin(self, now: float) -> None:
        """The provider's headers say that it slices."""
        if not self.pinned and self.limit:
            self.pinned = True
            self._begin(min(self.rate or self._top, self._top), now)

    def limited(self, now: float, sent_at: float | None = None, retry_after: float | None = None) -> bool:
        """A 429 inside our own limits, to what was sent at that time; True when it begins the pace or slows it down."""
        if now < self._deaf_until:
            return False
        rules, missed = self._rules, self._missed
        missed.append(now if sent_at is None else sent_at)
        self._refused.append(missed[-1])
        while missed and missed[0] < now - rules.pace_memory:
            missed.popleft()
        if self.rate:
            return now >= self._judge_at and self._slow_down(now)
        if len(missed) < rules.pace_evidence:
            return False
        if len(missed) < rules.pace_share * self._between(min(missed), max(missed)):
            return False
        passed = self._between(now - 1.0, now) - len(missed)
        self._begin(self._top or max(1.0, passed) * rules.headroom, now)
        self._due = now + min(retry_after or 0.0, FULL)
        self._deaf_until = now + FULL  # the slice is full: what follows at once says nothing about the rate
        return True

    @property
    def _top(self) -> float:
        return self.limit / 60.0 * self._rules.headroom if self.limit else 0.0

    @property
    def _token_rate(self) -> float:
        """Tokens per second: as much slower than their limit as the requests are."""
        share = self.rate * 60.0 / self.limit if self.limit else self._rules.headroom
        return (self.tokens or 0.0) / 60.0 * min(share, self._rules.headroom)

    def _between(self, begin: float, end: float) -> int:
        return sum(1 for at in self._sent if begin - 1e-9 <= at <= end + 1e-9)

    def _begin(self, rate: float, now: float) -> None:
        self.rate = self._ceiling = rate
        self._due, self._tokens_due = max(self._due, now), max(self._tokens_due, now)
        self._cut_at = self._grown_at = now
        self._judge_at = now + JUDGED_EVERY
        self._taken = 0
        self._missed.clear()

    def _slow_down(self, now: float) -> bool:
        """Falls to the share of the last second's starts that passed; one that has never bound, to what lately passes."""
        sent, missed = self._between(now - 1.0, now), len(self._missed)
        if missed < max(2.0, LEAST_SHARE * sent):
            return False
        if not self.pinned and sent < BINDING * self.rate:
            self._begin(min(self.rate, max(1.0, MOST_CUT * (sent - missed), self._passing(now))), now)
            return True
        most, share = MOST_PINNED if self.pinned else MOST_CUT, missed / max(1.0, self.rate, sent)
        self._begin(max(LOWEST, self.rate * (1.0 - min(most, max(LEAST_CUT, share)))), now)
        return True

    def _passing(self, now: float) -> float:
        """Starts per second that were let in in the last ten, pauses included."""
        since = max(now - LATELY, self._sent[0]) if self._sent else now
        refused = sum(1 for at in self._refused if at >= since)
        return max(0, self._between(since, now) - refused) / max(1.0, now - since)

    def _grow(self, now: float) -> None:
        self._grown_at = now
        if self.pinned and self.limit:
            self.rate = min(self._top, self.rate * (1.0 + PINNED_GROWTH * GROWS_EVERY))
            return
        after = now - self._cut_at - self._rules.pace_plateau
        if after <= 0.0 or self._taken < TRIED:
            return
        rate = self._ceiling * (1.0 + (after / self._rules.pace_doubling) ** 3)
        if rate > self.rate:
            self.rate = rate
        if self.limit and self.rate > 2.0 * self.limit / 60.0:
            self.rate = 0.0
