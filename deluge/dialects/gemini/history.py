"""Contents of Gemini's API, as messages of ours."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from deluge.dialects.gemini.parts import candidate_parts
from deluge.errors import ConfigError
from deluge.prompt import Message, Part, Text, ToolCall, ToolResult
from deluge.prompt._foreign import ROLES

# Of the SDK's dicts, the names that the API writes in another way.
_NAMES = {
    "inline_data": "inlineData", "file_data": "fileData", "function_call": "functionCall", "mime_type": "mimeType",
    "function_response": "functionResponse", "thought_signature": "thoughtSignature", "file_uri": "fileUri",
    "executable_code": "executableCode", "code_execution_result": "codeExecutionResult", "display_name": "displayName",
    "video_metadata": "videoMetadata",
}
_OPAQUE = frozenset({"args", "response"})  # the user's own JSON


def messages_of(contents: Any, system: Any = None) -> list[Message]:
    """The messages that contents describe: dicts, strings, or the SDK's objects. ``ConfigError`` names what is not read."""
    messages = [Message("system", tuple(_texts(system)))] if system else []
    waiting: list[ToolCall] = []
    for place, thing in enumerate(_listed(contents)):
        content = _as_dict(thing)
        if isinstance(content, str):
            content = {"parts": [{"text": content}]}
        blocks = content.get("parts") if isinstance(content, Mapping) else None
        if blocks is None or isinstance(blocks, (str, bytes)):
            raise ConfigError(f"the conversation cannot be read: content {place} has no 'parts'")
        role = ROLES.get(str(content.get("role") or "user"))
        if role is None:
            raise ConfigError(f"the conversation cannot be read: content {place} has the role {content['role']!r}")
        parts = tuple(_parts(_listed(blocks), f"m{place}", waiting))
        if role != "assistant":
            role = "tool" if parts and all(type(part) is ToolResult for part in parts) else "user"
        messages.append(Message(role, parts))
    return messages


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _texts(system: Any) -> Iterator[Part]:
    """The system instruction: a string, a content, or parts of one."""
    system = _as_dict(system)
    if isinstance(system, Mapping) and "parts" in system:
        system = system["parts"]
    for item in _listed(system):
        text = _as_dict(item)
        text = text.get("text") if isinstance(text, Mapping) else text
        if not isinstance(text, str):
            raise ConfigError("the system instruction holds something else than text")
        yield Text(text)


def _parts(blocks: Iterable[Any], ids: str, waiting: list[ToolCall]) -> Iterator[Part]:
    for number, thing in enumerate(blocks):
        block = _as_dict(thing)
        if isinstance(block, str):
            block = {"text": block}
        if not isinstance(block, Mapping):
            raise ConfigError(f"the conversation cannot be read: a part is of type {type(thing).__name__}")
        if isinstance(block.get("functionResponse"), Mapping):
            yield _result(block["functionResponse"], waiting)
            continue
        made = candidate_parts({"content": {"parts": [block]}}, f"{ids}_{number}")
        waiting += [part for part in made if type(part) is ToolCall and not part.built_in]
        yield from made


def _result(inner: Mapping[str, Any], waiting: list[ToolCall]) -> ToolResult:
    """A response; without an id it answers the first call of its name that waits for one."""
    id, name, response = inner.get("id"), str(inner.get("name") or ""), inner.get("response") or {}
    call = next((call for call in waiting if call.id == id or (id is None and call.name == name)), None)
    if call is not None:
        waiting.remove(call)
    media = candidate_parts({"content": {"parts": _listed(inner.get("parts") or [])}}, None)
    failed = set(response) == {"error"}
    content: Any = response
    if set(response) in ({"output"}, {"error"}) and isinstance(next(iter(response.values())), str):
        content = next(iter(response.values()))
    if media:
        content = (Text(content if isinstance(content, str) else str(content)), *media)
    return ToolResult(str(id or (call.id if call is not None else name)), content, failed, name or None)


def _as_dict(thing: Any) -> Any:
    """An object of the SDK, or a dict of it, in the API's own names, with bytes in base64."""
    dump = getattr(thing, "model_dump", None)
    if callable(dump) and not isinstance(thing, type):
        thing = dump(exclude_none=True)
    return _renamed(thing)


def _renamed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_NAMES.get(name, name): item if name in _OPAQUE else _renamed(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_dict(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    return str(value.value) if hasattr(value, "value") else value
