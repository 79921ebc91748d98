"""Whole schedulers on one quota, on a fake clock: whatever comes and goes, no rolling minute is over the number."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from fleet import busiest
from hypothesis import given, settings
from hypothesis import strategies as st
from stories import Story

from deluge.leasing import Leasing
from deluge.quota import Answer, Report
from deluge.quota.books import State, answer
from deluge.usage import Usage

RPM, TPM = 120, 40_000
PLANS = st.lists(st.tuples(
    st.floats(0.0, 25.0), st.integers(0, 2), st.sampled_from(["ask", "ask", "ask", "ask", "die", "leave", "cancel"]),
    st.integers(1, 90), st.integers(10, 8_000),
), min_size=1, max_size=10)


class Books:
    """A quota in memory, on the town's clock."""

    url, processes = None, None

    def __init__(self, town: Town) -> None:
        self.town = town
        self.states: dict[str, State] = {}

    def exchange(self, reports: list[Report]) -> list[Answer]:
        return [answer(self.states.setdefault(report.lane, {}), report, self.town.now) for report in reports]

    def close(self) -> None:
        """Nothing to close."""

    def after_fork(self) -> None:
        """Nothing to forget."""


class Member:
    """One process: a scheduler and its part in the quota."""

    def __init__(self, town: Town) -> None:
        self.town, self.alive, self.asking = town, True, False
        self.leasing = Leasing(town.books)
        limits = {"requests_per_minute": RPM, "tokens_per_minute": TPM}
        self.story = Story(slots=30, rpm=RPM, tpm=TPM, **self.leasing.settings(limits))
        self.story.now = town.now
        self.story.scheduler.notices = []
        self.call = self.story.call(most=100)
        self.tasks: list[Any] = []

    @property
    def bucket(self) -> Any:
        return self.story.scheduler.bucket

    def ask(self, count: int, size: int) -> None:
        self.story.now = self.town.now
        self.tasks += self.story.submit(self.call, count, size=size)
        self.depart()

    def cancel(self) -> None:
        for task in self.tasks[::2]:
            self.story.scheduler.cancel(task, self.town.now)
        self.step()

    def step(self) -> None:
        self.story.now = self.town.now
        self.story.step()
        self.depart()

    def depart(self) -> None:
        """What has started goes to the provider, and comes back some time later."""
        flying, self.story.flying = self.story.flying, []
        for flight in flying:
            entry = [self.town.now, flight.shared.tokens]  # which is never more than a minute has
            self.town.sent.append(entry)
            delay = self.town.rng.choice([0.05, 0.5, 3.0, 20.0])
            self.town.later(delay, lambda flight=flight, entry=entry: self.land(flight, entry))

    def land(self, flight: Any, entry: list[Any]) -> None:
        if self.alive and flight in self.story.scheduler.flights:
            used = max(1, int(entry[1] * self.town.rng.uniform(0.2, 1.0)))
            self.story.now = self.town.now
            self.story.flying = [flight]
            self.story.answer(flight.task, usage=Usage(used, 0))
            self.town.settled.append((self.town.now, entry[0], used - entry[1]))
            self.depart()

    def exchange(self, leaves: bool = False) -> None:
        """A report leaves, reaches the quota, and is answered, each a moment later."""
        self.asking = True
        due = self.leasing.due(self.story.scheduler, self.town.now, leaves=leaves)
        moment = self.town.rng.uniform(0.0, 0.05)
        self.town.later(moment, lambda: self.town.later(moment, lambda said=self.leasing.ask(due): self.hear(due, said)))

    def hear(self, due: Any, said: Any) -> None:
        self.asking = False
        if self.alive and self.leasing.hear(due, said, self.story.scheduler, self.town.now):
            self.step()


class Town:
    """Time, the processes, and what all of them sent together."""

    def __init__(self, seed: int) -> None:
        self.now, self.rng = 1_000.0, Random(seed)
        self.books = Books(self)
        self.sent: list[list[Any]] = []
        self.settled: list[tuple[float, float, int]] = []
        self._events: list[tuple[float, int, Callable[[], Any]]] = []
        self._number = 0
        self.members = [Member(self) for _ in range(3)]

    def later(self, delay: float, event: Callable[[], Any]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, event))

    def replace(self, at: int, leaves: bool) -> None:
        """A process ends, with or without a last word, and another one takes its place."""
        old, self.members[at] = self.members[at], Member(self)
        if leaves and not old.asking:
            old.exchange(leaves=True)
        old.alive = False

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            for member in self.members:
                if not member.asking and member.bucket.ask_at <= self.now:
                    member.exchange()
            times = [end, *(event[0] for event in self._events[:1])]
            times += [member.bucket.ask_at for member in self.members if not member.asking]
            times += [member.story.scheduler.wake_at for member in self.members]
            self.now = min(end, max(self.now + 1e-6, min(times)))
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            for member in self.members:
                if member.story.scheduler.wake_at <= self.now:
                    member.step()


def live(plan: list[tuple[float, int, str, int, int]], seed: int) -> None:
    town = Town(seed)
    for wait, who, what, count, size in plan:
        town.run(wait)
        member = town.members[who]
        if what == "ask":
            member.ask(count, size)
        elif what == "cancel":
            member.cancel()
        else:
            town.replace(who, what == "leave")
    town.run(62.0)
    requests, tokens = busiest(town.sent, town.settled)
    assert requests <= RPM and tokens <= TPM
    for member in town.members:
        scheduler = member.story.scheduler
        assert scheduler.running == len(scheduler.flights) and min(member.bucket._out) >= 0
    used = [state["total"] for state in town.books.states.values()]
    held = [member["held"] for state in town.books.states.values() for member in state["members"].values()]
    assert all(total[0] + sum(part[0] for part in held) <= RPM for total in used)


@settings(max_examples=12, deadline=None)
@given(PLANS, st.integers(0, 3))
def test_no_rolling_minute_is_over_the_number_whatever_comes_and_goes(plan: Any, seed: int) -> None:
    live(plan, seed)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(PLANS, st.integers(0, 10**6))
def test_the_same_for_long(plan: Any, seed: int) -> None:
    live(plan, seed)
