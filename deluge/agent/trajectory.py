"""What an agent did: its rounds, the tools that it called, and what all of it cost. Frozen data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from deluge.prompt import Message, ToolCall, ToolResult
from deluge.response import APIResponse, FinishReason, Source
from deluge.usage import NO_USAGE, Usage

StopReason = Literal["answer", "max_rounds", "error", "cancelled"]


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One call of a tool and what came of it. ``duration``: seconds until the result was there, or was given up."""

    call: ToolCall
    result: ToolResult
    duration: float = 0.0

    def __repr__(self) -> str:
        failed = " failed" if self.result.is_error else ""
        return f"<ToolRun {self.call.name}{failed} after {self.duration:.3f} s>"


@dataclass(frozen=True, slots=True)
class AgentRound:
    """One request to the model, its answer, and the tools that the answer called.

    ``number`` counts from 1. ``message`` is None for a round that ended in an error (``error_kind``). ``usage`` and
    ``cost`` (dollars, None where unknown) cover all attempts of the request, ``latency`` is the seconds of the last one;
    ``source`` says whether it came from the provider or a cache.
    """

    number: int
    model: str
    message: Message | None
    tool_runs: tuple[ToolRun, ...] = ()
    finish_reason: FinishReason | None = None
    error_kind: str | None = None
    usage: Usage = NO_USAGE
    cost: float | None = None
    latency: float | None = None
    source: Source = "api"

    @classmethod
    def of(cls, number: int, response: APIResponse, tool_runs: Iterable[ToolRun] = ()) -> AgentRound:
        """The record of a round that ended with this response and these calls."""
        return cls(
            number, response.model_internal, None if response.is_error else response.content, tuple(tool_runs),
            response.finish_reason, response.error_kind, response.usage, response.cost, response.latency, response.source,
        )

    def __repr__(self) -> str:
        called = ", ".join(run.call.name for run in self.tool_runs)
        what = self.error_kind or (f"called {called}" if called else self.finish_reason)
        return f"<AgentRound {self.number} {self.model} {what}>"


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The rounds of an agent, in order, and why it stopped. Iterates over its rounds.

    ``stop_reason``: ``answer`` (the model called no more tools), ``max_rounds`` (it wanted to go on), ``error``, or
    ``cancelled``.
    """

    rounds: tuple[AgentRound, ...]
    stop_reason: StopReason

    @property
    def usage(self) -> Usage:
        """The tokens of all rounds."""
        return sum((one.usage for one in self.rounds), NO_USAGE)

    @property
    def cost(self) -> float | None:
        """The dollars of all rounds; None where tokens were used at an unknown price."""
        return summed_cost(self.rounds)

    @property
    def tool_runs(self) -> tuple[ToolRun, ...]:
        """The tool calls of all rounds."""
        return tuple(run for one in self.rounds for run in one.tool_runs)

    def __iter__(self) -> Iterator[AgentRound]:
        return iter(self.rounds)

    def __len__(self) -> int:
        return len(self.rounds)

    def __getitem__(self, index: int) -> AgentRound:
        return self.rounds[index]

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Trajectory {len(self.rounds)} rounds, {len(self.tool_runs)} tool calls | {self.stop_reason}>"


def summed_cost(rounds: Iterable[AgentRound]) -> float | None:
    """The sum of what is known, rounded once; None when nothing is, or tokens were used at an unknown price."""
    known: list[float] = []
    for one in rounds:
        if one.cost is not None:
            known.append(one.cost)
        elif one.usage != NO_USAGE:
            return None
    return math.fsum(known) if known else None
