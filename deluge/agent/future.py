"""The handle of an agent on its way, and the list of those that a client has under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Union

from deluge.handles import HandleBook, NumberedFuture
from deluge.prompt import Conversation
from deluge.response import APIResponse

if TYPE_CHECKING:
    from deluge.agent.loop import Agent

Ended = tuple[Conversation, APIResponse]


class AgentFuture(NumberedFuture[Ended]):
    """The handle of an agent: a ``concurrent.futures.Future`` that is awaitable and stands for its number (``int(handle)``).

    ``result()`` gives ``(conversation, response)``, **also for an error response**. A cancelled handle says so
    (``cancelled()``), and its response is of kind ``cancelled``.
    """

    def __init__(self, number: int, book: HandleBook[Ended], cancel: Callable[[str], bool]) -> None:
        super().__init__(number, book, threading.Condition())
        self._cancel = cancel

    def cancel(self) -> bool:
        """Ends the agent at once: its request is cut, its tools are left alone; False when it has ended already.

        The conversation is left as far as it came, with every tool call answered.
        """
        return self.stop("cancelled") or self.cancelled()

    def stop(self, words: str) -> bool:
        """``cancel`` with the words that the response says."""
        return self._cancel(words)

    def end(self, conversation: Conversation, response: APIResponse) -> None:
        """Sets the result."""
        if self.settle((conversation, response), response.error_kind == "cancelled"):
            self._book.resolved(self)
        self._cancel = _over  # nothing of the agent is kept for its result


def _over(words: str) -> bool:
    return False


AgentHandle = Union[AgentFuture, int]


class Roster:
    """The agents of one client that have not ended, and the book of their handles."""

    def __init__(self) -> None:
        self.book: HandleBook[Ended] = HandleBook("agent")
        self._lock = threading.Lock()
        self._running: dict[int, Agent] = {}

    def enter(self, agent: Agent) -> None:
        """An agent begins."""
        with self._lock:
            self._running[agent.id] = agent

    def leave(self, agent: Agent) -> None:
        """It has ended."""
        with self._lock:
            self._running.pop(agent.id, None)

    def cancel_all(self, words: str) -> None:
        """Ends all of them at once."""
        for agent in self._all():
            agent.cancel(words)

    def wait(self, timeout: float | None) -> bool:
        """Waits until those that run now have ended; False when that took longer than ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        try:
            for agent in self._all():
                agent.future.exception(None if end is None else max(0.0, end - time.monotonic()))
        except FutureTimeout:
            return False
        return True

    def after_fork(self) -> None:
        """In a forked child: a new lock; the agents are the parent's."""
        self._lock = threading.Lock()
        self.book.after_fork()
        agents, self._running = list(self._running.values()), {}
        for agent in agents:
            agent.orphan()

    def _all(self) -> list[Agent]:
        with self._lock:
            return list(self._running.values())
