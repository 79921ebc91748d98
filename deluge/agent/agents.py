"""A client's agents: run here and now, by handle, or many at once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from typing_extensions import Unpack

from deluge.agent.assignment import Assignment, Habits, OnMessage, OnRound, OnText
from deluge.agent.future import AgentFuture, AgentHandle, Ended, Roster
from deluge.agent.loop import TIMED_OUT, Agent
from deluge.asking import Asking
from deluge.calls import refuse_on_courier
from deluge.courier import wait_in_slices
from deluge.errors import ConfigError, Interrupted
from deluge.journaling import without_journal
from deluge.options import CallOptions
from deluge.prompt import Conversation
from deluge.prompt.coerce import as_conversation, as_prompts


class AgentOptions(CallOptions, total=False):
    """What every agent takes: the options of a call, and how it goes about its rounds.

    ``max_rounds``: requests at most; in the last one no tools may be called. A ``tool_choice`` that forces a call holds for
    the first round. ``on_message(message)`` sees what is added
    to the conversation, ``on_round_complete(conversation, response, number)`` each round, ``on_text_delta(delta)`` the
    text as it comes. ``tool_timeout``: seconds for one call of a tool, None for no limit. ``verbose`` prints the messages.
    """

    max_rounds: int
    on_round_complete: OnRound | None
    on_message: OnMessage | None
    on_text_delta: OnText | None
    tool_timeout: float | None
    parallel_tools: bool
    verbose: bool


_HABITS = frozenset(AgentOptions.__annotations__) - frozenset(CallOptions.__annotations__)


class Agents(Asking):
    """The agents of a client. ``LLMClient`` brings the settings, and the life of what the attributes hold."""

    _roster: Roster

    def run_agent_loop(self, conversation: Any, **options: Unpack[AgentOptions]) -> Ended:
        """``(conversation, response)`` once the model calls no more tools, or after ``max_rounds`` (5) requests.

        A ``Conversation`` is the one that grows; of anything else a new one is made. ``response`` is the last answer, with
        the usage and cost of all rounds and the ``trajectory``; an error response when a round failed. Blocks.
        ``timeout=`` seconds for all of it. Ctrl-C raises ``Interrupted``; every call in the conversation is answered then.
        """
        refuse_on_courier()
        agent = self._agent(conversation, self._assignment(options))
        leave = self._showing.join(None, None)
        try:
            agent.run()
            return agent.future.result()
        except KeyboardInterrupt:
            agent.cancel("interrupted")
            raise Interrupted("interrupted", [agent.future.result()[1]]) from None
        finally:
            leave()

    def start_agent_loop_nowait(self, conversation: Any, **options: Unpack[AgentOptions]) -> AgentFuture:
        """The handle of an agent that runs on a thread of its own, at once."""
        agent = self._agent(conversation, self._assignment(options))
        agent.future.add_done_callback(_leaving(self._showing.join(None, None, batch=False)))
        self._roster.book.add(agent.future)
        agent.start()
        return agent.future

    def wait_for_agent_loop(self, handle: AgentHandle, timeout: float | None = None) -> Ended:
        """``(conversation, response)`` of a handle or of its number; ``KeyError`` for an unknown number."""
        return self._roster.book.wait(handle, timeout)

    def process_agent_loops(
        self, prompts: Any, *, max_concurrent_agents: int = 10, show_progress: bool = True, **options: Unpack[AgentOptions]
    ) -> list[Ended]:
        """One ``(conversation, response)`` per prompt, in input order, errors included.

        Any iterable counts as many prompts, as in ``process_prompts``; at most ``max_concurrent_agents`` are at work at a
        time, and share the client's limits with everybody else. Each has a conversation of its own. ``timeout=`` seconds
        for all of them. Ctrl-C raises ``Interrupted`` with the pairs that are there, None elsewhere.
        """
        refuse_on_courier()
        if isinstance(max_concurrent_agents, bool) or not isinstance(max_concurrent_agents, int) or max_concurrent_agents < 1:
            raise ConfigError(f"max_concurrent_agents is a whole number from 1 on, not {max_concurrent_agents!r}")
        items = as_prompts(prompts)
        assignment = self._assignment(options)
        leave = self._showing.join(None, self._config.progress if show_progress else None)
        try:
            return self._crowd(items, assignment, max_concurrent_agents)
        finally:
            leave()

    def _crowd(self, items: Iterable[Any], assignment: Assignment, most: int) -> list[Ended]:
        futures: list[AgentFuture] = []
        crowd = _Crowd()
        try:
            for index, item in enumerate(items):
                crowd.wait_for_fewer_than(most)
                agent = self._agent(as_conversation(item, index), assignment, index)
                futures.append(agent.future)
                if assignment.timed_out:
                    agent.cancel(TIMED_OUT)
                else:
                    crowd.begin(agent)
            crowd.wait_for_fewer_than(1)
        except KeyboardInterrupt:
            done = [future.result() if future.done() else None for future in futures]
            _stop_all(futures, "interrupted")
            raise Interrupted(f"interrupted with {sum(map(bool, done)):,} of {len(done):,} agents finished", done) from None
        except BaseException:
            _stop_all(futures, "cancelled")
            raise
        return [future.result() for future in futures]

    def _assignment(self, options: AgentOptions) -> Assignment:
        given: dict[str, Any] = dict(options)
        without_journal(given)
        habits = Habits(**{name: given.pop(name) for name in _HABITS & given.keys()})
        try:
            plan = self._plan(given, None)  # type: ignore[arg-type]
        except TypeError as error:
            raise TypeError(f"{error}; an agent also takes {', '.join(sorted(_HABITS))}") from None
        showing = self._showing
        assignment = Assignment(plan, habits, lambda: showing.join(1, None, batch=False)())
        for one in (assignment.first_plan, assignment.plan, assignment.last_plan):
            self._calls.add(one.call)
        return assignment

    def _agent(self, conversation: Any, assignment: Assignment, index: int = 0) -> Agent:
        prompt = as_conversation(conversation)
        grows = isinstance(conversation, Conversation) and not conversation.frozen
        return Agent(assignment, self._roster, conversation if grows else prompt.copy(), index)


class _Crowd:
    """Counts the agents that are at work."""

    def __init__(self) -> None:
        self._working = 0
        self._condition = threading.Condition()

    def begin(self, agent: Agent) -> None:
        """One more."""
        with self._condition:
            self._working += 1
        agent.future.add_done_callback(self._ended)
        agent.start()

    def wait_for_fewer_than(self, count: int) -> None:
        """Blocks until fewer than that are at work."""
        with self._condition:
            wait_in_slices(self._condition, lambda: self._working < count, None)

    def _ended(self, _: Any) -> None:
        with self._condition:
            self._working -= 1
            self._condition.notify_all()


def _stop_all(futures: Iterable[AgentFuture], words: str) -> None:
    for future in futures:
        future.stop(words)


def _leaving(leave: Any) -> Any:
    return lambda _: leave()
