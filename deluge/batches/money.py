"""What the prompts of a batch job may cost under the caps: reserved before it is created, settled as its answers come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from deluge import _log
from deluge.budget import PER_DOLLAR, Budget, amount_of, batch_price_of
from deluge.limits import TokenEstimator
from deluge.usage import NO_USAGE

if TYPE_CHECKING:
    from deluge.engine import Engine
    from deluge.request import RequestTemplate
    from deluge.response import APIResponse
    from deluge.scheduler import Scheduler
    from deluge.tasks import Call

_said = _log.logger("batches")


class Purse:
    """One job's money, in the budget of the client and in that of the call that works on the job.

    ``over``: why no prompt is taken any more, once one did not fit: a smaller one further back is not taken instead.
    """

    def __init__(self, engine: Engine, call: Call, job: str, unknown_cost: float | None) -> None:
        self.over = ""
        self.refused = 0  # prompts that were not taken
        self._engine = engine
        self._call = call
        self._job = job
        self._unknown_cost = unknown_cost
        self._taken: list[int] = []

    def take(self, number: int, template: RequestTemplate, size: int) -> bool:
        """Reserves what the prompt of this number may cost; False when it could cross a cap.

        ``size`` is that of its input in bytes. ``ConfigError``: there is a cap, and the price in a batch is not known.
        """
        fits: bool = not self.over and self._engine.reading(lambda scheduler: self._fits(scheduler, number, template, size))
        self.refused += not fits
        return fits

    def _fits(self, scheduler: Scheduler, number: int, template: RequestTemplate, size: int) -> bool:
        budgets = [budget for budget in self._budgets(scheduler) if budget.cap is not None]
        if not budgets or any(budget.keeps(self._job, number) for budget in budgets):
            return True
        read = _estimator_of(scheduler, template.model.id).input(size)
        amount = batch_price_of(template, read, template.params.max_new_tokens, self._unknown_cost)
        for budget in budgets:
            if not budget.fits(amount):
                self._refuse(budget, amount)
                return False
        for budget in budgets:
            budget.promise(self._job, number, amount)
        self._taken.append(number)
        return True

    def _refuse(self, budget: Budget, amount: int) -> None:
        cap, left = (budget.cap or 0) / PER_DOLLAR, max(0, budget.left or 0) / PER_DOLLAR
        self.over = (f"max_cost of ${cap:,.6g} is reached: ${left:,.6g} are left, and this prompt could cost "
                     f"${amount / PER_DOLLAR:,.6g} in a batch")
        _log.event(_said, 30, "max_cost is reached: the rest of the job is not sent", max_cost=cap)

    def settle(self, number: int, response: APIResponse) -> None:
        """What came of a prompt: its reservation becomes what it has cost."""
        cost: int | None = None
        if response.cost is not None:
            cost = max(0, round(response.cost * PER_DOLLAR))
        elif response.is_error and response.usage == NO_USAGE:
            cost = 0  # providers bill answers only
        elif self._unknown_cost is not None:
            cost = amount_of(self._unknown_cost)
        self._redeem([number], cost)

    def give_back(self, numbers: Iterable[int] | None = None) -> None:
        """These prompts, or those that were just taken, are not sent after all."""
        self._redeem(list(self._taken if numbers is None else numbers), 0)

    def _redeem(self, numbers: list[int], cost: int | None) -> None:
        def redeem(scheduler: Scheduler) -> None:
            for budget in self._budgets(scheduler):
                for number in numbers:
                    budget.redeem(self._job, number, cost)

        self._engine.reading(redeem)

    def _budgets(self, scheduler: Scheduler) -> Iterator[Budget]:
        yield scheduler.budget
        if self._call.budget is not None:
            yield self._call.budget


def _estimator_of(scheduler: Scheduler, model: str) -> TokenEstimator:
    """What the client has learned of this model, whatever the key."""
    known = [lane.estimator for lane in scheduler.lanes.values() if lane.model == model]
    return max(known, key=lambda estimator: estimator.answers) if known else TokenEstimator()
