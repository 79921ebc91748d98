"""AWS event streams, parsed as they arrive: whatever the chunks, the events are the same.

A message is a prelude (its whole length, the length of its headers, a checksum of both), headers, a payload and a
checksum of all before it: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
"""

from __future__ import annotations

import datetime as dt
import uuid
from binascii import crc32
from collections.abc import Iterable, Iterator, Mapping
from struct import Struct

from deluge.wire import ServerEvent

MAX_MESSAGE = 64 * 1024 * 1024
_PRELUDE = Struct("!III")
_CHECKSUM = Struct("!I")
_FRAME = _PRELUDE.size + _CHECKSUM.size
_NUMBERS = {2: Struct("!b"), 3: Struct("!h"), 4: Struct("!i"), 5: Struct("!q")}
_LENGTH = Struct("!H")
_BYTES, _TEXT, _TIME, _UUID = 6, 7, 8, 9
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


def stream_events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a byte stream, exceptions among them (their headers say so); one that is cut off is dropped.

    ``event`` is the type of the event or of the exception, ``data`` the payload. ``ValueError`` when a checksum is
    wrong, when headers cannot be read, or when one message is larger than 64 MiB.
    """
    held = bytearray()
    for chunk in chunks:
        held += chunk
        start = 0
        while len(held) - start >= _PRELUDE.size:
            length, headers, checksum = _PRELUDE.unpack_from(held, start)
            _check_prelude(held[start:start + 8], length, headers, checksum)
            if len(held) - start < length:
                break
            yield _event(bytes(held[start:start + length]), headers)
            start += length
        if start:
            del held[:start]


def framed(headers: Mapping[str, str], payload: bytes = b"") -> bytes:
    """One message with these headers, all of them texts."""
    block = b"".join(_text_header(name, value) for name, value in headers.items())
    lengths = _PRELUDE.pack(_FRAME + len(block) + len(payload), len(block), 0)[:-_CHECKSUM.size]
    message = lengths + _CHECKSUM.pack(crc32(lengths)) + block + payload
    return message + _CHECKSUM.pack(crc32(message))


def _text_header(name: str, value: str) -> bytes:
    key, text = name.encode("utf-8"), value.encode("utf-8")
    return bytes((len(key),)) + key + bytes((_TEXT,)) + _LENGTH.pack(len(text)) + text


def _check_prelude(lengths: bytearray, length: int, headers: int, checksum: int) -> None:
    if crc32(lengths) != checksum:
        raise ValueError("the checksum of an event's lengths is wrong")
    if length > MAX_MESSAGE:
        raise ValueError("an event of the stream is larger than 64 MiB")
    if length < _FRAME + headers:
        raise ValueError("the lengths of an event contradict each other")


def _event(message: bytes, headers_length: int) -> ServerEvent:
    end = len(message) - _CHECKSUM.size
    if crc32(message[:end]) != _CHECKSUM.unpack_from(message, end)[0]:
        raise ValueError("the checksum of an event is wrong")
    begin = _PRELUDE.size
    headers = _headers(message[begin:begin + headers_length])
    kind = headers.get(":exception-type") or headers.get(":event-type") or headers.get(":error-code") or ""
    return ServerEvent(message[begin + headers_length:end].decode("utf-8", "replace"), kind, headers=headers)


def _headers(block: bytes) -> dict[str, str]:
    """Names and values, the values as texts."""
    found: dict[str, str] = {}
    at = 0
    while at < len(block):
        name, at = _counted(block, at + 1, block[at])
        if at >= len(block):
            raise ValueError("the headers of an event are cut off")
        value, at = _value(block, at + 1, block[at])
        found[name.decode("utf-8", "replace")] = value
    return found


def _counted(block: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(block):
        raise ValueError("the headers of an event are cut off")
    return block[at:at + length], at + length


def _value(block: bytes, at: int, kind: int) -> tuple[str, int]:
    if kind in (0, 1):
        return ("true", "false")[kind], at
    if kind in _NUMBERS:
        number = _NUMBERS[kind]
        data, at = _counted(block, at, number.size)
        return str(number.unpack(data)[0]), at
    if kind in (_BYTES, _TEXT):
        data, at = _counted(block, at, _LENGTH.size)
        data, at = _counted(block, at, _LENGTH.unpack(data)[0])
        return data.decode("utf-8", "replace") if kind == _TEXT else data.hex(), at
    if kind == _TIME:
        data, at = _counted(block, at, 8)
        return _moment(int.from_bytes(data, "big", signed=True)), at
    if kind == _UUID:
        data, at = _counted(block, at, 16)
        return str(uuid.UUID(bytes=data)), at
    raise ValueError(f"an event has a header of the unknown type {kind}")


def _moment(milliseconds: int) -> str:
    try:
        return (_EPOCH + dt.timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError:
        return str(milliseconds)
