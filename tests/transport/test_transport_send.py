"""Sending over real sockets: reuse, broken connections, deadlines, aborts."""

from __future__ import annotations

import errno
import gzip
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from scripted_server import Peer, Server, echo

from deluge.transport import TOO_MANY_FILES, Attempt, LeanTransport
from deluge.wire import HttpCall, HttpReply

KEY = "Bearer sk-very-secret"


@pytest.fixture
def transport() -> Iterator[LeanTransport]:
    transport = LeanTransport()
    yield transport
    transport.close()
    assert not transport._live


def post(url: str, body: bytes = b'{"n":1}', **headers: str) -> HttpCall:
    return HttpCall("POST", f"{url}/v1/chat", {"Authorization": KEY, **headers}, body)


def send(transport: LeanTransport, url: str, body: bytes = b'{"n":1}', seconds: float = 20) -> HttpReply:
    return transport.send(post(url, body), Attempt(time.monotonic() + seconds))


def test_a_connection_is_used_again(transport: LeanTransport) -> None:
    heads = []

    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            heads.append(request[0])
            peer.reply(request[1])

    with Server(script) as server:
        first, second = send(transport, server.url, b"one"), send(transport, server.url, b"two")
        assert (first.status, first.body, first.reused, first.failure) == (200, b"one", False, None)
        assert (second.status, second.body, second.reused) == (200, b"two", True)
        assert first.ok and first.sent and first.replied
        assert 0 < first.sent_at <= first.first_byte_at <= first.finished_at
        assert server.connections == 1 and transport.idle == 1
        assert repr(transport) == "<LeanTransport 0 in flight | 1 idle>"
        lines = heads[0].split("\r\n")
        assert lines[0] == "POST /v1/chat HTTP/1.1" and f"Host: 127.0.0.1:{server.port}" in lines
        assert f"Authorization: {KEY}" in lines and lines[-1] == "Content-Length: 3"
        transport.close()
        assert transport.idle == 0 and send(transport, server.url).reused is False


def test_methods_without_a_body(transport: LeanTransport) -> None:
    def script(peer: Peer) -> None:
        while (head := peer.head()) is not None:
            if head.startswith("HEAD"):
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            else:
                peer.reply(head.encode())

    with Server(script) as server:
        get = transport.send(HttpCall("GET", server.url, {"user-agent": "me", "content-length": "7"}), Attempt())
        assert b"GET / HTTP/1.1" in get.body and b"ontent-" not in get.body and b"User-Agent" not in get.body
        head = transport.send(HttpCall("HEAD", server.url + "/a?b=c#d", {}), Attempt())
        assert head.status == 200 and head.body == b"" and head.headers["content-length"] == "10"
        empty = transport.send(HttpCall("POST", server.url + "/a?b=c#d", {}), Attempt())
        assert b"POST /a?b=c HTTP" in empty.body and b"Content-Length: 0" in empty.body and empty.reused


def test_a_connection_that_the_server_closed_meanwhile_is_dropped(transport: LeanTransport) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.reply(b"%d" % peer.number)
        if peer.number == 1:
            peer.sock.shutdown(socket.SHUT_RDWR)
            peer.sock.close()
            gone.set()
        peer.until_closed()

    with Server(script) as server:
        assert send(transport, server.url).body == b"1" and gone.wait(10)
        again = send(transport, server.url)
        assert (again.body, again.reused) == (b"2", False)


def test_a_stray_byte_on_an_idle_connection_is_never_an_answer(transport: LeanTransport) -> None:
    said = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.reply(b"good")
        peer.reply(b"stray")
        said.set()
        peer.until_closed()

    with Server(script) as server:
        assert send(transport, server.url).body == b"good" and said.wait(10)
        assert send(transport, server.url).body == b"good"
        assert server.connections == 2


