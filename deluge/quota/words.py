"""What a process tells a quota that it shares, and what the quota answers.

Amounts are pairs ``(requests, tokens)``; a capacity of -1 is no limit. Times are counted in slots of ``window / SLOTS``
seconds on the quota's own clock; what a process says about the future or the past are durations, so that no two
machines have to agree on the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Amounts = tuple[int, int]
Learned = tuple[float, float, float, float]
NOTHING: Amounts = (0, 0)
UNBOUND = -1

SLOTS = 240  # of a window, as in the books of a process that is alone
LEASE = 3.0  # seconds after which nothing is heard of a process is taken for its end
HEARTBEAT = 1.0  # seconds between two words of a process that holds something
REST = 2.5  # the same for one that holds nothing and can get nothing
VIGIL = 4.5  # seconds after which nothing is heard of it is taken for its end


class QuotaUnavailable(Exception):
    """The quota cannot be asked at the moment; the text says why, without any secret."""


@dataclass(frozen=True, slots=True)
class Report:
    """One process's word about one lane, and what it asks for.

    ``number``: a report with the number of the one before is the same one again: what it spent is not counted twice.
    ``generation``: the life of the quota's memory that this process knows; "" for none. ``fresh`` names a new one.
    ``whole``: ``spent`` is everything of the last window, because the quota has lost its memory.
    ``held``: what it was granted and has not reported as spent; everything else goes back.
    ``needs``: what it would like on top; ``head``: how much of that its first prompt needs, without which no grant helps.
    ``spent``: ``(slot, requests, tokens)`` since the last report; negative amounts are corrections.
    ``pauses``: lanes that cool down, with the seconds that are left. ``learned``: lanes of which the provider told the
    limits (requests, tokens, input and output tokens per minute; -1 is not known).
    ``alone``: it could not ask for so long that it spent without asking.
    ``leaves``: its last word; what it holds counts as spent.
    """

    lane: str
    member: str
    number: int
    fresh: str
    generation: str
    mode: Literal["rolling", "bucket"]
    window: float
    capacities: tuple[float, float]
    held: Amounts = NOTHING
    needs: Amounts = NOTHING
    head: Amounts = NOTHING
    spent: Sequence[tuple[int, int, int]] = ()
    pauses: Mapping[str, float] = field(default_factory=dict)
    learned: Mapping[str, Learned] = field(default_factory=dict)
    whole: bool = False
    alone: bool = False
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the quota says to a report.

    ``now``: the quota's time, None when its clock is the process's own (``time.monotonic``).
    ``granted`` may be spent for ``LEASE`` seconds from the report on, like all that is held. ``retry_in``: when to ask
    again; 0.0 when everything was granted. ``lost``: this is another memory than the process knows; nothing was counted:
    report everything.
    ``members`` are awake, ``hungry`` of them wait for more. ``capacities``: the lowest of all members. ``used`` holds what
    is in the window (missing from the bucket), grants of everybody included.
    """

    generation: str
    now: float | None
    granted: Amounts
    retry_in: float
    members: int
    hungry: int
    capacities: tuple[float, float]
    used: Amounts
    pauses: Mapping[str, float]
    learned: Mapping[str, Learned]
    lost: bool = False


class Quota(Protocol):
    """What a client needs of a quota that it shares with other processes."""

    @property
    def url(self) -> str | None:
        """How a configuration names it, without secrets; None when it cannot."""

    @property
    def processes(self) -> int | None:
        """How many share it at most, for the time when it cannot be asked; None: as many as were seen last."""

    def exchange(self, reports: Sequence[Report]) -> list[Answer]:
        """The answers, in order, each report counted wholly or not at all; ``QuotaUnavailable``. Safe in any thread."""

    def close(self) -> None:
        """Lets its connection go; the next exchange opens another."""

    def after_fork(self) -> None:
        """In a forked child: forgets the parent's connection and locks."""
