"""Frames an HTTP reply out of the bytes of a connection, without touching one.

The rules and bounds are those of ``http.client``; where that guesses (an end of file inside the headers, a line that is
no header, chunks that do not add up), this is an error: a guess would be handed out as an answer that was paid for.
"""

from __future__ import annotations

import re

from deluge.wire import FailureKind

MAX_LINE = 65_536
MAX_LINES = 100
MAX_INTERIM = 100

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}").fullmatch

_names: dict[str, str] = {}
_status_lines: dict[str, tuple[int, int]] = {}

_HEAD, _FIXED, _UNTIL_CLOSE, _SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(8)


class ReplyError(Exception):
    """The bytes are not a whole reply; the message says why, ``kind`` which failure that is."""

    kind: FailureKind = "connection"


class TooLargeError(ReplyError):
    """The reply is larger than the transport takes."""

    kind = "too_large"


class ReplyReader:
    """One reply's status and headers, and its body as it is framed; ``done`` when nothing more belongs to it.

    ``headers`` has lower-case names, repeated fields joined with ``", "``. ``codings`` are transfer codings other than
    chunked, still to be undone. ``reusable``: the connection may carry another exchange.
    """

    __slots__ = (
        "status", "headers", "codings", "started", "done", "reusable", "left",
        "_bodiless", "_max_wire", "_wire", "_state", "_rest", "_lines", "_line_at", "_interim",
    )

    def __init__(self, *, bodiless: bool = False, max_wire: int = 64 << 20) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.codings: tuple[str, ...] = ()
        self.started = self.done = self.reusable = False
        self.left = 0
        self._bodiless = bodiless
        self._max_wire = max_wire
        self._wire = 0
        self._state = _HEAD
        self._rest: bytes | bytearray = b""
        self._lines = self._line_at = self._interim = 0

    def feed(self, data: bytes) -> bytes:
        """The piece of the body that these bytes complete, still with its content coding; may be empty."""
        state = self._state
        if state == _HEAD:
            return self._feed_head(data)
        if state == _FIXED:
            return self._feed_fixed(data)
        if state == _DONE:
            self.reusable = False  # bytes that nobody asked for: what follows them cannot be trusted
            return b""
        if state == _UNTIL_CLOSE:
            self._count(len(data))
            return data
        return self._feed_chunks(data)

    def feed_or_end(self, data: bytes) -> bytes:
        """``feed``, or ``end`` when there are no bytes, as a socket says it."""
        if data:
            return self.feed(data)
        self.end()
        return b""

    def end(self) -> None:
        """The peer closed: fine for a body that ends so, else an error."""
        self.reusable = False
        if self._state in (_UNTIL_CLOSE, _TRAILER):
            self._state, self.done = _DONE, True
        elif self._state == _HEAD:
            raise ReplyError("the connection was closed inside the headers" if self._rest or self._interim
                             else "the connection was closed without a reply")
        elif self._state != _DONE:
            raise ReplyError("the connection was closed inside the body")

    def _feed_head(self, data: bytes) -> bytes:
        buffer: bytes | bytearray = data
        seen = len(self._rest)
        if seen:
            self._rest += data  # a bytearray by now
            buffer = self._rest
        while (end := _end_of_head(buffer, max(0, seen - 3))) >= 0:
            version = self._parse_head(buffer[:end].decode("latin-1"))
            data = bytes(buffer[end:])
            if self.status >= 200:
                self._rest, self._lines = b"", 0
                self._frame(version)
                self.started = True
                return self.feed(data) if data else b""
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise ReplyError("too many interim replies")
            self._rest, buffer = b"", data
            self._lines = self._line_at = seen = 0
        self._keep_head(buffer, seen)
        return b""

    def _keep_head(self, buffer: bytes | bytearray, seen: int) -> None:
        """Stores an unfinished head, unless it is no HTTP at all or grows without bound."""
        if not b"HTTP/".startswith(buffer[:5]):
            raise ReplyError("the peer does not speak HTTP")
        self._lines += buffer.count(b"\n", seen)
        self._line_at = max(self._line_at, buffer.rfind(b"\n", seen) + 1)
        if self._lines > MAX_LINES or len(buffer) - self._line_at > MAX_LINE:
            raise ReplyError("the headers are too long")
        self._rest = bytearray(buffer) if isinstance(buffer, bytes) else buffer

    def _parse_head(self, head: str) -> int:
        version, self.status, self.headers = _regular_head(head) or _any_head(head)
        return version

    def _frame(self, version: int) -> None:
        headers = self.headers
        self.reusable = _keeps_alive(version, headers)
        if self._bodiless or self.status in (204, 304):
            self._state, self.done = _DONE, True
            return
        coding = headers.get("transfer-encoding")
        if coding is not None and self._transfer_codings(coding):
            if "content-length" in headers:
                self.reusable = False  # two framings: whoever wrote that may mean either
            self._state = _SIZE
            return
        length = _content_length(headers.get("content-length"))
        if length < 0:
            self._state, self.reusable = _UNTIL_CLOSE, False
            return
        if length > self._max_wire:
            raise TooLargeError(f"the reply announces {length} bytes")
        self.left = length
        self._state, self.done = (_FIXED, False) if length else (_DONE, True)

    def _transfer_codings(self, value: str) -> bool:
        """Whether the body is chunked; codings below that are noted in ``codings``."""
        names = [name for token in value.split(",") if (name := token.strip().lower()) not in ("", "identity")]
        chunked = bool(names) and names[-1] == "chunked"
        self.codings = tuple(names[:-1] if chunked else names)
        if "chunked" in self.codings:
            raise ReplyError("chunked is not the last transfer coding")
        if self.codings:
            self.reusable = False
        return chunked

    def _feed_fixed(self, data: bytes) -> bytes:
        left = self.left - len(data)
        if left > 0:
            self.left = left
            return data
        if left < 0:
            data = data[:left]
            self.reusable = False
        self.left = 0
        self._state, self.done = _DONE, True
        return data

    def _feed_chunks(self, data: bytes) -> bytes:
        if self._rest:
            data, self._rest = bytes(self._rest) + data, b""
        at, size, pieces = 0, len(data), []
        while at < size:
            if self._state == _DONE:
                self.reusable = False
                break
            if self._state == _DATA:
                piece = data[at:at + self.left]
                pieces.append(piece)
                at += len(piece)
                self.left -= len(piece)
                if not self.left:
                    self._state = _DATA_END
                continue
            end = data.find(b"\n", at) + 1
            if not end or end - at > MAX_LINE:
                self._keep_line(data[at:])
                break
            self._chunk_line(data[at:end])
            at = end
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep_line(self, rest: bytes) -> None:
        if len(rest) > MAX_LINE:
            raise ReplyError("a line of a chunked body is too long")
        if self._state == _DATA_END and not b"\r\n".startswith(rest):
            raise ReplyError("a chunk is longer than it said")
        self._rest = rest

    def _chunk_line(self, line: bytes) -> None:
        if self._state == _DATA_END:
            if line != b"\r\n":
                raise ReplyError("a chunk is longer than it said")
            self._state = _SIZE
        elif self._state == _SIZE:
            digits = line.partition(b";")[0].strip()
            if not _CHUNK_SIZE(digits):
                raise ReplyError("a chunk without a size")
            self.left = int(digits, 16)
            self._count(self.left)
            self._state = _DATA if self.left else _TRAILER
        elif line in (b"\r\n", b"\n"):
            self._state, self.done = _DONE, True
        else:
            self._lines += 1
            if self._lines > MAX_LINES:
                raise ReplyError("too many trailers")

    def _count(self, size: int) -> None:
        self._wire += size
        if self._wire > self._max_wire:
            raise TooLargeError(f"the reply is larger than {self._max_wire} bytes")


