"""A fleet of processes that share one quota, on a fake clock: leases, crashes, an unreachable quota, a lost memory."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from deluge.limits.bucket import QuotaBucket
from deluge.limits.leased import LeasedBucket
from deluge.quota.books import State, answer
from deluge.quota.words import Report


def report(number: int = 1, member: str = "m", lane: str = "client", **words: Any) -> Report:
    """A process's word: a hundred requests per minute, of which it would like ten."""
    usual = {"generation": "", "mode": "rolling", "window": 60.0, "capacities": (100, -1), "needs": (10, 0), "head": (1, 0)}
    return Report(lane=lane, member=member, number=number, fresh=f"life of {member}{number}", **{**usual, **words})


def busiest(sent: list[list[Any]], settled: list[tuple[float, float, int]], window: float = 60.0) -> tuple[int, int]:
    """The most requests in any window, and the most tokens: as reserved until the usage was known, then as used."""
    events: list[tuple[float, int, int, int]] = []
    for at, tokens in sent:
        events += [(at, 1, 1, tokens), (at + window, 0, -1, -tokens)]
    for at, sent_at, difference in settled:
        if at < sent_at + window:
            events += [(at, 0, 0, difference), (sent_at + window, 0, 0, -difference)]
    most, count, total = [0, 0], 0, 0
    for _, _, requests, tokens in sorted(events):
        count, total = count + requests, total + tokens
        most = [max(most[0], count), max(most[1], total)]
    return most[0], most[1]


class Store:
    """A quota in memory that can be away, lose its memory, and lose its answers."""

    def __init__(self, world: World, offset: float | None = None) -> None:
        self.world, self.offset = world, offset
        self.states: dict[str, State] = {}
        self.away = False
        self.deaf: Callable[[], bool] = lambda: False
        self.exchanges = 0

    def exchange(self, report: Report) -> Any:
        if self.away:
            return None
        self.exchanges += 1
        said = answer(self.states.setdefault(report.lane, {}), report, self.world.now + (self.offset or 0.0))
        return None if self.deaf() else said


class Process:
    """One process: prompts that wait, a lease, and a quota thread that takes a moment for each exchange."""

    def __init__(self, world: World, name: str, *, rate: float = math.inf, size: tuple[int, int] = (1, 1)) -> None:
        self.world, self.name, self.rate, self.size = world, name, rate, size
        limits = world.limits
        self.bucket = LeasedBucket(
            QuotaBucket(limits[0], limits[1], mode=world.mode), lane="client", member=name,
        )
        self.waiting: deque[int] = deque()
        self.backlog = True  # whether there is always more to do
        self.alive, self.exchanging, self.flying = True, False, 0
        self.slots = 200
        self.next_arrival = world.now
        self.look_at = 0.0
        self.sent: list[float] = []

    def step(self) -> None:
        """What the scheduler does whenever something has happened."""
        now, world = self.world.now, self.world
        while self.backlog and (len(self.waiting) < 50 if math.isinf(self.rate) else self.next_arrival <= now):
            self.waiting.append(world.rng.randint(*self.size))
            if not math.isinf(self.rate):
                self.next_arrival += world.rng.expovariate(self.rate)
        while self.waiting and self.flying < self.slots:
            wait = self.bucket.check(self.waiting[0], now)
            if wait > 0.0:
                self.look_at = now + wait
                break
            self.start(self.bucket.take(self.waiting.popleft(), now))

    def start(self, reservation: Any) -> None:
        self.flying += 1
        self.world.later(self.world.rng.uniform(0.0, 0.01), lambda: self.leave(reservation))

    def leave(self, reservation: Any) -> None:
        if not self.alive:
            return
        world = self.world
        if world.rng.random() < world.refunds:
            self.flying -= 1
            self.bucket.refund(reservation)
            return
        entry = [world.now, reservation.tokens]
        world.sent.append(entry)
        self.sent.append(world.now)
        self.bucket.sent(reservation, world.now)
        world.later(world.rng.lognormvariate(math.log(world.latency), 0.5), lambda: self.land(reservation, entry))

    def land(self, reservation: Any, entry: list[Any]) -> None:
        if self.alive:
            self.flying -= 1
            actual = max(1, int(reservation.tokens * self.world.rng.uniform(*self.world.usage)))
            self.bucket.settle(reservation, actual, self.world.now)
            self.world.settled.append((self.world.now, entry[0], actual - entry[1]))

    def wakes_at(self) -> float:
        """When something happens here by itself."""
        at = math.inf if self.exchanging else self.bucket.ask_at
        if self.waiting and self.flying < self.slots:
            return min(at, self.look_at)
        return min(at, self.next_arrival) if self.backlog and not math.isinf(self.rate) else at

    def exchange(self) -> None:
        """The quota thread: a report leaves now, reaches the quota later, and the answer comes later still."""
        report = self.bucket.report(self.world.now, len(self.waiting))
        self.exchanging = True
        self.world.later(self.world.rng.uniform(*self.world.trip), lambda: self.arrive(report))

    def arrive(self, report: Report) -> None:
        said = self.world.store.exchange(report)
        self.world.later(self.world.rng.uniform(*self.world.trip), lambda: self.hear(report, said))

    def hear(self, report: Report, said: Any) -> None:
        if not self.alive:
            return
        self.exchanging = False
        if said is None:
            self.world.warnings += self.bucket.failed(self.world.now)
        else:
            self.bucket.answered(report, said, self.world.now)


class World:
    """Time, the processes, and what all of them sent together."""

    def __init__(
        self, seed: int, *, rpm: float | None, tpm: float | None = None, mode: str = "rolling", offset: float | None = None,
        usage: tuple[float, float] = (1.0, 1.0), latency: float = 0.3, trip: tuple[float, float] = (0.0001, 0.002),
        refunds: float = 0.0,
    ) -> None:
        self.now, self.rng = 1_000.0, Random(seed)
        self.limits, self.mode, self.usage, self.latency, self.trip = (rpm, tpm), mode, usage, latency, trip
        self.refunds = refunds
        self.store = Store(self, offset)
        self.processes: list[Process] = []
        self.sent: list[list[Any]] = []
        self.settled: list[tuple[float, float, int]] = []
        self.warnings = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def later(self, delay: float, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, event))

    def add(self, **process: Any) -> Process:
        self.processes.append(Process(self, f"p{len(self.processes)}", **process))
        return self.processes[-1]

    def kill(self, process: Process) -> None:
        process.alive = False

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            alive = [process for process in self.processes if process.alive]
            for process in alive:
                process.step()
                if not process.exchanging and process.bucket.ask_at <= self.now:
                    process.exchange()
            times = [end, self._events[0][0] if self._events else end]
            times += [max(self.now + 1e-6, process.wakes_at()) for process in alive]
            at = min(times)
            if at >= end:
                self.now = end
                return
            self.now = max(self.now, at)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()

    # ---- what an observer sees

    def busiest(self) -> tuple[int, int]:
        """The most requests and the most tokens in any minute."""
        return busiest(self.sent, self.settled)

    def between(self, begin: float, end: float) -> int:
        return sum(begin <= at < end for at, _ in self.sent)
