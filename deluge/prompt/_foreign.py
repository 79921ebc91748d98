"""Message dicts of OpenAI (chat completions) and Anthropic, as messages of ours."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from deluge import _json
from deluge.errors import ConfigError
from deluge.prompt.media import Audio, File, Image
from deluge.prompt.message import Message, Role
from deluge.prompt.parts import Part, Raw, Refusal, Text, Thinking, ToolCall, ToolResult

ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
    "function": "tool", "model": "assistant",
}

# Blocks of Anthropic's own tools, which go back to it as they came.
_ANTHROPIC_OWN = (
    "search_result", "container_upload", "server_tool_use", "web_search_tool_result", "web_fetch_tool_result",
    "code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result",
    "tool_search_tool_result", "mcp_tool_use", "mcp_tool_result", "compaction",
)

_ANTHROPIC_BLOCKS = frozenset({
    "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result", *_ANTHROPIC_OWN,
})
BESIDE = ("cache_control", "citations")
_WHOLE = ("thinking", "redacted_thinking", "tool_use")  # kept with all that they say
_PLAIN_CALL = frozenset({"type", "id", "name", "input"})
Block = Mapping[str, Any]


def messages_of(items: Iterable[Any]) -> list[Message]:
    """The messages that dicts and objects of the providers' SDKs describe; ``ConfigError`` names the one it cannot read."""
    messages: list[Message] = []
    for place, item in enumerate(items):
        data = as_dict(item)
        if isinstance(item, Message):
            messages.append(item)
        elif isinstance(data, Mapping):
            try:
                messages.append(message_of(data))
            except ConfigError as error:
                raise ConfigError(f"cannot be read: message {place} {error}") from None
        else:
            raise ConfigError(f"cannot be read: message {place} is of type {type(item).__name__}, not a dict")
    return messages


def has_anthropic_blocks(items: Iterable[Any]) -> bool:
    """Whether a message among these has a block that only Anthropic writes."""
    for item in items:
        data = as_dict(item)
        content = data.get("content") if isinstance(data, Mapping) else None
        for block in content if isinstance(content, (list, tuple)) else ():
            if getattr(as_dict(block), "get", lambda _: None)("type") in _ANTHROPIC_BLOCKS:
                return True
    return False


def as_dict(item: Any) -> Any:
    """An object of an SDK (they are pydantic models) as the dict that the API sends; anything else as it is."""
    dump = getattr(item, "model_dump", None)
    return dump(exclude_none=True) if callable(dump) and not isinstance(item, type) else item


def message_of(data: Block) -> Message:
    """The message that a dict describes; ``ConfigError`` says what of it cannot be read."""
    word = data.get("role")
    role = ROLES.get(word) if isinstance(word, str) else None
    if role is None:
        raise ConfigError(f"has the role {word!r}: it is one of {', '.join(ROLES)}")
    if role == "tool":
        return Message("tool", (_tool_result(data),))
    content = data.get("content")
    parts: list[Part] = []
    if role == "assistant":
        thoughts = data.get("reasoning_content") or data.get("reasoning")
        if isinstance(thoughts, str):
            parts.append(Thinking(thoughts, provider="openai_chat"))
    if content is not None or role != "assistant":
        parts += parts_of(content)
    if isinstance(data.get("refusal"), str):
        parts.append(Refusal(data["refusal"]))
    parts += _spoken(data.get("audio"))
    parts += [_openai_call(as_dict(call)) for call in data.get("tool_calls") or ()]
    if isinstance(data.get("function_call"), Mapping):  # as it was before there were several calls
        parts.append(_openai_call({"id": data["function_call"].get("name"), "function": data["function_call"]}))
    if role == "user" and parts and all(type(part) is ToolResult for part in parts):
        role = "tool"
    name = data.get("name")
    return Message(role, tuple(parts), name if isinstance(name, str) else None)


def _spoken(audio: Any) -> list[Part]:
    """What the model said aloud: it goes back by its id."""
    id = audio.get("id") if isinstance(audio, Mapping) else None
    return [Audio(file_id=id)] if isinstance(id, str) else []


def parts_of(content: Any) -> list[Part]:
    """The parts of a message's content: a string, one part, or a list of them."""
    if isinstance(content, str):
        return [Text(content)]
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, (list, tuple)):
        raise ConfigError(f"has content of type {type(content).__name__}: it is a str or a list of parts")
    return [part for place, item in enumerate(content) for part in _parts(as_dict(item), place)]


def _parts(item: Any, place: int) -> Iterator[Part]:
    """A part, and what Anthropic's blocks say beside it: where a cache ends, which sources a text has."""
    yield _part(item, place)
    beside = {name: item[name] for name in BESIDE if item.get(name)} if isinstance(item, Mapping) else None
    if beside and not (item.get("type") in _WHOLE or type(_part(item, place)) is Raw):
        yield Raw("anthropic", beside)


def is_beside(data: Any) -> bool:
    """Whether this is no block of Anthropic's, but what is said beside the block before it."""
    return isinstance(data, Mapping) and bool(data) and data.keys() <= set(BESIDE)


def _part(item: Any, place: int) -> Any:
    if isinstance(item, str):
        return Text(item)
    if isinstance(item, (Text, Image, File, Audio, Thinking, Refusal, ToolCall, ToolResult, Raw)):
        return item
    if not isinstance(item, Mapping):
        raise ConfigError(f"has a part {place} of type {type(item).__name__}: it is a str or a dict")
    reader = _READERS.get(str(item.get("type")))
    if reader is None:
        raise ConfigError(f"has a part {place} of type {item.get('type')!r}, which is not known")
    try:
        return reader(item)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"has a part {place} of type {item['type']!r} that is incomplete: {error}") from None


