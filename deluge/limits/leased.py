"""A bucket whose room comes in leases from a quota that many processes share. Pure: the quota is asked elsewhere.

Whoever owns it takes ``report`` to the quota when ``ask_at`` has come, and brings the ``answered`` (or ``failed``) back.
Between two answers everything is decided here, from what is on lease.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from deluge.limits.bucket import _KEEP, BucketSnapshot, QuotaBucket, _Keep
from deluge.limits.ledger import MIN_WAIT, UNLIMITED, Mode, Reservation
from deluge.quota.words import HEARTBEAT, LEASE, REST, SLOTS, UNBOUND, Amounts, Answer, Learned, Report
from deluge.status import Share

FIRST = 4  # requests that a process asks for before it knows how many it sends
RESERVE = 1.25  # seconds for which a process that has nothing waiting keeps a lease, at the rate at which it sends
SOON = 0.05  # seconds between two reports at least
AGAIN = 0.3  # seconds until it is tried again while a lease lasts
CAUTION = 0.98  # of its part, while the quota cannot be asked: nobody knows what the others got in the last second
MARGIN = 0.1  # seconds before its end from which a lease is not used any more
STRANGERS = 4  # the processes that are assumed when the quota could never be asked
LOOK = 5.0  # seconds until a refused prompt asks again by itself; an answer of the quota makes it ask at once
BOTH = (0, 1)


class LeasedBucket:
    """The face of a ``QuotaBucket``, for limits that hold for many processes together.

    ``own`` keeps the books of what this process sends: what happens to the limits when the quota cannot be asked.
    ``ask_at``: when the quota should be asked next.
    """

    def __init__(self, own: QuotaBucket, *, lane: str, member: str, processes: int | None = None) -> None:
        self.lane, self.member = lane, member
        self.requests_per_minute, self.tokens_per_minute = own.requests_per_minute, own.tokens_per_minute
        self.alone = False
        self.ask_at = float("-inf")
        self._own = own
        self._processes = processes
        self._length = own.window / SLOTS
        self._free = [0, 0]  # on lease and not taken
        self._out = [0, 0]  # taken and not sent
        self._until = float("-inf")
        self._news: dict[int, list[int]] = {}  # what was spent, by slot, and not reported
        self._past: dict[int, list[int]] = {}  # what was spent in the last window
        self._unanswered: Report | None = None
        self._asked_at = 0.0
        self._number = 0
        self._generation = ""
        self._whole = self._silent = False
        self._reported_at = 0.0
        self._deaf_since = float("inf")  # when the first of the reports left that nobody has answered
        self._shift: int | None = None  # from our slots to the quota's
        self._head: Amounts | None = None  # what was refused last
        self._low = [0, 0]  # a lease below this asks for more
        self._earliest = float("-inf")
        self._taken = [0, 0]
        self._want = FIRST  # requests that it could use at once
        self._rate = self._mean = 0.0  # requests per second; tokens per request
        self._last: Answer | None = None
        self._limits = self._capacities()

    def __repr__(self) -> str:
        state = "alone" if self.alone else f"{self._free[0]} requests {self._free[1]} tokens on lease"
        return f"<LeasedBucket {self.requests_per_minute} requests/min {self.tokens_per_minute} tokens/min | {state}>"

    @property
    def mode(self) -> Mode:
        """How the limits are counted."""
        return self._own.mode

    @property
    def window(self) -> float:
        """Seconds in which the limits are counted."""
        return self._own.window

    @property
    def frozen_until(self) -> float:
        """Before this time nothing is admitted."""
        return self._own.frozen_until

    # ------------------------------------------------------------------ what admission asks

    def check(self, tokens: int, now: float, requests: int = 1) -> float:
        """0.0 when a request of that many tokens may start on what is leased, else the seconds after which to ask again."""
        tokens = self.clamp(tokens)
        if now < self._own.frozen_until:
            return max(self._own.frozen_until - now, MIN_WAIT)
        if self.alone:
            return self._own.check(tokens, now, requests)
        if self._covers(requests, tokens) and (now < self._until or self._limits == (UNBOUND, UNBOUND)):
            self._head = None
            return 0.0
        self._head = (requests, tokens)
        self._ask(now)
        return LOOK

    def _covers(self, requests: int, tokens: int) -> bool:
        limits, free = self._limits, self._free
        return (limits[0] == UNBOUND or free[0] >= requests) and (limits[1] == UNBOUND or free[1] >= tokens)

    def take(self, tokens: int, now: float, requests: int = 1) -> Reservation:
        """Takes from the lease; call it right after a ``check`` that said 0.0."""
        tokens = self.clamp(tokens)
        reservation = self._own.take(tokens, now, requests)
        amounts = (requests, reservation.tokens)
        for at in BOTH:
            self._out[at] += amounts[at]
            self._taken[at] += amounts[at]
            self._free[at] = max(0, self._free[at] - amounts[at])
        self._head = None
        if self._free[0] < self._low[0] or self._free[1] < self._low[1]:
            self._ask(now)
        return reservation

    def reserve(self, tokens: int, now: float, requests: int = 1) -> Reservation | float:
        """A reservation, or the seconds to wait for one."""
        wait = self.check(tokens, now, requests)
        return wait if wait > 0.0 else self.take(tokens, now, requests)

    def sent(self, reservation: Reservation, at: float) -> None:
        """The request left the process at that time, from which it is counted. Only the first call counts."""
        if reservation.state != "pending":
            return
        self._own.sent(reservation, at)
        reservation.at = at
        self._out[0] -= reservation.requests
        self._out[1] -= reservation.tokens
        self._spent(at, reservation.requests, reservation.tokens)

    def settle(self, reservation: Reservation, actual_tokens: int, now: float) -> None:
        """Corrects the reserved tokens to what the request really used, once, for all processes."""
        if reservation.state == "closed":
            return
        self.sent(reservation, now)
        difference = int(actual_tokens) - reservation.tokens
        self._own.settle(reservation, actual_tokens, now)
        if difference:
            old = reservation.at < now - self._own.window
            if not old or difference > 0:
                self._spent(now if old else reservation.at, 0, difference)

    def refund(self, reservation: Reservation) -> None:
        """The request never left the process: what it reserved is on lease again."""
        state = reservation.state
        self._own.refund(reservation)
        if state == "pending":
            for at, amount in enumerate((reservation.requests, reservation.tokens)):
                self._out[at] -= amount
                self._free[at] += amount
        elif state == "sent":
            self._spent(reservation.at, -reservation.requests, -reservation.tokens)

    def charge(self, requests: int, tokens: int, now: float) -> None:
        """Debits what was sent without asking."""
        self._own.charge(requests, tokens, now)
        self._spent(now, int(requests), int(tokens))

    def freeze(self, until: float) -> None:
        """Admits nothing before that time; an earlier time than the one in force changes nothing."""
        self._own.freeze(until)

    def set_limits(
        self, *, requests_per_minute: float | None | _Keep = _KEEP, tokens_per_minute: float | None | _Keep = _KEEP,
        now: float,
    ) -> None:
        """Changes this process's limits; the lowest of all processes' limits is in force."""
        self._own.set_limits(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, now=now)
        if not isinstance(requests_per_minute, _Keep):
            self.requests_per_minute = self._own.requests_per_minute
        if not isinstance(tokens_per_minute, _Keep):
            self.tokens_per_minute = self._own.tokens_per_minute
        self._limits = self._capacities()
        if self.alone:
            self._keep_to_share(now)
        self.ask_at = min(self.ask_at, now)

    def lacks_requests(self, now: float) -> bool:
        """Whether it is requests, rather than tokens, that keep the next one waiting."""
        if self.alone:
            return self._own.lacks_requests(now)
        if self._limits[0] == UNBOUND:
            return False
        last, (requests, tokens) = self._last, self._head or (1, 0)
        if last is not None and last.capacities[1] != UNBOUND and last.used[1] + tokens > last.capacities[1]:
            return last.used[0] + requests > self._limits[0]
        return self._free[0] < requests

    def clamp(self, tokens: int) -> int:
        """As many tokens as one reservation can hold at most."""
        most = self._limits[1]
        return int(most) if most != UNBOUND and tokens > most else tokens

    def snapshot(self, now: float) -> BucketSnapshot:
        """Limits, use and what remains, of all processes together as far as the last answer says."""
        own, last = self._own.snapshot(now), self._last
        used = (own.used_requests, own.used_tokens) if last is None or self.alone else last.used
        left = [None if limit == UNBOUND else max(0, int(limit) - used[at]) for at, limit in enumerate(self._limits)]
        return replace(
            own, requests_per_minute=self.requests_per_minute, tokens_per_minute=self.tokens_per_minute,
            used_requests=used[0], used_tokens=used[1], remaining_requests=left[0], remaining_tokens=left[1],
        )

    def share(self) -> Share:
        """What this process has of the quota at the moment."""
        last = self._last
        processes, hungry = (1, 0) if last is None else (last.members, last.hungry)
        parts = self._parts() if self.alone else max(1, hungry)
        fair = [None if limit == UNBOUND else limit * 60.0 / (self.window * parts) for limit in self._limits]
        return Share(processes, hungry, fair[0], fair[1], self._free[0], self._free[1], self.alone)

    # ------------------------------------------------------------------ what the quota is told

    def report(
        self, now: float, waiting: int, *, pauses: Mapping[str, float] | None = None,
        learned: Mapping[str, Learned] | None = None, leaves: bool = False,
    ) -> Report:
        """What to tell the quota now; ``waiting``: how many prompts could use more. The news of lanes are passed on."""
        self.ask_at, self._asked_at = now + HEARTBEAT, now
        self._forget(now)
        again = self._unanswered
        if again is not None and not self._whole:  # nobody knows whether it was counted: the same number says "once"
            held = [self._free[at] + self._out[at] + max(0, sum(n[at] for n in self._news.values())) for at in BOTH]
            return replace(again, held=(held[0], held[1]), needs=(0, 0), head=(0, 0), pauses=pauses or {},
                           learned=learned or {}, alone=self.alone, leaves=False)
        if now >= self._until or leaves:
            self._free = [0, 0]
        needs, head = ((0, 0), (0, 0)) if leaves else self._needs(now, waiting)
        told = self._past if self._whole else self._news
        self._silent = self._shift is None and bool(told)
        if self._silent:  # we do not know the quota's time yet: first the time, then the books
            needs = head = (0, 0)
        else:
            self._number += 1
            self._news = {}
        report = Report(
            lane=self.lane, member=self.member, number=self._number, fresh=f"{self.member}-{self._number}",
            generation=self._generation, mode=self.mode, window=self.window, capacities=self._capacities(),
            held=(self._free[0] + self._out[0], self._free[1] + self._out[1]), needs=needs, head=head,
            spent=() if self._silent else self._spoken_of(told),
            pauses=pauses or {}, learned=learned or {}, whole=self._whole, alone=self.alone, leaves=leaves,
        )
        self._unanswered = report
        return report

    def _needs(self, now: float, waiting: int) -> tuple[Amounts, Amounts]:
        """What to ask for: what was started since the last report says how much is started in a second.

        Whoever had too little goes on wanting what it wanted. What is more than it wants is given back.
        """
        since = max(0.01, now - self._reported_at)
        self._reported_at = now
        taken, head = self._taken, self._head if waiting else None
        self._taken = [0, 0]
        self._rate += (taken[0] / since - self._rate) * (1.0 - math.exp(-since))
        if taken[0]:
            mean = taken[1] / taken[0]
            self._mean = mean if not self._mean else self._mean + (mean - self._mean) * 0.5
        self._want = max(FIRST, 2 * taken[0], 0 if head is None else self._want)
        stream = int(self._rate * RESERVE)  # what comes one by one and is never seen waiting
        want = max(stream, min(waiting, self._want))
        wanted = (want, round(want * self._mean))
        if head is not None:
            wanted = (max(want, head[0]), max(round(want * max(self._mean, head[1])), head[1]))
        limits = self._limits
        self._low = [0 if limits[at] == UNBOUND else wanted[at] // 2 for at in BOTH]
        if head is not None:  # a part that is too small for the first prompt may be what another process waits for
            self._free = [0, 0]
        else:
            self._free = [min(self._free[at], wanted[at]) for at in BOTH]
        needs = [0 if limits[at] == UNBOUND else wanted[at] - self._free[at] for at in BOTH]
        if head is None:
            return (needs[0], needs[1]), (0, 0)
        return (needs[0], needs[1]), (min(head[0], needs[0]), min(head[1], needs[1]))

    def _spoken_of(self, told: Mapping[int, list[int]]) -> list[tuple[int, int, int]]:
        """What was spent, in the quota's slots. A correction downwards goes one slot earlier: it must not outlive the rest."""
        spoken, shift = [], self._shift or 0
        for slot, (requests, tokens) in told.items():
            more, less = (max(0, requests), max(0, tokens)), (min(0, requests), min(0, tokens))
            if any(more):
                spoken.append((slot + shift, *more))
            if any(less):
                spoken.append((slot + shift - 1, *less))
        return spoken

    def _forget(self, now: float) -> None:
        first = math.floor(now / self._length) - SLOTS
        for book in (self._news, self._past):
            for slot in [slot for slot in book if slot < first]:
                del book[slot]

    def answered(self, report: Report, answer: Answer, now: float) -> bool:
        """The quota has counted a report. Whether what was refused before may be admitted now."""
        self._follow_clock(answer.now, now)
        self._generation, self._last, self._deaf_since = answer.generation, answer, float("inf")
        if answer.lost:
            self._unanswered, self._whole, self.ask_at = None, True, now
            return False
        again = report is not self._unanswered
        self._unanswered, self._whole = None, False
        if report.leaves:
            self._free, self._until = [0, 0], float("-inf")
            return False
        more = self.alone or any(answer.granted) or self._limits != answer.capacities
        self._limits = answer.capacities
        self._until = self._asked_at + LEASE - MARGIN
        for at in BOTH:
            self._free[at] += answer.granted[at]
        if self.alone:
            self.alone = False
            self._own.set_limits(requests_per_minute=self.requests_per_minute, tokens_per_minute=self.tokens_per_minute,
                                 now=now)
        self._earliest = now + max(answer.retry_in, SOON)
        holds = any(self._free) or any(self._out) or self._limits == (UNBOUND, UNBOUND)
        self.ask_at = now if again or self._silent else self._asked_at + (HEARTBEAT if holds else REST)
        if self._head is not None and not self._covers(*self._head):
            self._ask(now)
        return more

    def failed(self, now: float) -> bool:
        """The quota could not be asked. True when that has lasted a lease: from now on this process keeps to its part."""
        if self._unanswered is not None and not self._unanswered.spent:
            self._unanswered = None
        self.ask_at = now + (HEARTBEAT if self.alone else AGAIN)
        self._deaf_since = min(self._deaf_since, self._asked_at)
        if self.alone or now < max(self._until, self._deaf_since + LEASE):
            return False
        self.alone = True
        self._free = [0, 0]
        self._keep_to_share(now)
        last = self._last
        if last is not None:
            own, parts = self._own.snapshot(now), self._parts()
            used = (own.used_requests, own.used_tokens)
            requests, tokens = (max(0, math.ceil(last.used[at] / parts) - used[at]) for at in BOTH)
            self._own.charge(requests, tokens, now)  # as if all had used the same: nobody knows who used how much
        return True

    def _keep_to_share(self, now: float) -> None:
        parts = self._parts() * self.window / (60.0 * CAUTION)
        limits = [None if limit == UNBOUND else limit / parts for limit in self._limits]
        self._own.set_limits(requests_per_minute=limits[0], tokens_per_minute=limits[1], now=now)

    def _parts(self) -> int:
        if self._processes is not None:
            return self._processes
        return STRANGERS if self._last is None else max(1, self._last.members)

    def _ask(self, now: float) -> None:
        self.ask_at = min(self.ask_at, max(now, self._earliest))

    def _spent(self, at: float, requests: int, tokens: int) -> None:
        slot = math.floor(at / self._length)
        for book in (self._news, self._past):
            amounts = book.get(slot)
            if amounts is None:
                book[slot] = [requests, tokens]
            else:
                amounts[0] += requests
                amounts[1] += tokens
        if requests or self._limits[1] != UNBOUND:
            self.ask_at = min(self.ask_at, self._asked_at + HEARTBEAT)

    def _capacities(self) -> tuple[float, float]:
        """What this process's own limits allow in a window."""
        share = self.window / 60.0
        limits = (self.requests_per_minute, self.tokens_per_minute)
        found = [UNBOUND if limit is None or limit == UNLIMITED else max(1.0, limit * share) for limit in limits]
        return found[0], found[1]

    def _follow_clock(self, theirs: float | None, now: float) -> None:
        """How far their slots are from ours, never too early: their time lies between what it was for us before and after."""
        if theirs is None:
            self._shift = 0
            return
        least, most = (theirs - now) / self._length, (theirs - self._asked_at) / self._length
        if self._shift is None or not least <= self._shift <= most + 1.0:
            self._shift = math.ceil(most)
