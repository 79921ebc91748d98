"""Everything that can go wrong with a reply, as plans of bytes and waits. Pure.

A fault is asked for by a script (``RehearsalServer(script=...)``), by a profile, or by the prompt itself:
``[[fault 503]]`` spoils every try of that prompt, ``[[fault reset x2]]`` the first two.

| kind | what the client meets |
|---|---|
| ``"500"``, ``"429"`` … any status | the protocol's error; ``retry_after`` adds the header |
| ``drip_headers``, ``drip_body`` | ``size`` bytes every ``seconds`` |
| ``truncated`` | half of the body, then the end |
| ``reset``, ``reset_headers``, ``reset_body`` | a TCP reset before, inside the headers, inside the body |
| ``empty`` | status 200 and no body |
| ``malformed`` | JSON that is cut, rightly framed |
| ``html`` | an HTML error page (status 502, or ``status``) |
| ``hang``, ``hang_headers``, ``hang_body`` | silence, at once or after half of either; ``seconds`` ends it |
| ``bad_chunk`` | a chunked body with a length that is no number |
| ``short_chunk`` | a chunked body without its end |
| ``error_200`` | status 200 with an error inside |
| ``endless`` | a body without end, in chunks of ``size`` |
| ``redirect`` | 307 to ``url`` |
| ``extra`` | the reply, and bytes behind it that nobody asked for |
| ``close``, ``close_silent`` | the reply, and the end of the connection: announced, or not |
| ``cut_stream``, ``stream_error`` | half of a stream, then the end; or then an error event |
| ``raw`` | the bytes in ``data``, then the end |
| ``chunked``, ``until_close``, ``http10``, ``gzip``, ``deflate``, ``early_hints`` | the right reply, framed otherwise |
"""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from deluge.testing.exchange import Plan, Reply, Request, Step, Wire, chunk, head, share, short


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to spoil a reply: a ``kind`` of the table above, and its particulars.

    ``seconds``: the pause between drips, how long a hang lasts (0 = for ever), or how long a silent close waits.
    """

    kind: str
    status: int = 0
    retry_after: float | str | None = None
    seconds: float = 0.0
    size: int = 0
    url: str = ""
    data: bytes = b""
    message: str = ""
    code: str | None = None

    def __post_init__(self) -> None:
        if not self.kind.isdigit() and self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind!r}; there are: a status, {', '.join(KINDS)}")


Script = (
    Sequence["Fault | str | None"] | Callable[[int, Request], "Fault | str | None"]
    | Mapping[Any, float] | None
)
Choice = Callable[[Request], "Fault | None"]

HARMLESS = frozenset({
    "drip_headers", "drip_body", "extra", "close", "close_silent", "chunked", "until_close", "http10", "gzip",
    "deflate", "early_hints",
})
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>\n"
_MARK = re.compile(r"\[\[fault ([a-z_0-9]+)(?: x(\d+))?\]\]")
_LATENCY = re.compile(r"\[\[latency (\d+(?:\.\d+)?)\]\]")


# -- which one ------------------------------------------------------------------------------------------------------

def chooser(script: Script, seed: int = 0, start: int = 0) -> Choice:
    """The script as a function of the request; ``start`` is the number of requests before its first."""
    if script is None:
        return lambda request: None
    if callable(script):
        call = script
        return lambda request: _fault(call(request.number, request))
    if isinstance(script, Mapping):
        shares: dict[Fault | str, float] = dict(script)
        drawn(shares, 1.0)  # a kind that is misspelt is said now
        return lambda request: drawn(shares, share(seed, request.number))
    rows = [_fault(row) for row in script]
    return lambda request: rows[request.number - start - 1] if 0 < request.number - start <= len(rows) else None


def drawn(shares: Mapping[Fault | str, float], draw: float) -> Fault | None:
    """The fault on which a number in [0, 1) falls."""
    for kind, part in shares.items():
        if draw < part:
            return _fault(kind)
        draw -= part
        _fault(kind)
    return None


def asked_for(prompt: str, spoilt: MutableMapping[str, int]) -> Fault | None:
    """The fault that the prompt itself asks for; ``spoilt`` counts how often it got one."""
    mark = _MARK.search(prompt) if "[[fault" in prompt else None
    if mark is None:
        return None
    kind, times = mark.groups()
    if times is not None:
        before = spoilt.get(short(prompt), 0)
        if before >= int(times):
            return None
        spoilt[short(prompt)] = before + 1
    return Fault(kind)


def latency_asked_for(prompt: str) -> float | None:
    """The seconds that the prompt itself asks for."""
    mark = _LATENCY.search(prompt) if "[[latency" in prompt else None
    return float(mark.group(1)) if mark else None


def harmless(kind: str) -> bool:
    """Whether the client gets the right answer all the same."""
    return kind in HARMLESS


def status(reply: Reply, fault: Fault | None) -> int:
    """The status that the client will see; 0 when it sees none."""
    if fault is None or fault.kind in HARMLESS:
        return reply.status
    if fault.kind.isdigit():
        return int(fault.kind)
    if fault.kind in ("reset", "reset_headers", "hang", "hang_headers", "raw"):
        return 0
    return fault.status or {"html": 502, "redirect": 307}.get(fault.kind, 200)


def _fault(row: Fault | str | None) -> Fault | None:
    return Fault(row) if isinstance(row, str) else row


# -- what happens ---------------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class _Scene:
    """What a plan is made of."""

    reply: Reply
    fault: Fault
    latency: float
    wire: Wire

    @property
    def body(self) -> bytes:
        """The whole body, streamed or not."""
        return b"".join(self.reply.chunks) if self.reply.chunks is not None else self.reply.body

    def head(self, status: int = 0, *more: tuple[str, str], length: int | None = None, kind: str = "") -> bytes:
        """The reply's header block with this length, or without one."""
        size = () if length is None else (("content-length", str(length)),)
        return head(status or self.reply.status,
                    (("content-type", kind or self.reply.content_type), *self.reply.headers, *size, *more))


