"""What a provider says is left of one of its limits, kept up to date between two replies. Pure."""

from __future__ import annotations

from deluge.dialects._rate_limits import Quota
from deluge.limits.claims import Claims, Later, least_gain
from deluge.limits.ledger import MIN_WAIT, UNLIMITED
from deluge.limits.window import MINUTE, WindowGuess

DAY = 86_400.0
SLICE = 5.0  # seconds: a minute's limit that is whole again within so few is given out in slices
TOLERANCE = 1.5  # seconds by which a reset may be rounded
BELIEVED = 60.0  # seconds: a reset that is further away is believed for so long, then a 429 has to say it
RESERVE = 0.02  # seconds of refill that are left: requests overtake each other on their way
MARGIN = 0.005  # seconds on top of a reset
SAME = 0.25  # seconds: two resets that are closer are one
PATIENCE = 1.0  # seconds for which all readings have to be higher before the level rises to the lowest of them
AGREE = 3  # … and how many there have to be
LONG_PATIENCE, MANY_AGREE = 3.0, 20  # seconds and readings after which they are taken for what they seem to be


def window_of(quota: Quota) -> float:
    """The seconds that a limit is for: as its name says, else as its refill shows (a day or a minute)."""
    if quota.window is not None:
        return quota.window
    if quota.limit and quota.remaining is not None and quota.reset_in and quota.remaining < quota.limit:
        whole = quota.reset_in * quota.limit / (quota.limit - quota.remaining)
        if 0.8 * DAY < whole < 1.2 * DAY:
            return DAY
    return DAY if quota.reset_in is not None and quota.reset_in > 2.0 * MINUTE else MINUTE