def test_idle_connections_are_swept_and_old_ones_not_used(transport: LeanTransport) -> None:
    with Server(echo) as server:
        send(transport, server.url)
        now = time.monotonic()
        assert transport.sweep(now + 49) == 0 and transport.sweep(now + 51) == 1 and transport.idle == 0
        send(transport, server.url)
        transport.adapter.origins[0].idle[0].idle_at -= 51
        assert send(transport, server.url).reused is False


def test_a_reset_says_whether_the_connection_was_used_and_a_reply_begun(transport: LeanTransport) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        if peer.number == 2:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
            peer.reset()
            return
        peer.reply()
        peer.request()
        peer.reset()

    with Server(script) as server:
        assert send(transport, server.url).ok
        before = send(transport, server.url)
        assert (before.failure, before.sent, before.reused, before.replied) == ("connection", True, True, False)
        after = send(transport, server.url)
        assert (after.failure, after.sent, after.reused, after.replied) == ("connection", True, False, True)
        assert after.status == 0 and after.body == b"" and after.headers == {}
        assert transport.idle == 0


@pytest.mark.parametrize("said", [
    b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}" * 30, mtime=0)[:-3],
])
def test_a_reply_that_ends_too_early_is_a_failure(transport: LeanTransport, said: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(said)

    with Server(script) as server:
        reply = send(transport, server.url)
        assert reply.failure == "connection" and reply.replied is bool(said) and reply.body == b"" and not reply.ok


def test_replies_in_many_pieces_and_codings(transport: LeanTransport) -> None:
    text = os.urandom(300_000).hex().encode()

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            packed = gzip.compress(text, 1, mtime=0)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(0, len(packed), 50_000):
                peer.send(b"%x\r\n%b\r\n" % (len(packed[i:i + 50_000]), packed[i:i + 50_000]))
            peer.send(b"0\r\n\r\n")

    with Server(script) as server:
        assert send(transport, server.url).body == text
        assert send(transport, server.url).reused


def test_a_body_without_end_is_bounded() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not peer.closing.is_set():
            peer.send(b"x" * 65_536)

    transport = LeanTransport(max_wire=1_000_000)
    with Server(script) as server:
        reply = send(transport, server.url)
        assert reply.failure == "too_large" and transport.idle == 0


def test_a_redirect_is_not_followed(transport: LeanTransport) -> None:
    with Server(echo) as other:
        def script(peer: Peer) -> None:
            peer.request()
            peer.reply(b"", "307 Temporary Redirect", f"Location: {other.url}/v1/chat")
            peer.until_closed()

        with Server(script) as server:
            reply = send(transport, server.url)
            assert reply.status == 307 and not reply.ok and other.connections == 0


def test_an_early_refusal_of_a_large_body_is_read(transport: LeanTransport) -> None:
    body = b"x" * 20_000_000

    def script(peer: Peer) -> None:
        peer.head()
        peer.reply(b"too much", "413 Content Too Large", "Connection: close")
        if peer.number == 1:
            peer.sock.shutdown(socket.SHUT_WR)
            peer.until_closed()  # takes it all the same
        elif peer.number == 2:
            peer.closing.wait(20)  # takes nothing more

    with Server(script) as server:
        for _ in range(3):  # the third connection is closed at once
            reply = send(transport, server.url, body)
            assert reply.status == 413 and reply.body == b"too much" or (
                server.connections == 3 and reply.failure == "connection")  # the reset may overtake the reply
            assert reply.sent and transport.idle == 0


def test_an_interim_reply_does_not_stop_a_large_body(transport: LeanTransport) -> None:
    def script(peer: Peer) -> None:
        while (head := peer.head()) is not None:
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            size = int(head.lower().split("content-length:")[1].split("\r\n")[0])
            peer.reply(b"%d" % len(peer.body(size)))

    with Server(script) as server:
        for _ in range(2):
            assert send(transport, server.url, b"x" * 5_000_000).body == b"5000000"


def drip(data: bytes, step: threading.Event) -> object:
    def script(peer: Peer) -> None:
        peer.request()
        for i in range(len(data)):
            peer.send(data[i:i + 1])
            if peer.closing.wait(0.02):
                return
        step.set()

    return script


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 1_000])
def test_a_slow_drip_does_not_stretch_the_deadline(transport: LeanTransport, data: bytes) -> None:
    done = threading.Event()
    with Server(drip(data, done)) as server:  # type: ignore[arg-type]
        began = time.monotonic()
        reply = send(transport, server.url, seconds=0.3)
        assert reply.failure == "timeout" and reply.sent and reply.replied and not done.is_set()
        assert 0.25 < time.monotonic() - began < 8


