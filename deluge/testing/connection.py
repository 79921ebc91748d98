"""One connection of the rehearsal server: bytes in, requests out; plans in, bytes out. It never blocks."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from typing import Protocol

from deluge.testing.exchange import Plan, Request, Step, head

MAX_HEAD = 256 * 1024
READ = 256 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Loop(Protocol):
    """What a connection needs of the loop that runs it."""

    def arrived(self, connection: Connection, request: Request) -> None:
        """A whole request is there: it will be answered by ``connection.play``."""

    def wait(self, connection: Connection, seconds: float) -> None:
        """Calls ``connection.wake`` after so many seconds."""

    def watch(self, connection: Connection, writing: bool) -> None:
        """Whether the connection wants to know when its socket takes bytes again."""

    def gone(self, connection: Connection) -> None:
        """The connection is about to be closed."""


class Connection:
    """A client's socket and what is to be done with it. All methods run on the loop's thread."""

    __slots__ = ("sock", "id", "loop", "limit", "closed", "unsent", "_in", "_out", "_plan", "_step", "_done",
                 "_shaking", "_writing", "_ahead", "_goaway", "_continued")

    def __init__(self, sock: socket.socket, number: int, loop: Loop, limit: int) -> None:
        self.sock, self.id, self.loop, self.limit = sock, number, loop, limit
        self._in = bytearray()
        self._out = bytearray()
        self._plan: Plan | None = None
        self._step: Step | None = None
        self._done: Callable[[], None] | None = None
        self._shaking = isinstance(sock, ssl.SSLSocket)
        self._writing = self._goaway = self._continued = False
        self._ahead: Step | None = None
        self.closed = self.unsent = False

    # -- reading ------------------------------------------------------------------------------------------------

    def ready(self, readable: bool, writable: bool) -> None:
        """The socket can be read or written."""
        if self._shaking and not self._shake():
            return
        if writable and self._writing:
            self._flush()
        if readable and not self.closed:
            self._read()
        self._pump()

    def _shake(self) -> bool:
        try:
            self.sock.do_handshake()  # type: ignore[attr-defined]
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self._write_later(True)
            return False
        except OSError:
            self.close()
            return False
        self._shaking = False
        return True

    def _read(self) -> None:
        while not self.closed:
            try:
                data = self.sock.recv(READ)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError:
                data = b""
            if not data:
                return self.close()
            self._in += data
            if len(self._in) > self.limit + MAX_HEAD + READ:  # it keeps sending while it is being answered
                return self.close()
            if not self._shaking and not isinstance(self.sock, ssl.SSLSocket):
                break

    def _pump(self) -> None:
        """Takes requests from the buffer, one after the other is answered (a client may pipeline them)."""
        while self._plan is None and self._in and not self.closed:
            try:
                request = self._parse()
            except _Refused as refusal:
                del self._in[:]
                return self.play(iter((Step(refusal.reply, then="close"),)), _nothing)
            if request is None:
                return
            self.loop.arrived(self, request)

    def _parse(self) -> Request | None:
        """The next whole request, taken from the buffer; None while part of it is missing."""
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            if len(self._in) > MAX_HEAD:
                raise _Refused(431, "Request Header Fields Too Large")
            return None
        line, headers = _head(bytes(self._in[:end]))
        body, used = self._body(headers, end + 4)
        if body is None:
            if headers.get("expect", "").lower() == "100-continue" and not self._continued:
                self._continued = True
                self._send(_CONTINUE)
            return None
        del self._in[:used]
        self._continued = False
        method, target, version = line
        tokens = headers.get("connection", "").lower()
        self._goaway = "close" in tokens or (version == "HTTP/1.0" and "keep-alive" not in tokens)
        return Request(method, target, headers, body, connection=self.id)

    def _body(self, headers: Mapping[str, str], start: int) -> tuple[bytes | None, int]:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return _chunked(self._in, start, self.limit)
        length = headers.get("content-length", "0").strip()
        if not length.isdigit():
            raise _Refused(400, "Bad Request")
        if int(length) > self.limit:
            raise _Refused(413, "Content Too Large")
        end = start + int(length)
        return (bytes(self._in[start:end]), end) if len(self._in) >= end else (None, 0)

    # -- answering ----------------------------------------------------------------------------------------------

    def play(self, plan: Plan, done: Callable[[], None]) -> None:
        """Goes through the plan's steps. ``done`` is called right before the last one, so that whoever has read the
        reply finds it counted; ``unsent`` is True when its bytes got lost after all.
        """
        self._plan, self._done = plan, done
        self._ahead = next(plan, None)
        self._advance()

    def wake(self) -> None:
        """The wait of the current step is over."""
        step, self._step = self._step, None
        if step is not None:
            self._act(step)
            self._advance()
        self._pump()

    def _advance(self) -> None:
        """Takes steps until one has to wait, for time or for the network."""
        while self._plan is not None and self._step is None and not self.closed and not self._out:
            step = self._ahead
            if step is None:
                return self._finish()
            self._ahead = next(self._plan, None)
            if step.wait > 0:
                self._step = step
                return self.loop.wait(self, step.wait)
            self._act(step)

    def _act(self, step: Step) -> None:
        if step.then == "hang":
            self._step = step  # nothing follows: only the client ends this
        elif self._ahead is None and self._done is not None:
            self._done()
            self._done = None
        if step.data:
            self._send(step.data)
        if step.then == "reset":
            self.reset()
        elif step.then == "close":
            self._goaway = True

    def _finish(self) -> None:
        self._plan = None
        if self._goaway:
            self.close()

    def _send(self, data: bytes) -> None:
        if self._out:
            self._out += data
            return
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError:
            self.unsent = True
            return self.close()
        if sent < len(data):
            self._out += memoryview(data)[sent:]
            self._write_later(True)

    def _flush(self) -> None:
        while self._out:
            try:
                sent = self.sock.send(self._out[:READ])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                return self.close()
            del self._out[:sent]
        self._write_later(False)
        self._advance()

    def _write_later(self, later: bool) -> None:
        if later != self._writing and not self.closed:
            self._writing = later
            self.loop.watch(self, later)

    # -- the end ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends it; a request that was being answered counts as aborted."""
        if not self.closed:
            self.closed = True
            self.unsent = self.unsent or bool(self._out)
            self.loop.gone(self)
            self._plan = self._done = self._step = None
            self.sock.close()

    def reset(self) -> None:
        """Ends it with a TCP reset."""
        if not self.closed:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()


