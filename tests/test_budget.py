"""A cap in dollars: exact accounts, told stories of the scheduler, seeded simulations, and clients of a real server."""

from __future__ import annotations

import dataclasses
import math
from random import Random

import pytest
from stories import PROMPT, Story, model
from test_simulation import World

from deluge import BudgetExceededError, ConfigError, LLMClient
from deluge.budget import PER_DOLLAR, Budget, Charge, amount_of
from deluge.models.model import Price
from deluge.tasks import ENDED, Task
from deluge.testing import RehearsalServer
from deluge.usage import NO_USAGE, Usage

from rehearsing import client_of

PRICE = Price(1.0, 10.0)  # an input token is a millionth of a dollar, an output token ten


def priced(id: str = "a", price: Price = PRICE, **limits):
    return dataclasses.replace(model(id, **limits), price=price)


class Shop(Story):
    """A story under a cap: every answer costs a thousandth of a dollar."""

    def __init__(self, cap: float | None = None, **story) -> None:
        super().__init__(budget=Budget(cap), **story)
        self.budget = self.scheduler.budget


# ---- the accounts

def test_what_is_reserved_and_given_back_leaves_nothing():
    budget, own = Budget(1.0), Budget(0.5)
    charges = [Charge(amount_of(0.1 / 3), (budget, own)) for _ in range(9)]
    assert budget.open == own.open == 9 and budget.left == PER_DOLLAR - 9 * amount_of(0.1 / 3)
    for charge in charges[:8]:
        charge.settle(0)
    assert (budget.spent, budget.open, own.reserved) == (0, 1, amount_of(0.1 / 3))
    charges[8].keep()
    charges[8].settle(0)  # it is settled once
    assert budget.spent == own.spent == amount_of(0.1 / 3) and budget.reserved == budget.open == 0


def test_a_cap_is_met_exactly():
    budget = Budget(0.3)
    assert [budget.fits(amount_of(0.1)) and bool(Charge(amount_of(0.1), (budget,))) for _ in range(4)] == [True] * 3 + [False]
    assert Budget(None).fits(10 ** 30) and not Budget(0.0).fits(1) and Budget(0.0).fits(0)


# ---- stories

def test_nothing_starts_that_could_cross_the_cap_and_the_rest_ends():
    shop = Shop(0.00305)  # a prompt is reserved at 18 + 10 * 100 millionths, and costs a thousandth
    call = shop.call([priced()], most=100)
    tasks = shop.submit(call, 5)
    assert [task.state for task in tasks] == ["running", "running", "held", "held", "held"]
    assert shop.tracker.limiting_factor == "budget"
    shop.answer(usage=Usage(18, 100))
    assert [task.state for task in tasks[2:]] == ["running", "held", "held"]
    shop.answer(usage=Usage(18, 100))
    assert tasks[3].state == "held"
    shop.answer(usage=Usage(18, 100))
    assert [shop.kind(task) for task in tasks] == [None] * 3 + ["budget"] * 2
    assert shop.budget.spent == amount_of(0.003) and shop.budget.open == 0
    late, = shop.submit(call)
    assert shop.kind(late) == "budget" and "max_cost of $0.00305" in shop.responses[late.id].error_message


def test_a_head_that_never_fits_ends_its_call_at_once_and_no_other():
    shop = Shop(0.0020)
    big, small = shop.call([priced()], most=1_000), shop.call([priced("b")], most=100)
    refused = shop.submit(big, 3)
    assert [shop.kind(task) for task in refused] == ["budget"] * 3
    task, = shop.submit(small)
    shop.answer()
    assert shop.kind(task) is None


def test_answers_of_other_calls_do_not_make_a_call_cheap():
    shop = Shop(1.0)
    short, long = shop.call([priced()], most=100), shop.call([priced()], most=100)
    shop.submit(short, 10)
    for _ in range(10):
        shop.answer(usage=Usage(18, 1))
    first, = shop.submit(long)
    assert first.amount >= amount_of(100 * 10e-6)
    assert shop.submit(short)[0].amount < amount_of(40 * 10e-6)


