"""Streams: pieces as they arrive, gaps and totals, cuts, and what becomes of the connection."""

from __future__ import annotations

import gc
import gzip
import threading
import time
import zlib
from collections.abc import Iterator

import pytest
from scripted_server import Peer, Server, echo

from deluge.transport import Attempt, LeanTransport, StreamCut
from deluge.wire import HttpCall

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"


@pytest.fixture
def transport() -> Iterator[LeanTransport]:
    transport = LeanTransport()
    yield transport
    transport.close()
    assert not transport._live


def attempt(seconds: float = 20, gap: float | None = None) -> Attempt:
    return Attempt(time.monotonic() + seconds, gap=gap)


def call(server: Server) -> HttpCall:
    return HttpCall("POST", server.url, {}, b"{}", stream=True)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_pieces_come_as_they_are_sent(transport: LeanTransport) -> None:
    go = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(HEAD + b"\r\n")
            for piece in (b"data: 1\n\n", b"data: 2\n\n", b""):
                assert go.acquire(timeout=20)
                peer.send(chunk(piece))

    with Server(script) as server:
        for round_ in range(2):
            switch = attempt()
            reply = transport.stream(call(server), switch)
            assert reply.status == 200 and reply.chunks is not None and reply.reused is bool(round_)
            assert reply.headers["content-type"] == "text/event-stream" and reply.finished_at == 0
            assert "1 in flight | 0 idle" in repr(transport) and switch._sock is not None
            go.release()
            assert next(reply.chunks) == b"data: 1\n\n"
            go.release()
            assert next(reply.chunks) == b"data: 2\n\n"
            go.release()
            assert list(reply.chunks) == [] and list(reply.chunks) == []
            assert transport.idle == 1 and switch._sock is None and reply.finished_at > reply.first_byte_at
        assert server.connections == 1


def test_packed_pieces_are_unpacked_at_once(transport: LeanTransport) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        packer = zlib.compressobj(wbits=31)
        peer.send(HEAD + b"Content-Encoding: gzip\r\n\r\n")
        peer.send(chunk(packer.compress(b"first") + packer.flush(zlib.Z_SYNC_FLUSH)))
        assert go.wait(20)
        peer.send(chunk(packer.compress(b"second") + packer.flush()) + chunk(b""))
        peer.until_closed()

    with Server(script) as server:
        chunks = transport.stream(call(server), attempt()).chunks
        assert chunks is not None and next(chunks) == b"first"
        go.set()
        assert b"".join(chunks) == b"second" and transport.idle == 1


@pytest.mark.parametrize("end", [
    chunk(b"half")[:-4], b"", b"zz\r\n",
    b"Content-Encoding: gzip\r\n\r\n" + chunk(gzip.compress(b"text", mtime=0)[:-2]) + chunk(b""),
])
def test_a_cut_stream_is_an_error(transport: LeanTransport, end: bytes) -> None:
    begun = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        head, blank, rest = end.partition(b"\r\n\r\n")
        peer.send(HEAD + head + blank if blank else HEAD + b"\r\n" + chunk(b"text"))
        assert begun.wait(20)
        peer.send(rest if blank else end)

    with Server(script) as server:
        reply = transport.stream(call(server), attempt())
        assert reply.chunks is not None
        begun.set()
        with pytest.raises(StreamCut) as cut:
            list(reply.chunks)
        assert cut.value.kind == "connection" and str(cut.value) and transport.idle == 0
        assert list(reply.chunks) == [], "it says so once"


def silent_after(pieces: int) -> object:
    def script(peer: Peer) -> None:
        peer.request()
        if pieces:
            peer.send(HEAD + b"\r\n" + chunk(b"text") * pieces)
        peer.until_closed()

    return script


def test_a_stream_that_never_begins(transport: LeanTransport) -> None:
    with Server(silent_after(0)) as server:  # type: ignore[arg-type]
        reply = transport.stream(call(server), attempt(0.2, gap=30))
        assert reply.failure == "timeout" and reply.chunks is None and reply.sent and not reply.replied


def test_a_gap_that_is_too_long(transport: LeanTransport) -> None:
    with Server(silent_after(1)) as server:  # type: ignore[arg-type]
        chunks = transport.stream(call(server), attempt(30, gap=0.2)).chunks
        assert chunks is not None and next(chunks) == b"text"
        with pytest.raises(StreamCut) as cut:
            next(chunks)
        assert cut.value.kind == "timeout"


def test_the_deadline_of_a_stream_can_be_moved(transport: LeanTransport) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HEAD + b"\r\n")
        while not peer.closing.wait(0.02):
            peer.send(chunk(b"text"))

    with Server(script) as server:
        switch = attempt(0.2)
        chunks = transport.stream(call(server), switch).chunks
        assert chunks is not None
        moved = time.monotonic() + 0.6
        switch.extend(moved)
        with pytest.raises(StreamCut) as cut:
            for _ in chunks:
                pass
        assert cut.value.kind == "timeout" and time.monotonic() >= moved


@pytest.mark.parametrize("framed", [True, False])
def test_aborting_cuts_a_stream_that_waits(transport: LeanTransport, framed: bool) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(HEAD + b"\r\n" + chunk(b"text") if framed else b"HTTP/1.1 200 OK\r\n\r\ntext")
        peer.until_closed()

    with Server(script) as server:
        switch = attempt(60)
        chunks = transport.stream(call(server), switch).chunks
        assert chunks is not None and next(chunks) == b"text"
        threading.Thread(target=transport.abort_all).start()
        with pytest.raises(StreamCut) as cut:
            next(chunks)
        assert cut.value.kind == "cancelled" and transport.idle == 0


@pytest.mark.parametrize("way", ["close", "drop"])
def test_a_stream_that_is_left_early_gives_its_socket_back(transport: LeanTransport, way: str) -> None:
    with Server(silent_after(2)) as server:  # type: ignore[arg-type]
        reply = transport.stream(call(server), attempt(60))
        assert reply.chunks is not None
        if way == "close":
            reply.chunks.close()  # type: ignore[attr-defined]
        else:
            reply.chunks = None
            gc.collect()
        assert not transport._live and transport.idle == 0


def test_an_error_comes_with_its_whole_body(transport: LeanTransport) -> None:
    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.reply(b'{"error":1}', "429 Too Many Requests")

    with Server(script) as server:
        reply = transport.stream(call(server), attempt())
        assert reply.status == 429 and reply.body == b'{"error":1}' and reply.chunks is not None
        assert b"".join(reply.chunks) == reply.body and transport.idle == 1


def test_failures_of_a_stream_are_values(transport: LeanTransport) -> None:
    reply = transport.stream(HttpCall("POST", "nowhere", {}), attempt())
    assert reply.failure == "config" and reply.chunks is None and reply.finished_at
    with Server(echo) as server:
        switch = attempt()
        switch.abort()
        assert transport.stream(call(server), switch).failure == "cancelled"
