"""Which prompts may still be paid for: money is reserved when an attempt starts and settled when it comes back. Pure."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from deluge.budget import PER_DOLLAR, Budget, Charge, actual_cost, price_of
from deluge.limits import TokenEstimator
from deluge.response import APIResponse
from deluge.sharing import Sharing
from deluge.tasks import FOLLOWING, HELD, QUEUED, Call, Flight, Outcome, Task
from deluge.tracker import StatusTracker
from deluge.wire import Verdict

_KNOWS_NOTHING = TokenEstimator()


class Spending(Sharing):
    """Holds back what the budgets of the client and of its call do not allow.

    A prompt that does not fit waits while something under way may turn out cheaper, and with it all that comes behind it
    in its call. When nothing is, the rest of its call ends: with errors of kind ``budget``.
    """

    def __init__(self, tracker: StatusTracker, *, wall: float = 0.0, budget: Budget | None = None, **admission: Any) -> None:
        super().__init__(tracker, wall=wall, **admission)
        self.budget = budget or Budget()
        self.holding: dict[Call, list[tuple[int, Task]]] = {}

    def cancel(self, task: Task, now: float, kind: Verdict | None = None) -> bool:
        """Ends one task."""
        raise TypeError("Spending needs a scheduler that can cancel")

    def fill(self, now: float) -> None:
        """Starts whatever may start now."""
        if self.holding:
            self._release(now)
        super().fill(now)

    # ------------------------------------------------------------------ before a start

    def _affords(self, task: Task, now: float) -> bool:
        call = task.call
        if call.spent is None and call.budget is None and self.budget.cap is None:
            return True
        if call.spent is not None:
            self.cancel(task, now, Verdict("budget", message=call.spent))
            return False
        heap = self.holding.get(call)
        if heap and heap[0][0] < task.number:
            self._hold(task)
            return False
        refusing = self._refusing(task, now)
        if not refusing:
            return True
        if all(budget.open for budget in refusing):
            self._hold(task)
        else:
            self._end_rest(call, refusing, now)
        return False

    def _refusing(self, task: Task, now: float, promised: int = 0) -> list[Budget]:
        """The budgets that do not allow this task, with so much promised to others; its ``amount`` is estimated anew."""
        call, template = task.call, task.template_for(task.model)
        read = self.lane_of(task, now).estimator.input(task.size)
        written = call.learned.get(task.model, _KNOWS_NOTHING).output(template.params.max_new_tokens)
        task.amount = amount = price_of(template, read, written, call.unknown_cost)
        budgets = (self.budget,) if call.budget is None else (self.budget, call.budget)
        return [budget for budget in budgets if not budget.fits(amount + promised)]

    def _hold(self, task: Task) -> None:
        self.forget(task)
        task.state = HELD
        heappush(self.holding.setdefault(task.call, []), (task.number, task))

    def _release(self, now: float) -> None:
        """Lets those go on that fit by now, oldest first; ends the rest of a call that nothing can leave more for."""
        promised = 0
        for call, heap in list(self.holding.items()):
            while heap:
                task = heap[0][1]
                if task.state != HELD:
                    heappop(heap)
                    continue
                refusing = self._refusing(task, now, promised)
                if refusing:
                    if not (promised or call.ready or all(budget.open for budget in refusing)):
                        self._end_rest(call, refusing, now)
                    break
                heappop(heap)
                self._admit(task, now)
                promised += task.amount if task.state == QUEUED else 0  # it ended where no lane takes it
            if not heap:
                self.holding.pop(call, None)

    def _end_rest(self, call: Call, refusing: list[Budget], now: float) -> None:
        """The money of a call has run out: what is not under way ends, and so does what is still to come."""
        budget = refusing[0]
        cap, spent = (budget.cap or 0) / PER_DOLLAR, budget.spent / PER_DOLLAR
        call.spent = f"max_cost of ${cap:,.6g} is reached: ${spent:,.6g} spent, and sending this prompt could cross it"
        self.messages.append(("WARNING", "max_cost is reached: the rest is not sent", {
            "client": call.name, "max_cost": cap, "spent": round(spent, 9),
        }))
        self.holding.pop(call, None)
        for task in sorted(call.unfinished):
            if task.flight is None and task.state != FOLLOWING:
                self.cancel(task, now, Verdict("budget", message=call.spent))

    # ------------------------------------------------------------------ during and after a flight

    def _launch(self, flight: Flight, now: float) -> None:
        task = flight.task
        if flight.polling and task.flight is not None:
            flight.charge = task.flight.charge  # the job's own
        elif self.budget.cap is not None or task.call.budget is not None:
            call = task.call
            flight.charge = Charge(task.amount, (self.budget,) if call.budget is None else (self.budget, call.budget))
        super()._launch(flight, now)

    def _settle(self, flight: Flight, outcome: Outcome, now: float) -> None:
        super()._settle(flight, outcome, now)
        charge = flight.charge
        if charge is not None and outcome.response is not None:
            if flight.polling and not outcome.sent:
                charge.keep()  # its poll never left, but the job runs
            else:
                charge.settle(actual_cost(outcome, charge.amount, flight.task.call.unknown_cost))
                self._learn(flight.task, outcome.response)

    def _learn(self, task: Task, response: APIResponse) -> None:
        """How long the answers of this call are; those of other calls say nothing about them."""
        usage = response.usage
        if not response.is_error and usage.output_tokens:
            estimator = task.call.learned.setdefault(task.model, TokenEstimator())
            most = task.template_for(task.model).params.max_new_tokens
            estimator.learn(task.size, usage.total_input_tokens, usage.output_tokens, most)
