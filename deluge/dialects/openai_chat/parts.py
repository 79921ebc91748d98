"""The message of a reply, as parts of ours. Never raises: what it cannot read it keeps raw or leaves out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from deluge.dialects._arguments import read_arguments
from deluge.prompt import Audio, Image, Part, Raw, Refusal, Text, Thinking, ToolCall, ToolResult

NAME = "openai_chat"
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")


def message_parts(message: Mapping[str, Any]) -> tuple[Part, ...]:
    """Thoughts, text, refusal, calls and media of one message."""
    calls = tuple(tool_calls(message))
    refusal = message.get("refusal")
    parts: list[Part] = [*_thoughts(message), *_executed(message)]
    content = message.get("content")
    if isinstance(content, str):
        if content or not (calls or refusal):
            parts.append(Text(content))
    elif isinstance(content, list):
        parts += _blocks(content)
    if isinstance(refusal, str) and refusal:
        parts.append(Refusal(refusal))
    parts += _media(message)
    parts += calls
    annotations = message.get("annotations")
    if annotations and isinstance(annotations, list):
        parts.append(Raw(NAME, {"annotations": annotations}))
    return tuple(parts)


def tool_calls(message: Mapping[str, Any]) -> Iterator[ToolCall]:
    """The calls of a message, the old ``function_call`` too."""
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, Mapping):
            yield _call(call, index)
    old = message.get("function_call")
    if isinstance(old, Mapping) and old.get("name") and not calls:
        yield _call({"function": old}, 0)


def _call(call: Mapping[str, Any], index: int) -> ToolCall:
    given = call.get("id")
    id = given if isinstance(given, str) and given else f"call_{index}"
    custom = call.get("custom")
    if call.get("type") == "custom" and isinstance(custom, Mapping):
        text = str(custom.get("input") or "")
        return ToolCall(id, str(custom.get("name") or ""), {"input": text}, text, type="custom")
    function = call.get("function")
    function = function if isinstance(function, Mapping) else call
    arguments, written, error = read_arguments(function.get("arguments"))
    seal, name = _signature(call), str(function.get("name") or "")
    return ToolCall(id, name, arguments, written, error, signature=seal, provider=None if seal is None else NAME)


def _executed(message: Mapping[str, Any]) -> Iterator[ToolCall | ToolResult]:
    """What Groq's own tools did; a stream tells it twice, with the result the second time.

    https://console.groq.com/docs/compound
    """
    told = message.get("executed_tools")
    latest: dict[int, Mapping[str, Any]] = {}
    for at, entry in enumerate(told if isinstance(told, list) else ()):
        if isinstance(entry, Mapping):
            index = entry.get("index")
            latest[index if isinstance(index, int) else at] = entry
    for at, entry in latest.items():
        id, kind, output = f"executed_{at}", str(entry.get("type") or "tool"), entry.get("output")
        arguments, written, error = read_arguments(entry.get("arguments"))
        name = str(entry.get("name") or kind)
        yield ToolCall(id, name, arguments, written, error, True, kind, provider=NAME, raw=dict(entry))
        if isinstance(output, str):
            yield ToolResult(id, output, False, None, True, kind)


def _signature(call: Mapping[str, Any]) -> str | None:
    """The seal that Gemini's compatible endpoint puts on a call."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    seal = google.get("thought_signature") if isinstance(google, Mapping) else None
    return seal if isinstance(seal, str) else None


def _thoughts(message: Mapping[str, Any]) -> Iterator[Thinking]:
    details = message.get("reasoning_details")
    if isinstance(details, list) and details:
        for detail in details:
            if isinstance(detail, Mapping):
                yield _detail(detail)
        return
    for name in _THOUGHTS:
        text = message.get(name)
        if isinstance(text, str) and text:
            yield Thinking(text, provider=NAME)
            return


def _detail(detail: Mapping[str, Any]) -> Thinking:
    text = detail.get("text") or detail.get("summary")
    signature, id = detail.get("signature"), detail.get("id")
    return Thinking(
        text if isinstance(text, str) else "", signature if isinstance(signature, str) else None, NAME,
        id if isinstance(id, str) else None, detail.get("type") == "reasoning.encrypted", dict(detail),
    )


def _blocks(content: list[Any]) -> Iterator[Part]:
    """Content in parts: Mistral's thinking, text, refusals; anything else is kept raw."""
    for block in content:
        if isinstance(block, str):
            yield Text(block)
        elif isinstance(block, Mapping):
            yield _block(block)


def _block(block: Mapping[str, Any]) -> Part:
    kind, text = block.get("type"), block.get("text")
    if kind in ("text", "output_text") and isinstance(text, str):
        return Text(text)
    if kind == "refusal" and isinstance(block.get("refusal"), str):
        return Refusal(block["refusal"])
    if kind == "thinking":
        seal = block.get("signature")
        return Thinking(thinking_text(block), seal if isinstance(seal, str) else None, NAME, raw=dict(block))
    if kind == "image_url":
        image = _image(block)
        if image is not None:
            return image
    return Raw(NAME, dict(block))


def thinking_text(block: Mapping[str, Any]) -> str:
    """The text of a thinking block: a string, or a list of text blocks."""
    inner = block.get("thinking")
    if isinstance(inner, str):
        return inner
    if not isinstance(inner, list):
        return ""
    texts = (item.get("text") for item in inner if isinstance(item, Mapping))
    return "".join(text for text in texts if isinstance(text, str))


def _media(message: Mapping[str, Any]) -> Iterator[Part]:
    images = message.get("images")
    for block in images if isinstance(images, list) else ():
        image = _image(block) if isinstance(block, Mapping) else None
        if image is not None:
            yield image
    audio = message.get("audio")
    if isinstance(audio, Mapping):
        transcript, id = audio.get("transcript"), audio.get("id")
        if isinstance(transcript, str) and transcript and not message.get("content"):
            yield Text(transcript)
        yield Audio(_bytes(audio.get("data")), file_id=id if isinstance(id, str) else None)


def _image(block: Mapping[str, Any]) -> Image | None:
    url = block.get("image_url")
    url = url.get("url") if isinstance(url, Mapping) else url
    if not isinstance(url, str) or not url:
        return None
    head, comma, data = url.partition(",")
    if head.startswith("data:") and comma and head.endswith(";base64"):
        content = _bytes(data)
        return None if content is None else Image(content, media_type=head[5:-7] or "image/png")
    return Image(url=url)


def _bytes(text: Any) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return None
