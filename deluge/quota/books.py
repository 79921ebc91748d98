"""The books of one shared lane: who holds what, what was spent when, and who gets what becomes free. Pure.

The script for Redis (``script.py``) keeps the same books in Lua; a test holds the two together.

The promise: what the window holds plus everything that is out on lease never exceeds the capacity. A lease counts as
spent right now as long as it is out, so that whenever its owner spends it the window has room; when it is reported,
it counts from the moment it was spent. What a process that is gone still held counts as spent at the end of its lease.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from operator import add
from typing import Any

from deluge.quota.words import HEARTBEAT, LEASE, REST, SLOTS, UNBOUND, VIGIL, Amounts, Answer, Report

State = dict[str, Any]  # plain data, for whatever stores it

HOLD = 3.0  # seconds without grants, in which everybody reports, after a loss of memory or a time when nobody could ask
SILENCE = 0.8  # seconds without a report, after which it is not one process alone that could not ask
MEMORY = 20.0  # seconds for which who had more lets the others go first
KEPT = 600.0  # seconds for which the limits that a provider told are passed on
SLICE = 20  # the part of a capacity that one process may hold for prompts behind its first
NEXT = 0.2  # seconds until it may have another slice: whoever starts a moment later finds something left
BOTH = (0, 1)


def answer(state: State, report: Report, now: float) -> Answer:
    """Counts a report in, grants what can be granted; changes the state, which is empty at first."""
    return Books(state, report, now).answer()


class Books:
    """The books while one report is answered."""

    def __init__(self, state: State, report: Report, now: float) -> None:
        self.report = report
        if not state:
            state.update(generation=report.fresh, at=now, hold=now + HOLD if report.generation else 0.0, base=[0.0, 0.0],
                         slots=[array("q"), array("q"), array("q")], total=[0, 0], members={}, pauses={}, learned={})
        self.state = state
        self.length = report.window / SLOTS
        if now < state["at"] - 1.0:
            self._rewind(now)
        if report.alone and now > state["at"] + SILENCE:
            state["hold"] = max(state["hold"], now + HOLD)
        self.now: float = max(now, state["at"])
        state["at"] = self.now
        self.slots: list[array[int]] = state["slots"]  # numbers, requests, tokens, by age
        self.members: dict[str, Any] = state["members"]
        self.capacities: list[float] = [UNBOUND, UNBOUND]
        self._missing: list[float | None] = [None, None]  # from a bucket, once it has been counted

    def answer(self) -> Answer:
        """The answer to the report."""
        report, state = self.report, self.state
        self._bury()
        self.capacities = self._lowest()
        self._turn()
        if report.generation not in ("", state["generation"]) and not report.whole:
            state["hold"] = max(state["hold"], self.now + HOLD)
            return self._said((0, 0), 0.0, lost=True)
        member = self._member()
        if report.number != member["number"]:
            member["number"] = report.number
            self._spend(member, report.spent)
        self._pause()
        if report.leaves:
            self._place(math.floor(self.now / self.length), *report.held)
            del self.members[report.member]
            return self._said((0, 0), 0.0)
        member.update(held=list(report.held), needs=list(report.needs), head=list(report.head),
                      capacities=list(report.capacities))
        if not any(report.needs):
            member["since"] = 0.0
        elif not member["since"]:
            member["since"] = self.now
        granted, retry_in = self._grant(member)
        for at in BOTH:
            member["held"][at] += granted[at]
        member["until"] = self.now + (LEASE if any(member["held"]) else VIGIL)
        return self._said(granted, retry_in)

    # ------------------------------------------------------------------ time

    def _rewind(self, now: float) -> None:
        """The clock has gone back (the machine was started again): everything was spent now, which is the safe side."""
        state = self.state
        total = state["total"]
        spent = [[math.floor(now / self.length)], [total[0]], [total[1]]] if any(total) else [[], [], []]
        state["slots"] = [array("q", column) for column in spent]
        state.update(at=now, hold=0.0, base=[0.0, 0.0])
        for member in state["members"].values():
            member.update(until=now + LEASE, at=now, since=min(member["since"], now))
        state["pauses"] = {lane: min(until, now + LEASE) for lane, until in state["pauses"].items()}
        state["learned"] = {}

    def _bury(self) -> None:
        """What a process held of which nothing was heard counts as spent when its lease ended."""
        for name, member in list(self.members.items()):
            if member["until"] <= self.now:
                self._place(math.floor(member["until"] / self.length), *member["held"])
                del self.members[name]
        pauses = self.state["pauses"]
        for lane in [lane for lane, until in pauses.items() if until <= self.now]:
            del pauses[lane]
        learned = self.state["learned"]
        for lane in [lane for lane, limits in learned.items() if limits[4] <= self.now]:
            del learned[lane]

    def _turn(self) -> None:
        """Drops the slots whose youngest entry has left the window."""
        gone = bisect_left(self.slots[0], math.floor(self.now / self.length) - SLOTS)
        if not gone:
            return
        if self.report.mode == "bucket":
            for at, capacity in enumerate(self.capacities):
                if capacity != UNBOUND:
                    self.state["base"][at] = self._full_at(at, gone, self.report.window / capacity)
        for at in BOTH:
            self.state["total"][at] -= sum(self.slots[1 + at][:gone])
        for column in self.slots:
            del column[:gone]

    # ------------------------------------------------------------------ counting

    def _member(self) -> dict[str, Any]:
        member: dict[str, Any] | None = self.members.get(self.report.member)
        if member is None:
            member = self.members[self.report.member] = {
                "number": 0, "until": 0.0, "since": 0.0, "at": self.now, "held": [0, 0], "needs": [0, 0], "head": [0, 0],
                "level": [0.0, 0.0], "capacities": list(self.report.capacities),
            }
        return member

    def _spend(self, member: dict[str, Any], spent: Iterable[tuple[int, int, int]]) -> None:
        level = self._level(member)
        for slot, requests, tokens in spent:
            self._place(slot, requests, tokens)
            level[0] += requests
            level[1] += tokens
        member.update(level=level, at=self.now)

    def _place(self, number: int, requests: int, tokens: int) -> None:
        """Adds to a slot; one that has left the window is past, one that lies ahead of the clock is of now."""
        head = math.floor(self.now / self.length)
        if number < head - SLOTS or not (requests or tokens):
            return
        number = min(number, head + 1)
        numbers, *columns = self.slots
        at = bisect_left(numbers, number)
        if at == len(numbers) or numbers[at] != number:
            for column in self.slots:
                column.insert(at, 0)
            numbers[at] = number
        columns[0][at] += requests
        columns[1][at] += tokens
        total = self.state["total"]
        total[0] += requests
        total[1] += tokens
        self._missing = [None, None]

    def _pause(self) -> None:
        pauses = self.state["pauses"]
        for lane, seconds in self.report.pauses.items():
            pauses[lane] = max(pauses.get(lane, 0.0), self.now + seconds)
        for lane, limits in self.report.learned.items():
            self.state["learned"][lane] = [*limits, self.now + KEPT]

    def _lowest(self) -> list[float]:
        """The lowest capacities of all members: each of them has promised its own."""
        found: list[float] = list(self.report.capacities)
        for name, member in self.members.items():
            if name != self.report.member:
                for at, given in enumerate(member["capacities"]):
                    if given != UNBOUND:
                        found[at] = given if found[at] == UNBOUND else min(found[at], given)
        return found

    def _level(self, member: dict[str, Any]) -> list[float]:
        """What it has spent, fading away: the measure of whose turn it is."""
        left = math.exp((member["at"] - self.now) / MEMORY)
        return [member["level"][0] * left, member["level"][1] * left]

    def _full_at(self, at: int, count: int, each: float) -> float:
        """When a refilling bucket will be full again, given what the oldest slots took.

        One after the other, each waits for the bucket to be full or takes what is left: the latest of the times that
        come out when the bucket was full last before the first, before the second, and so on.
        """
        base: float = self.state["base"][at]
        if not count:
            return base
        since = list(accumulate(reversed(self.slots[1 + at][:count])))  # youngest first
        latest: float = max(map(add, self._ends(count), map(each.__mul__, since)))
        return max(base + since[-1] * each, latest)

    def _ends(self, count: int) -> list[float]:
        """When the oldest slots ended, the youngest of them first."""
        ends = [(number + 1) * self.length for number in reversed(self.slots[0][:count])]
        for at, end in enumerate(ends):
            if end <= self.now:
                break
            ends[at] = self.now
        return ends

    def _used(self, at: int) -> float:
        """What is in the window, or missing from the bucket, without what is out on lease."""
        capacity, missing = self.capacities[at], self._missing[at]
        if self.report.mode == "rolling" or capacity == UNBOUND:
            return float(self.state["total"][at])
        if missing is None:
            each = self.report.window / capacity
            missing = self._missing[at] = max(0.0, (self._full_at(at, len(self.slots[0]), each) - self.now) / each)
        return missing

    def _opens_in(self, at: int, missing: float) -> float:
        """Seconds until so much has left the window by itself, or run into the bucket."""
        if self.report.mode == "bucket":
            return missing * self.report.window / self.capacities[at]
        for number, amount in zip(self.slots[0], self.slots[1 + at]):
            missing -= amount
            if missing <= 0:
                return (number + SLOTS + 1) * self.length - self.now
        return self.report.window

    # ------------------------------------------------------------------ granting

    def _grant(self, me: dict[str, Any]) -> tuple[Amounts, float]:
        """What the process gets, and in how many seconds there may be more."""
        needs, capacities = me["needs"], self.capacities
        if not any(needs):
            return (0, 0), 0.0
        if self.now < self.state["hold"]:
            return (0, 0), self.state["hold"] - self.now
        head = [first if capacity == UNBOUND else min(first, math.floor(capacity))
                for first, capacity in zip(me["head"], capacities)]
        hungry = [(member, self._level(member)) for member in self.members.values() if any(member["needs"])]
        share, retry_in, refused_for = 1.0, 0.0, 0.0
        for at in BOTH:
            if capacities[at] == UNBOUND or not needs[at]:
                continue
            sure, fair = self._room(me, at, hungry)
            if head[at] > sure:
                refused_for = max(refused_for, NEXT, min((REST, HEARTBEAT)[at], self._opens_in(at, head[at] - sure)))
            slice = capacities[at] / SLICE - me["held"][at]
            if min(fair, slice) < needs[at]:
                retry_in = max(retry_in, NEXT if slice < fair else HEARTBEAT)
                share = min(share, max(min(fair, slice), head[at], 0) / needs[at])
        if refused_for:
            return (0, 0), refused_for
        me["since"] = 0.0
        granted = [max(head[at], math.floor(needs[at] * share)) for at in BOTH]
        return (granted[0], granted[1]), retry_in

    def _room(self, me: dict[str, Any], at: int, hungry: list[tuple[dict[str, Any], list[float]]]) -> tuple[float, float]:
        """What nobody else has an older claim to, and the fair part of what is free."""
        free = self.capacities[at] - self._used(at) - sum([member["held"][at] for member in self.members.values()])
        levels = [(member, level[at] + member["held"][at]) for member, level in hungry if member["needs"][at]]
        goal = _filled(sorted([level for _, level in levels]), free)
        older = reserved = 0.0
        for member, level in levels:
            if member is not me:
                first = member["head"][at] if member["since"] and member["since"] < me["since"] else 0
                older += first
                reserved += max(first, min(member["needs"][at], max(0.0, goal - level)))
        return free - older, free - reserved

    def _said(self, granted: Amounts, retry_in: float, lost: bool = False) -> Answer:
        capacities = self.capacities
        used = [math.ceil(self._used(at) + sum([member["held"][at] for member in self.members.values()])) for at in BOTH]
        return Answer(
            generation=self.state["generation"], now=self.now, granted=granted, retry_in=retry_in,
            members=len(self.members), hungry=sum(any(member["needs"]) for member in self.members.values()),
            capacities=(capacities[0], capacities[1]), used=(used[0], used[1]),
            pauses={lane: until - self.now for lane, until in self.state["pauses"].items()},
            learned={lane: (it[0], it[1], it[2], it[3]) for lane, it in self.state["learned"].items()}, lost=lost,
        )


def _filled(levels: list[float], free: float) -> float:
    """The level to which what is free lifts the lowest; those that are above it get nothing of it."""
    total = sum(levels) + free
    while len(levels) > 1 and levels[-1] > total / len(levels):
        total -= levels.pop()
    return total / len(levels)