class Gauge:
    """One counter of a provider: its limit, and a level that falls with every start and is corrected by every reading.

    ``refills``: the level rises all the time (the reset is the time until it is full); otherwise it jumps at the reset,
    and after that nothing is known until the next reading. ``sliced``: it jumps every few seconds.
    ``window``: its seconds; a minute may turn out to be less, where the header's name does not say it.
    """

    __slots__ = ("limit", "window", "level", "refills", "sliced", "reset_at", "told", "heard_at", "remaining",
                 "counter", "_guess", "_at", "_grow", "_higher", "_surely", "_highers", "_higher_at", "_spare", "_sent_at")

    def __init__(self, counter: int, window: float, grow: float) -> None:
        self.counter = counter
        self.window = window
        self._guess: WindowGuess | None = None
        self.limit: float | None = None  # as far as it is believed
        self.told: float | None = None  # what the latest reply said
        self.remaining: float | None = None  # by the latest reply
        self.level = UNLIMITED
        self.refills = self.sliced = False
        self.reset_at = UNLIMITED
        self.heard_at = 0.0
        self._at = self._higher_at = 0.0
        self._higher = self._surely = UNLIMITED  # by how much the readings were higher, since when, and how many
        self._highers = 0
        self._spare = 0.0  # of the latest reading, without what came after it
        self._sent_at = -UNLIMITED  # when the request left that brought it
        self._grow = grow

    def __repr__(self) -> str:
        kind = "refilled" if self.refills else "sliced" if self.sliced else "stepped"
        return f"<Gauge {self.level:.0f} of {self.limit} per {self.window:.0f} s, {kind}>"

    @property
    def rate(self) -> float:
        """What a second brings, where the limit is known; else 0.0."""
        return self.limit / self.window if self.limit else 0.0

    @property
    def per_minute(self) -> float | None:
        """The limit of a minute, as far as it is believed."""
        return None if self.limit is None else self.limit * MINUTE / self.window

    def guess_window(self, quota: Quota, claims: Claims, sent_at: float, now: float) -> None:
        """Looks how long the window is, where the header does not name it and its reset needs no second clock."""
        remaining, reset = quota.remaining, quota.reset_in
        unnamed = quota.window is None and not quota.dated and self.window <= MINUTE
        if unnamed and quota.limit and remaining is not None and reset:
            guess = self._guess = self._guess or WindowGuess()
            known = claims.accepted(self.counter) if claims.totals[self.counter] > quota.limit - remaining else ()
            guess.hear(quota.limit, remaining, reset, known, sent_at, now)
            self.window = guess.seconds

    def hear(self, quota: Quota, later: Later, sent_at: float, now: float, exact: bool = False) -> None:
        """A reading, brought by a request that was sent at that time.

        ``later``: what has left after it, or has not left yet. ``exact``: nothing else was under way.
        """
        if quota.limit:
            self._believe(quota.limit, now)
        self.heard_at = now
        remaining, reset = quota.remaining, quota.reset_in
        if remaining is None:
            return
        before = self.at(now)
        self._classify(remaining, reset)
        self.remaining = remaining
        self._spare = remaining - sum(amounts[self.counter] for _, amounts in later)
        if self.refills:
            if sent_at < self._sent_at:  # a later one is known: it says more, however long this answer took
                return
            level = remaining + least_gain(later, self.counter, self.rate, now)
            self.reset_at = UNLIMITED
        else:
            level = self._spare
            self.reset_at = UNLIMITED if reset is None else self._reset_at(sent_at + min(reset, BELIEVED) + MARGIN)
            if self.reset_at <= now:
                level, before = UNLIMITED, UNLIMITED
        self._sent_at = sent_at
        if exact and not self.sliced:
            before = UNLIMITED
        self._at, self.level = now, self._merged(level, before, now)

    @property
    def half_is_left(self) -> bool:
        """Whether the latest reading left half of the limit."""
        return self.remaining is not None and self.limit is not None and self.remaining >= 0.5 * self.limit

    def reset_in(self, now: float) -> float:
        """Seconds until all should have come back, as the latest reading said; a whole window where it said nothing."""
        if self.refills or self.reset_at == UNLIMITED:
            return self.window
        return max(MIN_WAIT, self.reset_at - now) if self.reset_at > now else 0.0

    def may_probe(self, need: float) -> bool:
        """Whether one request may ask what is left, while nothing is under way: the latest reading left room for it."""
        return not self.sliced and self._spare >= need

    def _reset_at(self, at: float) -> float:
        """The provider counts from when a request arrived, which is a little later than it was sent."""
        before = self.reset_at
        return max(at, before) if before < UNLIMITED and abs(before - at) < SAME else at

    def _merged(self, level: float, before: float, now: float) -> float:
        """A lower reading counts at once. Requests overtake each other, so that a higher one may be an error.

        Several have to agree, for a while. What counts of them is what is left when all that left later came in after
        the reading and nothing was refilled since: the provider may have been busy, and have seen them late. Where many
        agree for longer, it was not.
        """
        if level <= before or before == UNLIMITED:
            self._highers = 0
            return min(level, self._spare) if before == UNLIMITED and self.refills else level
        if not self._highers:
            self._higher_at, self._higher, self._surely = now, UNLIMITED, UNLIMITED
        self._higher, self._surely = min(self._higher, level - before), min(self._surely, self._spare - before)
        self._highers += 1
        gained = self._surely
        if self._highers >= MANY_AGREE and now >= self._higher_at + LONG_PATIENCE:
            gained = self._higher
        elif gained <= 0.0 or self._highers < AGREE or now < self._higher_at + PATIENCE:
            return before
        self._highers = 0
        return before + gained

    def at(self, now: float) -> float:
        """The level at that time; infinite when it is not known."""
        if self.refills:
            return min(self.limit or UNLIMITED, self.level + self.rate * (now - self._at))
        return UNLIMITED if now >= self.reset_at else self.level

    def wait(self, need: float, now: float) -> float:
        """0.0 when so much is there, else seconds until it should be."""
        if self.refills:
            need = min(need + RESERVE * self.rate, self.limit or need)
            if need <= self.level:
                return 0.0
            missing = need - self.at(now)
            if missing <= 0.0 or not self.rate:
                return 0.0
            return max(MIN_WAIT, missing / self.rate)
        if need <= self.level or now >= self.reset_at or self.reset_at == UNLIMITED:
            return 0.0  # nothing is known; whoever asked for no reset leaves it to the 429
        return max(MIN_WAIT, self.reset_at - now)

    def _believe(self, limit: float, now: float) -> None:
        self.told = limit
        if self.limit is None or limit <= self.limit:
            self.limit = limit
        else:
            self.limit = min(limit, self.limit * (1.0 + self._grow * min(60.0, max(0.0, now - self.heard_at))))

    def _classify(self, remaining: float, reset: float | None) -> None:
        limit = self.told
        if limit is None or reset is None:
            self.refills = limit is not None
            self.sliced = False
            return
        if self._guess is not None and self.window < MINUTE:  # one of a few seconds is a slice of its minute
            self.refills = self._guess.refills
            self.sliced = not self.refills
            return
        full_in = (limit - remaining) * self.window / limit
        if self.remaining is not None and min(full_in, reset) > 0.9 * self.window:
            return  # nearly all is used: a window that began just now would say the same
        self.refills = abs(reset - full_in) <= max(TOLERANCE, 0.1 * full_in)
        self.sliced = not self.refills and self.window == MINUTE and reset <= SLICE < full_in
