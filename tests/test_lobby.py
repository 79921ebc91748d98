"""Replies that are awaited together: every way in which one can come, fail, stop or never come, with and without TLS."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rehearsing import client_of
from test_processes import in_child, needs_fork
from transport.scripted_server import CA, CERTS, Peer, Server

from deluge import LLMClient
from deluge.crew import SOON
from deluge.lobby import available
from deluge.testing import Fault, RehearsalServer, assert_nothing_sent_again, rehearsal
from deluge.testing.faults import KINDS, harmless

pytestmark = pytest.mark.slow

__all__ = ["rehearsal"]

NEVER = float("inf")
TLS = {"certfile": str(CERTS / "server.pem"), "keyfile": str(CERTS / "server.key")}
ANSWER = b'{"choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}'
needs_lobby = pytest.mark.skipif(not available(), reason="no epoll here")


@pytest.fixture(params=["lobby", "workers", "tls"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How replies are awaited; the same is true of all of them."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", CA)
    if request.param != "workers" and not available():
        pytest.skip("no epoll here")
    return str(request.param)


@pytest.fixture
def server(way: str) -> Iterator[RehearsalServer]:
    with RehearsalServer(remember=20_000, **(TLS if way == "tls" else {})) as made:
        yield made


def base_url(server: RehearsalServer) -> str:
    return server.base_url.replace("127.0.0.1", "localhost") if server.url.startswith("https") else server.base_url


def in_way(client: LLMClient, way: str) -> LLMClient:
    client._engine.crowd = NEVER if way == "workers" else 0
    return client


def scripted(server: Server, way: str, **settings: Any) -> LLMClient:
    unlimited = {"max_requests_per_minute": None, "max_tokens_per_minute": None, "progress": None}
    return in_way(LLMClient("m", base_url=f"{server.url}/v1", **{**unlimited, **settings}), way)


def client_in(way: str, server: RehearsalServer, **settings: Any) -> LLMClient:
    return in_way(client_of(server, base_url=base_url(server), **{"max_concurrent_requests": 50, **settings}), way)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def settled(client: LLMClient) -> None:
    """Nothing is under way, and every slot was given back."""
    assert client.drain(10)
    now = client.status()
    assert (now.running, now.queued, now.backing_off) == (0, 0, 0)


# ---------------------------------------------------------------------- faults

FAULTS = [kind for kind in KINDS if not kind.startswith(("hang", "endless", "cut_stream", "stream_error", "redirect", "raw"))]


@pytest.mark.parametrize("kind", [*FAULTS, "500"])
def test_every_fault_at_50_slots(way: str, server: RehearsalServer, kind: str) -> None:
    if way != "lobby" and (FAULTS.index(kind) if kind in FAULTS else 0) % 4:
        pytest.skip("every fourth kind is enough here")
    server.set_script([Fault(kind, size=99, seconds=0.002)] * 50)
    prompts = [f"p {n}" for n in range(100)]
    with client_in(way, server, max_attempts=8) as client:
        answers = client.process_prompts(prompts)
        assert [answer.completion for answer in answers] == prompts
        if harmless(kind) and kind != "close_silent":
            assert all(len(answer.attempts) == 1 for answer in answers)
        settled(client)
    assert_nothing_sent_again(server)


@pytest.mark.parametrize("kind", ["hang", "hang_headers", "hang_body"])
def test_silence_ends_at_the_deadline(way: str, server: RehearsalServer, kind: str) -> None:
    with client_in(way, server, max_attempts=1, request_timeout=1.0) as client:
        client.process_prompts(["warm"] * 50)
        server.set_script([kind] * 25)
        began = time.monotonic()
        answers = client.process_prompts([f"p {n}" for n in range(50)])
        assert time.monotonic() - began < 8
        kinds = sorted(answer.error_kind or "" for answer in answers)
        assert kinds == [""] * 25 + ["timeout"] * 25
        assert all(answer.possibly_billed for answer in answers if answer.is_error)
        assert all(not a.is_error for a in client.process_prompts([f"after {n}" for n in range(50)]))
        settled(client)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("pause", [0.0, 0.001])
def test_replies_in_pieces_of_any_size(tls: bool, pause: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interim replies, heads byte by byte, several TLS records at once, a body larger than any buffer."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", CA)
    long = ANSWER.replace(b"yes", b"y" * 700_000)
    rest = threading.Event()

    def script(peer: Peer) -> None:
        for number in range(10_000):
            if peer.request() is None:
                return
            body = long if number % 3 == 0 else ANSWER
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n")
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            for at in range(0, len(head), 16):
                peer.send(head[at:at + 16])
                rest.wait(pause)
            for at in range(0, len(body), 40_000):
                peer.send(body[at:at + 40_000])

    with Server(script, tls=tls) as server, scripted(server, "lobby", max_concurrent_requests=10) as client:
        answers = client.process_prompts([f"p {n}" for n in range(60)])
        assert {len(answer.completion or "") for answer in answers} == {3, 700_000}
        assert server.connections <= 10


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_early_refusal_is_read(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", CA)

    def script(peer: Peer) -> None:
        peer.head()
        peer.reply(b'{"error": {"message": "too large"}}', "413 Content Too Large", "Connection: close")
        peer.until_closed()

    with Server(script, tls=tls) as server, scripted(server, "lobby") as client:
        for size in (10_000, 500_000):
            answers = client.process_prompts(["x" * size] * 8)
            assert {answer.status_code for answer in answers} == {413}


# ---------------------------------------------------------------------- stopping

def test_cancelling_what_waits(way: str, server: RehearsalServer) -> None:
    with client_in(way, server) as client:
        server.hold()
        handles = [client.start_nowait(f"p {n}") for n in range(50)]
        server.wait_for_requests(50)
        assert all(handle.cancel() for handle in handles[::2])
        server.wait_for_outcomes("aborted", 25)
        server.release()
        kinds = [handle.result(10).error_kind for handle in handles]
        assert kinds == ["cancelled", None] * 25
        settled(client)
    assert_nothing_sent_again(server)


def test_random_aborts_end_every_prompt_once(way: str) -> None:
    script = {"500": .03, "reset": .02, "truncated": .02, "close_silent": .02, Fault("drip_body", size=99, seconds=0.002): .02}
    dice, prompts = random.Random(7), [f"p {n}" for n in range(2_000)]
    ended: list[int] = []
    with RehearsalServer(latency=0.003, script=script, remember=20_000, **(TLS if way == "tls" else {})) as server:
        with client_in(way, server, max_attempts=10) as client:
            handles = []
            for prompt in prompts:
                handles.append(client.start_nowait(prompt))
                handles[-1].add_done_callback(lambda handle: ended.append(int(handle)))  # type: ignore[call-overload]
                if dice.random() < 0.2:
                    dice.choice(handles[-100:]).cancel()
            answers = [handle.result(30) for handle in handles]
            settled(client)
            assert threading.active_count() < 4 * SOON or way == "workers"
        assert sorted(ended) == sorted(int(handle) for handle in handles)
        assert {answer.error_kind for answer in answers} == {None, "cancelled"}
        assert all(a.completion == prompt for a, prompt in zip(answers, prompts) if not a.is_error)
        assert_nothing_sent_again(server)


@pytest.mark.parametrize("held", [False, True])
def test_closing_and_opening_many_times(way: str, server: RehearsalServer, held: bool) -> None:
    client = client_in(way, server)
    client.process_prompts(["warm"] * 4)
    client.close()
    before = descriptors()
    for turn in range(12):
        if held:
            server.hold()
        handles = [client.start_nowait(f"{turn} {n}") for n in range(30)]
        server.wait_for_requests(server.count + 1 if not held else 30 * (turn + 1) + 4)
        client.close()
        server.release()
        assert {handle.result(10).error_kind for handle in handles} <= {None, "cancelled"}
    answers = client.process_prompts([f"after {n}" for n in range(50)])
    assert not any(answer.is_error for answer in answers)
    settled(client)
    client.close()
    server.wait_for(lambda: server.connections == 0)
    limit = time.monotonic() + 10
    while descriptors() > before and time.monotonic() < limit:
        threading.Event().wait(0.02)
    assert descriptors() <= before


# ---------------------------------------------------------------------- connections and threads

@needs_lobby
def test_slots_take_no_threads_of_their_own(rehearsal: RehearsalServer) -> None:
    before = threading.active_count()
    with in_way(client_of(rehearsal, max_concurrent_requests=400), "lobby") as client:
        rehearsal.hold()
        handles = [client.start_nowait(f"p {n}") for n in range(400)]
        rehearsal.wait_for_requests(400)
        assert threading.active_count() - before < 3 * SOON  # some are ordered for those that connect
        rehearsal.release()
        assert all(not handle.result(20).is_error for handle in handles)
        client.process_prompts([f"again {n}" for n in range(800)])
        assert rehearsal.accepted <= 400


def test_connections_that_the_server_closes_while_they_are_idle(way: str) -> None:
    """They are found dead before anything is sent on them."""
    def script(peer: Peer) -> None:
        peer.request()
        peer.reply(ANSWER)

    with Server(script, tls=way == "tls") as server, scripted(server, way) as client:
        for _ in range(4):
            answers = client.process_prompts([f"p {n}" for n in range(30)], return_completions_only=True)
            assert answers == ["yes"] * 30
        settled(client)


@needs_lobby
def test_without_file_descriptors_for_the_lobby_workers_wait(rehearsal: RehearsalServer) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with in_way(client_of(rehearsal, max_concurrent_requests=8), "workers") as client:
        client.process_prompts([f"p {n}" for n in range(40)])
        client._engine.crowd = 0
        rehearsal.hold()
        handles = [client.start_nowait(f"q {n}") for n in range(4)]
        open_ones: list[int] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, descriptors() + 8), hard))
            with pytest.raises(OSError):
                while True:
                    open_ones.append(os.open(os.devnull, os.O_RDONLY))
            rehearsal.release()
            assert all(not handle.result(10).is_error for handle in handles)
            answers = client.process_prompts(["last"], return_completions_only=True)
        finally:
            for one in open_ones:
                os.close(one)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert answers == ["last"]


# ---------------------------------------------------------------------- forks, and the end

def epolls() -> set[str]:
    """This process's epoll descriptors; event loops of other tests may have left some."""
    return {fd.name for fd in Path("/proc/self/fd").glob("*") if fd.is_symlink() and "eventpoll" in os.readlink(fd)}


@needs_fork
def test_a_fork_while_replies_are_awaited(way: str, server: RehearsalServer) -> None:
    others = epolls()
    with client_in(way, server) as client:
        server.hold()
        handles = [client.start_nowait(f"p {n}") for n in range(50)]
        server.wait_for_requests(50)

        def child() -> str:
            polls = len(epolls() - others)
            lost = {handle.result(5).error_kind for handle in handles}
            mine = client.start_nowait("child")
            client.close()
            return f"{lost} {mine.result(5).error_kind} {polls}"

        assert in_child(child) == "{'cancelled'} cancelled 0"  # nothing of the parent's epoll is left there
        server.release()
        assert [handle.result(10).completion for handle in handles] == [f"p {n}" for n in range(50)]
        assert in_child(lambda: client.process_prompts([f"c {n}" for n in range(60)])[-1].completion) == "c 59"
        assert client.process_prompts([f"d {n}" for n in range(60)])[-1].completion == "d 59"
        settled(client)
    assert_nothing_sent_again(server)
