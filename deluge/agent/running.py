"""Runs the tool calls of one round, on threads of their own, each within its time."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deluge import lifecycle
from deluge._plugins import room
from deluge.agent.toolbox import Toolbox, failure
from deluge.agent.trajectory import ToolRun
from deluge.prompt import Message, ToolCall
from deluge.tools import MCPServer

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

    def __init__(self, agent: Agent, number: int, message: Message, calls: tuple[ToolCall, ...]) -> None:
        self.message = message
        self.calls = calls
        self.runs: dict[int, ToolRun] = {}
        self._agent = agent
        self._number = number
        self._began: dict[int, float] = {}
        self._ends: dict[int, Callable[[], None]] = {}  # tells an MCP server that a call is given up

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
            item = self._agent.next_item(self._expires(until) - time.monotonic())
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
                self._end(index)
                self.runs[index] = ToolRun(call, failure(call, words), now - self._began.get(index, now))
        self._began.clear()

    def in_order(self, words: str = "") -> tuple[ToolRun, ...]:
        """All of them, in the order of the calls; those that are not through have failed with these words."""
        missing = [index for index in range(len(self.calls)) if index not in self.runs]
        for index in missing:
            self._end(index)
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
            self._end(index)
            self.runs[index] = ToolRun(call, failure(call, words), now - self._began.pop(index))

    def forget(self) -> None:
        """In a forked child: what runs, runs in the parent."""
        self._ends.clear()

    def _end(self, index: int) -> None:
        end = self._ends.pop(index, None)
        if end is not None:
            end()

    def _covered(self, index: int, call: ToolCall) -> AbstractContextManager[None]:
        """What lets a call of an MCP server's be given up from here; of other tools nothing can."""
        tool = self._agent.assignment.box.functions.get(call.name)
        if tool is None or not isinstance(getattr(tool.run, "server", None), MCPServer):
            return nullcontext()
        cancellation = room("mcp").Cancellation()
        self._ends[index] = cancellation.cancel
        covers: AbstractContextManager[None] = cancellation.covers()
        return covers

    def _start(self, index: int) -> None:
        call, agent = self.calls[index], self._agent
        self._began[index] = time.monotonic()
        work = functools.partial(_work, agent.put, agent.assignment.box, self._number, index, call)
        context, cover = agent.context.copy(), self._covered(index, call)
        name = f"deluge-tool-{call.name[:40]}"
        try:
            threading.Thread(target=context.run, args=(_under, cover, work), name=name, daemon=True).start()
        except RuntimeError as error:  # no thread is to be had
            self.runs[index] = ToolRun(call, failure(call, str(error)))
            del self._began[index]


def _under(cover: AbstractContextManager[None], work: Callable[[], None]) -> None:
    with cover:
        work()


def _work(put: Callable[[Ran], None], box: Toolbox, number: int, index: int, call: ToolCall) -> None:
    began = time.monotonic()
    result = box.result_for(call)
    put(Ran(number, index, ToolRun(call, result, time.monotonic() - began)))
