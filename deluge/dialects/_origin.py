"""Whose the sealed parts of a conversation are: thoughts, calls and blocks go back to the host that made them only.

Inside a dialect such a part bears the dialect's name, for its form. Outside it bears the provider's, who alone can read
the seal: two hosts of one format refuse each other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from deluge.models.model import Model
from deluge.prompt import Message, Part, Raw, ToolCall, ToolResult
from deluge.prompt._foreign import is_beside

_FOREIGN = "another host"
_PROVIDERS = ("anthropic", "bedrock")  # dialects with the name of a provider


def origin(model: Model, dialect: str) -> str:
    """Who made a part: the provider, with the dialect behind a slash where that is not the provider's usual one.

    Claude's seals are Anthropic's, whoever serves it: each of its hosts reads those of the others.
    """
    who = model.provider
    if dialect == "anthropic" and model.has("claude_seals"):
        return "anthropic"
    return who.name if who.dialect == dialect else f"{who.name}/{dialect}"


def stamped(parts: tuple[Part, ...], model: Model, dialect: str) -> tuple[Part, ...]:
    """The parts of a reply, with the provider's name on those that have the dialect's."""
    if not any(getattr(part, "provider", None) == dialect for part in parts):
        return parts
    name = origin(model, dialect)
    return tuple(_renamed(part, name) if getattr(part, "provider", None) == dialect else part for part in parts)


def readable(messages: Iterable[Message], model: Model, dialect: str) -> Iterator[Message]:
    """The messages of a prompt, with the dialect's name on what this host can read, and on nothing else.

    The results of foreign built-in tools are left out together with their calls.
    """
    name, lost = origin(model, dialect), set[str]()
    # A dialect's name that is no provider's is the user's own word for the form of a part, and is believed, as is what
    # the user says.
    mine = {name, dialect} if dialect not in _PROVIDERS or model.provider.name == "custom" else {name}
    for message in messages:
        if any(getattr(part, "provider", None) is not None for part in message.parts) or lost:
            known = mine if message.role == "assistant" else {*mine, dialect}
            parts = (_seen(part, known, dialect, lost) for part in message.parts)
            message = replace(message, parts=tuple(part for part in parts if part is not None))
        yield message


def _seen(part: Any, mine: set[str], dialect: str, lost: set[str]) -> Any:
    """The part as the dialect shall see it; None for the result of a call in ``lost``, to which foreign calls go."""
    if type(part) is ToolResult:
        return None if part.built_in and part.tool_call_id in lost else part
    if type(part) is Raw and part.provider == "anthropic" != dialect and is_beside(part.data):
        return None  # where a cache ends, or the sources of a text: words about a block of another format
    theirs = getattr(part, "provider", None)
    if theirs is None or theirs in mine:
        return part if theirs is None else _renamed(part, dialect)
    if type(part) is ToolCall and part.built_in:
        lost.add(part.id)
    return _renamed(part, _FOREIGN) if theirs == dialect else part


def _renamed(part: Any, provider: str) -> Any:
    return part if part.provider == provider else replace(part, provider=provider)
