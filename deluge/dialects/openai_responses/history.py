"""Input and output items of the Responses API, as messages of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deluge.dialects.openai_responses.parts import NAME, output_parts
from deluge.errors import ConfigError
from deluge.prompt import Message, Part, Text, ToolResult
from deluge.prompt._foreign import as_dict, message_of, result_content

_PLAIN_OUTPUTS = ("function_call_output", "custom_tool_call_output")
Item = Mapping[str, Any]


def messages_of(items: str | Iterable[Any], instructions: Any = None) -> list[Message]:
    """The messages that items describe: dicts, or the SDK's own objects. ``ConfigError`` names the one it cannot read."""
    history = _History()
    if instructions:
        history.add(message_of({"role": "system", "content": instructions}))
    for place, thing in enumerate([{"role": "user", "content": items}] if isinstance(items, str) else items):
        item = as_dict(thing)
        if not isinstance(item, Mapping):
            raise ConfigError(f"the conversation cannot be read: item {place} is of type {type(thing).__name__}, not a dict")
        try:
            history.take(item)
        except ConfigError as error:
            raise ConfigError(f"the conversation cannot be read: item {place} {error}") from None
    return history.messages


class _History:
    """Messages as they grow: what the model did in one go is one message, and what its calls brought another."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def add(self, message: Message) -> None:
        """A message of its own."""
        self.messages.append(message)

    def take(self, item: Item) -> None:
        """One item."""
        kind = str(item.get("type", "message"))
        if kind.endswith("_output") and "call_id" in item:
            self._extend("tool", (_result(item, kind),))
        elif item.get("role") == "assistant" and isinstance(item.get("content"), str):
            phase = item.get("phase")
            self._say((Text(item["content"]) if phase is None else Text(item["content"], phase, NAME),))
        elif item.get("role") == "assistant" and kind == "message":
            self._say(output_parts([{**item, "type": "message"}]))
        elif "role" in item:
            self.add(message_of(item))
        else:
            self._extend("assistant", output_parts([item]))

    def _say(self, parts: tuple[Part, ...]) -> None:
        """Words of the model's: two messages of it stay two."""
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == "assistant" and last.completion is not None:
            self.add(Message("assistant", parts))
        else:
            self._extend("assistant", parts)

    def _extend(self, role: Any, parts: tuple[Part, ...]) -> None:
        if self.messages and self.messages[-1].role == role:
            parts = (*self.messages.pop().parts, *parts)
        self.add(Message(role, parts))


def _result(item: Item, kind: str) -> ToolResult:
    """What a call brought; where it is more than words and media, the item is kept as it is."""
    id, output = str(item["call_id"]), item.get("output")
    if kind in _PLAIN_OUTPUTS:
        return ToolResult(id, result_content(output))
    return ToolResult(id, output if isinstance(output, str) else "", type=kind, raw=dict(item))
