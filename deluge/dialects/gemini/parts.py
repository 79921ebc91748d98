"""The content of a reply, as parts of ours. Never raises: what it cannot read it keeps raw or leaves out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from deluge.dialects.gemini.contents import ABOUT, NAME, RESULTS
from deluge.prompt import Audio, File, Image, Part, Raw, Text, Thinking, ToolCall, ToolResult

_CALLS = ("executableCode", "toolCall")
_MEDIA = (Image, Audio, File)
_PLAIN_CALL = frozenset({"functionCall", "thoughtSignature"})
_PLAIN_FUNCTION = frozenset({"id", "name", "args"})


def candidate_parts(candidate: Mapping[str, Any], response_id: Any) -> tuple[Part, ...]:
    """What the candidate says, and what is told about it (grounding, citations) as one raw part."""
    content = candidate.get("content")
    blocks = content.get("parts") if isinstance(content, Mapping) else None
    parts: list[Part] = []
    calls = 0
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, Mapping):
            part = _part(block, call_id(response_id, calls))
            parts.append(part)
            calls += "functionCall" in block
            if isinstance(part, _MEDIA) and block.get("thoughtSignature"):  # they have no room for it
                parts.append(Raw(NAME, {"thoughtSignature": block["thoughtSignature"]}))
    about = {name: candidate[name] for name in ABOUT if candidate.get(name)}
    if about:
        parts.append(Raw(NAME, about))
    return tuple(parts)


def call_id(response_id: Any, place: int) -> str:
    """The id of a call that came without one: unlike those of other answers where answers have ids."""
    return f"{response_id}_{place}" if isinstance(response_id, str) and response_id else f"call_{place}"


def _part(block: Mapping[str, Any], made_id: str) -> Part:
    text, seal = block.get("text"), _words(block.get("thoughtSignature"))
    if isinstance(text, str):
        provider = NAME if seal is not None else None
        return Thinking(text, seal, NAME) if block.get("thought") is True else Text(text, seal, provider)
    if isinstance(block.get("functionCall"), Mapping):
        return _call(block, block["functionCall"], made_id, seal)
    for name in ("inlineData", "fileData"):
        media = _media(block.get(name)) if block.get("thought") is not True else None
        if media is not None:
            return media
    for name in _CALLS:
        if isinstance(block.get(name), Mapping):
            return _built_in_call(name, block, block[name], made_id, seal)
    for name in RESULTS:
        if isinstance(block.get(name), Mapping):
            return _built_in_result(name, block, block[name])
    return Raw(NAME, dict(block))


def _call(block: Mapping[str, Any], function: Mapping[str, Any], made_id: str, seal: str | None) -> ToolCall:
    id, arguments = _words(function.get("id")), function.get("args")
    error, text = None, None
    if arguments is not None and not isinstance(arguments, Mapping):
        error, text = "the arguments are not a JSON object", str(arguments)
    plain = id is not None and _PLAIN_CALL.issuperset(block) and _PLAIN_FUNCTION.issuperset(function)
    return ToolCall(
        id or made_id, _words(function.get("name")) or "", dict(arguments) if isinstance(arguments, Mapping) else {},
        text, error, signature=seal, provider=NAME, raw=None if plain else dict(block),
    )


def _built_in_call(
    name: str, block: Mapping[str, Any], call: Mapping[str, Any], made_id: str, seal: str | None
) -> ToolCall:
    arguments = call.get("args") if name == "toolCall" else call
    return ToolCall(
        _words(call.get("id")) or made_id, _words(call.get("toolType")) or "code_execution",
        dict(arguments) if isinstance(arguments, Mapping) else {}, built_in=True, type=name, signature=seal,
        provider=NAME, raw=dict(block),
    )


def _built_in_result(name: str, block: Mapping[str, Any], result: Mapping[str, Any]) -> ToolResult:
    failed = result.get("outcome") not in (None, "OUTCOME_OK")
    content = result.get("output") if name == "codeExecutionResult" else result.get("response")
    return ToolResult(
        _words(result.get("id")) or "", content if isinstance(content, str) else "", failed,
        _words(result.get("toolType")) or "code_execution", True, name, dict(block),
    )


def _media(block: Any) -> Image | Audio | File | None:
    if not isinstance(block, Mapping):
        return None
    kind, data, url = _words(block.get("mimeType")) or "", block.get("data"), _words(block.get("fileUri"))
    content = _bytes(data)
    if content is None and url is None:
        return None
    name = _words(block.get("displayName"))
    if kind.startswith("image/"):
        return Image(content, url, media_type=kind, name=name)
    if kind.startswith("audio/"):
        return Audio(content, kind, url, name=name)
    return File(content, url, media_type=kind or "application/octet-stream", name=name)


def _bytes(text: Any) -> bytes | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None


def _words(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
