"""What the user holds of a job: its state file's name, and how far it has come."""

from __future__ import annotations

import os
from dataclasses import dataclass

from deluge.batches.state import JobState


class BatchJob(os.PathLike[str]):
    """A job that survives the process. ``state`` is the file that stands for it, wherever a job is asked for.

    ``id`` is deluge's own, ``total`` the number of prompts, ``batches`` the provider's ids (one job may have several).
    ``over_budget``: how many of the prompts were not sent, because ``max_cost`` does not allow them.
    """

    __slots__ = ("state", "id", "total", "batches", "over_budget", "_reader")

    def __init__(self, state: JobState, reader: object = None, over_budget: int = 0) -> None:
        self.state = state.path
        self.id = state.id
        self.total = state.total
        self.batches = tuple(part.batch for part in state.parts if part.batch)
        self.over_budget = over_budget
        self._reader = reader  # makes typed objects of the answers, while this object lives

    def __fspath__(self) -> str:
        return self.state

    def __repr__(self) -> str:
        over = f", {self.over_budget:,} over budget" if self.over_budget else ""
        return f"<BatchJob {self.state} | {self.total:,} prompts in {len(self.batches)} batches{over}>"


@dataclass(frozen=True, slots=True)
class BatchPart:
    """One provider batch: its id (empty before it was created), the provider's word for its state, and its counts."""

    batch: str
    model: str
    status: str
    total: int
    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    ended: bool = False

    @property
    def running(self) -> int:
        """Prompts that have not ended."""
        return max(0, self.total - self.succeeded - self.failed - self.expired - self.cancelled)


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a job has come, as the providers say; some of them count before the end, some at the end only.

    ``unsent``: prompts that can never be sent, whose responses are errors. ``parts``: batch by batch.
    """

    state: str
    total: int
    unsent: int
    parts: tuple[BatchPart, ...]

    @property
    def ended(self) -> bool:
        """Whether all that was submitted has ended, one way or the other."""
        return all(part.ended for part in self.parts)

    @property
    def succeeded(self) -> int:
        """Prompts that were answered."""
        return sum(part.succeeded for part in self.parts)

    @property
    def failed(self) -> int:
        """Prompts that the provider could not answer."""
        return sum(part.failed for part in self.parts)

    @property
    def expired(self) -> int:
        """Prompts that their batch did not come to in time."""
        return sum(part.expired for part in self.parts)

    @property
    def cancelled(self) -> int:
        """Prompts that were not answered because their batch was cancelled."""
        return sum(part.cancelled for part in self.parts)

    @property
    def running(self) -> int:
        """Prompts that still wait for their answer."""
        return sum(part.running for part in self.parts)

    def __repr__(self) -> str:
        more = "".join(f", {count:,} {word}" for word, count in (
            ("failed", self.failed), ("expired", self.expired), ("cancelled", self.cancelled), ("never sent", self.unsent),
        ) if count)
        end = "ended" if self.ended else "running"
        return f"<BatchStatus {end} | {self.succeeded:,}/{self.total:,} answered{more} | {len(self.parts)} batches>"
