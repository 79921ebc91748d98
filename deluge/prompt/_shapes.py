"""Whose words a list of messages, or the body of a request, is written in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from deluge.errors import ConfigError
from deluge.prompt._foreign import as_dict, has_anthropic_blocks

Shape = Literal["openai", "anthropic", "openai_responses", "gemini", "log"]
_BODIES: dict[str, Shape] = {"input": "openai_responses", "contents": "gemini"}
_BLOCKS = ("input_text", "input_image", "input_file", "output_text")


def shape_of(value: Any) -> tuple[Shape, list[Any] | str, Any]:
    """The shape, the messages in it, and the system prompt beside them.

    What both OpenAI and Anthropic could have written is called ``openai``.
    """
    if not isinstance(value, Mapping):
        items = value if isinstance(value, str) else list(value)
        return _of_items(items), items, None
    if "version" in value and "messages" in value:
        return "log", [], None
    for name, shape in _BODIES.items():
        if name in value:
            items = value[name]
            return shape, items if isinstance(items, str) else list(items), _system(value)
    if "messages" not in value:
        raise ConfigError("this is neither a list of messages, nor a dict with 'messages', nor a log")
    items, system = list(value["messages"]), value.get("system")
    return "anthropic" if system is not None else _of_items(items), items, system


def _system(body: Mapping[str, Any]) -> Any:
    names = ("instructions", "systemInstruction", "system_instruction")
    return next((body[name] for name in names if body.get(name)), None)


def _of_items(items: list[Any] | str) -> Shape:
    dicts = [item for item in map(as_dict, items) if isinstance(item, Mapping)]
    if any("parts" in item and "content" not in item for item in dicts):
        return "gemini"
    if any("role" not in item and "type" in item for item in dicts) or _has_blocks(dicts):
        return "openai_responses"
    return "anthropic" if has_anthropic_blocks(dicts) else "openai"


def _has_blocks(dicts: Iterable[Mapping[str, Any]]) -> bool:
    contents = (item.get("content") for item in dicts)
    blocks = (block for content in contents if isinstance(content, (list, tuple)) for block in map(as_dict, content))
    return any(isinstance(block, Mapping) and block.get("type") in _BLOCKS for block in blocks)
