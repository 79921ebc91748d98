"""Which model gets the next prompt: exact shares, not dice."""

from __future__ import annotations

from collections.abc import Sequence


class Router:
    """Picks by weight so that after N picks each count is less than 1 away from ``N * share``.

    Tijdeman's answer to the chairman assignment problem: among those that are owed enough, the one whose
    quota runs out first. Weight 0 is never picked. Pure: the same picks in the same order every time.
    """

    __slots__ = ("names", "shares", "picks", "counts", "dynamic", "_owed", "_rest")

    def __init__(self, names: Sequence[str], weights: Sequence[float], dynamic: bool = False) -> None:
        total = float(sum(weights))
        self.names = tuple(names)
        self.shares = tuple(weight / total for weight in weights)
        self.dynamic = dynamic  # prompts go where they are answered soonest; these picks are for whoever asks for one
        self._rest: Router | None = None  # of those that were open when not all of them were
        self.picks = 0
        self.counts = [0] * len(self.names)
        active = sum(1 for share in self.shares if share > 0)
        self._owed = 1.0 / (2 * active - 2) if active > 1 else 0.0

    def pick(self) -> str:
        """The next model's name."""
        if len(self.names) == 1:
            self.picks += 1
            self.counts[0] += 1
            return self.names[0]
        self.picks += 1
        best, best_due = -1, 0.0
        for index, share in enumerate(self.shares):
            if share <= 0:
                continue
            owed = share * self.picks - self.counts[index]
            if owed < self._owed - 1e-9:
                continue
            due = (1.0 - self._owed - owed) / share
            if best < 0 or due < best_due - 1e-12:
                best, best_due = index, due
        if best < 0:  # rounding, after very many picks: whoever is owed most
            best = max(range(len(self.names)), key=lambda index: self.shares[index] * self.picks - self.counts[index])
        self.counts[best] += 1
        return self.names[best]

    def pick_among(self, names: Sequence[str]) -> str | None:
        """The next of these models, by their shares among each other; None when none of them has a share."""
        left = tuple((name, share) for name, share in zip(self.names, self.shares) if share > 0 and name in names)
        if not left:
            return None
        if len(left) == sum(share > 0 for share in self.shares):
            return self.pick()
        if self._rest is None or self._rest.names != tuple(name for name, _ in left):
            self._rest = Router([name for name, _ in left], [share for _, share in left])
        return self._rest.pick()

    def __repr__(self) -> str:
        counts = " ".join(f"{name}:{count}" for name, count in zip(self.names, self.counts))
        return f"<Router {self.picks} picks | {counts}>"
