"""A hash of everything a message says, stable across processes and releases of one major version."""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring_ascii as _quoted
from collections.abc import Iterable, Mapping
from typing import Any

from deluge.prompt.media import Audio, File, Image
from deluge.prompt.message import Message
from deluge.prompt.parts import PART_NAMES, Text


_TYPE = "\0type"  # no JSON that a user writes has such a key


def fingerprint(messages: Iterable[Message]) -> str:
    """64 hex digits over roles and parts, in order."""
    kept = messages if isinstance(messages, tuple) else tuple(messages)
    if len(kept) == 1 and (text := _lone_text(kept[0])) is not None:
        return hashlib.sha256(f'[["{kept[0].role}",null,[["text",{_quoted(text)},null,null]]]]'.encode("ascii")).hexdigest()
    return hashlib.sha256(canonical([_message(message) for message in kept])).hexdigest()


def _lone_text(message: Message) -> str | None:
    """The text of a message that is nothing else: the usual prompt, which is written without json's machinery."""
    if message.name is not None or len(message.parts) != 1:
        return None
    part = message.parts[0]
    if type(part) is not Text or part.signature is not None or part.provider is not None:
        return None
    return part.text if type(part.text) is str and message.role.isidentifier() else None


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. Unknown types go in by their repr."""
    try:
        return _dumped(value)
    except TypeError:  # keys of several types, which cannot be sorted as they are
        return _dumped(_with_text_keys(value))


def _dumped(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode("ascii")


def _message(message: Message) -> list[Any]:
    return [message.role, message.name, [_part(part) for part in message.parts]]


def _part(part: Any) -> list[Any]:
    name = PART_NAMES[type(part)]
    if isinstance(part, (Image, File, Audio)):
        return [name, part.media_type, part.digest(), getattr(part, "detail", None), part.name]
    return [name, *(_plain_parts(getattr(part, field)) for field in type(part).__slots__)]


def _plain_parts(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_part(item) if type(item) in PART_NAMES else item for item in value]
    return _part(value) if type(value) in PART_NAMES else value


def _plain(value: Any) -> Any:
    if type(value) in PART_NAMES:
        return {_TYPE: "part", "part": _part(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray)):
        return {_TYPE: "bytes", "sha256": hashlib.sha256(bytes(value)).hexdigest()}
    if isinstance(value, (set, frozenset)):
        return {_TYPE: "set", "items": sorted(value, key=repr)}
    return {_TYPE: type(value).__name__, "repr": repr(value)}


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else f"{_TYPE}{key!r}": _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, (list, tuple)) else value
