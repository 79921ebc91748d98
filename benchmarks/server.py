"""A chat-completions server that costs as little as Python allows, in a process of its own.

One epoll loop, prebuilt replies, no HTTP library: about 20 µs per request, a fraction of any client. It decides only
*when* a reply goes out and whether it goes out whole:

    --mode zero        at once
    --mode latency     --seconds after the request came
    --mode mixed       prompts with an even number at once, odd ones after --seconds
    --mode lockstep    all that wait are released at the same instant, every --seconds
    --mode gate        the first --gate requests are held until all of them are there; then at once
    --faults           on top of any mode: 5 % 500, 2 % 429, 1 % reset, 0.5 % each hang, truncated, malformed, by a seed
    --tls              with a certificate made at the start

The first line on stdout is {"port", "ca"}. Then each line on stdin is a command that is answered by one line of JSON:
`stats`, `log` (times of every arrival and every first good answer), `reset`. End of file on stdin ends the server.
"""
import argparse
import gc
import json
import math
import os
import resource
import select
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter, deque

import traffic

MODES = ("zero", "latency", "mixed", "lockstep", "gate")
NOW = 0.0
HELD = math.inf


class Book:
    """What the server counts."""

    def __init__(self) -> None:
        self.requests = self.answered = self.duplicates = self.connections = self.most_waiting = self.abandoned = 0
        self.faults: "Counter[str]" = Counter()
        self.releases: "Counter[float]" = Counter()
        self.attempts: "Counter[int]" = Counter()
        self.done, self.came = bytearray(1 << 16), bytearray(1 << 16)
        self.asked = self.again = 0
        self.arrivals, self.answers = array("d"), array("d")
        self.cpu, self.started, self.late = cpu(), time.monotonic(), 0.0

    def mark(self, number: int, now: float) -> None:
        """A good answer to this prompt is on the wire."""
        if number >= len(self.done):
            self.done.extend(bytes(number + 1))
        if not self.done[number]:
            self.done[number] = 1
            self.answered += 1
            self.answers.append(now)

    def seen(self, number: int) -> None:
        """A request for this prompt came: one that was answered before is a duplicate."""
        if number < len(self.done) and self.done[number]:
            self.duplicates += 1
        if number >= len(self.came):
            self.came.extend(bytes(number + 1))
        self.again += self.came[number]
        self.asked += not self.came[number]
        self.came[number] = 1

    def stats(self) -> "dict[str, object]":
        """All counters since the last reset."""
        return {"requests": self.requests, "answered": self.answered, "duplicates": self.duplicates,
                "asked": self.asked, "again": self.again,
                "connections": self.connections, "most_waiting": self.most_waiting, "abandoned": self.abandoned,
                "faults": dict(self.faults), "releases": list(self.releases.values()),
                "cpu": cpu() - self.cpu, "wall": time.monotonic() - self.started, "late": self.late}


class Peer:
    """One connection."""

    __slots__ = ("sock", "fd", "buffer", "shaking", "open")

    def __init__(self, sock: socket.socket, shaking: bool) -> None:
        self.sock, self.fd, self.buffer, self.shaking, self.open = sock, sock.fileno(), b"", shaking, True