def whole_reply(data: bytes, max_wire: int) -> tuple[int, dict[str, str], bytes] | None:
    """Status, headers and body when the bytes are exactly one reply of the usual form, whose connection stays open.

    None says nothing but that ``ReplyReader`` has to look.
    """
    end = data.find(b"\r\n\r\n") + 4
    if end < 4 or not (regular := _regular_head(data[:end].decode("latin-1"))):
        return None
    version, status, headers = regular
    if version != 11 or status < 200 or status in (204, 304) or "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "")
    if not length.isdecimal() or len(length) > 12 or int(length) != len(data) - end or len(data) > max_wire:
        return None
    if headers.get("connection", "keep-alive") not in ("keep-alive", "Keep-Alive"):
        return None
    return status, headers, data[end:]


def _regular_head(head: str) -> tuple[int, int, dict[str, str]] | None:
    """What ``_any_head`` gives, three times as fast, for a head as servers write it; None for any other.

    Regular: CRLF everywhere, ``name: value`` with one blank, no other white space to strip, known names, none repeated.
    """
    lines = head.split("\r\n")
    known = _status_lines.get(lines[0])
    if known is None or len(lines) > MAX_LINES or len(head) > MAX_LINE:
        return None
    headers: dict[str, str] = {}
    try:
        for line in lines[1:-2]:
            name, _, value = line.partition(": ")
            headers[_names[name]] = value
    except KeyError:
        return None
    count = len(lines) - 1
    if len(headers) != count - 2 or head.count("\n") != count or head.count("\r") != count:
        return None
    if "  " in head or "\t" in head or " \r" in head:
        return None
    return known[0], known[1], headers


