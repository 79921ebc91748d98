"""What bytes are, told by how they begin; and how large a picture is."""

from __future__ import annotations

import struct

_SIGNS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"),
    (b"%PDF", "application/pdf"), (b"ID3", "audio/mpeg"), (b"fLaC", "audio/flac"), (b"OggS", "audio/ogg"),
    (b"BM", "image/bmp"), (b"PK\x03\x04", "application/zip"),
)
_CONTAINERS = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_TEXT_SAMPLE = 4096  # bytes of a text that are looked at for control characters


def media_type_of(data: bytes) -> str | None:
    """The media type of these bytes: png, jpeg, gif, webp, bmp, pdf, wav, mp3, flac, ogg, zip or plain text; else None."""
    if data[:4] == b"RIFF":
        return _CONTAINERS.get(data[8:12])
    for sign, kind in _SIGNS:
        if data.startswith(sign) and (kind != "image/bmp" or _is_bitmap(data)):
            return kind
    if len(data) > 2 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2:  # an MPEG frame of layer III
        return "audio/mpeg"
    return "text/plain" if _is_text(data) else None


def pixels_of(data: bytes) -> tuple[int, int] | None:
    """Width and height of a png, jpeg, gif or webp; None for anything else, or when the header is torn."""
    kind = media_type_of(data)
    try:
        if kind == "image/png":
            width, height = struct.unpack(">II", data[16:24])
        elif kind == "image/gif":
            width, height = struct.unpack("<HH", data[6:10])
        elif kind == "image/webp":
            width, height = _webp(data)
        elif kind == "image/jpeg":
            width, height = _jpeg(data)
        else:
            return None
    except (struct.error, IndexError, ValueError):
        return None
    return width, height


def _webp(data: bytes) -> tuple[int, int]:
    form = data[12:16]
    if form == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if form == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int]:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a filling byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            height, width = struct.unpack(">HH", data[at + 5:at + 9])
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    raise ValueError("no frame")


def _is_bitmap(data: bytes) -> bool:
    return len(data) >= 14 and data[6:10] == b"\0\0\0\0"


def _is_text(data: bytes) -> bool:
    sample = data[:_TEXT_SAMPLE]
    if not data or any(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in sample):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
