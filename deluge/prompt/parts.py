"""The parts of a message, as frozen data. How a provider wants to see them is known by its dialect only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from deluge.prompt.media import Audio, File, Image


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text. ``signature``: the provider's seal on it (``provider`` says whose), replayed unchanged."""

    text: str
    signature: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought. Sent back only to the ``provider`` that it came from, unchanged.

    ``raw`` is the provider's own block, ``redacted`` a block that only the provider can read.
    """

    text: str = ""
    signature: str | None = None
    provider: str | None = None
    id: str | None = None
    redacted: bool = False
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model's own words for why it does not answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool called. ``arguments`` is a dict; ``text`` keeps the JSON that the model wrote.

    ``error`` says why ``arguments`` could not be read (then they are empty). ``built_in`` calls are run by the provider;
    ``type`` is the provider's word for them, ``raw`` its own block. ``signature``: replayed unchanged to ``provider``.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    text: str | None = None
    error: str | None = None
    built_in: bool = False
    type: str = "function"
    signature: str | None = None
    provider: str | None = None
    raw: Any = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back: text, or parts (text, images, files). ``name`` is the tool's (Gemini needs it)."""

    tool_call_id: str
    content: Union[str, tuple[Union[Text, Image, File], ...]]
    is_error: bool = False
    name: str | None = None
    built_in: bool = False
    type: str = "function"
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A block that no other part stands for, kept as the ``provider`` sent it."""

    provider: str
    data: Any


Part = Union[Text, Image, File, Audio, Thinking, Refusal, ToolCall, ToolResult, Raw]
PART_TYPES: dict[str, type[Any]] = {
    "text": Text, "image": Image, "file": File, "audio": Audio, "thinking": Thinking, "refusal": Refusal,
    "tool_call": ToolCall, "tool_result": ToolResult, "raw": Raw,
}
PART_NAMES: dict[type[Any], str] = {cls: name for name, cls in PART_TYPES.items()}