class _Refused(Exception):
    """A request that no protocol gets to see."""

    def __init__(self, status: int, reason: str) -> None:
        self.reply = head(status, (("content-length", "0"), ("connection", "close")), reason)


def _nothing() -> None:
    """A reply that nobody counts."""


def _head(block: bytes) -> tuple[tuple[str, str, str], dict[str, str]]:
    first, *lines = block.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        raise _Refused(400, "Bad Request")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.lower()
        value = value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return (words[0], words[1], words[2]), headers


def _chunked(data: bytearray, at: int, limit: int) -> tuple[bytes | None, int]:
    """The body of a chunked request and where it ends in the buffer; None while part of it is missing."""
    body = bytearray()
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None, 0
        try:
            size = int(bytes(data[at:end]).split(b";")[0], 16)
        except ValueError:
            raise _Refused(400, "Bad Request") from None
        if len(body) + size > limit:
            raise _Refused(413, "Content Too Large")
        at = end + 2
        if len(data) < at + size + 2:
            return None, 0
        if size == 0:
            finish = data.find(b"\r\n", at) if data[at:at + 2] == b"\r\n" else data.find(b"\r\n\r\n", at) + 2
            return (bytes(body), finish + 2) if finish >= at else (None, 0)
        body += data[at:at + size]
        at += size + 2
