"""The output items of a reply, as parts of ours. Never raises: what it cannot read it keeps raw."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from deluge import _json
from deluge.dialects._arguments import read_arguments
from deluge.prompt import Image, Part, Raw, Refusal, Text, Thinking, ToolCall, ToolResult

NAME = "openai_responses"
IN_CALL = "in_call"  # in the ``raw`` of a result that goes back with its call
# Calls that wait for an answer of the user's; all others were run by the provider.
_YOURS = frozenset({"function", "custom", "computer_call", "local_shell_call", "apply_patch_call"})
_ABOUT = frozenset({"id", "type", "status", "call_id", "output", "error", "result", "results", "outputs"})


def is_yours(call: ToolCall) -> bool:
    """Whether the call waits for an answer of the user's. A shell is the provider's where it runs in a container."""
    if call.type == "shell_call" and isinstance(call.raw, Mapping):
        place = call.raw.get("environment")
        return not isinstance(place, Mapping) or place.get("type") == "local"
    return call.type in _YOURS


def output_parts(output: list[Any]) -> tuple[Part, ...]:
    """Thoughts, texts, refusals, calls and media of the output items, in their order."""
    parts: list[Part] = []
    for item in output:
        if isinstance(item, Mapping):
            parts += _of_item(item)
    return tuple(parts)


def _of_item(item: Mapping[str, Any]) -> Iterator[Part]:
    kind = item.get("type")
    if kind == "message" and isinstance(item.get("content"), list):
        yield from _message(item, item["content"])
    elif kind == "reasoning":
        yield _thought(item)
    elif kind == "function_call":
        yield _function_call(item)
    elif kind == "custom_tool_call":
        text = item.get("input")
        text = text if isinstance(text, str) else ""
        yield ToolCall(_id(item), str(item.get("name") or ""), {"input": text}, text, type="custom", provider=NAME,
                       raw=dict(item))
    elif isinstance(kind, str) and kind.endswith("_call"):
        yield _built_in(item, kind)
        if kind == "image_generation_call":
            yield from _drawn(item)
        else:
            yield from _given(item, kind)
    elif isinstance(kind, str) and kind.endswith("_call_output"):
        yield ToolResult(_id(item), _told(item.get("output")), False, None, True, kind, dict(item))
    else:
        yield Raw(NAME, dict(item))


def _message(item: Mapping[str, Any], content: list[Any]) -> Iterator[Part]:
    """The phase of a message is the seal on its texts: it goes back with them."""
    phase = item.get("phase")
    phase = phase if isinstance(phase, str) else None
    for block in content:
        if not isinstance(block, Mapping):
            continue
        kind, text = block.get("type"), block.get("text")
        if kind in ("output_text", "text") and isinstance(text, str):
            yield Text(text) if phase is None else Text(text, phase, NAME)
            notes = block.get("annotations")
            if isinstance(notes, list) and notes:
                yield Raw(NAME, {"annotations": notes})
        elif kind == "refusal" and isinstance(block.get("refusal"), str):
            yield Refusal(block["refusal"])
        else:
            yield Raw(NAME, {**item, "content": [dict(block)]})


def _thought(item: Mapping[str, Any]) -> Thinking:
    text = "\n\n".join(_texts(item.get("summary"))) or "".join(_texts(item.get("content")))
    seal, id = item.get("encrypted_content"), item.get("id")
    return Thinking(
        text, seal if isinstance(seal, str) else None, NAME, id if isinstance(id, str) else None,
        not text and bool(seal), dict(item),
    )


def _texts(blocks: Any) -> Iterator[str]:
    for block in blocks if isinstance(blocks, list) else ():
        text = block.get("text") if isinstance(block, Mapping) else None
        if isinstance(text, str):
            yield text


def _function_call(item: Mapping[str, Any]) -> ToolCall:
    arguments, written, error = read_arguments(item.get("arguments"))
    return ToolCall(_id(item), str(item.get("name") or ""), arguments, written, error, provider=NAME, raw=dict(item))


def _built_in(item: Mapping[str, Any], kind: str) -> ToolCall:
    """A call of the provider's own tools. An MCP call has arguments; of the others every field of theirs is one."""
    name = item.get("name")
    if not isinstance(name, str) or not name:
        name = kind.removesuffix("_call")
    if "arguments" in item:
        arguments, written, error = read_arguments(item["arguments"])
    else:
        action = item.get("action")
        told = action if isinstance(action, Mapping) else item
        arguments, written, error = {key: told[key] for key in told if key not in _ABOUT or told is action}, None, None
    return ToolCall(_id(item), name, arguments, written, error, True, kind, provider=NAME, raw=dict(item))


def _given(item: Mapping[str, Any], kind: str) -> Iterator[ToolResult]:
    """What a tool of the provider's gave back, where it stands in the item of the call. It goes back with the call."""
    error = item.get("error")
    found = next((item[name] for name in ("output", "outputs", "results") if item.get(name) not in (None, [])), None)
    if error or found is not None:
        failed = bool(error)
        told = _told(error if failed else found)
        yield ToolResult(_id(item), told, failed, None, True, kind, {IN_CALL: True})


def _told(value: Any) -> str | tuple[Text | Image, ...]:
    """A text as it is, the logs and pictures of a program, anything else as JSON."""
    if isinstance(value, str):
        return value
    logs = value if isinstance(value, list) else []
    parts: list[Text | Image] = []
    for entry in logs:
        kind = entry.get("type") if isinstance(entry, Mapping) else None
        if kind == "logs" and isinstance(entry.get("logs"), str):
            parts.append(Text(entry["logs"]))
        elif kind == "image" and isinstance(entry.get("url"), str):
            parts.append(Image(url=entry["url"]))
    if parts and len(parts) == len(logs):
        return parts[0].text if len(parts) == 1 and isinstance(parts[0], Text) else tuple(parts)
    try:
        return "" if value is None else _json.dumps(value).decode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return ""


def _id(item: Mapping[str, Any]) -> str:
    for name in ("call_id", "id"):
        value = item.get(name)
        if isinstance(value, str) and value:
            return value
    return "call_0"


def _drawn(item: Mapping[str, Any]) -> Iterator[Image]:
    """The picture that was generated."""
    result, form = item.get("result"), item.get("output_format")
    if not isinstance(result, str) or not result:
        return
    try:
        data = base64.b64decode(result, validate=False)
    except (binascii.Error, ValueError):
        return
    form = form if isinstance(form, str) and form else "png"
    yield Image(data, media_type="image/svg+xml" if form == "svg" else f"image/{form}")
