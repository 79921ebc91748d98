"""A hash of everything a message says, stable across processes and releases of one major version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from deluge.prompt.media import Audio, File, Image
from deluge.prompt.message import Message
from deluge.prompt.parts import PART_NAMES


def fingerprint(messages: Iterable[Message]) -> str:
    """64 hex digits over roles and parts, in order."""
    return hashlib.sha256(canonical([_message(message) for message in messages])).hexdigest()


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. Unknown types go in by their repr."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode("ascii")


def _message(message: Message) -> list[Any]:
    return [message.role, message.name, [_part(part) for part in message.parts]]


def _part(part: Any) -> list[Any]:
    name = PART_NAMES[type(part)]
    if isinstance(part, (Image, File, Audio)):
        return [name, part.media_type, part.digest(), getattr(part, "detail", None), part.name]
    return [name, *(_plain_parts(getattr(part, field)) for field in type(part).__slots__)]


def _plain_parts(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_part(item) if type(item) in PART_NAMES else item for item in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray)):
        return hashlib.sha256(bytes(value)).hexdigest()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    return repr(value)
