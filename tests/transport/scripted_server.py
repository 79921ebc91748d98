"""A server on loopback whose every connection runs a function of the test: it says what the test wants."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

CERTS = Path(__file__).parent / "certs"
CA, OTHER_CA = str(CERTS / "ca.pem"), str(CERTS / "other-ca.pem")


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int, closing: threading.Event) -> None:
        self.sock = sock
        self.number = number
        self.closing = closing
        self._buffer = b""

    def head(self) -> str | None:
        """The head of the next request; None when the client hung up."""
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65_536)
            if not data:
                return None
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def body(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self.sock.recv(65_536)
            if not data:
                break
            self._buffer += data
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return body

    def request(self) -> tuple[str, bytes] | None:
        """Head and body of the next request; None when the client hung up."""
        head = self.head()
        if head is None:
            return None
        sizes = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        return head, self.body(int(sizes[0]) if sizes else 0)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, body: bytes = b"{}", status: str = "200 OK", *fields: str) -> None:
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """Ends the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def until_closed(self) -> None:
        """Waits for the client to hang up, and takes whatever it says before that."""
        with suppress(OSError):
            while self.sock.recv(65_536):
                pass


Script = Callable[[Peer], None]


class Server:
    """Runs the script in a thread for every connection; ``with`` ends them all."""

    def __init__(self, script: Script, *, tls: bool = False) -> None:
        self.script = script
        self.closing = threading.Event()
        self.requests: list[str] = []
        self.failures: list[BaseException] = []
        self.connections = 0
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTS / "server.pem", CERTS / "server.key")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{self.port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Server:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for sock in self._open:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        if error is None and self.failures:
            raise self.failures[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(sock)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock, self.connections))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._context is None:
                    self.script(Peer(sock, number, self.closing))
                else:
                    with self._context.wrap_socket(sock, server_side=True) as secure:
                        self._open.append(secure)
                        self.script(Peer(secure, number, self.closing))
        except OSError:
            pass  # the client hung up, which many tests are about
        except BaseException as error:
            self.failures.append(error)


def echo(peer: Peer) -> None:
    """Answers every request with its own body."""
    while (request := peer.request()) is not None:
        peer.reply(request[1])