def test_a_call_has_a_cap_of_its_own_beside_the_clients():
    shop = Shop(1.0)
    call, other = shop.call([priced()], most=100), shop.call([priced("b")], most=100)
    call.budget = Budget(0.0015)
    tasks, free = shop.submit(call, 3), shop.submit(other, 2)
    assert [task.state for task in tasks + free] == ["running", "held", "held", "running", "running"]
    shop.answer(tasks[0])
    assert [shop.kind(task) for task in tasks] == [None, "budget", "budget"]
    for task in free:
        shop.answer(task)
    assert shop.budget.spent == amount_of(0.003) and call.budget.spent == amount_of(0.001)


def test_failures_cost_nothing_lost_attempts_stay_charged_and_retries_count():
    shop = Shop(1.0)
    call = shop.call([priced()], most=100, backoff=1.0)
    reserved = 18 + 10 * 100
    task, = shop.submit(call)
    shop.fail("server")
    assert shop.budget.spent == 0
    shop.wait(1.5)
    shop.fail("timeout")  # it was sent: it may have been billed
    assert shop.budget.spent == reserved * PER_DOLLAR // 10 ** 6
    shop.wait(1.5)
    shop.fail("connection", sent=False)
    assert shop.budget.spent == reserved * PER_DOLLAR // 10 ** 6
    shop.wait(1.5)
    shop.answer()
    assert shop.budget.spent == reserved * PER_DOLLAR // 10 ** 6 + amount_of(0.001)


def test_a_retry_that_does_not_fit_is_over_budget():
    shop = Shop(0.0015)
    task, = shop.submit(shop.call([priced()], most=100))
    shop.fail("timeout")
    shop.wait(2.0)
    assert shop.kind(task) == "budget" and shop.tried(task) == [("a", "timeout")]


def test_a_raised_cap_lets_those_go_on_that_wait():
    shop = Shop(0.0015)
    tasks = shop.submit(shop.call([priced()], most=100), 2)
    assert tasks[1].state == "held"
    shop.budget.set_cap(1.0)
    assert shop.step() == [tasks[1].id]


def test_held_prompts_can_be_cancelled_and_what_was_promised_to_them_is_not_lost():
    shop = Shop(0.0015)
    call = shop.call([priced()], most=100)
    tasks = shop.submit(call, 3)
    assert shop.scheduler.cancel(tasks[1], shop.now)
    shop.step()
    shop.fail("server")
    assert shop.step() == [] and tasks[2].state == "running"
    shop.scheduler.cancel_call(call, shop.now)
    shop.step()
    assert shop.kind(tasks[2]) == "cancelled" and not shop.scheduler.holding


def test_held_prompts_of_a_model_that_is_shut_end_with_it():
    shop = Shop(0.0021)
    tasks = shop.submit(shop.call([priced()], most=100), 6)
    shop.refuse(tasks[0])
    shop.refuse(tasks[1])
    for task in shop.flying[:]:
        shop.refuse(task.task)
    assert {shop.kind(task) for task in tasks} == {"auth"} and not shop.scheduler.holding


def test_a_job_is_charged_once_and_kept_when_nobody_asks_any_more():
    shop = Shop(0.0015)
    call = shop.call([priced()], most=100, background=10.0)
    task, following = shop.submit(call, 2)
    shop.poll_later(1.0)
    assert shop.budget.open == 1 and following.state == "held"
    shop.wait(1.0)
    assert shop.budget.open == 1
    shop.scheduler.cancel(task, shop.now)
    shop.poll_later(1.0)  # the poll comes back: the job still runs
    assert shop.budget.open == 0 and shop.budget.spent == amount_of(0.001018)
    assert shop.kind(following) == "budget"


