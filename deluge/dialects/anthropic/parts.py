"""The content blocks of a reply, as parts of ours. Never raises: what it does not know it keeps raw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deluge import _json
from deluge.dialects._arguments import read_arguments
from deluge.prompt import Part, Raw, Text, Thinking, ToolCall, ToolResult

NAME = "anthropic"
_BUILT_IN_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})
_PLAIN_CALL = frozenset({"type", "id", "name", "input"})


def content_parts(blocks: list[Any]) -> tuple[Part, ...]:
    """Text, thoughts, calls and results, in the order in which they came."""
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, dict):
            parts += _parts(block)
    return tuple(parts)


def _parts(block: dict[str, Any]) -> Iterator[Part]:
    word = block.get("type")
    kind = word if isinstance(word, str) else ""
    if kind == "text" and isinstance(block.get("text"), str):
        yield Text(block["text"])
        if block.get("citations"):
            yield Raw(NAME, {"citations": block["citations"]})  # they belong to the text before them
    elif kind == "thinking" and isinstance(block.get("thinking"), str):
        signature = block.get("signature")
        yield Thinking(block["thinking"], signature if isinstance(signature, str) else None, NAME, raw=block)
    elif kind == "redacted_thinking":
        yield Thinking(provider=NAME, redacted=True, raw=block)
    elif kind == "tool_use":
        yield _call(block, block.keys() - _PLAIN_CALL)
    elif kind in _BUILT_IN_CALLS:
        yield _call(block, True, built_in=True)
    elif kind.endswith("_tool_result") and isinstance(block.get("tool_use_id"), str):
        yield _result(block, kind)
    else:
        yield Raw(NAME, block)


def _call(block: dict[str, Any], keep: object, *, built_in: bool = False) -> ToolCall:
    """A call; its block is kept where it says more than name and input."""
    arguments, written, error = read_arguments(block.get("input"))
    return ToolCall(
        str(block.get("id") or ""), str(block.get("name") or ""), arguments, written, error, built_in,
        str(block["type"]) if built_in else "function", provider=NAME if keep else None, raw=block if keep else None,
    )


def _result(block: dict[str, Any], kind: str) -> ToolResult:
    content = block.get("content")
    failed = block.get("is_error") is True or (isinstance(content, dict) and "error_code" in content)
    return ToolResult(block["tool_use_id"], _words(content), failed, built_in=True, type=kind, raw=block)


def _words(content: Any) -> str:
    """What a tool of the provider's gave back, to be read: texts joined, else its JSON."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(item, Mapping) and item.get("type") == "text" for item in content):
        return "\n".join(str(item.get("text")) for item in content)
    try:
        return _json.dumps(content).decode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return ""
