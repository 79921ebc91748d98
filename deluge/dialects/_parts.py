"""Parts of messages, as far as all dialects look at them the same way."""

from __future__ import annotations

from typing import Any

from deluge import _json
from deluge.errors import InputError
from deluge.prompt import Audio, File, Image, Text, ToolResult

_MEDIA = (Image, File, Audio)


def result_parts(result: ToolResult) -> tuple[Any, ...]:
    """What a tool gave back, as texts and media; any other value as its JSON."""
    content: Any = result.content
    if isinstance(content, str):
        return (Text(content),)
    if isinstance(content, (Text, *_MEDIA)):
        return (content,)
    if isinstance(content, (tuple, list)) and content and all(isinstance(part, (Text, *_MEDIA)) for part in content):
        return tuple(content)
    if content is None or content == ():
        return (Text(""),)
    return (Text(json_text(content, f"the result of tool call {result.tool_call_id!r}")),)


def json_text(value: Any, what: str) -> str:
    """The value as JSON; ``InputError`` names what cannot be written."""
    return json_bytes(value, what).decode("utf-8")


def json_bytes(value: Any, what: str) -> bytes:
    """The value as JSON in UTF-8; ``InputError`` names what cannot be written."""
    try:
        return _json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{what} is not serialisable: {error}") from None


def only_texts(parts: tuple[Any, ...]) -> bool:
    """Whether nothing but text is among the parts."""
    return all(type(part) is Text for part in parts)