def test_equal_prompts_of_a_call_with_money_inherit_from_one_without():
    shop = Shop(1.0)
    poor, rich = shop.call([priced()], most=100), shop.call([priced()], most=100)
    poor.budget = Budget(0.0)
    tasks = [Task(900 + at, 0, call, PROMPT, 40) for at, call in enumerate([poor, poor, rich])]
    for task in tasks:
        task.share = "same"
    scheduler = shop.scheduler
    first = scheduler.claim(tasks, shop.now)
    scheduler.submit(first, shop.now)
    shop.step()
    shop.answer()
    assert shop.kind(tasks[0]) == "budget" and shop.kind(tasks[2]) is None
    assert shop.responses[tasks[1].id].source == "dedupe"


# ---- seeded runs

class Market(World):
    """A simulated world whose answers cost what their tokens cost, and whose cap is looked at after every event."""

    def __init__(self, seed: int, cap: float, **world) -> None:
        super().__init__(seed, budget=Budget(cap), **world)
        self.wrong: dict[Budget, int] = {}  # by how much what was in flight at the latest start cost more than reserved
        self.crossed = 0  # how often what was in flight crossed a cap

    def _leave(self, flight) -> None:
        if not flight.polling:
            assert flight.charge is not None and flight.charge.open
            for budget in self._budgets(flight):
                self.wrong[budget] = 0
                assert budget.left >= 0, "nothing starts that could cross the cap"
        super()._leave(flight)

    def _reply(self, flight, fate):
        outcome = super()._reply(flight, fate)
        response = outcome.response
        if response is not None and not response.is_error:
            response.cost = flight.task.template_for(flight.task.model).model.cost(response.usage)
        elif response is not None and flight.task.state == ENDED:  # usage of such failures is counted, and on no response
            response.usage, response.cost = NO_USAGE, None
        return outcome

    def check_ends(self) -> None:
        for at, (task, response) in enumerate(self.late):  # it tells of all attempts, earlier ones are counted already
            usage, cost = response.attempts[-1].usage, response.attempts[-1].cost
            self.late[at] = task, response.replaced(usage=usage, cost=cost)
        super().check_ends()

    def _bring_back(self, flight, outcome) -> None:
        charge = flight.charge
        reserved = charge.amount
        super()._bring_back(flight, outcome)
        for budget in self._budgets(flight):
            self.wrong[budget] += max(0, charge.amount - reserved)
            assert budget.spent <= budget.cap + self.wrong[budget], "over the cap by no more than the estimates were wrong by"
            self.crossed += budget.spent > budget.cap

    def _budgets(self, flight) -> list[Budget]:
        return [budget for budget in (self.scheduler.budget, flight.task.call.budget) if budget is not None]


def bought(seed: int) -> tuple[bool, bool]:
    """A run with faults, jobs and several calls: nobody hangs, and no more is spent than the estimates were wrong by.

    Whether a cap ended a part of it, and whether one was crossed.
    """
    rng = Random(seed)
    cap = rng.uniform(0.0, 0.2)
    world = Market(seed, cap, slots=rng.choice([3, 20, 100]), rpm=rng.choice([None, 600]), slice_limit=rng.choice([0, 30]),
                   faults=rng.choice([0.0, 1.0, 3.0]))
    rows = [priced("a"), priced("b", Price(0.2, 30.0)), priced("c", Price())]
    calls = [world.call(rows[:1], most=rng.choice([20, 100, 400])), world.call(rows[:2], most=100, background=60.0),
             world.call(rows[2:], most=100)]
    calls[0].budget = Budget(rng.uniform(0.0, 0.1)) if rng.random() < 0.5 else None
    calls[2].unknown_cost = 0.002
    for _ in range(rng.randint(3, 12)):
        world.bring(rng.choice(calls), rng.choice([1, 5, 40]), size=rng.choice([40, 400, 4_000]))
        if rng.random() < 0.2:
            world.scheduler.cancel(rng.choice(world.tasks), world.now)
            world.step()
        world.live(world.now + rng.uniform(0.0, 3.0))
    world.live()
    world.check_ends()
    budget = world.scheduler.budget
    assert budget.open == budget.reserved == 0 and not world.scheduler.holding
    paid = [*world.responses.values(), *(response for _, response in world.late)]
    known = math.fsum(response.cost for response in paid if response.cost is not None)
    assert budget.spent >= amount_of(known) - len(world.sent)
    return any(response.error_kind == "budget" for response in paid), world.crossed > 0


