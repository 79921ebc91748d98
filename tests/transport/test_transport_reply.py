"""The framing of replies: whole, byte by byte, in random pieces, and against http.client on the same bytes."""

from __future__ import annotations

import gzip
import http.client
import io
import random
import sys
import zlib

import pytest

from deluge.transport._codings import Decoder, accepted, decoder
from deluge.transport._reply import ReplyError, ReplyReader, TooLargeError, whole_reply

OK = b"HTTP/1.1 200 OK\r\n"

# name: (bytes, method)
VALID: dict[str, tuple[bytes, str]] = {
    "length": (OK + b"Content-Type: application/json\r\nContent-Length: 5\r\n\r\nhello", "POST"),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", "POST"),
    "same length twice": (OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "POST"),
    "length after blanks": (OK + b"Content-Length: \t 5 \r\nX:y\r\nZ:\r\n\r\nhello", "POST"),
    "bad length": (OK + b"Content-Length: five\r\n\r\nhello", "POST"),
    "negative length": (OK + b"Content-Length: -5\r\n\r\nhello", "POST"),
    "until close": (OK + b"Content-Type: text/plain\r\n\r\nall of\r\nthis", "GET"),
    "close": (OK + b"Connection: Close\r\nContent-Length: 2\r\n\r\n{}", "GET"),
    "tokens": (OK + b"Connection: x-y, close\r\nContent-Length: 2\r\n\r\n{}", "GET"),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "GET"),
    "1.0 until close": (b"HTTP/1.0 200 OK\r\n\r\nsome", "GET"),
    "1.0 keep-alive": (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}", "GET"),
    "1.0 keep-alive field": (b"HTTP/1.0 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\n{}", "GET"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", "GET"),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + OK + b"Content-Length: 2\r\n\r\n{}", "POST"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE"),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "GET"),
    "head": (OK + b"Content-Length: 7\r\n\r\n", "HEAD"),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 12\n\nab\r\n\r\ncd\n\nef", "GET"),
    "chunked": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n", "POST"),
    "chunked twice over": (
        OK + b"Content-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n00A\r\n0123456789\r\n0\r\n\r\n", "GET"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n", "POST"),
    "no end of trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", "POST"),
    "chunked empty": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST"),
    "error": (b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\n{}", "POST"),
    "latin-1": (OK + b"X-Name: caf\xe9\r\nContent-Length: 2\r\n\r\n{}", "GET"),
    "99 fields": (OK + b"A: 1\r\n" * 98 + b"Content-Length: 2\r\n\r\n{}", "GET"),
    "long line": (OK + b"A: " + b"x" * 65_531 + b"\r\nContent-Length: 2\r\n\r\n{}", "GET"),
}

BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "without a reply"),
    "half a status line": (b"HTTP/1.1 20", "inside the headers"),
    "end inside the headers": (OK + b"Content-Length: 0\r\n", "inside the headers"),
    "end after an interim reply": (b"HTTP/1.1 100 Continue\r\n\r\n", "inside the headers"),
    "not HTTP": (b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
    "blank line first": (b"\r\n" + OK + b"\r\n", "does not speak HTTP"),
    "HTTP/2": (b"HTTP/2 200 OK\r\n\r\n", "version"),
    "status with letters": (b"HTTP/1.1 2xx OK\r\n\r\n", "status line"),
    "status too small": (b"HTTP/1.1 099 OK\r\n\r\n", "status line"),
    "superscripts": (b"HTTP/1.1 20\xb2 OK\r\n\r\n", "status line"),
    "no colon": (OK + b"Content-Length 5\r\n\r\nhello", "malformed"),
    "blank before the colon": (OK + b"Content-Length : 5\r\n\r\nhello", "malformed"),
    "no name": (OK + b": 5\r\n\r\nhello", "malformed"),
    "folded first": (OK + b" X: 5\r\nContent-Length: 5\r\n\r\nhello", "malformed"),
    "bare CR": (OK + b"X: a\rContent-Length: 9\r\nContent-Length: 5\r\n\r\nhello", "malformed"),
    "100 fields": (OK + b"A: 1\r\n" * 99 + b"Content-Length: 2\r\n\r\n{}", "too long"),
    "fields without end": (OK + b"A: 1\r\n" * 101, "too long"),
    "too long a line": (OK + b"A: " + b"x" * 65_532 + b"\r\nContent-Length: 2\r\n\r\n{}", "too long"),
    "line without end": (OK + b"A: " + b"x" * 65_540, "too long"),
    "two lengths": (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "contradict"),
    "short body": (OK + b"Content-Length: 6\r\n\r\nhello", "inside the body"),
    "no body": (OK + b"Content-Length: 6\r\n\r\n", "inside the body"),
    "no last chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "inside the body"),
    "half a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "inside the body"),
    "size that is none": (OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhel", "without a size"),
    "size with a sign": (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", "without a size"),
    "size with a prefix": (OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "without a size"),
    "chunk too long": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", "longer than it said"),
    "size without end": (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 70_000, "too long"),
    "trailers without end": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: 1\r\n" * 200, "trailers"),
    "chunked first": (OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "not the last"),
    "interim without end": (b"HTTP/1.1 102 Processing\r\n\r\n" * 200, "interim"),
}


class Socket:
    """Just enough of one for http.client."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def by_standard(data: bytes, method: str) -> tuple[int, dict[str, str], bytes, bool]:
    reply = http.client.HTTPResponse(Socket(data), method=method)  # type: ignore[arg-type]
    reply.begin()
    fields: dict[str, str] = {}
    for name, value in reply.getheaders():
        name, value = name.lower(), value.strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    stays = not reply.will_close
    return reply.status, fields, reply.read(), stays


def by_us(
    data: bytes, method: str, cuts: list[int], max_wire: int = 1 << 20,
) -> tuple[int, dict[str, str], bytes, bool]:
    reader = ReplyReader(bodiless=method == "HEAD", max_wire=max_wire)
    body = b""
    for begin, end in zip([0, *cuts], [*cuts, len(data)]):
        if begin < end:
            body += reader.feed(data[begin:end])
    if not reader.done:
        reader.end()
    assert reader.done
    return reader.status, reader.headers, body, reader.reusable


def ways(data: bytes) -> list[list[int]]:
    """How the bytes may arrive: at once, one by one, at random."""
    dice = random.Random(len(data))
    size = len(data)
    some = [sorted(dice.sample(range(size), min(size, dice.randint(1, 9)))) for _ in range(20)] if size else []
    return [[], *some, *([list(range(1, size))] if size < 10_000 else [])]


@pytest.mark.parametrize("name", VALID)
def test_a_valid_reply_is_read_as_http_client_reads_it(name: str) -> None:
    data, method = VALID[name]
    status, fields, body, stays = by_standard(data, method)
    for cuts in ways(data):
        got = by_us(data, method, cuts)
        assert got[:3] == (status, fields, body)
        if name in ("chunked twice over", "no end of trailers"):
            assert got[3] is False, "framed doubtfully: better not used again"
        else:
            assert got[3] is stays


@pytest.mark.parametrize("name", [name for name in VALID if VALID[name][1] != "HEAD"])
def test_the_fast_path_says_the_same_or_nothing(name: str) -> None:
    data, method = VALID[name]
    for _ in range(2):  # field names are known from the second time on
        whole = whole_reply(data, 1 << 20)
        if whole is not None:
            assert (*whole, True) == by_us(data, method, [])
        by_us(data, method, [])
    if name in ("length", "error", "empty"):
        assert whole_reply(data, 1 << 20) is not None


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reply_is_an_error_and_never_a_short_body(name: str) -> None:
    data, words = BROKEN[name]
    assert whole_reply(data, 1 << 20) is None
    for cuts in ways(data):
        with pytest.raises(ReplyError, match=words):
            by_us(data, "POST", cuts)


def test_folded_and_repeated_fields_become_one() -> None:
    data = OK + b"X: a\r\n  b\r\n\tc\r\nY: 1\r\ny: 2\r\nContent-Length: 0\r\n\r\n"
    assert by_us(data, "GET", [])[1] == {"x": "a b c", "y": "1, 2", "content-length": "0"}


def test_every_interim_reply_is_skipped() -> None:
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + VALID["length"][0]
    for cuts in ways(data):
        assert by_us(data, "POST", cuts)[0::2] == (200, b"hello")


@pytest.mark.parametrize("name", ["length", "chunked", "204", "304", "empty"])
def test_bytes_after_the_body_forbid_another_use(name: str) -> None:
    data, method = VALID[name]
    assert by_us(data, method, [])[3] is True
    for cuts in ways(data + b"H"):
        assert by_us(data + b"H", method, cuts)[3] is False
    assert whole_reply(data + b"H", 1 << 20) is None


def test_replies_that_are_too_large() -> None:
    for data in (
        OK + b"Content-Length: 101\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999999\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n65\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 101,
        OK + b"\r\n" + b"x" * 101,
    ):
        with pytest.raises(TooLargeError):
            by_us(data, "GET", [], max_wire=100)


def test_transfer_codings_below_chunked_are_undone() -> None:
    packed = gzip.compress(b"hello", mtime=0)
    data = OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    reader = ReplyReader()
    body = reader.feed(data)
    undo = decoder("", reader.codings, 100)
    assert undo is not None and undo.feed(body) == b"hello" and reader.done and not reader.reusable


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODED = {
    "gzip": gzip.compress(b"hello" * 50, mtime=0), "x-gzip": gzip.compress(b"hello" * 50, mtime=0),
    "deflate": zlib.compress(b"hello" * 50), "Deflate": raw_deflate(b"hello" * 50),
    "gzip, deflate": zlib.compress(gzip.compress(b"hello" * 50, mtime=0)), "identity": b"hello" * 50,
    "gzip ": gzip.compress(b"hello", mtime=0) + gzip.compress(b"hello" * 49, mtime=0), "utf-8": b"hello" * 50,
}


@pytest.mark.parametrize("coding", CODED)
def test_content_codings_are_undone_however_the_bytes_arrive(coding: str) -> None:
    for size in (1, 7, 10_000):
        undo = decoder(coding, (), 1_000)
        data = CODED[coding]
        pieces = [data[i:i + size] for i in range(0, len(data), size)]
        if undo is None:
            assert coding in ("identity", "utf-8")
            continue
        assert b"".join(undo.feed(piece) for piece in pieces) == b"hello" * 50
        undo.end()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "Deflate"])
def test_compressed_content_that_is_cut_or_broken(coding: str) -> None:
    data = CODED[coding]
    for end in (1, 2, len(data) // 2, len(data) - 1):
        undo = decoder(coding, (), 1_000)
        assert undo is not None
        undo.feed(data[:end])
        with pytest.raises(ReplyError, match="cut short"):
            undo.end()
    with pytest.raises(ReplyError, match="decompressed"):
        Decoder(("gzip",), 1_000).feed(b"this is no gzip at all")
    second = Decoder(("gzip",), 1_000)
    second.feed(CODED["gzip"] + CODED["gzip"][:20])
    with pytest.raises(ReplyError, match="cut short"):
        second.end()


def test_content_grows_only_so_far() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000, mtime=0)
    twice, small = gzip.compress(bomb, mtime=0), zlib.compress(bytes(2_000))
    for data, codings in ((bomb, ("gzip",)), (twice, ("gzip", "gzip")), (small, ("deflate",))):
        with pytest.raises(TooLargeError):
            Decoder(codings, 1_000).feed(data)
    exact = Decoder(("gzip",), 1_000)
    assert exact.feed(gzip.compress(b"x" * 1_000, mtime=0)) == b"x" * 1_000
    exact.end()
    with pytest.raises(ReplyError, match="too many"):
        Decoder(("gzip",) * 9, 1_000)


def test_empty_compressed_content_is_whole() -> None:
    undo = decoder("gzip", (), 100)
    assert undo is not None and undo.feed(b"") == b""
    undo.end()


def test_garbage_after_a_gzip_member_is_ignored() -> None:
    undo = decoder("gzip", (), 100)
    assert undo is not None and undo.feed(gzip.compress(b"ok", mtime=0) + b"\0\0\0") == b"ok"
    undo.end()


def test_unknown_transfer_codings_are_refused() -> None:
    with pytest.raises(ReplyError, match="cannot be undone"):
        decoder("", ("brotli-x",), 100)


def test_brotli_where_it_is_installed() -> None:
    brotli = pytest.importorskip("brotli")
    if "br" not in accepted():
        pytest.skip("this brotli cannot bound what it puts out")
    data = brotli.compress(b"hello" * 50)
    for size in (1, 7, 1_000):
        undo = Decoder(("br",), 1_000)
        assert b"".join(undo.feed(data[i:i + size]) for i in range(0, len(data), size)) == b"hello" * 50
        undo.end()
    cut = Decoder(("br",), 1_000)
    cut.feed(data[:-3])
    with pytest.raises(ReplyError, match="cut short"):
        cut.end()
    with pytest.raises(TooLargeError):
        Decoder(("br",), 1_000).feed(brotli.compress(bytes(10_000_000)))


def test_zstd_where_it_is_installed() -> None:
    zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    data = zstd.compress(b"hello" * 25) * 2
    for size in (1, 7, 1_000):
        undo = Decoder(("zstd",), 1_000)
        assert b"".join(undo.feed(data[i:i + size]) for i in range(0, len(data), size)) == b"hello" * 50
        undo.end()
    cut = Decoder(("zstd",), 1_000)
    cut.feed(data[:-3])
    with pytest.raises(ReplyError, match="cut short"):
        cut.end()
    with pytest.raises(TooLargeError):
        Decoder(("zstd",), 1_000).feed(zstd.compress(bytes(10_000_000)))