def _text(block: Block) -> Part:
    text = block["text"]
    if not isinstance(text, str):
        raise TypeError("its text is not a str")
    return Text(text)


def _image_url(block: Block) -> Part:
    if block.get("file_id"):
        return Image(file_id=block["file_id"], detail=block.get("detail") or "auto")
    inner = block["image_url"]
    url, detail = (inner, block.get("detail")) if isinstance(inner, str) else (inner["url"], inner.get("detail"))
    if url.startswith("data:"):
        media_type, data = _data_url(url)
        return Image(data, media_type=media_type or "image/png", detail=detail or "auto")
    return Image(url=url, detail=detail or "auto")


def _input_audio(block: Block) -> Part:
    inner = block["input_audio"]
    form = inner.get("format") or "wav"
    return Audio(_decoded(inner["data"]), "audio/mpeg" if form == "mp3" else f"audio/{form}")


def _openai_file(block: Block) -> Part:
    inner = block["file"] if "file" in block else block
    name, id = inner.get("filename"), inner.get("file_id")
    if id is not None:
        return File(file_id=id, name=name)
    if inner.get("file_url"):
        return File(url=inner["file_url"], name=name)
    data = inner["file_data"]
    if not data.startswith("data:"):
        return File(_decoded(data), name=name)
    media_type, content = _data_url(data)
    return File(content, media_type=media_type or "application/pdf", name=name)


def _image(block: Block) -> Part:
    data, url, id, media_type = _source(block["source"])
    return Image(data, url, id, media_type or "image/png")


def _document(block: Block) -> Part:
    source, name = block["source"], block.get("title")
    if source["type"] == "content" or block.get("citations") or block.get("context"):  # no part of ours says so much
        return Raw("anthropic", dict(block))
    if source["type"] == "text":
        return File(source["data"].encode("utf-8", "surrogatepass"), media_type="text/plain", name=name)
    data, url, id, media_type = _source(source)
    return File(data, url, id, media_type or "application/pdf", name)


def _source(source: Block) -> tuple[bytes | None, str | None, str | None, str | None]:
    """Anthropic's source: bytes, URL or file id, and the media type."""
    kind = source["type"]
    if kind == "base64":
        return _decoded(source["data"]), None, None, source["media_type"]
    if kind == "url":
        return None, source["url"], None, None
    if kind == "file":
        return None, None, source["file_id"], None
    raise ConfigError(f"has a source of type {kind!r}, which is not known")


def _thinking(block: Block) -> Part:
    inner = block["thinking"]
    if not isinstance(inner, str):  # Mistral: a list of text blocks
        return Thinking("".join(item.get("text", "") for item in inner), provider="openai_chat", raw=dict(block))
    return Thinking(inner, block.get("signature"), "anthropic", raw=dict(block))


def _redacted(block: Block) -> Part:
    return Thinking(provider="anthropic", redacted=True, raw=dict(block))


def _tool_use(block: Block) -> Part:
    arguments = block["input"]
    if not isinstance(arguments, Mapping):
        raise TypeError("its input is not a dict")
    more = {name for name, value in block.items() if value is not None} - _PLAIN_CALL
    return ToolCall(
        block["id"], block["name"], dict(arguments), provider="anthropic" if more else None,
        raw=dict(block) if more else None,
    )


def _anthropic_result(block: Block) -> Part:
    return ToolResult(block["tool_use_id"], result_content(block.get("content")), bool(block.get("is_error")))


def _openai_call(call: Any) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    try:
        if call.get("type") == "custom":
            custom = call["custom"]
            return ToolCall(call["id"], custom["name"], {"input": custom["input"]}, custom["input"], type="custom")
        function = call["function"]
        arguments, written = function.get("arguments"), None
        if isinstance(arguments, str):
            written = arguments
            arguments = _json.loads(arguments) if arguments.strip() else {}
        if not isinstance(arguments or {}, Mapping):
            raise TypeError("its arguments are not an object")
        return ToolCall(call["id"], function["name"], dict(arguments or {}), written)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"has a tool call that is incomplete: {error}") from None
    except (ValueError, RecursionError) as error:
        return ToolCall(str(call["id"]), str(function.get("name")), {}, written, f"the arguments are not JSON: {error}")


def _tool_result(data: Block) -> ToolResult:
    id = data.get("tool_call_id") or data.get("name")
    if not isinstance(id, str):
        raise ConfigError("has the role 'tool' and no 'tool_call_id'")
    name = data.get("name")
    return ToolResult(id, result_content(data.get("content")), name=name if isinstance(name, str) else None)


def result_content(content: Any) -> Any:
    """A str where there is only text, else parts."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = parts_of(content)
    if all(type(part) is Text for part in parts):
        return "\n".join(part.text for part in parts if type(part) is Text)
    return tuple(parts)


def _data_url(url: str) -> tuple[str, bytes]:
    head, comma, data = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise ConfigError("has a data URL that is not base64")
    return head[5:].partition(";")[0], _decoded(data)


def _decoded(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"has media that is not base64: {error}") from None


_READERS: dict[str, Callable[[Block], Part]] = {
    "text": _text, "input_text": _text, "output_text": _text, "image_url": _image_url, "input_image": _image_url,
    "input_audio": _input_audio, "file": _openai_file, "input_file": _openai_file,
    "refusal": lambda block: Refusal(block["refusal"]),
    "image": _image, "document": _document, "thinking": _thinking, "redacted_thinking": _redacted,
    "tool_use": _tool_use, "tool_result": _anthropic_result,
    **dict.fromkeys(_ANTHROPIC_OWN, lambda block: Raw("anthropic", dict(block))),
}
