"""TLS, proxies and the environment: by requests' rules, resolved once for each server."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.util import parse_url
from scripted_server import CA, CERTS, OTHER_CA, Peer, Server, echo

from deluge.transport import CERTIFICATE, Attempt, LeanTransport
from deluge.transport._routes import UNUSED, Origins
from deluge.wire import HttpCall, HttpReply

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def transport() -> Iterator[LeanTransport]:
    transport = LeanTransport()
    yield transport
    transport.close()


def send(transport: LeanTransport, url: str, body: bytes = b"{}", seconds: float = 20) -> HttpReply:
    call = HttpCall("POST", url + "/v1/chat", {"Authorization": "Bearer sk-secret"}, body)
    return transport.send(call, Attempt(time.monotonic() + seconds))


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_of_ones_own_authority(transport: LeanTransport, clean: pytest.MonkeyPatch, name: str) -> None:
    clean.setenv(name, CA)
    with Server(echo, tls=True) as server:
        first, second = send(transport, server.url, b"one"), send(transport, server.url, b"x" * 1_000_000)
        assert (first.body, first.reused, first.failure) == (b"one", False, None)
        assert second.reused and len(second.body) == 1_000_000
        assert server.connections == 1


@pytest.mark.parametrize("bundle", [OTHER_CA, None])
def test_a_certificate_that_nobody_vouches_for(
    transport: LeanTransport, clean: pytest.MonkeyPatch, bundle: str | None,
) -> None:
    if bundle:
        clean.setenv("REQUESTS_CA_BUNDLE", bundle)
    with Server(echo, tls=True) as server:
        reply = send(transport, server.url)
        assert reply.failure == "config" and reply.message.startswith(CERTIFICATE) and not reply.sent


@pytest.mark.parametrize("bundle", [str(CERTS / "server.key"), "/no/such/file"])
def test_a_bundle_that_cannot_be_read(transport: LeanTransport, clean: pytest.MonkeyPatch, bundle: str) -> None:
    clean.setenv("REQUESTS_CA_BUNDLE", bundle)
    with Server(echo, tls=True) as server:
        reply = send(transport, server.url)
        assert reply.failure == "config" and bundle in reply.message


def test_one_context_serves_every_connection(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("REQUESTS_CA_BUNDLE", CA)
    together = threading.Barrier(8)

    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            together.wait(10)
            peer.reply(request[1])

    with Server(script, tls=True) as server:
        workers = [threading.Thread(target=send, args=(transport, server.url)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(20)
        idle = transport.adapter.origins[0].idle
        assert len(idle) == 8 and len({id(connection.sock.context) for connection in idle}) == 1


def test_a_handshake_that_is_never_answered(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def script(peer: Peer) -> None:
        peer.sock.recv(65_536)
        begun.set()
        peer.until_closed()

    with Server(script) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        reply = send(transport, url, seconds=0.3)
        assert (reply.failure, reply.sent) == ("timeout", False)
        begun.clear()
        attempt, replies = Attempt(time.monotonic() + 60), []
        call = HttpCall("POST", url, {})
        worker = threading.Thread(target=lambda: replies.append(transport.send(call, attempt)))
        worker.start()
        assert begun.wait(10)
        attempt.abort("timeout")
        worker.join(10)
        assert replies[0].failure == "timeout" and not replies[0].sent and attempt._sock is None


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbegin"])
def test_a_tls_reply_that_never_comes(transport: LeanTransport, clean: pytest.MonkeyPatch, said: bytes) -> None:
    clean.setenv("REQUESTS_CA_BUNDLE", CA)
    asked = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(said)
        asked.set()
        peer.until_closed()

    with Server(script, tls=True) as server:
        assert send(transport, server.url, seconds=0.5).failure == "timeout"
        asked.clear()
        attempt, replies = Attempt(time.monotonic() + 60), []
        call = HttpCall("POST", server.url, {})
        worker = threading.Thread(target=lambda: replies.append(transport.send(call, attempt)))
        worker.start()
        assert asked.wait(10)
        attempt.abort()
        worker.join(10)
        assert replies[0].failure == "cancelled" and replies[0].sent and transport.idle == 0


def test_tls_that_ends_without_goodbye_is_cut(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("REQUESTS_CA_BUNDLE", CA)

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    with Server(script, tls=True) as server:
        reply = send(transport, server.url)
        assert reply.failure == "connection" and reply.replied and reply.body == b""


def tunnel(target: int, heads: list[str]) -> object:
    """A proxy that connects to the one port, whatever it is asked for."""
    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def script(peer: Peer) -> None:
        heads.append(peer.head() or "")
        if "Basic" not in heads[-1]:
            peer.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", target)) as upstream:
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(upstream, peer.sock))
            back.start()
            pump(peer.sock, upstream)
            back.join()

    return script


CREDENTIALS = base64.b64encode(b"user:p@ss").decode()


def test_a_tunnel_through_a_proxy(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    heads: list[str] = []
    clean.setenv("REQUESTS_CA_BUNDLE", CA)
    with Server(echo, tls=True) as server, Server(tunnel(server.port, heads)) as proxy:  # type: ignore[arg-type]
        clean.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:p%40ss@"))
        for _ in range(2):
            assert send(transport, server.url, b"through").body == b"through"
        assert len(heads) == 1 and heads[0].startswith(f"CONNECT localhost:{server.port} HTTP/1")
        assert f"Proxy-Authorization: Basic {CREDENTIALS}" in heads[0] and "sk-secret" not in heads[0]
        transport.close()


def test_a_certificate_for_another_name(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("REQUESTS_CA_BUNDLE", CA)
    with Server(echo, tls=True) as server, Server(tunnel(server.port, [])) as proxy:  # type: ignore[arg-type]
        clean.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:p%40ss@"))
        reply = send(transport, f"https://example.invalid:{server.port}")
        assert reply.failure == "config" and reply.message.startswith(CERTIFICATE) and not reply.sent


def test_a_proxy_that_wants_other_credentials(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    with Server(tunnel(9, [])) as proxy:  # type: ignore[arg-type]
        clean.setenv("HTTPS_PROXY", proxy.url)
        reply = send(transport, "https://example.invalid")
        assert reply.failure == "config" and "407" in reply.message and not reply.sent


def test_a_proxy_of_plain_http_gets_the_whole_url(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    heads: list[str] = []

    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            heads.append(request[0])
            peer.reply(request[1])

    with Server(script) as proxy:
        clean.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:p%40ss@"))
        for _ in range(2):
            assert send(transport, "http://example.invalid:8080").ok
        assert proxy.connections == 1
        lines = heads[0].split("\r\n")
        assert lines[0] == "POST http://example.invalid:8080/v1/chat HTTP/1.1"
        assert "Host: example.invalid:8080" in lines and f"Proxy-Authorization: Basic {CREDENTIALS}" in lines
        assert "p@ss" not in repr(transport.adapter.origins[0].route) and CREDENTIALS not in repr(
            transport.adapter.origins[0].route)


def test_a_proxy_that_speaks_tls_itself(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    heads: list[str] = []

    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            peer.reply(request[0].encode())

    clean.setenv("REQUESTS_CA_BUNDLE", CA)
    with Server(script, tls=True) as proxy:
        clean.setenv("HTTP_PROXY", proxy.url)
        assert send(transport, "http://example.invalid").body.startswith(b"POST http://example.invalid/v1/chat HTTP")
    with Server(echo, tls=True) as server:
        through = tunnel(server.port, heads)
        proxy = Server(through, tls=True)  # type: ignore[arg-type]
        clean.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:p%40ss@"))
        with proxy:
            for _ in range(2):
                assert send(transport, server.url, b"x" * 100_000).body == b"x" * 100_000
            assert len(heads) == 1
            assert send(transport, server.url, seconds=-1).failure == "timeout"
            transport.close()


def test_no_proxy_is_honoured(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    with Server(echo) as server, Server(Peer.until_closed) as proxy:
        clean.setenv("HTTP_PROXY", proxy.url)
        clean.setenv("NO_PROXY", "localhost,127.0.0.1")
        assert send(transport, server.url).ok and proxy.connections == 0


def test_a_proxy_that_is_not_spoken(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("HTTPS_PROXY", "socks5://user:sk-secret@127.0.0.1:9")
    reply = send(transport, "https://example.invalid")
    assert reply.failure == "config" and "socks5" in reply.message and "secret" not in reply.message


def test_netrc_never_replaces_the_key(transport: LeanTransport, clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password wrong\n")
    netrc.chmod(0o600)
    clean.setenv("NETRC", str(netrc))
    heads: list[str] = []

    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            heads.append(request[0])
            peer.reply()

    with Server(script) as server:
        assert send(transport, server.url).ok
        assert "Authorization: Bearer sk-secret" in heads[0] and "Basic" not in heads[0]
        url = server.url.replace("//", "//user:p%40ss@")
        assert transport.send(HttpCall("GET", url, {}), Attempt()).ok
        assert f"authorization: basic {CREDENTIALS.lower()}" in heads[1].lower() and "user:" not in heads[1]


def test_the_environment_is_asked_once(transport: LeanTransport, clean: pytest.MonkeyPatch) -> None:
    with Server(echo) as server:
        assert send(transport, server.url).ok
        clean.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        transport.close()
        assert send(transport, server.url).ok


def test_nothing_heavy_is_imported_before_the_first_call() -> None:
    import subprocess
    import sys

    code = ("import sys, deluge.transport as t; t.LeanTransport(), t.Attempt(1.0); "
            "assert not {'requests', 'urllib3', 'ssl'} & set(sys.modules), 'heavy'; t.LeanAdapter")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_servers_that_nobody_asks_any_more_are_forgotten_and_keep_no_connection() -> None:
    origins = Origins()
    first = origins.by_environment(parse_url("http://first.invalid/"))
    for number in range(400):
        origins.by_environment(parse_url(f"http://host-{number}.invalid/"))
    assert len(origins.all()) == 401 and not first.gone, "all of them are fresh"
    busy = origins.by_environment(parse_url("http://host-7.invalid/"))
    for origin in origins.all():
        if origin is not busy:
            origin.used_at -= UNUSED + 1.0
    late = origins.by_environment(parse_url("http://late.invalid/"))
    assert origins.all() == [busy, late] and first.gone and not busy.gone
    assert origins.by_environment(parse_url("http://first.invalid/")) is not first


def test_a_server_that_was_forgotten_gets_its_connections_anew(
    transport: LeanTransport, clean: pytest.MonkeyPatch,
) -> None:
    headers = {"Authorization": "Bearer sk-secret"}

    def ask(server: Server) -> HttpReply:
        return transport.send(HttpCall("POST", server.url, headers, b"{}"), Attempt(time.monotonic() + 20))

    with Server(echo) as server:
        assert ask(server).body == b"{}" and ask(server).reused and transport.idle == 1
        origins, (origin,) = transport.adapter._origins, transport.adapter.origins
        taken = origin.idle.pop()  # as if a request were under way
        origin.used_at -= UNUSED + 1.0
        origins._drop_unused(time.monotonic())
        transport.adapter._exchanger.release(origin, taken, owned(taken), keep=True)
        assert origin.gone and not origin.idle, "closed when it comes back"
        assert not ask(server).reused and ask(server).reused and transport.adapter.origins != [origin]


def owned(connection: Any) -> Attempt:
    """An attempt whose connection this is."""
    attempt = Attempt(time.monotonic() + 20)
    assert attempt.own(connection.raw)
    return attempt
