"""The content blocks of a reply, as parts of ours. Never raises: what it does not know it keeps raw."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from deluge import _json
from deluge.dialects._arguments import read_arguments
from deluge.prompt import Audio, Image, Part, Raw, Text, Thinking, ToolCall, ToolResult

NAME = "bedrock"
Block = dict[str, Any]


def content_parts(blocks: list[Any]) -> tuple[Part, ...]:
    """Text, thoughts, calls, results and media, in the order in which they came."""
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, dict):
            parts += _parts(block)
    return tuple(parts)


def _parts(block: Block) -> Iterator[Part]:
    """A block is an object with one key, which says what it is."""
    text = block.get("text")
    if isinstance(text, str):
        yield Text(text)
        return
    for name, read in _READERS.items():
        if isinstance(block.get(name), dict):
            yield from read(block, block[name])
            return
    if block:
        yield Raw(NAME, block)


def _call(block: Block, inner: Block) -> Iterator[Part]:
    """A call; its block is kept where it says more than name and input."""
    arguments, written, error = read_arguments(inner.get("input"))
    kind = inner.get("type")
    built_in = isinstance(kind, str)
    yield ToolCall(
        str(inner.get("toolUseId") or ""), str(inner.get("name") or ""), arguments, written, error, built_in,
        kind if isinstance(kind, str) else "function", provider=NAME if built_in else None,
        raw=block if built_in else None,
    )


def _result(block: Block, inner: Block) -> Iterator[Part]:
    """The result of a tool that the provider ran itself."""
    kind = inner.get("type")
    yield ToolResult(
        str(inner.get("toolUseId") or ""), _words(inner.get("content")), inner.get("status") == "error", built_in=True,
        type=kind if isinstance(kind, str) else "function", raw=block,
    )


def _words(content: Any) -> str:
    """What a tool of the provider's gave back, to be read: texts joined, else its JSON."""
    if isinstance(content, list) and all(
        isinstance(item, Mapping) and isinstance(item.get("text"), str) for item in content
    ):
        return "\n".join(item["text"] for item in content)
    try:
        return _json.dumps(content).decode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return ""


def _thought(block: Block, inner: Block) -> Iterator[Part]:
    words = inner.get("reasoningText")
    if not isinstance(words, dict):
        yield Thinking(provider=NAME, redacted="redactedContent" in inner, raw=block)
        return
    text, signature = words.get("text"), words.get("signature")
    yield Thinking(
        text if isinstance(text, str) else "", signature if isinstance(signature, str) else None, NAME, raw=block,
    )


def _cited(block: Block, inner: Block) -> Iterator[Part]:
    """Text with its sources: the text to read, and after it the block as it came."""
    text = cited_text(inner)
    if text:
        yield Text(text)
    yield Raw(NAME, block)


def cited_text(inner: Mapping[str, Any]) -> str:
    """The words of a block with sources."""
    content = inner.get("content")
    texts = [item.get("text") for item in content if isinstance(item, Mapping)] if isinstance(content, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def _image(block: Block, inner: Block) -> Iterator[Part]:
    data = _bytes(inner)
    yield Raw(NAME, block) if data is None else Image(data, media_type=f"image/{inner.get('format')}")


def _audio(block: Block, inner: Block) -> Iterator[Part]:
    data = _bytes(inner)
    yield Raw(NAME, block) if data is None else Audio(data, media_type=f"audio/{inner.get('format')}")


def _bytes(inner: Block) -> bytes | None:
    source = inner.get("source")
    text = source.get("bytes") if isinstance(source, dict) else None
    return decoded_bytes(text) if isinstance(text, str) and text else None


def decoded_bytes(text: str) -> bytes | None:
    """The bytes behind base64; None when it is none."""
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None


_READERS = {
    "toolUse": _call, "reasoningContent": _thought, "citationsContent": _cited, "toolResult": _result,
    "image": _image, "audio": _audio,
}
