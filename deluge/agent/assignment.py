"""What the agents of one call have in common: a snapshot of tools, settings and hooks, and the plan of their requests."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from deluge._plugins import load, room
from deluge.agent.toolbox import Toolbox
from deluge.errors import ConfigError
from deluge.options import TOOL_CHOICES, tool_names
from deluge.plan import Plan
from deluge.prompt import Conversation, Message
from deluge.request import RequestTemplate
from deluge.response import APIResponse
from deluge.tasks import Task
from deluge.tools import MCPServer, Tool
from deluge.wire import StreamDelta

TOOL_TIMEOUT = 120.0  # seconds

OnRound = Callable[[Conversation, APIResponse, int], Any]
OnMessage = Callable[[Message], Any]
OnText = Callable[[StreamDelta], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How an agent goes about it; checked."""

    max_rounds: int = 5
    on_round_complete: OnRound | None = None
    on_message: OnMessage | None = None
    on_text_delta: OnText | None = None
    tool_timeout: float | None = TOOL_TIMEOUT
    parallel_tools: bool = True
    verbose: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.max_rounds, bool) or not isinstance(self.max_rounds, int) or self.max_rounds < 1:
            raise ConfigError(f"max_rounds is a whole number from 1 on, not {self.max_rounds!r}")
        timeout = self.tool_timeout
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0):
            raise ConfigError(f"tool_timeout is a number of seconds above 0, or None, not {timeout!r}")
        for name in ("on_round_complete", "on_message", "on_text_delta"):
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise ConfigError(f"{name} is a function, not {type(hook).__name__}")


class Assignment:
    """Shared by the agents of one call, which are one call among the others for the scheduler too.

    ``first_plan`` is for the first round, in which a tool may have to be called; ``plan`` for others in which tools may be
    called, ``last_plan`` for the last one. Rounds are delivered as they come:
    the client's ``postprocess`` is kept for the final response.
    """

    def __init__(self, plan: Plan, habits: Habits, count: Callable[[], None]) -> None:
        self.habits = habits
        self.count = count  # one more request is to be expected
        self.engine = plan.engine
        self.context = contextvars.copy_context()
        self.postprocess = plan.config.postprocess
        self.end = math.inf if plan.timeout is None else plan.timeout
        self._lock = threading.Lock()
        self.first_model = next(iter(plan.call.templates.values())).model.id
        self._servers = servers_for_here(plan)
        self._choice = plan.options.tool_choice
        self._set(plan, plan.options.tools)

    def _set(self, plan: Plan, tools: tuple[Any, ...]) -> None:
        self.tools = tools
        self.box = Toolbox(tools)
        choice, told = self._choice, self.box.told
        named = choice in TOOL_CHOICES or any(choice in tool_names(tool) for tool in told)
        if told != plan.options.tools or choice != plan.options.tool_choice:
            plan = plan.again(tools=told, tool_choice=choice if named or choice is None else "auto")
        self.first_plan = self.plan = plan
        if plan.options.tool_choice not in (None, "auto", "none"):  # again and again, it would never come to an answer
            self.plan = plan.again(tool_choice="auto")
        self.last_plan = plan.again(tool_choice="none") if plan.options.tools else plan
        for one in {id(one): one for one in (self.first_plan, self.plan, self.last_plan)}.values():
            one.call.postprocess = None
            one.call.receiver = _RECEIVER
            one.call.context = self.context if one.call.context is not None else None
            if self.end < math.inf:
                self.engine.ends_at(one.call, self.end)

    def prepare(self) -> None:
        """Done once, by the first agent before it asks: the tools of MCP servers that are called from here are listed.

        ``MCPError`` when a server does not list them.
        """
        if not self._servers:
            return
        with self._lock:
            if self._servers:
                tools = tuple(tool for tool in self.tools if tool not in self._servers)
                self._set(self.first_plan, (*tools, *self._listed()))
                self._servers = []

    def _listed(self) -> list[Tool]:
        """The servers' tools, within the call's own time."""
        if self.end == math.inf:
            return listed(self._servers, self.box.functions)
        cancellation = room("mcp").Cancellation()
        timer = threading.Timer(max(0.0, self.end - time.monotonic()), cancellation.cancel)
        timer.daemon = True
        timer.start()
        try:
            with cancellation.covers():
                return listed(self._servers, self.box.functions)
        finally:
            timer.cancel()

    @property
    def timed_out(self) -> bool:
        """Whether the call's own timeout has passed."""
        return time.monotonic() >= self.end


def servers_for_here(plan: Plan) -> list[MCPServer]:
    """The MCP servers of a call that have to be called from here, because a model's provider does not call them."""
    servers = [tool for tool in plan.options.tools if isinstance(tool, MCPServer)]
    templates = plan.call.templates.values() if servers else ()
    return [server for server in servers if not all(_calls(template, server) for template in templates)]


def _calls(template: RequestTemplate, server: MCPServer) -> bool:
    calls = getattr(load("dialects", template.dialect), "calls_mcp", None)
    return calls is not None and bool(calls(template, server))


def listed(servers: list[MCPServer], taken: Collection[str]) -> list[Tool]:
    """The tools of these servers; those whose name is taken have their server's name before it."""
    mcp = room("mcp.tools")
    found: list[Tool] = mcp.tools_of_all(servers)
    made = []
    for tool in found:
        if tool.name in taken:
            name = mcp.callable_name(f"{getattr(tool.run, 'server').name}_{tool.name}", taken)
            tool = Tool(name, tool.description, tool.parameters, tool.run, tool.strict)
        made.append(tool)
    return made


class _Receiver:
    """Hands each response to the agent that asked for it."""

    def take(self, task: Task, response: APIResponse) -> None:
        """One round's response; called on the courier."""
        task.handle.put(response)


_RECEIVER = _Receiver()
