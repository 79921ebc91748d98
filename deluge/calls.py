"""How the caller's thread feeds prompts and takes responses: through bounded windows, whatever the input's length."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from deluge.courier import on_courier, wait_in_slices
from deluge.engine import Engine
from deluge.errors import ClosedError, Interrupted, JournalError
from deluge.response import APIResponse
from deluge.tasks import Call, Task

WINDOW = 4  # x slots: how much of the input one call may have under way
JOBS = 10_000  # the least window of a call whose prompts are jobs in the background: those hold no slot while they run
MOST_BUFFERED = 10_000  # finished responses that an ordered iterator holds back for an earlier one
LATE = 0.3  # seconds that a call which was cut short waits for answers that were on their way, to record them
SETTLE = 0.5  # seconds that an interrupted call waits for what is being delivered already
FAR = 1 << 62  # a goal that nobody waits for
CHUNK = 256  # prompts that are made before the first of them is sent
BATCH = 64  # prompts under way from which responses are taken a few at a time
BATCH_WAIT = 0.002
DRAINED = "the client is being drained"
STRETCH = 8  # x window: how far it may stretch while one lane cools and another could start

MakeTask = Callable[[int, Any], Task]
LookUp = Callable[[Task], "APIResponse | None"]


def refuse_on_courier() -> None:
    """``RuntimeError`` on the thread of the hooks, which would wait for itself."""
    if on_courier():
        raise RuntimeError("called from a deluge hook: it would wait for itself; start_nowait() does not wait")


class Gathering:
    """Takes the responses of one call. The courier writes, one caller waits; nobody is woken before there is a reason."""

    def __init__(self) -> None:
        self.done = 0
        self.goal = FAR
        self.wake: Callable[[], None] | None = None
        self._condition = threading.Condition()

    def take(self, task: Task, response: APIResponse) -> None:
        """One final response."""
        self.keep(task, response)
        self.done += 1
        if self.done >= self.goal:
            if self.wake is not None:
                self.wake()
            else:
                with self._condition:
                    self._condition.notify_all()

    def keep(self, task: Task, response: APIResponse) -> None:
        """Where it goes."""
        raise TypeError("a Gathering needs a place for its responses")

    def wait(self, goal: int, timeout: float | None = None) -> bool:
        """Blocks until that many responses have come."""
        with self._condition:
            self.goal = goal
            reached = wait_in_slices(self._condition, lambda: self.done >= goal, timeout)
            self.goal = FAR
            return reached


class ResultList(Gathering):
    """Responses by index, None where there is none yet."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[APIResponse | None] = []

    def keep(self, task: Task, response: APIResponse) -> None:
        """In input order."""
        self.results[task.index] = response


class Arrivals(Gathering):
    """Responses in the order in which they come."""

    def __init__(self) -> None:
        super().__init__()
        self.ready: deque[APIResponse] = deque()
        self.taken = 0

    def keep(self, task: Task, response: APIResponse) -> None:
        """At the end."""
        self.ready.append(response)


class Feed:
    """Pulls prompts when there is room and submits them in chunks. Only the caller's thread touches the input."""

    def __init__(
        self, engine: Engine, call: Call, prompts: Iterable[Any], make: MakeTask, until: float | None = None,
        look_up: LookUp | None = None, recorded: LookUp | None = None, owns_journal: bool = False,
    ) -> None:
        self.engine = engine
        self.call = call
        self.added = 0
        self.over = False
        self.cut_off = False  # by drain(), before the end of the input
        self.owns_journal = owns_journal
        self._least = JOBS if any(template.options.background for template in call.templates.values()) else 0
        self.full_at = max(WINDOW * engine.scheduler.slots, self._least)
        self._items = enumerate(prompts)
        self._make = make
        self._until = until
        self._look_up = look_up
        self._recorded = recorded
        if until is not None:
            engine.ends_at(call, until)

    @property
    def halted(self) -> bool:
        """Whether the journal cannot be written any more: then nothing more of the input is taken."""
        journal = self.call.journal
        return journal is not None and journal.failure is not None

    def leave(self, clean: bool) -> None:
        """The call has ended. Late answers of one that was cut short still reach its journal, which is then closed."""
        journal = self.call.journal
        if journal is None:
            return
        if not on_courier():
            self.engine.wait_until_done([self.call], LATE)
        if self.owns_journal:
            journal.close(clean)

    def check(self, responses: Sequence[APIResponse | None] = ()) -> None:
        """``JournalError`` with what was answered, when that could not be written."""
        journal = self.call.journal
        if journal is None or journal.failure is None:
            return
        kept = [None if response is None or response.error_kind == "cancelled" else response for response in responses]
        reason = journal.failure.strerror or type(journal.failure).__name__
        raise JournalError(
            f"{journal.path} cannot be written any more: {reason}; the responses of {journal.unwritten:,} prompts are in "
            "memory only (.responses)", kept, path=journal.path, unwritten=journal.unwritten,
        ) from journal.failure

    def window(self) -> int:
        """How many may be under way at once."""
        size = max(WINDOW * self.engine.scheduler.slots, self._least)
        if len(self.call.templates) > 1:
            size += min(self.engine.stuck(self.call), STRETCH * size)
        return size

    def pull(self, room: int) -> list[Task]:
        """The next tasks, at most ``room``; ``over`` when the input has ended."""
        make = self._make
        tasks = [make(index, prompt) for index, prompt in islice(self._items, room)]
        self.added += len(tasks)
        self.call.more = len(tasks) == room
        if len(tasks) < room:
            self.over = True
        return tasks

    def submit(self, room: int) -> int:
        """Pulls and submits; how many."""
        tasks = self.pull(room)
        self.send(tasks)
        return len(tasks)

    def send(self, tasks: list[Task]) -> None:
        """Submits tasks, but for those whose answer is known."""
        send(self.engine, tasks, self._look_up, self._recorded)

    @property
    def timed_out(self) -> bool:
        """Whether the call's own timeout has passed."""
        return self._until is not None and time.monotonic() >= self._until