def test_silence_ends_at_the_deadline_without_anybody_watching(transport: LeanTransport) -> None:
    with Server(Peer.until_closed) as server:
        reply = send(transport, server.url, seconds=0.2)
        assert (reply.failure, reply.sent, reply.replied) == ("timeout", True, False)
        assert "deadline" in reply.message
        assert send(transport, server.url, seconds=-1).failure == "timeout"


def full_listener() -> Iterator[tuple[str, list[socket.socket]]]:
    """A port whose backlog is full, so that connecting to it never ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        callers = []
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            assert caller.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
            callers.append(caller)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", callers
        for caller in callers:
            caller.close()


full = pytest.fixture(full_listener)


def test_connecting_ends_at_the_deadline(transport: LeanTransport, full: tuple[str, object]) -> None:
    reply = send(transport, full[0], seconds=0.3)
    assert (reply.failure, reply.sent, reply.replied) == ("timeout", False, False)


def test_connecting_can_be_aborted(transport: LeanTransport, full: tuple[str, object]) -> None:
    attempt = Watched(time.monotonic() + 30)
    replies: list[HttpReply] = []
    worker = threading.Thread(target=lambda: replies.append(transport.send(post(full[0]), attempt)))
    worker.start()
    assert attempt.owned.wait(10)
    attempt.abort()
    worker.join(10)
    assert replies[0].failure == "cancelled" and not replies[0].sent


class Watched(Attempt):
    """Says when it has a socket and when it sends."""

    def __init__(self, deadline: float) -> None:
        super().__init__(deadline)
        self.owned = threading.Event()
        self.sends = threading.Event()

    def own(self, sock: socket.socket) -> bool:
        owned = super().own(sock)
        self.owned.set()
        return owned

    def sending(self) -> bool:
        self.sends.set()
        return super().sending()


@pytest.mark.parametrize("reason", ["timeout", "cancelled"])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nbegin"])
def test_an_abort_ends_the_wait_and_names_its_reason(transport: LeanTransport, reason: str, said: bytes) -> None:
    asked = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(said)
        asked.set()
        peer.until_closed()

    with Server(script) as server:
        attempt = Attempt(time.monotonic() + 60)
        replies: list[HttpReply] = []
        worker = threading.Thread(target=lambda: replies.append(transport.send(post(server.url), attempt)))
        worker.start()
        assert asked.wait(10)
        assert attempt.abort(reason) and not attempt.abort()  # type: ignore[arg-type]
        worker.join(10)
        assert replies[0].failure == reason and replies[0].status == 0 and replies[0].sent
        assert transport.idle == 0


def test_an_aborted_attempt_sends_nothing(transport: LeanTransport) -> None:
    with Server(echo) as server:
        for _ in range(2):  # over a new connection, and over an idle one
            attempt = Attempt(time.monotonic() + 20)
            attempt.abort()
            reply = transport.send(post(server.url), attempt)
            assert (reply.failure, reply.sent) == ("cancelled", False) and attempt.sent_at == 0
            assert send(transport, server.url).ok


def test_everything_in_flight_is_aborted_at_once(transport: LeanTransport) -> None:
    asked = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        asked.release()
        peer.until_closed()

    with Server(script) as server:
        replies: list[HttpReply] = []
        workers = [
            threading.Thread(target=lambda: replies.append(send(transport, server.url, seconds=60))) for _ in range(20)
        ]
        for worker in workers:
            worker.start()
        for _ in workers:
            assert asked.acquire(timeout=10)
        assert "20 in flight" in repr(transport)
        transport.abort_all()
        for worker in workers:
            worker.join(10)
        assert [reply.failure for reply in replies] == ["cancelled"] * 20


def test_no_abort_ever_hits_the_next_request(transport: LeanTransport) -> None:
    """Attempts are aborted at about the time that they end, while other workers wait for their connections."""
    live: list[Attempt | None] = [None] * 8
    stop = threading.Event()
    outcomes: list[tuple[bool, HttpReply, bytes]] = []

    def work(slot: int) -> None:
        for i in range(150):
            attempt, body = Attempt(time.monotonic() + 30), b"%d-%d" % (slot, i)
            live[slot] = attempt if i % 2 else None  # every other one is safe and must not notice anything
            reply = transport.send(post(server.url, body), attempt)
            outcomes.append((attempt.aborted and bool(i % 2), reply, body))

    def snipe() -> None:
        while not stop.is_set():
            for attempt in [attempt for attempt in live if attempt is not None and attempt.sent_at]:
                attempt.abort("timeout")

    with Server(echo) as server:
        workers = [threading.Thread(target=work, args=(slot,)) for slot in range(8)]
        sniper = threading.Thread(target=snipe)
        for thread in (*workers, sniper):
            thread.start()
        for worker in workers:
            worker.join(60)
        stop.set()
        sniper.join()
    assert len(outcomes) == 1_200
    assert [reply for aborted, reply, body in outcomes if reply.failure is None and reply.body != body] == []
    assert [reply for aborted, reply, body in outcomes if reply.failure and not aborted] == []


def test_what_cannot_be_sent_is_refused_before_anything_is_sent(transport: LeanTransport) -> None:
    with Server(echo) as server:
        good = server.url + "/v1"
        for call, words in (
            (HttpCall("POST", good, {"X-Key": "sk-secret\r\nX: y"}), "header X-Key"),
            (HttpCall("POST", good, {"X-Key": "sk-secret\n"}), "header X-Key"),
            (HttpCall("POST", good, {"X-Key": "sk-secret\0"}), "header X-Key"),
            (HttpCall("POST", good, {"X-Key": "sk-secret\u2026"}), "header X-Key"),
            (HttpCall("POST", good, {"sk-secret\r\nX": "y"}), "header's name"),
            (HttpCall("POST", good, {"": "sk-secret"}), "header's name"),
            (HttpCall("POST", good, {"X-Key": 7}), "not a string"),  # type: ignore[dict-item]
            (HttpCall("POST", good, {"X-Key": ["sk-secret"]}), "not a string"),  # type: ignore[dict-item]
            (HttpCall("PO ST", good, {}), "method"),
            (HttpCall("POST", good + "?key=sk-secret\r\nX: y", {}), "URL"),
            (HttpCall("POST", good + "?key=sk secret", {}), "URL"),
            (HttpCall("POST", good + "?key=sk\u2026secret", {}), "URL"),
            (HttpCall("POST", "ftp://127.0.0.1/", {}), "http://"),
            (HttpCall("POST", "127.0.0.1:80/v1", {}), "http://"),
            (HttpCall("POST", "http://[::1/", {}), "URL"),
            (HttpCall("POST", "http://secret..example/", {}), "URL"),
            (HttpCall("POST", good, {}, sign="aws"), "no signer named 'aws'"),
        ):
            reply = transport.send(call, Attempt(time.monotonic() + 20))
            assert reply.failure == "config" and words in reply.message and "secret" not in reply.message
            assert not reply.sent and not reply.replied
        assert server.connections == 0


def test_signers_add_headers_when_a_call_is_sent() -> None:
    def broken(call: HttpCall) -> dict[str, str]:
        raise ValueError("sk-secret")

    transport = LeanTransport(signers={"test": lambda call: {"x-sum": str(len(call.body))}, "broken": broken})
    heads: list[str] = []

    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            heads.append(request[0])
            peer.reply()

    with Server(script) as server:
        assert transport.send(HttpCall("POST", server.url, {"X-Sum": "0"}, b"abc", sign="test"), Attempt()).ok
        assert "x-sum: 3" in heads[0] and "X-Sum: 0" not in heads[0]
        reply = transport.send(HttpCall("POST", server.url, {}, b"abc", sign="broken"), Attempt())
        assert reply.failure == "config" and reply.message == "signing as 'broken' failed: ValueError"
        transport.close()


def test_nobody_listens(transport: LeanTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reply = send(transport, f"http://127.0.0.1:{port}")
    assert reply.failure == "connection" and "refused" in reply.message.lower() and not reply.sent


def test_a_name_that_cannot_be_resolved(transport: LeanTransport) -> None:
    reply = send(transport, "http://no-such-host.invalid")
    assert reply.failure == "connection" and "resolved" in reply.message and not reply.sent


def test_too_many_open_files_are_named(transport: LeanTransport) -> None:
    with Server(echo) as server:
        assert send(transport, server.url).ok
        kept = transport.adapter.origins[0].idle.pop()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(0)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
            reply = send(transport, server.url)
            assert reply.failure == "connection" and reply.message == TOO_MANY_FILES and not reply.sent
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(spare)
        kept.close()


def test_a_forked_child_opens_its_own_connections(transport: LeanTransport) -> None:
    with Server(echo) as server:
        assert send(transport, server.url, b"parent").ok
        child = os.fork()
        if child == 0:
            code = 1
            try:
                transport.forget()
                reply = send(transport, server.url, b"child")
                code = 0 if reply.body == b"child" and not reply.reused else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        again = send(transport, server.url, b"parent")
        assert again.body == b"parent" and again.reused, "the child must not have shut the parent's connection down"


def test_a_forked_child_lets_go_of_what_the_parent_has_in_flight(transport: LeanTransport) -> None:
    asked, go = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        asked.set()
        go.wait(20)
        peer.reply(b"late")
        peer.until_closed()

    with Server(script) as server:
        attempt = Attempt(time.monotonic() + 30)
        replies: list[HttpReply] = []
        worker = threading.Thread(target=lambda: replies.append(transport.send(post(server.url), attempt)))
        worker.start()
        assert asked.wait(10)
        attempt._lock.acquire()  # somebody holds it at the moment of the fork
        child = os.fork()
        if child == 0:
            try:
                transport.forget()
                ok = attempt._sock is None and attempt.aborted and not attempt.abort() and not transport._live
            finally:
                os._exit(0 if ok else 1)
        attempt._lock.release()
        assert os.waitpid(child, 0)[1] == 0
        go.set()
        worker.join(10)
        assert replies[0].body == b"late"


def test_interrupts_pass_through_and_leave_nothing_behind(transport: LeanTransport) -> None:
    class Interrupting(Attempt):
        def sending(self) -> bool:
            raise KeyboardInterrupt

    with Server(echo) as server, pytest.raises(KeyboardInterrupt):
        transport.send(post(server.url), Interrupting())
    assert transport.idle == 0


def test_no_more_idle_connections_than_asked_for() -> None:
    transport = LeanTransport(max_idle=2)
    barrier = threading.Barrier(5)

    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            barrier.wait(10)
            peer.reply(request[1])

    with Server(script) as server:
        workers = [threading.Thread(target=send, args=(transport, server.url)) for _ in range(5)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(10)
        assert transport.idle == 2
        transport.close()


def test_an_attempt_tells_its_state() -> None:
    attempt = Attempt(time.monotonic() + 100)
    assert "not sent" in repr(attempt) and attempt.sending() and "<Attempt sent" in repr(attempt)
    attempt.abort("timeout")
    assert "aborted (timeout)" in repr(attempt) and not attempt.sending() and not attempt.disown()
