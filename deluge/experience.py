"""What a lane's attempts have taken so far: seconds of a slot, and what came after them. Pure."""

from __future__ import annotations

from array import array
from typing import NamedTuple

KEPT = 4_096  # attempts: enough that one in a thousand is among them
RECENT, BLOCK = 1_024, 256  # of them: how many say how fast answers are now, and how many are compared with them at once


class Taken(NamedTuple):
    """One attempt: ``held`` a slot for so many seconds, then ``off`` it for so many; ``again``: then tried once more."""

    held: float
    off: float = 0.0
    again: bool = False


class Experience:
    """The latest attempts of a lane, good ones and failures, evenly weighted: what is rare needs many to be met at all."""

    __slots__ = ("_held", "_off", "_again", "_at")

    def __init__(self) -> None:
        self._held, self._off, self._again = array("d"), array("d"), bytearray()
        self._at = 0

    def __len__(self) -> int:
        return len(self._again)

    def __repr__(self) -> str:
        return f"<Experience {len(self)} attempts, {sum(self._again)} of them tried again>"

    def add(self, held: float, off: float = 0.0, again: bool = False) -> None:
        """One more attempt; the oldest is forgotten for it."""
        if len(self._again) < KEPT:
            self._held.append(held)
            self._off.append(off)
            self._again.append(again)
        else:
            at = self._at
            self._held[at], self._off[at], self._again[at] = held, off, again
        self._at = (self._at + 1) % KEPT

    def attempts(self) -> list[Taken]:
        """All that are kept, oldest first.

        Where answers have become slower or faster meanwhile, those of before are made as much slower or faster: by the
        medians of each so many, which nothing rare can move.
        """
        held, off, again = self._in_order()
        usual = _median([seconds for seconds, more in zip(held[-RECENT:], again[-RECENT:]) if not more])
        for end in range(len(held) - RECENT, 0, -BLOCK):
            block = range(max(0, end - BLOCK), end)
            median = _median([held[at] for at in block if not again[at]])
            drift = usual / median if median > 0.0 and usual > 0.0 else 1.0
            for at in block:
                held[at] *= 1.0 if again[at] else drift
        return list(map(Taken, held, off, again))

    def _in_order(self) -> tuple[list[float], list[float], list[bool]]:
        at = self._at if len(self._again) == KEPT else 0
        held, off, again = self._held.tolist(), self._off.tolist(), list(map(bool, self._again))
        return held[at:] + held[:at], off[at:] + off[:at], again[at:] + again[:at]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
