"""The rehearsal server itself: connections, its log, its waits, threads, forks and the end."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deluge.testing import (
    PROFILES, Fault, RehearsalServer, Seen, assert_all_answered, assert_nothing_sent_again, assert_within_limit,
    embedded_server, embedded_url,
)
from deluge.testing.__main__ import server_of
from deluge.testing.exchange import share

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\n"


def body(prompt: str, model: str = "m") -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]}).encode()


def whole(prompt: str, model: str = "m") -> bytes:
    data = body(prompt, model)
    return HEAD + b"content-length: %d\r\n\r\n" % len(data) + data


def ask(server: RehearsalServer, prompt: str, model: str = "m") -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", body(prompt, model))
        reply = connection.getresponse()
        data = json.loads(reply.read())
        return reply.status, data["choices"][0]["message"]["content"] if reply.status == 200 else ""
    finally:
        connection.close()


def dialled(server: RehearsalServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), 5)


def replies(sock: socket.socket, count: int) -> bytes:
    """Bytes until so many replies have begun and the last is whole."""
    got = b""
    while got.count(b"HTTP/1.1 ") < count or not got.endswith(b"}}"):
        data = sock.recv(65536)
        if not data:
            break
        got += data
    return got


def test_the_log_tells_what_was_seen() -> None:
    with RehearsalServer(latency=0, script=[None, "500"]) as server, dialled(server) as sock:
        sock.sendall(whole("one"))
        replies(sock, 1)
        assert ask(server, "two")[0] == 500
        first, second = server.requests
        assert isinstance(first, Seen) and (first.number, first.prompt, first.status) == (1, "one", 200)
        assert first.path == "/v1/chat/completions"
        assert (first.outcome, second.outcome, second.fault, second.status) == ("answered", "faulted", "500", 500)
        assert first.connection != second.connection and first.body["model"] == "m" and first.at <= second.at
        assert "secret" not in repr(first) and "secret" not in repr(server)
        assert server.answered == {"one": 1} and server.outcomes == {"answered": 1, "faulted": 1}


def test_requests_in_pieces_and_in_a_row() -> None:
    with RehearsalServer(latency=0) as server, dialled(server) as sock:
        for byte in whole("slow"):
            sock.sendall(bytes([byte]))
        assert b"slow" in replies(sock, 1)
        sock.sendall(b"".join(whole(f"n{number}") for number in range(500)))
        got = replies(sock, 500)
        assert got.count(b"HTTP/1.1 200") == 500 and b"n499" in got
        assert server.accepted == 1 and server.count == 501


def test_chunked_requests_and_expect() -> None:
    data = body("in chunks")
    with RehearsalServer(latency=0) as server, dialled(server) as sock:
        sock.sendall(HEAD + b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        for at in range(0, len(data), 7):
            sock.sendall(b"%x;x=y\r\n%s\r\n" % (len(data[at:at + 7]), data[at:at + 7]))
        sock.sendall(b"0\r\ntrailer: 1\r\n\r\n" + whole("after"))
        got = replies(sock, 2)
        assert b"in chunks" in got and b"after" in got


@pytest.mark.parametrize("request_, status", [
    (b"nonsense\r\n\r\n", b"400"), (HEAD + b"content-length: x\r\n\r\n", b"400"),
    (HEAD + b"content-length: 99999\r\n\r\n", b"413"),
    (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", b"400"), (b"GET /" + b"x" * 300_000, b"431"),
    (HEAD + b"transfer-encoding: chunked\r\n\r\nfffff\r\n", b"413"),
])
def test_requests_that_are_none(request_: bytes, status: bytes) -> None:
    with RehearsalServer(latency=0, max_body=10_000) as server, dialled(server) as sock:
        sock.sendall(request_)
        assert sock.recv(1000).startswith(b"HTTP/1.1 " + status)
        assert ask(server, "still there") == (200, "still there")


def test_http10_and_close() -> None:
    with RehearsalServer(latency=0) as server:
        for request_ in (whole("x").replace(b"HTTP/1.1", b"HTTP/1.0"),
                         whole("x").replace(b"host: x", b"connection: close")):
            with dialled(server) as sock:
                sock.sendall(request_)
                replies(sock, 1)
                assert sock.recv(10) == b""


def test_a_client_that_leaves_is_aborted() -> None:
    with RehearsalServer(latency=30) as server:
        with dialled(server) as sock:
            sock.sendall(whole("never mind"))
            server.wait_for_requests(1)
        server.wait_for_outcomes("aborted", 1)
        assert server.requests[0].outcome == "aborted" and not server.answered
        server.wait_for(lambda: server.connections == 0)


def test_a_large_answer_to_a_client_that_reads_late() -> None:
    text = "long " * 2_000_000
    with RehearsalServer(latency=0) as server, dialled(server) as sock:
        sock.sendall(whole(text))
        server.wait_for_outcomes("answered", 1)
        got = replies(sock, 1)
        assert len(got) > len(text) and server.answered.total() == 1


def test_hold_and_release() -> None:
    with RehearsalServer(latency=0) as server, ThreadPoolExecutor(8) as pool:
        server.hold()
        waiting = [pool.submit(ask, server, f"p{number}") for number in range(8)]
        server.wait_for_requests(8)
        assert server.outcomes["answered"] == 0
        server.release(3)
        server.wait_for_outcomes("answered", 3)
        assert server.outcomes["answered"] == 3
        server.release()
        assert sorted(future.result()[1] for future in waiting) == [f"p{number}" for number in range(8)]
        assert ask(server, "free again")[0] == 200


def test_replies_at_the_same_instant() -> None:
    with RehearsalServer(latency=0.001, every=0.2) as server, ThreadPoolExecutor(20) as pool:
        def asked(number: int) -> float:
            ask(server, f"p{number}")
            return time.monotonic()
        times = sorted(pool.map(asked, range(20)))
        assert times[-1] - times[0] < 5


def test_waiting_in_vain() -> None:
    with RehearsalServer() as server, pytest.raises(TimeoutError, match="3 requests"):
        server.wait_for_requests(3, timeout=0.01)


def test_nothing_sent_again() -> None:
    with RehearsalServer(latency=0, script=["500"]) as server:
        for prompt in ("a", "a", "b"):
            ask(server, prompt)
        assert_nothing_sent_again(server)
        assert_all_answered(server, ["a", "b"])
        ask(server, "a")
        with pytest.raises(AssertionError, match="sent again"):
            assert_nothing_sent_again(server)
        with pytest.raises(AssertionError, match="never answered"):
            assert_all_answered(server, ["c"])
        with pytest.raises(AssertionError, match="arrived within"):
            assert_within_limit(server, 3)
        assert_within_limit(server, 4)


def test_a_prompt_asks_for_its_own_fault() -> None:
    with RehearsalServer(latency=0) as server:
        statuses = [ask(server, "please [[fault 503 x2]] now")[0] for _ in range(4)]
        assert statuses == [503, 503, 200, 200]
        assert [ask(server, "[[fault 500]]")[0] for _ in range(3)] == [500] * 3


def test_a_prompt_asks_for_its_own_latency() -> None:
    with RehearsalServer(latency=0) as server, dialled(server) as sock:
        sock.sendall(whole("[[latency 60]]"))
        server.wait_for_requests(1)
        assert ask(server, "quick")[0] == 200 and server.requests[0].outcome == "open"


def test_the_flaky_model_answers_the_third_time() -> None:
    with RehearsalServer(latency=0) as server:
        prompts = [f"prompt {number}" for number in range(200)]
        failures = 0
        for prompt in prompts:
            for _ in range(3):
                try:
                    status, text = ask(server, prompt, "rehearsal-flaky")
                except (OSError, http.client.HTTPException, ValueError, KeyError):
                    status, text = 0, ""
                if (status, text) == (200, prompt):
                    break
                failures += 1
        assert_all_answered(server, prompts)
        assert 8 <= failures <= 40


def test_latencies_are_seeded_and_near_the_profile() -> None:
    slow = [PROFILES["rehearsal-slow"].latency.seconds(share(0, number)) for number in range(2000)]
    assert slow == [PROFILES["rehearsal-slow"].latency.seconds(share(0, number)) for number in range(2000)]
    assert 1.8 < sorted(slow)[1000] < 2.2 and min(slow) >= 0.5 and max(slow) <= 10
    echo = [PROFILES["rehearsal-echo"].latency.seconds(share(0, number)) for number in range(200)]
    assert all(0.04 <= one <= 0.06 for one in echo) and len(set(echo)) == 200


def test_a_script_that_raises_is_an_error_that_shows() -> None:
    def script(number: int, request: object) -> Fault | None:
        raise LookupError("oops")
    with RehearsalServer(latency=0, script=script) as server:
        assert ask(server, "x")[0] == 500
        assert isinstance(server.errors[0], LookupError)
        server.set_script(["503"])
        assert [ask(server, "x")[0], ask(server, "x")[0]] == [503, 200]


def test_many_connections_at_once() -> None:
    with RehearsalServer(latency=0.01) as server:
        socks = [dialled(server) for _ in range(300)]
        try:
            for turn in range(3):
                for number, sock in enumerate(socks):
                    sock.sendall(whole(f"turn {turn}, number {number}"))
                for number, sock in enumerate(socks):
                    assert f'"turn {turn}, number {number}"'.encode() in replies(sock, 1)
        finally:
            for sock in socks:
                sock.close()
        assert server.count == 900 and server.accepted == 300 and not server.errors


def test_stop_is_prompt_and_the_port_is_free_again() -> None:
    server = RehearsalServer(latency=60).start()
    with dialled(server) as sock, dialled(server):
        sock.sendall(whole("x"))
        server.wait_for_requests(1)
        started = time.monotonic()
        server.stop()
        server.stop()
        assert time.monotonic() - started < 5
        assert sock.recv(10) == b""
        again = RehearsalServer(port=server.port, latency=0).start()
        assert ask(again, "same port")[0] == 200
        with pytest.raises(OSError):
            RehearsalServer(port=again.port).start()
        again.stop()
    with pytest.raises(ConnectionRefusedError):
        dialled(again)
    with server:
        server.latency = 0
        assert ask(server, "started again")[0] == 200
    assert not [thread for thread in threading.enumerate() if thread.name == "deluge-rehearsal"
                and thread.is_alive()] or embedded_server()


def test_a_memory_of_nothing() -> None:
    with RehearsalServer(latency=0, remember=0) as server:
        ask(server, "x")
        assert server.count == 1 and not server.requests and not server.answered and server.outcomes["answered"] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_its_own_and_leaves_the_parents_alone() -> None:
    url = embedded_url()
    assert embedded_url() == url
    with RehearsalServer(latency=0) as server, dialled(server) as sock:
        sock.sendall(whole("before"))
        replies(sock, 1)
        child = os.fork()
        if child == 0:
            try:
                own = embedded_server()
                os._exit(0 if own.base_url != url and ask(own, "in the child")[0] == 200 else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        sock.sendall(whole("after"))
        assert b"after" in replies(sock, 1)
        port = server.port
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)


def test_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "deluge.testing", "--latency", "0", "--requests", "2", "--script", "500=1.0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        port = int(url.removeprefix("http://127.0.0.1:").removesuffix("/v1"))
        assert ask(RehearsalServer(port=port), "x")[0] == 500
    finally:
        process.terminate()
        process.communicate()


def test_words_of_the_command_line() -> None:
    assert "stopped" in repr(server_of(["--port", "0", "--tokens", "100", "--kind", "rolling"]))
    for words in (["--prot", "1"], ["--port", "x"], ["--port"]):
        with pytest.raises(SystemExit, match="usage"):
            server_of(words)


def test_the_room_needs_no_pytest_and_ends_without_a_word() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from deluge.testing import embedded_url\n"
        "import socket\n"
        "sock = socket.create_connection(('127.0.0.1', int(embedded_url().split(':')[2].split('/')[0])))\n"
        "sock.sendall(b'POST /v1/chat/completions HTTP/1.1\\r\\ncontent-length: 999\\r\\n\\r\\n')\n"
        "sock.close()\n"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tls() -> None:
    certificate = Path(__file__).parents[1] / "transport" / "certs" / "server.pem"
    context = ssl.create_default_context(cafile=str(certificate.with_name("ca.pem")))
    context.check_hostname = False
    text = "over TLS " * 100_000
    key = str(certificate.with_name("server.key"))
    with RehearsalServer(latency=0.001, certfile=str(certificate), keyfile=key) as server:
        assert server.base_url.startswith("https://")
        connection = http.client.HTTPSConnection(server.host, server.port, timeout=10, context=context)
        for prompt in ("one", text):
            connection.request("POST", "/v1/chat/completions", body(prompt))
            assert json.loads(connection.getresponse().read())["choices"][0]["message"]["content"] == prompt
        connection.close()
        with dialled(server) as plain:
            plain.sendall(whole("not TLS"))
            server.wait_for(lambda: server.accepted == 2 and server.connections == 0)
        assert server.count == 2 and not server.errors
