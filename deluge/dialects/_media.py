"""Media against what the provider publishes: types and sizes, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Union

from deluge.errors import InputError
from deluge.models.media import MEDIA_LIMITS, UNCHECKED, MediaLimits
from deluge.models.model import Model
from deluge.prompt import Audio, Conversation, File, Image, ToolResult

Medium = Union[Image, File, Audio]
_TEXTS = frozenset({
    "json", "x-ndjson", "jsonl", "xml", "yaml", "x-yaml", "toml", "sql", "javascript", "x-javascript", "typescript",
    "x-python", "x-sh", "x-tex", "x-httpd-php", "graphql",
})
_WEB = ("http://", "https://")


def media_of(prompt: Conversation) -> Iterator[Medium]:
    """Every image, file and sound of a prompt, those in the results of tools included."""
    for message in prompt.messages:
        for part in message.parts:
            if isinstance(part, (Image, File, Audio)):
                yield part
            elif type(part) is ToolResult:
                yield from _within(part.content)


def _within(content: Any) -> Iterator[Medium]:
    for item in content if isinstance(content, (tuple, list)) else (content,):
        if isinstance(item, (Image, File, Audio)):
            yield item


def is_text(media_type: str) -> bool:
    """Whether files of this type are text: source code, tables, JSON, XML …"""
    group, _, kind = media_type.partition(";")[0].strip().lower().partition("/")
    return group == "text" or (group == "application" and (kind in _TEXTS or kind.endswith(("+json", "+xml"))))


def text_of(file: File) -> str:
    """The words of a text file; ``InputError`` when they are not UTF-8."""
    try:
        return (file.data or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"the file {file.name or ''} of type {file.media_type} is not UTF-8".replace("  ", " ")) from None


def on_the_web(part: Medium) -> bool:
    """Whether it can be fetched from where it is."""
    return part.url is not None and part.url[:8].lower().startswith(_WEB)


def check_media(prompt: Conversation, model: Model) -> None:
    """``InputError`` names the first medium that this provider is known to refuse."""
    limits = MEDIA_LIMITS.get(model.provider.name)
    if limits is None:
        return
    total = 0
    for part in media_of(prompt):
        if part.data is not None:
            total += (len(part.data) + 2) // 3 * 4
            _check(part, len(part.data), limits, model.provider.name)
    if limits.request is not None and total > limits.request:
        raise InputError(
            f"the media of this prompt are {total:,} bytes in base64; {model.provider.name} takes {limits.request:,} in one "
            "request: upload them, or give URLs"
        )


def _check(part: Medium, size: int, limits: MediaLimits, provider: str) -> None:
    what = type(part).__name__.lower()
    most = most_bytes(part, limits)
    if most is not None and size > most:
        raise InputError(f"the {what} has {size:,} bytes; {provider} takes {most:,}")
    if not isinstance(part, Image):
        return
    if limits.images and part.media_type not in limits.images:
        raise InputError(f"{provider} takes images of type {', '.join(sorted(limits.images))}, not {part.media_type}")
    pixels = part.pixels if limits.pixels is not None else None
    if pixels is not None and limits.pixels is not None and max(pixels) > limits.pixels:
        raise InputError(f"the image has {pixels[0]} x {pixels[1]} pixels; {provider} takes {limits.pixels} on a side")


def most_bytes(part: Medium, limits: MediaLimits) -> int | None:
    """How many bytes this may have; None where nothing is published."""
    if isinstance(part, Image):
        return limits.image
    if isinstance(part, Audio):
        return limits.audio
    return limits.by_type.get(part.media_type, limits.file) or None


def limits_of(model: Model) -> MediaLimits:
    """What its provider publishes."""
    return MEDIA_LIMITS.get(model.provider.name, UNCHECKED)