def plan(reply: Reply, fault: Fault | None, latency: float, wire: Wire) -> Plan:
    """The steps that send this reply, after this latency, spoilt by this fault."""
    if fault is None:
        return _whole(reply, latency)
    scene = _Scene(reply, fault, latency, wire)
    return _status(scene) if fault.kind.isdigit() else KINDS[fault.kind](scene)


def _whole(reply: Reply, latency: float) -> Plan:
    if reply.chunks is not None:
        return _stream(reply, reply.chunks, latency)
    headers = (("content-type", reply.content_type), ("content-length", str(len(reply.body))), *reply.headers)
    return iter((Step(head(reply.status, headers) + reply.body, latency),))


def _stream(reply: Reply, chunks: Sequence[bytes], latency: float, end: Sequence[Step] | None = None) -> Plan:
    """Headers and first chunk after a third of the latency, the others spread over the rest."""
    block = head(reply.status, (("content-type", reply.content_type), ("transfer-encoding", "chunked"), *reply.headers))
    last = (Step(b"0\r\n\r\n"),) if end is None else end
    if latency <= 0:
        yield Step(block + b"".join(map(chunk, chunks)) + (last[0].data if end is None else b""))
        yield from () if end is None else last
        return
    gap = latency * 2 / 3 / max(1, len(chunks))
    yield Step(block, latency / 3)
    for data in chunks:
        yield Step(chunk(data), gap)
    yield from last


def _once(*steps: Step) -> Plan:
    return iter(steps)


def _status(scene: _Scene) -> Plan:
    fault, code = scene.fault, int(scene.fault.kind)
    body = fault.data or scene.wire.error(code, fault.message or f"Rehearsed error {code}.", code=fault.code)
    after = () if fault.retry_after is None else (("retry-after", f"{fault.retry_after}"),)
    return _once(Step(scene.head(code, *after, length=len(body), kind="application/json") + body, scene.latency))


def _drip_headers(scene: _Scene) -> Plan:
    block = scene.head(length=len(scene.body))
    yield Step(wait=scene.latency)
    yield from _drip(block, scene.fault)
    yield Step(scene.body)


def _drip_body(scene: _Scene) -> Plan:
    yield Step(scene.head(length=len(scene.body)), scene.latency)
    yield from _drip(scene.body, scene.fault)


def _drip(data: bytes, fault: Fault) -> Plan:
    size = fault.size or 1
    for at in range(0, len(data), size):
        yield Step(data[at:at + size], fault.seconds or 0.05)