class Server:
    """The loop."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.book = options, Book()
        self.replies = traffic.replies(options.reply_chars, not options.no_limit_headers)
        self.good = self.replies[None]
        self.peers: "dict[int, Peer]" = {}
        self.waiting: "deque[tuple[float, Peer, int, str | None]]" = deque()
        self.held: "list[tuple[Peer, int, str | None]]" = []
        self.epoch, self.gate, self.running = time.monotonic(), options.gate, True
        self.directory = tempfile.TemporaryDirectory(prefix="benchmark-")
        self.tls, self.ca = certificate(self.directory.name) if options.tls else (None, None)
        self.listener = socket.create_server(("127.0.0.1", options.port), backlog=4096)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.listener, select.EPOLLIN)
        try:
            self.epoll.register(0, select.EPOLLIN)
        except PermissionError:
            pass                                          # stdin is a plain file: a server without commands

    def serve(self) -> None:
        """Run until stdin ends."""
        print(json.dumps({"port": self.listener.getsockname()[1], "ca": self.ca}), flush=True)
        special = {self.listener.fileno(): self.accept, 0: self.command}
        while self.running:
            for fd, _ in self.wait():
                if fd in special:
                    special[fd]()
                elif fd in self.peers:
                    self.receive(self.peers[fd])
            if self.waiting:
                self.release()
        self.directory.cleanup()

    def wait(self) -> "list[tuple[int, int]]":
        """Events. epoll's own timeout is in milliseconds, select's is not."""
        if not self.waiting:
            return self.epoll.poll()
        select.select([self.epoll], [], [], max(0.0, self.waiting[0][0] - time.monotonic()))
        return self.epoll.poll(0)

    def command(self) -> None:
        """Answer one command of the process that started us."""
        word = os.read(0, 64).decode().strip()
        if not word:
            self.running = False
            return
        if word == "reset":
            self.book, self.epoch, self.gate = Book(), time.monotonic(), self.options.gate
        log = {"arrivals": self.book.arrivals.tolist(), "answers": self.book.answers.tolist()} if word == "log" else {}
        print(json.dumps({**self.book.stats(), **log}), flush=True)

    def accept(self) -> None:
        """Take every connection that waits."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            peer = Peer(sock, self.tls is not None)
            self.peers[peer.fd] = peer
            self.book.connections += 1
            self.epoll.register(peer.fd, select.EPOLLIN)

    def drop(self, peer: Peer, abort: bool = False) -> None:
        """Close a connection; `abort` makes it a reset."""
        if not peer.open:
            return
        peer.open = False
        del self.peers[peer.fd]
        self.epoll.unregister(peer.fd)
        if abort:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sock.close()

    def receive(self, peer: Peer) -> None:
        """Read what came and answer every whole request in it."""
        try:
            if peer.shaking:
                peer.sock.do_handshake()
                peer.shaking = False
            data = peer.sock.recv(65536)
            while self.tls and peer.sock.pending():
                data += peer.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            return self.drop(peer)
        if not data:
            return self.drop(peer)
        if peer.buffer:
            data = peer.buffer + data
        while data and peer.open:
            size = whole(data)
            if not size:
                break
            self.request(peer, data[:size])
            data = data[size:]
        peer.buffer = data

    def request(self, peer: Peer, data: bytes) -> None:
        """One request: count it and decide when it is answered and how."""
        book, now, fault = self.book, time.monotonic(), None
        found = traffic.NUMBER.search(data)
        number = int(found[1]) if found else -1
        if number >= 0:
            book.requests += 1
            book.seen(number)
            book.arrivals.append(now)
            if self.options.faults:
                book.attempts[number] += 1
                fault = traffic.fault_of(self.options.seed, number, book.attempts[number])
        due = self.due(number, now)
        if due is NOW:
            self.reply(peer, number, fault, now)
        elif due is HELD:
            self.hold(peer, number, fault)
        else:
            self.waiting.append((due, peer, number, fault))
            book.most_waiting = max(book.most_waiting, len(self.waiting))

    def due(self, number: int, now: float) -> float:
        """When the reply leaves. What waits in one mode leaves in the order in which it came."""
        mode, seconds = self.options.mode, self.options.seconds
        if mode == "zero" or number < 0 or mode == "mixed" and number % 2 == 0:
            return NOW
        if mode == "gate":
            return HELD if self.gate else NOW
        if mode == "lockstep":
            return self.epoch + math.ceil((now - self.epoch) / seconds) * seconds
        return now + seconds

    def hold(self, peer: Peer, number: int, fault: "str | None") -> None:
        """Keep a request behind the gate; the last one opens it."""
        self.held.append((peer, number, fault))
        self.book.most_waiting = max(self.book.most_waiting, len(self.held))
        if len(self.held) < self.gate:
            return
        held, self.held, self.gate, now = self.held, [], 0, time.monotonic()
        for entry in held:
            self.reply(*entry, now)

    def release(self) -> None:
        """Answer all that is due."""
        now, waiting, book = time.monotonic(), self.waiting, self.book
        book.late = max(book.late, now - waiting[0][0])
        while waiting and waiting[0][0] <= now:
            due, peer, number, fault = waiting.popleft()
            if self.options.mode == "lockstep":
                book.releases[due] += 1
            self.reply(peer, number, fault, now)

    def reply(self, peer: Peer, number: int, fault: "str | None", now: float) -> None:
        """Put the answer, or the fault, on the wire."""
        if not peer.open:
            self.book.abandoned += 1
            return
        if fault is not None:
            return self.misbehave(peer, fault)
        try:
            sent = peer.sock.send(self.good)
            if sent < len(self.good):
                peer.sock.setblocking(True)
                peer.sock.sendall(self.good[sent:])
                peer.sock.setblocking(False)
        except OSError:
            return self.drop(peer)
        if number >= 0:
            self.book.mark(number, now)

    def misbehave(self, peer: Peer, fault: str) -> None:
        """One of the scripted faults."""
        self.book.faults[fault] += 1
        try:
            if fault in self.replies:
                peer.sock.send(self.replies[fault])
        except OSError:
            return self.drop(peer)
        if fault in ("reset", "truncated"):
            self.drop(peer, abort=fault == "reset")


def whole(data: bytes) -> int:
    """The size of the first request in `data`, 0 while it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    at = data.find(b"ontent-", 0, end)
    while at >= 0 and data[at + 7:at + 14].lower() != b"length:":
        at = data.find(b"ontent-", at + 7, end)
    size = end + 4 + (int(data[at + 14:data.find(b"\r\n", at)]) if at >= 0 else 0)
    return size if len(data) >= size else 0


def certificate(directory: str) -> "tuple[ssl.SSLContext, str]":
    """A context with a fresh self-signed certificate (P-256, as large providers use), and the certificate's path."""
    key, cert = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context, cert


def cpu() -> float:
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=MODES, default="zero")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--gate", type=int, default=0)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-limit-headers", action="store_true", help="replies say nothing of rate limits")
    parser.add_argument("--reply-chars", type=int, default=traffic.REPLY_CHARS)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    try:
        Server(options).serve()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
