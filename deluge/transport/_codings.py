"""Undoes content codings as the bytes arrive, never beyond a given size."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any, Callable, Protocol

from deluge.transport._reply import ReplyError, TooLargeError

MAX_CODINGS = 4


class _Coding(Protocol):
    def feed(self, data: bytes, room: int) -> bytes:
        """The decoded bytes, ``room`` + 1 of them at most."""

    def complete(self) -> bool:
        """Whether the data may end here."""


class _Members:
    """gzip, deflate and zstd: one or more members, each with an end of its own; what follows the last is ignored."""

    def __init__(self, start: Callable[[bytes], Any], magic: bytes) -> None:
        self._start = start
        self._magic = magic
        self._member: Any = None
        self._begun = b""

    def feed(self, data: bytes, room: int) -> bytes:
        pieces: list[bytes] = []
        while data:
            if self._member is None:
                data, self._begun = self._begun + data, b""
                if len(data) < 2:
                    self._begun = data
                    break
                self._member = self._start(data)
            elif self._member.eof:
                if not self._magic or not data.startswith(self._magic[:len(data)]):
                    break
                self._member = None
                continue
            pieces.append(self._member.decompress(data, max(1, room + 1)))
            room -= len(pieces[-1])
            if room < 0:
                break
            data = self._member.unused_data if self._member.eof else b""
        return b"".join(pieces)

    def complete(self) -> bool:
        return not self._begun and (self._member is None or bool(self._member.eof))


class _Brotli:
    def __init__(self, decompressor: Any) -> None:
        self._inner = decompressor
        self._fed = False

    def feed(self, data: bytes, room: int) -> bytes:
        self._fed = True
        pieces = [self._inner.process(data, output_buffer_limit=max(1, room + 1))]
        while not self._inner.can_accept_more_data() and sum(map(len, pieces)) <= room:
            pieces.append(self._inner.process(b"", output_buffer_limit=max(1, room + 1)))
        return b"".join(pieces)

    def complete(self) -> bool:
        return not self._fed or bool(self._inner.is_finished())


class Decoder:
    """The content of a reply with these codings, outermost last; at most ``limit`` bytes of it."""

    def __init__(self, codings: tuple[str, ...], limit: int) -> None:
        if len(codings) > MAX_CODINGS:
            raise ReplyError("too many content codings")
        self._stages = [_coding(name) for name in reversed(codings)]
        self._left = limit

    def feed(self, data: bytes) -> bytes:
        """What these bytes add to the content."""
        for stage in self._stages:
            if not data:
                return b""
            try:
                data = stage.feed(data, self._left)
            except (TooLargeError, MemoryError):
                raise
            except Exception as error:  # every module has an exception class of its own
                raise ReplyError(f"the content cannot be decompressed: {error}") from None
            if len(data) > self._left:
                raise TooLargeError("the reply is too large when decompressed")
        self._left -= len(data)
        return data

    def end(self) -> None:
        """Checks that nothing is missing."""
        if not all(stage.complete() for stage in self._stages):
            raise ReplyError("the compressed content is cut short")


def decoder(codings: str, transfer: tuple[str, ...], limit: int) -> Decoder | None:
    """What undoes a Content-Encoding field and transfer codings; None when there is nothing to undo."""
    names = tuple(name for token in codings.split(",") if (name := token.strip().lower()) in _KNOWN) + transfer
    return Decoder(names, limit) if names else None


def accepted() -> str:
    """The value of Accept-Encoding: what can be undone here."""
    return ", ".join(["gzip", "deflate", *(["br"] if _brotli() else []), *(["zstd"] if _zstd() else [])])


def _coding(name: str) -> _Coding:
    if name in ("gzip", "x-gzip"):
        return _Members(lambda data: zlib.decompressobj(16 + zlib.MAX_WBITS), b"\x1f\x8b")
    if name == "deflate":
        return _Members(_deflate, b"")
    if name == "br" and (brotli := _brotli()):
        return _Brotli(brotli.Decompressor())
    if name == "zstd" and (zstd := _zstd()):
        return _Members(lambda data: zstd.ZstdDecompressor(), b"\x28\xb5\x2f\xfd")
    raise ReplyError(f"the reply is coded as {name[:20]!r}, which cannot be undone here")


def _deflate(data: bytes) -> Any:
    """zlib as the standard has it, or the raw deflate that some servers send."""
    wrapped = data[0] & 0x0F == 8 and (data[0] * 256 + data[1]) % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


@lru_cache(maxsize=1)
def _brotli() -> Any:
    """The brotli module, if it is there and can bound what it puts out."""
    try:
        import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore]
        brotli.Decompressor().process(b"", output_buffer_limit=1)
    except (ImportError, AttributeError, TypeError):
        return None
    return brotli


@lru_cache(maxsize=1)
def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        try:
            from backports import zstd  # type: ignore[import-not-found,import-untyped,unused-ignore]
        except ImportError:
            return None
    return zstd


_KNOWN = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd"})
