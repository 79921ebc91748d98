"""The framing of AWS event streams: whatever the chunks, the same events; what is wrong in them is said."""

from __future__ import annotations

import random
import struct
from binascii import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge._eventstream import MAX_MESSAGE, framed, stream_events
from deluge.wire import ServerEvent

EVENT = {":event-type": "messageStart", ":content-type": "application/json", ":message-type": "event"}


def with_headers(block: bytes, payload: bytes = b"{}") -> bytes:
    lengths = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    message = lengths + struct.pack("!I", crc32(lengths)) + block + payload
    return message + struct.pack("!I", crc32(message))


def test_events_and_exceptions() -> None:
    raw = framed(EVENT, '{"role":"ä"}'.encode()) + framed(
        {":exception-type": "throttlingException", ":message-type": "exception"}, b'{"message":"later"}'
    ) + framed({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "no"})
    assert list(stream_events([raw])) == [
        ServerEvent('{"role":"ä"}', "messageStart", headers=EVENT),
        ServerEvent('{"message":"later"}', "throttlingException",
                    headers={":exception-type": "throttlingException", ":message-type": "exception"}),
        ServerEvent("", "InternalFailure", headers={
            ":message-type": "error", ":error-code": "InternalFailure", ":error-message": "no"}),
    ]


@given(st.lists(st.tuples(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=4),
                          st.binary(max_size=60)), max_size=5), st.randoms())
@settings(max_examples=60, deadline=None)
def test_any_chunks_give_the_same_events(messages: list[tuple[dict[str, str], bytes]], dice: random.Random) -> None:
    raw = b"".join(framed(headers, payload) for headers, payload in messages)
    whole = list(stream_events([raw]))
    assert [event.headers for event in whole] == [headers for headers, _ in messages]
    assert [event.data for event in whole] == [payload.decode("utf-8", "replace") for _, payload in messages]
    cuts = sorted(dice.randrange(len(raw) + 1) for _ in range(6))
    assert list(stream_events(raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)]))) == whole
    assert list(stream_events(raw[at:at + 1] for at in range(len(raw)))) == whole


def test_a_message_that_is_cut_off_is_dropped() -> None:
    raw = framed(EVENT, b"{}") + framed(EVENT, b'{"more":1}')
    first = len(framed(EVENT, b"{}"))
    for end in range(len(raw)):
        assert len(list(stream_events([raw[:end]]))) == (1 if end >= first else 0)


def test_every_flipped_bit_is_found() -> None:
    raw = framed(EVENT, b'{"role":"assistant"}')
    for at in range(len(raw)):
        for bit in (1, 128):
            broken = raw[:at] + bytes((raw[at] ^ bit,)) + raw[at + 1:]
            with pytest.raises(ValueError, match="checksum"):
                list(stream_events([broken]))


def prelude(length: int, headers: int) -> bytes:
    lengths = struct.pack("!II", length, headers)
    return lengths + struct.pack("!I", crc32(lengths))


@pytest.mark.parametrize("raw, words", [
    (prelude(MAX_MESSAGE + 1, 0), "larger than 64 MiB"), (prelude(15, 0), "contradict"), (prelude(40, 30), "contradict"),
    (with_headers(b"\x05:ab"), "cut off"), (with_headers(b"\x01a"), "cut off"), (with_headers(b"\x01a\x07\x00"), "cut off"),
    (with_headers(b"\x01a\x07\x00\x09abc"), "cut off"), (with_headers(b"\x01a\x04\x00"), "cut off"),
    (with_headers(b"\x01a\x0a"), "unknown type 10"), (b"HTTP/1.1 500 Internal", "checksum"),
])
def test_nonsense_is_an_error(raw: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(stream_events([raw]))


def test_headers_of_every_type() -> None:
    block = b"".join((
        b"\x01a\x00", b"\x01b\x01", b"\x01c\x02\xff", b"\x01d\x03\x01\x00", b"\x01e\x04\x00\x00\x00\x07",
        b"\x01f\x05" + struct.pack("!q", -5), b"\x01g\x06\x00\x02\xab\xcd", b"\x01h\x07\x00\x02hi",
        b"\x01i\x08" + struct.pack("!q", 1_000), b"\x01j\x08" + struct.pack("!q", 1 << 62), b"\x01k\x09" + bytes(16),
    ))
    (event,) = stream_events([with_headers(block)])
    assert event.headers == {
        "a": "true", "b": "false", "c": "-1", "d": "256", "e": "7", "f": "-5", "g": "abcd", "h": "hi",
        "i": "1970-01-01T00:00:01+00:00", "j": str(1 << 62), "k": "00000000-0000-0000-0000-000000000000",
    }
    assert event.event == "" and event.data == "{}"


def test_many_small_messages_cost_no_more_than_they_are() -> None:
    raw = framed(EVENT, b"{}") * 5_000
    assert sum(1 for _ in stream_events([raw])) == 5_000