def _any_head(head: str) -> tuple[int, int, dict[str, str]]:
    """Version (10 or 11), status and fields of a head that ends with its blank line."""
    lines = head.split("\n")[:-2]
    if len(lines) > MAX_LINES or (len(head) > MAX_LINE and max(map(len, lines)) >= MAX_LINE):
        raise ReplyError("the headers are too long")
    if head.count("\r") != head.count("\r\n"):
        raise ReplyError("malformed header line")
    version, status = _status_line(lines[0])
    headers: dict[str, str] = {}
    last = ""
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        name = _field_name(key) if colon else ""
        if name:
            value = value.strip(" \t\r")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
            last = name
        elif last and line[0] in " \t":
            headers[last] = f"{headers[last]} {line.strip()}".strip()
        else:
            raise ReplyError("malformed header line")
    return version, status, headers


def _field_name(key: str) -> str:
    """The name in lower case, empty when it is none; remembered, because every reply has the same ones."""
    name = _names.get(key)
    if name is None:
        if not _NAME(key):
            return ""
        name = key.lower()
        if len(_names) < 1_000 and len(key) < 64:
            _names[key] = name
    return name


def _end_of_head(data: bytes | bytearray, begin: int) -> int:
    """Where the body begins, -1 when the head is not complete; a bare LF ends a line, as in http.client."""
    end = data.find(b"\n\r\n", begin)
    bare = data.find(b"\n\n", begin, end if end >= 0 else len(data))
    return bare + 2 if bare >= 0 else end + 3 if end >= 0 else -1


def _status_line(line: str) -> tuple[int, int]:
    line = line.rstrip("\r")
    version, _, rest = line.partition(" ")
    code = rest.strip(" \t").partition(" ")[0]
    if not version.startswith("HTTP/") or len(line) > MAX_LINE:
        raise ReplyError("the peer does not speak HTTP")
    if len(code) != 3 or not code.isdecimal() or code[0] == "0":
        raise ReplyError("malformed status line")
    if version != "HTTP/0.9" and not version.startswith("HTTP/1."):
        raise ReplyError("an HTTP version that is not spoken here")
    known = (11 if version.startswith("HTTP/1.") and version != "HTTP/1.0" else 10), int(code)
    if len(_status_lines) < 200 and len(line) < 64:
        _status_lines[line] = known
    return known


def _keeps_alive(version: int, headers: dict[str, str]) -> bool:
    connection = headers.get("connection", "").lower()
    if version == 11:
        return "close" not in connection
    if "close" in connection:
        return False
    return bool(headers.get("keep-alive")) or "keep-alive" in connection or (
        "keep-alive" in headers.get("proxy-connection", "").lower())


def _content_length(value: str | None) -> int:
    """The length of the body, -1 when none is given that can be read (then the body ends with the connection)."""
    if value is None:
        return -1
    if value.isdecimal():
        return int(value) if len(value) < 20 else 1 << 62
    lengths = {token.strip() for token in value.split(",")}
    if len(lengths) == 1 and (only := lengths.pop()).isdecimal():
        return int(only) if len(only) < 20 else 1 << 62
    if len(lengths) > 1:
        raise ReplyError("lengths that contradict each other")
    return -1
