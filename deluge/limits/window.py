"""How many seconds a limit is for, where its header does not say: a minute, until what came back speaks for less. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

MINUTE = 60.0
COMMON = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0)  # windows that providers have
NEAR = 1.3  # bounds are a little above the truth: so much above a common window they mean that one
LONGEST = 30.0  # seconds: what may be longer stays a minute
PROOFS, PROVED_IN = 3, 1.5  # readings, and the seconds between the first and the last of them before the first change
OVERTAKING = 0.05  # seconds by which requests overtake each other on their way
LEAST, SHARE, MOST = 2, 0.02, 200  # so much, or that share of the limit, has to have come back
FINE, WHOLE = 0.01, 1.0  # seconds by which a reset may be rounded, when it has a fraction and when it has none
STEADY = 0.9  # a reset that never falls below that share of its longest is no end of a window
STEP, STEP_EVERY = 0.25, 0.5  # a window falls to that share of itself at once, and again after so many seconds


class WindowGuess:
    """An upper bound on a limit's window, from what replies say is left and from what we know to have been accepted.

    What was accepted ``p`` seconds ago and is not among the used any more has come back, so that the window is no longer
    than ``p`` and the time to the reset together (one that begins anew, one that rolls); a bucket that got ``g`` back in
    ``p`` seconds fills up in ``p * limit / g``. As long as a bucket is possible its bound holds as well. Replies are
    snapshots, so that it does not matter in which order they come. Several have to agree; one reset that is further
    away than the window takes it back at once.
    """

    __slots__ = ("seconds", "refills", "_limit", "_longest", "_shortest", "_lower", "_upper", "_fastest", "_first_at",
                 "_bounds", "_proved_at", "_step_at")

    def __init__(self) -> None:
        self.seconds = MINUTE
        self.refills = False  # whether what is shorter than a minute is a bucket
        self._longest = 0.0
        self._limit = 0.0
        self._bounds: deque[float] = deque(maxlen=PROOFS)
        self._step_at = self._proved_at = 0.0
        self._forget(0.0, 0.0)

    def __repr__(self) -> str:
        return f"<WindowGuess {self.seconds:g} s{', refilled' if self.refills else ''}>"

    def hear(self, limit: float, remaining: float, reset: float, accepted: Iterable[tuple[float, int]], sent_at: float,
             now: float) -> None:
        """A reading of a request that was sent at that time.

        ``accepted``: when requests left that were answered, and how much of this limit they took.
        """
        if limit != self._limit:
            self._forget(limit, now)
        used = max(0.0, limit - remaining)
        self._look(used, reset)
        if reset > max(1.05 * self.seconds, self.seconds + 2.0 * FINE):
            self.seconds = min(MINUTE, reset)
            self._bounds.clear()
        if 0.0 < reset <= LONGEST and used > 0.0 and not LONGEST < self._lower <= self._upper:  # that is a bucket's minute
            self._prove(used, reset, accepted, sent_at, now)

    def _forget(self, limit: float, now: float) -> None:
        self._limit, self._first_at = limit, now
        self._lower, self._upper, self._fastest, self._shortest = 0.0, MINUTE, MINUTE, MINUTE
        self._bounds.clear()

    def _look(self, used: float, reset: float) -> None:
        """What the snapshot says by itself: a bucket that tells when it is full has one ratio of reset and used."""
        self._longest, self._shortest = max(self._longest, reset), min(self._shortest, reset)
        if used > 0.0:
            rounded = WHOLE if reset == int(reset) else FINE
            self._lower = max(self._lower, (reset - rounded) * self._limit / used)
            self._upper = min(self._upper, (reset + rounded) * self._limit / max(0.5, used - 1.0))

    def _prove(self, used: float, reset: float, accepted: Iterable[tuple[float, int]], sent_at: float, now: float) -> None:
        came_back = self._came_back(used, accepted, sent_at)
        if came_back is None:
            return
        steady = self._shortest >= STEADY * self._longest and now - self._first_at > self._longest
        bound = max(came_back if steady else came_back + reset, self._of_a_bucket(), self._longest)
        if bound > LONGEST:
            return
        if not self._bounds:
            self._proved_at = now
        self._bounds.append(bound)
        if len(self._bounds) == PROOFS and now >= self._step_at:
            if self.seconds < MINUTE or now >= self._proved_at + PROVED_IN:
                self._shrink(sorted(self._bounds)[PROOFS // 2], now)

    def _came_back(self, used: float, accepted: Iterable[tuple[float, int]], sent_at: float) -> float | None:
        """Seconds before the request in which more was accepted than is used now; None when there was not more."""
        enough = min(MOST, max(LEAST, SHARE * self._limit))
        latest = list(accepted)
        if not latest or sum([amount for _, amount in latest]) < used + enough:
            return None
        sent, first = 0.0, None
        for at, amount in sorted(latest, reverse=True):
            passed = sent_at - at
            if passed > LONGEST:
                break
            if passed >= OVERTAKING:
                sent += amount
                if sent >= used + enough:
                    first = passed if first is None else first
                    self._fastest = min(self._fastest, passed * self._limit / (sent - used))
        return first

    def _of_a_bucket(self) -> float:
        """The longest window of a bucket that fits what was seen; 0.0 when none does."""
        full = self._lower <= min(self._upper, self._fastest)  # its reset is the time until it is full
        ticks = self._longest * self._limit <= self._fastest  # its reset is the time until one more is there
        self.refills = full
        return max(min(self._upper, self._fastest) if full else 0.0, self._fastest if ticks else 0.0)

    def _shrink(self, bound: float, now: float) -> None:
        near = [window for window in COMMON if max(bound / NEAR, self._longest) <= window <= bound]
        bound = near[0] if near else bound
        if bound < 0.95 * self.seconds:
            self.seconds = max(bound, STEP * self.seconds)
            self._step_at = now + STEP_EVERY
