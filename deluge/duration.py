"""How long many prompts take on so many slots, told by what attempts took so far. Pure: the same in, the same out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from random import Random
from statistics import fmean, pvariance
from typing import NamedTuple

from deluge.experience import Taken

LEAST, MOST = 1_000, 20_000  # prompts that one round plays through; of more of them, the middle is reckoned
FEWEST, MANY = 5, 40  # rounds
DEALT = 2_000  # cards of a deck that is made of several
ALL = 60_000  # prompts played through in all rounds together, about
DEVIATIONS = 1.65  # to either side: nine of ten runs are within


class Duration(NamedTuple):
    """Seconds, expected and as far as nine of ten runs go to either side."""

    low: float
    seconds: float
    high: float

    def after(self, seconds: float) -> Duration:
        """The same, begun so much later."""
        return Duration(self.low + seconds, self.seconds + seconds, self.high + seconds)


class Deck:
    """The attempts that have been seen, dealt again and again in another order: what is rare comes as rarely as it came."""

    def __init__(self, attempts: Sequence[Taken], margins: tuple[float, float] = (1.0, 1.0)) -> None:
        """``margins``: shares of a guess between which it may turn out to be."""
        self.attempts, self.margins = list(attempts), margins
        self.prompts = max(1, sum(not attempt.again for attempt in self.attempts))
        self.tries = len(self.attempts) / self.prompts  # requests for each prompt
        held = [attempt.held for attempt in self.attempts]
        self.held = fmean(held) * self.tries  # seconds of a slot for each prompt
        retried = self.tries * (self.tries - 1.0)  # the variance of a number of tries that each may be the last
        self.variance = self.tries * pvariance(held) + retried * fmean(held) ** 2
        self.longest = max(attempt.held + attempt.off for attempt in self.attempts)

    def duration(self, prompts: float, slots: int) -> Duration:
        """What so many prompts take when ``slots`` may be under way at once, from the first start to the last end."""
        count = math.ceil(prompts - 1e-9)
        if count < 1:
            return Duration(0.0, 0.0, 0.0)
        if len(set(self.attempts)) == 1 and not self.attempts[0].again:
            seconds = math.ceil(count / slots) * self.held + self.attempts[0].off
            return Duration(seconds * self.margins[0], seconds, seconds * self.margins[1])
        played = min(count, MOST, max(LEAST, 4 * slots, math.ceil(1.5 * self.longest * slots / max(self.held, 1e-6))))
        rounds = min(MANY, max(FEWEST, ALL // played))
        times = [self._play(played, slots, Random(seed)) for seed in range(rounds)]
        rest = count - played
        seconds = fmean(times) + rest * self.held / slots
        busy = min(slots, count)
        unsure = self.variance * (1.0 / self.prompts + 1.0 / count) * (count / busy) ** 2  # of the sample, and of the run
        spread = DEVIATIONS * math.sqrt(pvariance(times) + unsure)
        low, high = self.margins
        return Duration(max(seconds - spread, 0.5 * seconds) * low, seconds, (seconds + spread) * high)

    def _play(self, prompts: int, slots: int, dice: Random) -> float:
        """One run: a slot takes what is to be tried again, if that is due, else the next prompt."""
        deal = self._dealt(dice)
        free, due = [0.0] * min(prompts, slots), list[float]()
        heapify(free)
        left, last = prompts, 0.0
        while left or due:
            now = free[0]
            if due and (due[0] <= now or not left):
                now = max(now, heappop(due))
            else:
                left -= 1
            held, off, again = next(deal)
            end = now + held
            heapreplace(free, end)
            if again:
                heappush(due, end + off)
            elif end + off > last:
                last = end + off
        return last

    def _dealt(self, dice: Random) -> Iterator[Taken]:
        cards = list(self.attempts)
        while True:
            dice.shuffle(cards)
            yield from cards


def mixed(decks: Sequence[tuple[Deck, float]]) -> Deck:
    """One deck of several, each with its share of the prompts."""
    if len(decks) == 1:
        return decks[0][0]
    dice, whole, prompts = Random(0), sum(share * deck.tries for deck, share in decks), sum(share for _, share in decks)
    cards = list[Taken]()
    for deck, share in decks:
        cards += dice.choices(deck.attempts, k=max(1, round(DEALT * share * deck.tries / whole)))
    low, high = (sum(deck.margins[end] * share for deck, share in decks) / prompts for end in (0, 1))
    return Deck(cards, (low, high))
