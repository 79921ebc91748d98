"""What the provider's own tools add to the cost of an answer, where it is known."""

from __future__ import annotations

from deluge.models.model import Model


def with_searches(cost: float | None, searches: int, model: Model) -> float | None:
    """The cost with that of so many web searches; None where a search has no price that is known."""
    if cost is None or not searches:
        return cost
    return None if model.search_price is None else cost + searches * model.search_price / 1_000
