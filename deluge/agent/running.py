"""Runs the tool calls of one round, on threads of their own, each within its time."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deluge import lifecycle
from deluge.agent.toolbox import Toolbox, failure
from deluge.agent.trajectory import ToolRun
from deluge.courier import SLICE
from deluge.prompt import ToolCall

if TYPE_CHECKING:
    from deluge.agent.loop import Agent

MOST_AT_ONCE = 32  # tool threads of one agent


@dataclass(frozen=True, slots=True)
class Ran:
    """A tool came back: in which round, as which call of it."""

    round: int
    index: int
    run: ToolRun


class ToolRuns:
    """The calls of one round. ``runs`` has those that are through, by their place; the agent's thread alone writes it."""

    def __init__(self, agent: Agent, number: int, calls: tuple[ToolCall, ...]) -> None:
        self.calls = calls
        self.runs: dict[int, ToolRun] = {}
        self._agent = agent
        self._number = number
        self._began: dict[int, float] = {}

    def run(self, until: float) -> None:
        """Runs all of them; those that take too long, or are not through at the monotonic time ``until``, fail."""
        width = MOST_AT_ONCE if self._agent.habits.parallel_tools else 1
        following = 0
        while len(self.runs) < len(self.calls):
            while following < len(self.calls) and len(self._began) < width:
                self._start(following)
                following += 1
            if not self._began:
                continue  # none of them could be started
            item = self._agent.next_item(max(0.001, min(SLICE, self._expires(until) - time.monotonic())))
            if isinstance(item, Ran) and item.round == self._number and item.index in self._began:
                del self._began[item.index]
                self.runs[item.index] = item.run
            now = time.monotonic()
            self._give_up_late(now)
            if now >= until or lifecycle.exiting:
                self.fail("the agent's time was up before this call had ended")

    def fail(self, words: str) -> None:
        """Gives up what is not through."""
        now = time.monotonic()
        for index, call in enumerate(self.calls):
            if index not in self.runs:
                self.runs[index] = ToolRun(call, failure(call, words), now - self._began.get(index, now))
        self._began.clear()

    def in_order(self, words: str = "") -> tuple[ToolRun, ...]:
        """All of them, in the order of the calls; those that are not through have failed with these words."""
        return tuple(
            self.runs.get(index) or ToolRun(call, failure(call, words)) for index, call in enumerate(self.calls)
        )

    def _expires(self, until: float) -> float:
        timeout = self._agent.habits.tool_timeout
        return until if timeout is None else min(until, min(self._began.values()) + timeout)

    def _give_up_late(self, now: float) -> None:
        timeout = self._agent.habits.tool_timeout
        if timeout is None:
            return
        for index in [index for index, began in self._began.items() if now - began >= timeout]:
            call = self.calls[index]
            words = f"TimeoutError: {call.name} did not end within {timeout:g} s"
            self.runs[index] = ToolRun(call, failure(call, words), now - self._began.pop(index))

    def _start(self, index: int) -> None:
        call, agent = self.calls[index], self._agent
        self._began[index] = time.monotonic()
        work = (_work, agent.put, agent.assignment.box, self._number, index, call)
        context: contextvars.Context = agent.context.copy()
        try:
            threading.Thread(target=context.run, args=work, name=f"deluge-tool-{call.name[:40]}", daemon=True).start()
        except RuntimeError as error:  # no thread is to be had
            self.runs[index] = ToolRun(call, failure(call, str(error)))
            del self._began[index]


def _work(put: Callable[[Ran], None], box: Toolbox, number: int, index: int, call: ToolCall) -> None:
    began = time.monotonic()
    result = box.result_for(call)
    put(Ran(number, index, ToolRun(call, result, time.monotonic() - began)))