def send(engine: Engine, tasks: list[Task], look_up: LookUp | None, recorded: LookUp | None = None) -> None:
    """Submits tasks, but for those that the journal or the response cache has an answer to, or that follow an equal one."""
    if recorded is not None:
        tasks = _served(engine, tasks, recorded)
    try:
        tasks = engine.claim(tasks)
        if look_up is not None:
            tasks = _served(engine, tasks, look_up)
        engine.submit(tasks)
    except BaseException:  # Ctrl-C: whoever follows one of them must not wait for ever
        engine.submit_left(tasks)
        raise


def _served(engine: Engine, tasks: list[Task], look_up: LookUp) -> list[Task]:
    """Delivers what is known already; the tasks that are left."""
    known: list[tuple[Task, APIResponse]] = []
    left = []
    for task in tasks:
        response = look_up(task)
        if response is None:
            left.append(task)
        else:
            known.append((task, response))
    engine.deliver(known)
    return left


def gather(feed: Feed, gathered: ResultList) -> list[APIResponse]:
    """All responses in input order. Ctrl-C, or an error of the input, cancels this call and no other."""
    clean = False
    try:
        _fill_and_wait(feed, gathered)
        clean = True
    except KeyboardInterrupt:
        raise _interrupted(feed, gathered) from None
    except BaseException:
        feed.engine.cancel_call(feed.call)
        raise
    finally:
        feed.leave(clean)
    feed.check(gathered.results)
    return [response for response in gathered.results if response is not None]


def _fill_and_wait(feed: Feed, gathered: ResultList) -> None:
    while not feed.over and not feed.halted:
        window = feed.window()
        room = window - (feed.added - gathered.done)
        if room > 0:
            tasks = feed.pull(min(room, CHUNK))
            gathered.results.extend([None] * len(tasks))
            feed.send(tasks)
        else:
            gathered.wait(feed.added - window // 2, 0.5 if len(feed.call.templates) > 1 else None)
    gathered.wait(feed.added)


def _interrupted(feed: Feed, gathered: ResultList) -> Interrupted:
    """Cancels, lets what is being delivered arrive, and keeps what was answered."""
    cancelled = feed.engine.cancel_call(feed.call, "interrupted")
    gathered.wait(feed.added, SETTLE)
    kept = [None if r is None or r.error_kind == "cancelled" else r for r in gathered.results]
    done = sum(1 for response in kept if response is not None)
    journal = feed.call.journal
    again = "" if journal is None else f"; the same call goes on from {journal.path}"
    return Interrupted(f"interrupted with {done:,} of {feed.added:,} prompts finished, {cancelled:,} cancelled{again}", kept)


def iterate(feed: Feed, arrivals: Arrivals, ordered: bool) -> Iterator[APIResponse]:
    """Responses one by one, pulling the input as they are taken. Leaving the loop cancels what is left."""
    held: dict[int, APIResponse] = {}
    yielded = 0
    clean = False
    try:
        while True:
            _top_up(feed, arrivals, yielded)
            if feed.over and yielded == feed.added:
                clean = feed.call.closed is None
                break
            response = _next_arrival(feed, arrivals)
            if not ordered:
                yielded += 1
                yield response
                continue
            held[response.index] = response
            while yielded in held:
                yielded += 1
                yield held.pop(yielded - 1)
    finally:
        if feed.call.unfinished:
            feed.engine.cancel_call(feed.call)
        feed.leave(clean)
    feed.check()
    if feed.cut_off:
        raise ClosedError(f"the client was drained: {feed.added:,} prompts of this call were taken, and no more")


def _next_arrival(feed: Feed, arrivals: Arrivals) -> APIResponse:
    """Waits for the next response; under load for a few at once, at most 2 ms, which saves a wake-up for each."""
    if not arrivals.ready:
        refuse_on_courier()
        arrivals.wait(arrivals.taken + 1)
        under_way = feed.added - arrivals.taken
        if under_way > BATCH:
            arrivals.wait(arrivals.taken + BATCH // 2, BATCH_WAIT)
    arrivals.taken += 1
    return arrivals.ready.popleft()


def _top_up(feed: Feed, arrivals: Arrivals, yielded: int) -> None:
    """Submits when at least a quarter of the window is free, so that the scheduler is asked in chunks."""
    if feed.over:
        return
    if feed.timed_out or feed.halted:
        feed.over = True
        return
    if feed.call.closed == DRAINED:
        feed.over = feed.cut_off = True
        return
    if feed.added - arrivals.done > feed.full_at:
        return
    window = feed.window()
    room = min(window - (feed.added - arrivals.done), window + MOST_BUFFERED - (feed.added - yielded))
    feed.full_at = window - window // 4
    if room >= max(1, window // 4) or feed.added == yielded:
        feed.submit(max(room, 1))
