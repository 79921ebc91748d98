"""The tools of an agent: what the model is told of them, and the functions behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deluge.errors import ConfigError
from deluge.prompt import Message, ToolCall, ToolResult
from deluge.tools import Tool
from deluge.tools.tool import error_text


class Toolbox:
    """Finds and runs what a model calls.

    A ``Tool`` with the name of one of the provider's own tools (a dict such as ``{"type": "bash_20250124", "name":
    "bash"}``) is the function behind that: the model is told of the dict only.
    """

    __slots__ = ("functions", "told", "_behind")

    def __init__(self, tools: Iterable[Any]) -> None:
        every = tuple(tools)
        self.functions: dict[str, Tool] = {}
        for tool in every:
            if isinstance(tool, Tool):
                if tool.name in self.functions:
                    raise ConfigError(f"two tools are named {tool.name!r}: a model tells them apart by their names")
                self.functions[tool.name] = tool
        own = {_name_of(tool) for tool in every if isinstance(tool, Mapping)}
        self._behind = own & set(self.functions)
        self.told = tuple(tool for tool in every if not (isinstance(tool, Tool) and tool.name in self._behind))

    def calls_in(self, message: Message) -> tuple[ToolCall, ...]:
        """The calls that this side has to answer, in order: none of those that the provider runs itself."""
        done = {result.tool_call_id for result in message.tool_results}
        return tuple(
            call for call in message.tool_calls
            if not call.built_in or (call.name in self._behind and call.id not in done)
        )

    def result_for(self, call: ToolCall) -> ToolResult:
        """The result of a call; whatever goes wrong is an error result that tells the model."""
        tool = self.functions.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self.functions)) or "none"
            return failure(call, f"there is no tool named {call.name!r}; there are: {known}")
        try:
            return tool.result_for(call)
        except BaseException as error:  # sys.exit() in a tool ends that tool
            return failure(call, error_text(error))


def failure(call: ToolCall, words: str) -> ToolResult:
    """An error result."""
    return ToolResult(call.id, words, True, name=call.name, type=call.type)


def _name_of(tool: Mapping[str, Any]) -> str:
    inner = tool.get("function")
    named = inner if isinstance(inner, Mapping) else tool
    return str(named.get("name") or tool.get("type") or "")