@pytest.mark.parametrize("seed", range(50))
def test_random_runs_stay_under_their_cap(seed):
    bought(seed)


@pytest.mark.slow
def test_a_thousand_random_runs_stay_under_their_cap():
    ended, crossed = zip(*map(bought, range(1_000, 2_000)))
    assert sum(ended) > 300 and 0 < sum(crossed) < 300, "caps are met, and by far not always crossed"


# ---- clients

@pytest.fixture
def server():
    with RehearsalServer() as running:
        yield running


PROMPTS = [f"[[say {'word ' * 20}]] {number}" for number in range(60)]
ONE = 0.1e-6 * 40 + 0.4e-6 * 30  # about what such a prompt is reserved at, at the prices of the rehearsal models


def rehearsing(**settings) -> LLMClient:
    return LLMClient("rehearsal-echo", **{"progress": None, "max_new_tokens": 30, "max_concurrent_requests": 5, **settings})


def test_a_client_stops_at_its_cap_and_says_so():
    with rehearsing(max_cost=20 * ONE) as client:
        responses = client.process_prompts(PROMPTS)
        kinds = [response.error_kind for response in responses]
        assert 10 < kinds.count(None) < 40 and set(kinds) == {None, "budget"}
        assert kinds == sorted(kinds, key=lambda kind: kind is not None), "the first ones are answered"
        assert sum(response.cost or 0.0 for response in responses) == client.status().cost <= 20 * ONE
        with pytest.raises(BudgetExceededError, match="max_cost of"):
            responses[-1].raise_for_error()
        assert client.status().failed_by_kind == {"budget": kinds.count("budget")}
        assert client.ask("hello again, and again").error_kind in (None, "budget")
        client.with_limits(max_cost=1.0)
        assert not any(response.is_error for response in client.process_prompts(PROMPTS[:5]))


def test_the_cap_counts_anew_with_the_tracker():
    with rehearsing(max_cost=5 * ONE) as client:
        assert client.process_prompts(PROMPTS)[-1].error_kind == "budget"
        assert client.copy(temperature=0.1).ask(PROMPTS[0]).error_kind == "budget", "copies share it"
        client.reset_tracker()
        assert not client.ask(PROMPTS[0]).is_error
        client.open()
        assert not client.process_prompts(PROMPTS[:3])[0].is_error


def test_a_cap_of_a_call_is_for_every_way_to_ask():
    with rehearsing() as client:
        assert client.process_prompts(PROMPTS, max_cost=5 * ONE)[-1].error_kind == "budget"
        assert [r.error_kind for r in client.map(PROMPTS, max_cost=0)] == ["budget"] * 60
        assert client.ask("hello", max_cost=0).error_kind == "budget"
        assert client.start("hello", max_cost=0).result().error_kind == "budget"
        assert list(client.stream_chat("hello", max_cost=0))[-1].error_kind == "budget"
        conversation, response = client.run_agent_loop("hello", max_cost=0)
        assert response.error_kind == "budget" and len(conversation) == 1
        assert not client.ask("hello", max_cost=1).is_error
        for wrong in (-1, "5", True, math.nan):
            with pytest.raises(ConfigError, match="max_cost is a number of dollars"):
                client.ask("hello", max_cost=wrong)


