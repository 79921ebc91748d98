"""Every fault of the rehearsal provider, as the bytes that a client gets."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import zlib

import pytest

from deluge.testing import Fault, RehearsalServer
from deluge.testing.chat import WIRE
from deluge.testing.exchange import Reply, Request, Step
from deluge.testing.faults import KINDS, chooser, drawn, plan

END = b"\r\n\r\n"


def asked(prompt: str = "hello", **more: object) -> bytes:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}], **more}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def told(script: object, request: bytes = asked(), limit: int = 1 << 20) -> tuple[bytes, str]:
    """What comes back on one connection until it ends, is reset, or is silent; and which of the three it was."""
    with RehearsalServer(latency=0, script=script) as server:  # type: ignore[arg-type]
        with socket.create_connection((server.host, server.port), 5) as sock:
            sock.sendall(request)
            server.wait_for(lambda: server.count > 0)
            got = b""
            try:
                while len(got) < limit:
                    sock.settimeout(0.1 if server.outcomes else 0.3)
                    data = sock.recv(65536)
                    if not data:
                        return got, "closed"
                    got += data
            except ConnectionResetError:
                return got, "reset"
            except TimeoutError:
                return got, "silent"
    return got, "much"


def parted(reply: bytes) -> tuple[int, dict[str, str], bytes]:
    block, _, body = reply.partition(END)
    first, *lines = block.decode().split("\r\n")
    return int(first.split()[1]), {name: value for name, value in (line.split(": ", 1) for line in lines)}, body


def test_without_a_fault() -> None:
    status, headers, body = parted(told(None)[0])
    assert status == 200 and int(headers["content-length"]) == len(body)
    assert json.loads(body)["choices"][0]["message"]["content"] == "hello"


@pytest.mark.parametrize("fault, after", [
    ("500", None), (Fault("429", retry_after=2), "2"),
    (Fault("503", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), "Wed, 21 Oct 2026 07:28:00 GMT"),
    ("401", None), ("529", None),
])
def test_statuses(fault: Fault | str, after: str | None) -> None:
    reply, end = told([fault])
    status, headers, body = parted(reply)
    assert str(status) == (fault if isinstance(fault, str) else fault.kind)
    assert headers.get("retry-after") == after and end == "silent"
    assert "Rehearsed" in json.loads(body)["error"]["message"]


def test_a_status_can_say_anything() -> None:
    _, _, body = parted(told([Fault("429", message="no money", code="insufficient_quota")])[0])
    assert json.loads(body)["error"]["code"] == "insufficient_quota"
    assert parted(told([Fault("400", data=b"plain")])[0])[2] == b"plain"


@pytest.mark.parametrize("kind", ["drip_headers", "drip_body"])
def test_drips_arrive_whole(kind: str) -> None:
    status, headers, body = parted(told([Fault(kind, seconds=0.001, size=16)])[0])
    assert status == 200 and len(body) == int(headers["content-length"])


def test_truncated() -> None:
    reply, end = told(["truncated"])
    _, headers, body = parted(reply)
    assert end == "closed" and 0 < len(body) < int(headers["content-length"])


@pytest.mark.parametrize("kind, shape", [("reset", "none"), ("reset_headers", "head"), ("reset_body", "body")])
def test_resets(kind: str, shape: str) -> None:
    reply, end = told([kind])
    assert end == "reset"
    assert (reply == b"") == (shape == "none")
    assert (END in reply) == (shape == "body")


def test_empty() -> None:
    status, headers, body = parted(told(["empty"])[0])
    assert (status, headers["content-length"], body) == (200, "0", b"")


def test_malformed() -> None:
    status, headers, body = parted(told(["malformed"])[0])
    assert status == 200 and len(body) == int(headers["content-length"])
    with pytest.raises(ValueError):
        json.loads(body)


def test_html() -> None:
    status, headers, body = parted(told(["html"])[0])
    assert (status, headers["content-type"]) == (502, "text/html") and b"<html>" in body


@pytest.mark.parametrize("kind, shape", [("hang", "none"), ("hang_headers", "head"), ("hang_body", "body")])
def test_hangs(kind: str, shape: str) -> None:
    reply, end = told([kind])
    assert end == "silent" and (reply == b"") == (shape == "none") and (END in reply) == (shape == "body")
    ended, end = told([Fault(kind, seconds=0.01)])
    assert len(ended) == len(reply) and end == "closed"


def test_bad_chunk() -> None:
    reply, end = told(["bad_chunk"])
    assert parted(reply)[2].startswith(b"zz\r\n") and end == "closed"


def test_short_chunk() -> None:
    reply, end = told(["short_chunk"])
    assert parted(reply)[1]["transfer-encoding"] == "chunked" and not reply.endswith(b"0\r\n\r\n") and end == "closed"


def test_an_error_inside_a_200() -> None:
    status, _, body = parted(told([Fault("error_200", status=503)])[0])
    assert status == 200 and "error" in json.loads(body)


def test_endless() -> None:
    reply, end = told([Fault("endless", size=100_000)])
    assert end == "much" and b"0\r\n\r\n" not in reply[-100:]


def test_redirect() -> None:
    status, headers, _ = parted(told([Fault("redirect", url="http://127.0.0.3:1/x")])[0])
    assert (status, headers["location"]) == (307, "http://127.0.0.3:1/x")


def test_extra() -> None:
    _, headers, body = parted(told([Fault("extra", data=b"tail")])[0])
    assert body[int(headers["content-length"]):] == b"tail"


@pytest.mark.parametrize("kind, says", [("close", "close"), ("close_silent", None)])
def test_closes(kind: str, says: str | None) -> None:
    reply, end = told([kind])
    _, headers, body = parted(reply)
    assert end == "closed" and headers.get("connection") == says and len(body) == int(headers["content-length"])


def test_raw() -> None:
    assert told([Fault("raw", data=b"HTTP/1.1 nonsense\r\n\r\n")]) == (b"HTTP/1.1 nonsense\r\n\r\n", "closed")


@pytest.mark.parametrize("kind, closes",
                         [("chunked", False), ("until_close", True), ("http10", True), ("early_hints", False)])
def test_framings(kind: str, closes: bool) -> None:
    reply, end = told([kind])
    assert b"hello" in reply and (end == "closed") == closes
    if kind == "early_hints":
        assert reply.startswith(b"HTTP/1.1 103 ") and b"HTTP/1.1 200 OK" in reply
    else:
        assert "content-length" not in parted(reply)[1]


def test_codings() -> None:
    for kind, undo in (("gzip", gzip.decompress), ("deflate", zlib.decompress)):
        _, headers, body = parted(told([kind])[0])
        assert headers["content-encoding"] == kind and b"hello" in undo(body)


def test_streams_are_cut_and_spoilt() -> None:
    stream = asked("a b c d e f " * 20, stream=True)
    whole, _ = told(None, stream)
    assert whole.endswith(b"0\r\n\r\n") and b"[DONE]" in whole
    cut, end = told(["cut_stream"], stream)
    assert end == "closed" and b"data: {" in cut and b"[DONE]" not in cut and not cut.endswith(b"0\r\n\r\n")
    spoilt, end = told(["stream_error"], stream)
    assert end == "silent" and b'"error"' in spoilt and b"[DONE]" not in spoilt and spoilt.endswith(b"0\r\n\r\n")


def test_without_a_stream_those_two_are_their_likes() -> None:
    assert told(["cut_stream"])[1] == "closed"
    assert "error" in json.loads(parted(told(["stream_error"])[0])[2])


def test_every_kind_is_a_plan() -> None:
    reply = Reply(body=b'{"a": 1}', model="m", prompt="p")
    for kind in (*KINDS, "418"):
        steps = list(itertools.islice(plan(reply, Fault(kind, data=b"x"), 0.5, WIRE), 50))
        assert steps and all(isinstance(step, Step) for step in steps)
        assert steps[0].wait == 0.5 or steps[1].wait == 0.5
        assert all(step.then == "" for step in steps[:-1])


# -- which fault ----------------------------------------------------------------------------------------------------

def request(number: int) -> Request:
    return Request("POST", "/", {}, number=number)


def test_a_list_is_one_fault_a_request() -> None:
    choose = chooser(["500", None, Fault("reset")])
    assert [choose(request(n)) for n in (1, 2, 3, 4)] == [Fault("500"), None, Fault("reset"), None]
    assert chooser(["500"], start=7)(request(8)) == Fault("500")


def test_a_callable_decides() -> None:
    choose = chooser(lambda number, request: "503" if number % 2 else None)
    assert [choose(request(n)) for n in (1, 2)] == [Fault("503"), None]


def test_shares_are_seeded() -> None:
    shares = {"500": 0.05, Fault("hang", seconds=1): 0.02, "reset": 0.01}
    first, again, other = (
        [chooser(shares, seed)(request(n)) for n in range(1, 5001)] for seed in (1, 1, 2))
    assert first == again != other
    counts = {kind: sum(fault is not None and fault.kind == kind for fault in first)
              for kind in ("500", "hang", "reset")}
    assert 200 < counts["500"] < 300 and 70 < counts["hang"] < 130 and 30 < counts["reset"] < 70


def test_draws() -> None:
    assert drawn({"500": 0.5, "reset": 0.25}, 0.6) == Fault("reset") and drawn({"500": 0.5}, 0.5) is None


@pytest.mark.parametrize("script", [["rest"], {"hangs": 0.1}])
def test_a_kind_that_is_misspelt(script: object) -> None:
    with pytest.raises(ValueError, match="no such fault"):
        chooser(script)  # type: ignore[arg-type]
