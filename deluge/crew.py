"""The workers: threads of an executor that are started as there is work for them, and never more than it takes."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import process_time as cpu
from typing import Optional

from deluge.lanes import NEVER
from deluge.surroundings import greenlets
from deluge.tasks import Flight, Outcome

SOON = 64  # workers that are started as soon as there is work for them, where the lobby does the waiting
SHORT = 0.02  # seconds that work may wait for a worker before more are started
BUSY = 0.7  # of a core: a process that computes so much gains nothing from more threads
LONG = 1.0  # seconds after which they are started all the same
MOST = 100_000  # never the limit: slots are, and workers lost in a name look-up must not queue work behind them

Job = tuple[Flight, Optional[Outcome]]
Jobs = queue.SimpleQueue[Optional[Job]]


class Crew:
    """The executor, its queue of jobs, and who is free. Changed under the engine's lock only.

    A job is a flight to be flown, or a flight with a failed outcome that is to be judged. ``free`` below zero is work that
    no worker is there for: some are started at once, more when it has stood there for a while, so that those who block
    hold nobody up. Workers are started by the keeper of time, whose thread is a daemon, which makes them daemons too.
    """

    __slots__ = ("jobs", "free", "workers", "wanted", "short_at", "_soon", "_executor", "_since", "_seen")

    def __init__(self, soon: int = SOON) -> None:
        self.jobs: Jobs = queue.SimpleQueue()
        self.free = 0
        self.workers = 0
        self.wanted = 0
        self.short_at = NEVER
        self._soon = soon
        self._since = 0.0
        self._seen = (0.0, 0.0)
        self._executor: ThreadPoolExecutor | None = None

    def assign(self, jobs: list[Job], now: float) -> None:
        """Queues work, and orders workers for it where that is allowed at once."""
        for job in jobs:
            self.jobs.put(job)
        self.free -= len(jobs)
        if self.free < 0:
            self._want(min(-self.free, self._soon - self.workers - self.wanted))
            if self.free < 0 and self.short_at == NEVER:
                self.short_at, self._since, self._seen = now + SHORT, now, (now, cpu())

    def relieve(self, now: float) -> None:
        """When work has stood for a while with no worker free, and that for want of threads: twice as many."""
        if self.short_at > now:
            return
        self.short_at = NEVER
        if self.free >= 0:
            return
        (then, before), self._seen = self._seen, (now, cpu())
        busy = self._seen[1] - before > BUSY * (now - then)
        if not busy or now - self._since > LONG:
            self._want(min(-self.free, max(SOON, self.workers)))
        if self.free < 0:
            self.short_at = now + SHORT

    def ordered(self) -> int:
        """How many workers are to be started now; they count as started."""
        count, self.wanted = self.wanted, 0
        self.workers += count
        return count

    def start(self, count: int, work: Callable[[], None]) -> None:
        """Starts workers. Called without the lock, by the keeper of time.

        Greenlets are started without the executor, which would hold a lock of the whole process while each begins.
        """
        if greenlets():
            for _ in range(count):
                threading.Thread(target=work, name="deluge-worker", daemon=True).start()
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(MOST, thread_name_prefix="deluge-worker")
        with contextlib.suppress(RuntimeError):  # closed meanwhile: nobody waits for these workers any more
            for _ in range(count):
                self._executor.submit(work)

    def dismiss(self) -> list[Job]:
        """Lets all workers go, each when its job is done; the jobs that none of them has begun."""
        left: list[Job] = []
        with contextlib.suppress(queue.Empty):
            while True:
                job = self.jobs.get_nowait()
                if job is not None:
                    left.append(job)
        for _ in range(self.workers + self.wanted):
            self.jobs.put(None)
        if self._executor is not None:
            self._executor.shutdown(wait=False)
        return left

    def _want(self, count: int) -> None:
        if count > 0:
            self.wanted += count
            self.free += count

    def __repr__(self) -> str:
        return f"<Crew {self.workers} workers, {self.free} free>"