def test_rounds_of_an_agent_share_its_cap():
    def look(name: str) -> str:
        """Looks a mountain up."""
        return "4,806 m"

    with rehearsing(max_new_tokens=100) as client:
        _, whole = client.run_agent_loop("[[rounds 3]] look Mont Blanc up", tools=[look])
        assert not whole.is_error and len(whole.trajectory.rounds) == 4
        most = 0.1e-6 * 80 + 0.4e-6 * 100  # about what one round is reserved at
        _, cut = client.run_agent_loop("[[rounds 3]] look Mont Blanc up", tools=[look], max_cost=most + whole.cost / 3)
        assert cut.error_kind == "budget" and len(cut.trajectory.rounds) >= 2 and 0 < cut.cost < whole.cost
        conversations = [f"[[rounds 3]] look Mont Blanc up, {number}" for number in range(8)]
        done = [response for _, response in client.process_agent_loops(conversations, tools=[look], max_cost=4 * whole.cost)]
        assert any(response.error_kind == "budget" for response in done), "all agents of a call share its cap"
        assert 0 < sum(response.cost or 0.0 for response in done) <= 4 * whole.cost
    with rehearsing(max_new_tokens=100, max_cost=most + whole.cost / 3) as client:
        _, cut = client.run_agent_loop("[[rounds 3]] look Mont Blanc up", tools=[look])
        assert cut.error_kind == "budget" and 0 < cut.cost <= most + whole.cost / 3, "the client's cap holds for rounds"
        _, cut = client.run_agent_loop("[[rounds 3]] look Mont Blanc up", tools=[look])
        assert cut.error_kind == "budget" and not cut.cost


def test_models_of_unknown_price_need_to_be_told_what_they_count_as(server):
    with pytest.raises(ConfigError, match="the price of rehearsed is not known; give unknown_cost="):
        client_of(server, max_cost=1.0)
    with client_of(server, max_cost=0.05, unknown_cost=0.01, max_concurrent_requests=2) as client:
        kinds = [response.error_kind for response in client.process_prompts(PROMPTS[:8])]
        assert kinds == [None] * 5 + ["budget"] * 3
    with client_of(server) as client:
        with pytest.raises(ConfigError, match="unknown_cost"):
            client.ask("hello", max_cost=1.0)
        with pytest.raises(ConfigError, match="unknown_cost"):
            client.with_limits(max_cost=1.0).ask("hello")
    with LLMClient("rehearsal-echo", max_cost=1.0, progress=None) as client:
        assert client.ask("hello", service_tier="flex").cost < client.ask("hello").cost


def test_what_was_answered_before_costs_nothing_and_the_rest_goes_on_with_more_money(tmp_path):
    journal = tmp_path / "run.jsonl"
    with rehearsing(cache={}) as client:
        first = client.process_prompts(PROMPTS, journal=journal, max_cost=15 * ONE)
        answered = [response.index for response in first if not response.is_error]
        assert 0 < len(answered) < 60 and len(journal.read_text().splitlines()) == len(answered)
        again = client.process_prompts(PROMPTS, journal=journal, max_cost=1.0)
        assert [response.source for response in again] == ["journal"] * len(answered) + ["api"] * (60 - len(answered))
        assert not any(response.is_error for response in again) and client.status().requests_sent == 60 - len(answered)
        assert len({line for line in journal.read_text().splitlines()}) == 60
        assert {response.source for response in client.process_prompts(PROMPTS, max_cost=0)} == {"cache"}


def test_settings_of_money_are_checked_and_kept():
    assert LLMClient("gpt-4.1", max_cost=5).to_dict()["max_cost"] == 5
    assert LLMClient("gpt-4.1", max_cost=math.inf).config.max_cost is None
    for wrong in (-1, math.nan):
        with pytest.raises(ConfigError, match="max_cost"):
            LLMClient("gpt-4.1", max_cost=wrong)
    with pytest.raises(ConfigError, match="with_limits"):
        LLMClient("gpt-4.1").copy(max_cost=5)
