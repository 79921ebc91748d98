"""A conversation to be read by people."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from deluge import _json
from deluge.prompt.media import Audio, File, Image
from deluge.prompt.message import Message
from deluge.prompt.parts import Raw, Refusal, Text, Thinking, ToolCall, ToolResult


def transcript(messages: Iterable[Message], max_text_length: int | None = None) -> str:
    """One block per message: who speaks, then each part, indented. Media by type and size, never their bytes."""
    return "\n\n".join(_message(message, max_text_length) for message in messages)


def print_transcript(messages: Iterable[Message], max_text_length: int | None, file: TextIO | None) -> None:
    """Prints the transcript to stdout, or to this file."""
    (file or sys.stdout).write(transcript(messages, max_text_length) + "\n")


def _message(message: Message, longest: int | None) -> str:
    name = f" ({message.name})" if message.name else ""
    lines = [f"{message.role}{name}:"]
    for part in message.parts:
        shown = _part(part) if isinstance(part, (Image, File, Audio)) else _cut(_part(part), longest)
        lines += ["    " + line for line in shown.splitlines() or [""]]
    return "\n".join(lines)


def _part(part: Any) -> str:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Thinking):
        return f"[thinking] {part.text}" if part.text else "[thinking, not shown]"
    if isinstance(part, Refusal):
        return f"[refusal] {part.text}"
    if isinstance(part, ToolCall):
        return f"[tool call {part.id}] {part.name}({_words(part.arguments) if part.error is None else part.text})"
    if isinstance(part, ToolResult):
        return f"[tool {'error' if part.is_error else 'result'} {part.tool_call_id}] {_content(part.content)}"
    if isinstance(part, (Image, File, Audio)):
        return _media(part)
    return f"[{part.provider} block] {_words(part.data)}" if isinstance(part, Raw) else repr(part)


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, tuple):
        return " ".join(_part(item) if isinstance(item, (Text, Image, File, Audio)) else _words(item) for item in content)
    return _words(content)


def _media(part: Image | File | Audio) -> str:
    kind = type(part).__name__.lower()
    if part.data is None:
        return f"[{kind} {part.url or part.file_id}]"
    pixels = part.pixels if isinstance(part, Image) else None
    facts = [part.name, part.media_type, f"{pixels[0]} x {pixels[1]}" if pixels else None, f"{len(part.data):,} bytes"]
    return f"[{kind} {', '.join(fact for fact in facts if fact)}]"


def _words(value: Any) -> str:
    try:
        return _json.dumps(value).decode("utf-8")
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _cut(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest:,} more characters)"
