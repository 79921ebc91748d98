"""What may be spent, what has been, and what is reserved: exact accounts of a cap in dollars. Pure.

Amounts are whole numbers of a millionth of a millionth of a dollar, so that reserving and giving back leaves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from deluge.errors import ConfigError
from deluge.usage import NO_USAGE, Usage

if TYPE_CHECKING:
    from deluge.models.model import Model
    from deluge.request import RequestTemplate
    from deluge.tasks import Outcome

PER_DOLLAR = 10 ** 12
_ONE_TOKEN_EACH = Usage(1, 1)


class Budget:
    """A cap (None: there is none), what was spent under it, and what the attempts under way may still cost.

    ``open``: how many of them there are; each of them may turn out cheaper, which leaves more for the others.
    ``jobs``: what prompts of batch jobs were reserved at, by job and number, ``promised`` the sum; nobody waits for those.
    """

    __slots__ = ("cap", "spent", "reserved", "open", "promised", "jobs")

    def __init__(self, dollars: float | None = None) -> None:
        self.cap = None if dollars is None else amount_of(dollars)
        self.spent = self.reserved = self.open = self.promised = 0
        self.jobs: dict[str, dict[int, int]] = {}

    def set_cap(self, dollars: float | None) -> None:
        """Another cap from now on; what was spent stays spent."""
        self.cap = None if dollars is None else amount_of(dollars)

    def begin_anew(self) -> None:
        """Forgets what was spent; what is under way will count once it is known."""
        self.spent = 0

    def close_all(self) -> None:
        """Whatever is under way stays charged as it was reserved: nobody will say what became of it."""
        self.spent += self.reserved
        self.reserved = self.open = 0

    def fits(self, amount: int) -> bool:
        """Whether this much could be spent in addition."""
        return self.cap is None or self.spent + self.reserved + self.promised + amount <= self.cap

    @property
    def left(self) -> int | None:
        """What is neither spent nor reserved; None without a cap. Below zero where estimates were too low."""
        return None if self.cap is None else self.cap - self.spent - self.reserved - self.promised

    def promise(self, job: str, number: int, amount: int) -> None:
        """A prompt of a batch job may cost this much."""
        self.promised += amount
        self.jobs.setdefault(job, {})[number] = amount

    def keeps(self, job: str, number: int) -> bool:
        """Whether this prompt of a job is reserved here."""
        return number in self.jobs.get(job, ())

    def redeem(self, job: str, number: int, amount: int | None) -> None:
        """A prompt of a job has cost this much (None: as it was reserved); once, and only where it was reserved."""
        prompts = self.jobs.get(job, {})
        if number in prompts:
            reserved = prompts.pop(number)
            self.promised -= reserved
            self.spent += reserved if amount is None else amount
        if not prompts:
            self.jobs.pop(job, None)

    def __repr__(self) -> str:
        cap = "no cap" if self.cap is None else f"of ${self.cap / PER_DOLLAR:,.4f}"
        held = (self.reserved + self.promised) / PER_DOLLAR
        return f"<Budget ${self.spent / PER_DOLLAR:,.4f} spent, ${held:,.4f} reserved {cap}>"


class Charge:
    """What one attempt was reserved at, in every budget that it counts in. It is settled once."""

    __slots__ = ("amount", "open", "_budgets")

    def __init__(self, amount: int, budgets: Iterable[Budget]) -> None:
        self.amount = amount
        self.open = True
        self._budgets = tuple(budgets)
        for budget in self._budgets:
            budget.reserved += amount
            budget.open += 1

    def settle(self, amount: int) -> None:
        """The attempt has cost this much; 0 when it cost nothing."""
        if not self.open:
            return
        self.open = False
        for budget in self._budgets:
            budget.reserved -= self.amount
            budget.open -= 1
            budget.spent += amount
        self.amount = amount

    def keep(self) -> None:
        """The attempt may have been billed, and nobody knows at how much: it stays charged as it was reserved."""
        self.settle(self.amount)

    def __repr__(self) -> str:
        return f"<Charge {'reserved' if self.open else 'settled'} ${self.amount / PER_DOLLAR:,.6f}>"


def amount_of(dollars: float) -> int:
    """Dollars as an amount, rounded up."""
    return math.ceil(dollars * PER_DOLLAR)


def price_of(template: RequestTemplate, input_tokens: int, output_tokens: int, unknown_cost: float | None) -> int:
    """What a request of so many tokens is reserved at: at the price of its model and tier, else at ``unknown_cost``."""
    dollars = template.model.cost(Usage(input_tokens, output_tokens), template.options.service_tier)
    return amount_of((unknown_cost or 0.0) if dollars is None else dollars)


def batch_price_of(template: RequestTemplate, input_tokens: int, output_tokens: int, unknown_cost: float | None) -> int:
    """The same in a batch. ``ConfigError`` when that price is not known, and nobody says what a request counts as."""
    usage, model = Usage(input_tokens, output_tokens), template.model
    dollars = model.cost(usage, "batch")
    if dollars is None and model.cost(usage) == 0.0:
        return 0
    if dollars is None and unknown_cost is None:
        check_priced(model, "batch", None)
    return amount_of((unknown_cost or 0.0) if dollars is None else dollars)


def is_priced(model: Model, service_tier: str | None) -> bool:
    """Whether it is known what the model's tokens cost at this tier."""
    return model.cost(_ONE_TOKEN_EACH, service_tier) is not None


def check_priced(model: Model, service_tier: str | None, unknown_cost: float | None) -> None:
    """``ConfigError`` when the cost of this model cannot be held against a cap."""
    if unknown_cost is not None or is_priced(model, service_tier):
        return
    at = f" at the tier {service_tier!r}" if service_tier else ""
    raise ConfigError(
        f"max_cost: the price of {model.id}{at} is not known; give unknown_cost=, the dollars that a request of it counts as"
    )


def actual_cost(outcome: Outcome, reserved: int, unknown_cost: float | None) -> int:
    """What an attempt that came back has cost; what was reserved where that cannot be known."""
    response = outcome.response
    if not outcome.sent or response is None:
        return 0
    if response.cost is not None:
        return max(0, round(response.cost * PER_DOLLAR))
    if outcome.lost:
        return reserved
    if response.is_error and response.usage == NO_USAGE:
        return 0  # refused: providers bill answers only
    return reserved if unknown_cost is None else amount_of(unknown_cost)
