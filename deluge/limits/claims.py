"""What a lane has started lately: what of it a provider's reading cannot know, and what was accepted. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from deluge.limits.ledger import UNLIMITED, Reservation
from deluge.limits.pace import Departure

Amounts = tuple[int, int, int, int]  # requests, tokens, input and output
Later = Sequence[tuple[float, Amounts]]  # when something left (infinite: not yet), and what it takes
NOTHING: Amounts = (0, 0, 0, 0)
KEPT = 16_384  # claims that are remembered at most
ANSWERED = 512  # … and of those that were answered
ALONE = 0.1  # seconds between two requests after which neither overtakes the other on its way
ON_ITS_WAY = 2.0  # seconds for which a start may be overtaken before it leaves


class Claim:
    """What one attempt takes of its lane: the amounts as far as they are known, and the reservations.

    ``departure`` tells when it left, where somebody has set it.
    """

    __slots__ = ("amounts", "own", "closed", "started_at", "departure")

    def __init__(self, amounts: Amounts, own: tuple[Reservation, ...], now: float) -> None:
        self.amounts = amounts
        self.own = own
        self.closed = False
        self.started_at = now
        self.departure: Departure | None = None

    @property
    def left_at(self) -> float:
        """When it left the client; infinite while it has not."""
        return self.started_at if self.departure is None else self.departure.sent_at or UNLIMITED


class Claims:
    """The claims of a lane in the order of their starts, from the oldest that is open.

    ``open``: how many are. ``totals``: what those took that were answered, as far as they are remembered, by counter.
    """

    __slots__ = ("open", "totals", "_started", "_answered", "_latest", "_before")

    def __init__(self) -> None:
        self.open = 0
        self.totals = [0, 0, 0, 0]
        self._latest: Claim | None = None
        self._before: Claim | None = None  # the one before the latest
        self._started: deque[Claim] = deque(maxlen=KEPT)
        self._answered: deque[tuple[float, Amounts]] = deque(maxlen=ANSWERED)

    def add(self, claim: Claim) -> None:
        """A start."""
        started = self._started
        while started and started[0].closed:
            started.popleft()
        started.append(claim)
        self._before, self._latest = self._latest, claim
        self.open += 1

    def close(self, claim: Claim) -> None:
        """Nothing more will be known of it."""
        if not claim.closed:
            claim.closed = True
            self.open -= 1

    def is_alone(self, claim: Claim | None, sent_at: float) -> bool:
        """Whether nothing else is under way, or was when this one left."""
        alone = claim is not None and claim is self._latest and not self.open
        return alone and (self._before is None or self._before.left_at < sent_at - ALONE)

    def answered(self, claim: Claim, used: Amounts) -> None:
        """It was let in, and took so much."""
        gone = self._answered[0][1] if len(self._answered) == ANSWERED else NOTHING
        self._answered.append((claim.left_at, used))
        for counter, amount in enumerate(used):
            self.totals[counter] += amount - gone[counter]

    def accepted(self, counter: int) -> Iterator[tuple[float, int]]:
        """When the latest that were answered left, and what they took of one counter."""
        return ((left, used[counter]) for left, used in self._answered)

    def departing(self) -> list[Departure]:
        """The starts that have not left yet, and the latest one."""
        latest = self._latest
        return [claim.departure for claim in self._started if claim.departure is not None and not claim.closed
                and (claim is latest or not claim.departure.sent_at)]

    def started(self) -> list[int]:
        """What all of them take, by counter."""
        return [sum(claim.amounts[counter] for claim in self._started) for counter in range(len(NOTHING))]

    def later_than(self, claim: Claim | None, sent_at: float) -> list[tuple[float, Amounts]]:
        """What a request that left at that time came before: it left later, or not at all so far."""
        found: list[tuple[float, Amounts]] = []
        after, since = True, -UNLIMITED if claim is None else claim.started_at - ON_ITS_WAY
        for other in reversed(self._started):
            if other is claim:
                after = False
                continue
            if not after and other.started_at < since:
                break
            left = other.left_at
            if left > sent_at or (after and left == sent_at):
                found.append((left, other.amounts))
        return found


def least_gain(later: Later, counter: int, rate: float, now: float) -> float:
    """What a refilled level has gained at the very least since a reading that was made at an unknown moment until now.

    The reading knows what had come before that moment, and the refill counts from it: the least of all moments.
    """
    left = sorted([(at, amounts[counter]) for at, amounts in later], reverse=True)
    spent = sum(amount for at, amount in left if at == UNLIMITED)
    least = -float(spent)
    for at, amount in islice(left, sum(at == UNLIMITED for at, _ in left), None):
        spent += amount
        least = min(least, rate * (now - at) - spent)
    return least
