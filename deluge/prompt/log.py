"""Messages as JSON-ready data and back, versioned: lossless with the media's bytes, or compact with their hashes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from deluge.errors import ConfigError
from deluge.prompt.media import Audio, File, Image
from deluge.prompt.message import Message
from deluge.prompt.parts import PART_NAMES, PART_TYPES, Raw, Text

LOG_VERSION = 1


def messages_to_log(messages: Iterable[Message], *, lossless: bool = True) -> list[dict[str, Any]]:
    """A list of dicts, one per message, that ``json`` can write."""
    return [_message(message, lossless) for message in messages]


def messages_from_log(data: Iterable[Mapping[str, Any]]) -> list[Message]:
    """The messages that ``messages_to_log`` wrote; in a compact log a text stands where a medium was."""
    return [Message(item["role"], tuple(_part_back(part) for part in item["parts"]), item.get("name")) for item in data]


def _message(message: Message, lossless: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"role": message.role, "parts": [_part(part, lossless) for part in message.parts]}
    if message.name is not None:
        data["name"] = message.name
    return data


def _part(part: Any, lossless: bool) -> dict[str, Any]:
    data: dict[str, Any] = {"type": PART_NAMES[type(part)]}
    for field in type(part).__slots__:
        value = getattr(part, field)
        if (value is None or value is False) and type(part) is not Raw and field != "content":
            continue
        if field == "content" and _are_parts(value):
            data["parts"] = [_part(item, lossless) for item in value]
        else:
            data["kind" if field == "type" else field] = _value(value)
    if isinstance(part, (Image, File, Audio)) and part.data is not None and not lossless:
        del data["data"]
        data["omitted"], data["size"] = part.digest(), len(part.data)
    return data


def _are_parts(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) > 0 and all(type(item) in PART_NAMES for item in value)


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value


def _part_back(data: Mapping[str, Any]) -> Any:
    fields = dict(data)
    cls = PART_TYPES.get(fields.pop("type", ""))
    if cls is None:
        raise ConfigError(f"a log holds a part of unknown type {data.get('type')!r}")
    if "omitted" in fields:
        return Text(f"[{data['type']} left out of this log: {fields.get('media_type')}, {fields.get('size', 0):,} bytes]")
    if "kind" in fields:
        fields["type"] = fields.pop("kind")
    if cls in (Image, File, Audio) and "data" in fields:
        fields["data"] = base64.b64decode(fields["data"])
    if "parts" in fields:
        fields["content"] = tuple(_part_back(item) for item in fields.pop("parts"))
    return cls(**fields)