def _half(data: bytes) -> bytes:
    return data[:len(data) // 2]


def _truncated(scene: _Scene) -> Plan:
    return _once(Step(scene.head(length=len(scene.body)) + _half(scene.body), scene.latency, "close"))


def _reset(scene: _Scene) -> Plan:
    return _once(Step(b"", scene.latency, "reset"))


def _reset_headers(scene: _Scene) -> Plan:
    return _once(Step(_half(scene.head(length=len(scene.body))), scene.latency), Step(wait=0.02, then="reset"))


def _reset_body(scene: _Scene) -> Plan:
    return _once(Step(scene.head(length=len(scene.body)) + _half(scene.body), scene.latency),
                 Step(wait=0.02, then="reset"))


def _empty(scene: _Scene) -> Plan:
    return _once(Step(scene.head(200, length=0), scene.latency))


def _malformed(scene: _Scene) -> Plan:
    body = _half(scene.body)
    return _once(Step(scene.head(200, length=len(body)) + body, scene.latency))


def _html(scene: _Scene) -> Plan:
    block = scene.head(scene.fault.status or 502, length=len(HTML), kind="text/html")
    return _once(Step(block + HTML, scene.latency))


def _hanging(scene: _Scene, data: bytes) -> Plan:
    if scene.fault.seconds:
        return _once(Step(data, scene.latency), Step(wait=scene.fault.seconds, then="close"))
    return _once(Step(data, scene.latency, "hang"))


def _hang(scene: _Scene) -> Plan:
    return _hanging(scene, b"")


def _hang_headers(scene: _Scene) -> Plan:
    return _hanging(scene, _half(scene.head(length=len(scene.body))))


def _hang_body(scene: _Scene) -> Plan:
    return _hanging(scene, scene.head(length=len(scene.body)) + _half(scene.body))


def _chunked_head(scene: _Scene) -> bytes:
    return scene.head(0, ("transfer-encoding", "chunked"))


def _bad_chunk(scene: _Scene) -> Plan:
    return _once(Step(_chunked_head(scene) + b"zz\r\n" + scene.body + b"\r\n0\r\n\r\n", scene.latency, "close"))


def _short_chunk(scene: _Scene) -> Plan:
    return _once(Step(_chunked_head(scene) + chunk(scene.body), scene.latency, "close"))


def _error_200(scene: _Scene) -> Plan:
    body = scene.wire.error(scene.fault.status or 500, scene.fault.message or "Rehearsed error inside a 200.",
                            code=scene.fault.code)
    return _once(Step(scene.head(200, length=len(body), kind="application/json") + body, scene.latency))


def _endless(scene: _Scene) -> Plan:
    yield Step(_chunked_head(scene), scene.latency)
    piece = chunk(b" " * (scene.fault.size or 65536))
    yield from itertools.repeat(Step(piece, scene.fault.seconds or 0.001))


def _redirect(scene: _Scene) -> Plan:
    block = scene.head(scene.fault.status or 307, ("location", scene.fault.url or "http://127.0.0.2:9/v1/elsewhere"),
                       length=0)
    return _once(Step(block, scene.latency))


def _extra(scene: _Scene) -> Plan:
    tail = scene.fault.data or b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    return _once(Step(scene.head(length=len(scene.body)) + scene.body + tail, scene.latency))


def _close(scene: _Scene) -> Plan:
    block = scene.head(0, ("connection", "close"), length=len(scene.body))
    return _once(Step(block + scene.body, scene.latency, "close"))


def _close_silent(scene: _Scene) -> Plan:
    block = scene.head(length=len(scene.body)) + scene.body
    return _once(Step(block, scene.latency), Step(wait=scene.fault.seconds, then="close"))


def _middle(scene: _Scene) -> Sequence[bytes]:
    chunks = scene.reply.chunks or ()
    return chunks[:len(chunks) // 2]


def _cut_stream(scene: _Scene) -> Plan:
    if scene.reply.chunks is None:
        return _truncated(scene)
    return _stream(scene.reply, _middle(scene), scene.latency, (Step(then="close"),))


def _stream_error(scene: _Scene) -> Plan:
    if scene.reply.chunks is None:
        return _error_200(scene)
    return _stream(scene.reply, [*_middle(scene), scene.reply.mid_error], scene.latency)


def _raw(scene: _Scene) -> Plan:
    return _once(Step(scene.fault.data, scene.latency, "close"))


def _chunked(scene: _Scene) -> Plan:
    pieces = (scene.body[at:at + 50] for at in range(0, len(scene.body), 50))
    return _once(Step(_chunked_head(scene) + b"".join(map(chunk, pieces)) + b"0\r\n\r\n", scene.latency))


def _until_close(scene: _Scene) -> Plan:
    return _once(Step(scene.head(0, ("connection", "close")) + scene.body, scene.latency, "close"))


def _http10(scene: _Scene) -> Plan:
    return _once(Step(scene.head().replace(b"HTTP/1.1", b"HTTP/1.0", 1) + scene.body, scene.latency, "close"))


def _gzip(scene: _Scene) -> Plan:
    body = gzip.compress(scene.body, mtime=0)
    return _once(Step(scene.head(0, ("content-encoding", "gzip"), length=len(body)) + body, scene.latency))


def _deflate(scene: _Scene) -> Plan:
    body = zlib.compress(scene.body)
    return _once(Step(scene.head(0, ("content-encoding", "deflate"), length=len(body)) + body, scene.latency))


def _early_hints(scene: _Scene) -> Plan:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n"
    return itertools.chain(_once(Step(hints)), _whole(scene.reply, scene.latency))


def _table(plans: Iterable[Callable[[_Scene], Plan]]) -> dict[str, Callable[[_Scene], Plan]]:
    return {plan.__name__.lstrip("_"): plan for plan in plans}


KINDS = _table((
    _drip_headers, _drip_body, _truncated, _reset, _reset_headers, _reset_body, _empty, _malformed, _html, _hang,
    _hang_headers, _hang_body, _bad_chunk, _short_chunk, _error_200, _endless, _redirect, _extra, _close, _close_silent,
    _cut_stream, _stream_error, _raw, _chunked, _until_close, _http10, _gzip, _deflate, _early_hints,
))
