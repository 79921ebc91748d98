"""The engine under strain: deadlines, faults, dead connections, many threads at once."""

from __future__ import annotations

import contextlib
import contextvars
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsing import client_of, our_threads

from deluge import APIResponse, APITimeoutError, LLMClient
from deluge.testing import (
    Fault, RehearsalServer, assert_all_answered, assert_nothing_sent_again, assert_within_limit, rehearsal,
)

__all__ = ["rehearsal"]


# ---------------------------------------------------------------------- deadlines

@contextlib.contextmanager
def listening(backlog: int = 16) -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def full() -> Iterator[int]:
    """A port whose queue of connections is full: the next one hangs in connect."""
    with listening(0) as port, contextlib.ExitStack() as open_ones:
        for _ in range(3):
            one = open_ones.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port


def timed_out(answer: APIResponse, began: float) -> None:
    assert answer.error_kind == "timeout", answer
    assert 0.25 < time.monotonic() - began < 5
    with pytest.raises(APITimeoutError):
        answer.raise_for_error()
    with pytest.raises(TimeoutError):
        answer.raise_for_error()


LIMITS: dict[str, Any] = {
    "request_timeout": 0.3, "max_attempts": 1, "progress": None, "max_requests_per_minute": None,
    "max_tokens_per_minute": None,
}


def test_the_deadline_holds_for_connect() -> None:
    with full() as port, LLMClient("m", base_url=f"http://127.0.0.1:{port}/v1", **LIMITS) as client:
        began = time.monotonic()
        answer = client.ask("a")
        timed_out(answer, began)
        assert not answer.possibly_billed


def test_the_deadline_holds_for_tls() -> None:
    with listening() as port, LLMClient("m", base_url=f"https://127.0.0.1:{port}/v1", **LIMITS) as client:
        began = time.monotonic()
        answer = client.ask("a")
        timed_out(answer, began)
        assert not answer.possibly_billed


@pytest.mark.parametrize("fault", [
    Fault("hang"), Fault("hang_headers"), Fault("hang_body"), Fault("drip_headers", size=1, seconds=0.05),
    Fault("drip_body", size=1, seconds=0.05),
], ids=lambda fault: fault.kind)
@pytest.mark.parametrize("crowd", [1, 12])
def test_the_deadline_holds_for_headers_and_body(rehearsal: RehearsalServer, fault: Fault, crowd: int) -> None:
    with client_of(rehearsal, request_timeout=0.3, max_attempts=1) as client:
        client.process_prompts(["warm"] * 2)
        rehearsal.set_script([fault] * crowd)
        began = time.monotonic()
        for answer in client.process_prompts([f"p {n}" for n in range(crowd)]):
            timed_out(answer, began)
            assert answer.possibly_billed
        assert client.ask("after").completion == "after"


@pytest.mark.parametrize("crowd", [1, 12])
def test_a_name_look_up_that_hangs_costs_its_worker_and_no_other_prompt(
    rehearsal: RehearsalServer, monkeypatch: pytest.MonkeyPatch, crowd: int
) -> None:
    go_on, real = threading.Event(), socket.getaddrinfo

    def slow(host: Any, *arguments: Any, **keywords: Any) -> Any:
        if host == "slow.invalid":
            go_on.wait(30)
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    others = our_threads()
    client = LLMClient("m", base_url="http://slow.invalid/v1", max_concurrent_requests=crowd, **LIMITS)
    began = time.monotonic()
    answers = client.process_prompts([f"p {n}" for n in range(2 * crowd)])  # the slots of the lost workers are free again
    assert {answer.error_kind for answer in answers} == {"timeout"}
    assert time.monotonic() - began < 10
    client.close()
    go_on.set()
    for thread in our_threads():
        if thread not in others:
            thread.join(5)
            assert not thread.is_alive()


def test_a_timeout_is_tried_twice_more_at_most(rehearsal: RehearsalServer) -> None:
    rehearsal.set_script(["hang"] * 10)
    with client_of(rehearsal, request_timeout=0.15) as client:
        answer = client.ask("a")
        assert answer.error_kind == "timeout" and len(answer.attempts) == 3
    rehearsal.set_script(["hang"] * 10)
    with client_of(rehearsal, request_timeout=0.15, retry_possibly_billed=False) as client:
        assert len(client.ask("b").attempts) == 1


# ---------------------------------------------------------------------- faults

def test_faults_at_225_slots_lose_nothing_and_buy_nothing_twice() -> None:
    script = {"500": .05, Fault("429", retry_after=0.05): .02, "reset": .01, Fault("hang", seconds=1.0): .005,
              "truncated": .005, "malformed": .005}
    prompts = [f"prompt {number}" for number in range(1_500)]
    with RehearsalServer(latency=0.02, script=script, remember=20_000) as server:
        with client_of(server, max_concurrent_requests=225, request_timeout=0.6, max_attempts=8) as client:
            answers = client.process_prompts(prompts)
            assert [answer.completion for answer in answers] == prompts
            assert sum(len(answer.attempts) for answer in answers) >= server.count - 20
            assert client.tracker.snapshot().retries > 0
        assert_all_answered(server, prompts)
        assert_nothing_sent_again(server)
        assert not server.errors


@pytest.mark.parametrize("kind", ["close", "close_silent", "until_close", "http10", "extra"])
def test_connections_that_end_cost_nothing(rehearsal: RehearsalServer, kind: str) -> None:
    rehearsal.set_script([kind] * 60)
    with client_of(rehearsal, max_attempts=1, max_concurrent_requests=8) as client:
        assert [a.completion for a in client.process_prompts([f"p {n}" for n in range(60)])] == [f"p {n}" for n in range(60)]


def test_stale_connections_are_replaced(rehearsal: RehearsalServer) -> None:
    port = rehearsal.port
    with client_of(rehearsal, max_attempts=1) as client:
        client.process_prompts([f"p {n}" for n in range(20)])
        rehearsal.stop()
        with RehearsalServer(latency=0.0, port=port):
            answers = client.process_prompts([f"q {n}" for n in range(20)])
            assert all(answer.completion for answer in answers), {answer.error_message for answer in answers}


def test_a_server_that_is_not_there_is_a_connection_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with LLMClient("m", base_url=f"http://127.0.0.1:{port}/v1", progress=None, max_attempts=1) as client:
        answer = client.ask("a")
        assert answer.error_kind == "connection" and not answer.possibly_billed and len(answer.attempts) == 1


def test_retry_after_delays_its_own_prompt_only(rehearsal: RehearsalServer) -> None:
    rehearsal.set_script([Fault("429", retry_after=1)])
    with client_of(rehearsal) as client:
        late = client.start_nowait("late")
        rehearsal.wait_for_requests(1)
        began = time.monotonic()
        client.process_prompts([f"p {n}" for n in range(20)])
        assert time.monotonic() - began < 0.9 and not late.done()
        assert late.result(10).completion == "late"


def test_limits_of_the_provider_are_kept_with_429s() -> None:
    from deluge.testing import RateLimits

    with RehearsalServer(latency=0.0, limits=RateLimits(requests=50, per=1.0)) as server:
        with client_of(server) as client:
            answers = client.process_prompts([f"p {n}" for n in range(150)])
        assert all(answer.completion for answer in answers)
        assert_nothing_sent_again(server)


def test_the_clients_own_limit_is_never_crossed(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_requests_per_minute=30, max_concurrent_requests=100) as client:
        answers = client.process_prompts([f"p {n}" for n in range(60)], timeout=0.7)
        assert sum(not answer.is_error for answer in answers) == rehearsal.count == 30
        assert client.status().limiting_factor in ("requests/min", None)
    assert_within_limit(rehearsal, 30)


# ---------------------------------------------------------------------- hooks, contexts, threads

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def test_hooks_see_the_callers_context_and_come_one_at_a_time(rehearsal: RehearsalServer) -> None:
    seen: dict[str, str] = {}
    inside: list[int] = []

    def hook(response: APIResponse) -> None:
        inside.append(1)
        assert len(inside) == 1
        seen[response.completion or ""] = WHO.get()
        inside.pop()

    def work(name: str) -> None:
        WHO.set(name)
        client.process_prompts([f"{name} {n}" for n in range(20)])
        client.start_nowait(f"{name} handle").result(10)

    with client_of(rehearsal, postprocess=hook) as client:
        threads = [threading.Thread(target=work, args=(f"thread {letter}",)) for letter in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(seen) == 6 * 21 and all(text.startswith(who) for text, who in seen.items()), seen


def test_a_handles_context_is_that_of_its_start(rehearsal: RehearsalServer) -> None:
    seen: dict[str, str] = {}
    with client_of(rehearsal, postprocess=lambda r: seen.update({r.completion: WHO.get()})) as client:
        for name in ("first", "second"):
            WHO.set(name)
            client.start_nowait(f"of {name}").result(10)
    assert seen == {"of first": "first", "of second": "second"}


def test_postprocess_changes_in_place_or_gives_another(rehearsal: RehearsalServer) -> None:
    def shout(response: APIResponse) -> None:
        response.completion = (response.completion or "").upper()

    with client_of(rehearsal, postprocess=shout) as client:
        assert client.ask("quiet").completion == "QUIET"
        assert client.start("start").result(5).completion == "START"
    with client_of(rehearsal, postprocess=lambda r: r.replaced(metadata={"seen": True})) as client:
        assert client.ask("quiet").metadata == {"seen": True}


def test_no_hook_can_end_the_thread_that_all_wait_for(rehearsal: RehearsalServer) -> None:
    def leave(*_: Any) -> Any:
        raise SystemExit(3)

    class Leaving:
        thread_safe = True
        put = leave

        def get(self, prompt: Any) -> None:
            return None

    with client_of(rehearsal, postprocess=leave, cache=Leaving()) as client:
        handle = client.start_nowait("a")
        handle.add_done_callback(leave)
        assert handle.result(5).error_kind == "postprocess" and handle.result(5).completion == "a"
        assert client.ask("b", timeout=5).error_message == "SystemExit: 3"
        assert client.run_agent_loop("c", timeout=5)[1].error_kind == "postprocess"


def test_a_hit_that_is_on_its_way_ends_once(rehearsal: RehearsalServer) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold(response: APIResponse) -> None:
        started.set()
        assert go_on.wait(10)

    with client_of(rehearsal, cache=Memory(), progress=None) as client:
        client.ask("known")
        client.copy(postprocess=hold).start_nowait("known")
        assert started.wait(10)
        handle = client.start_nowait("known")
        assert not handle.cancel()
        go_on.set()
        assert handle.result(10).completion == "known"
        now = client.tracker.snapshot()
        assert now.succeeded == 3 and not now.failed and not now.cancelled, now


class Memory:
    def __init__(self) -> None:
        self.kept: dict[str, APIResponse] = {}
        self.gets = self.puts = 0

    def get(self, prompt: Any) -> APIResponse | None:
        self.gets += 1
        return self.kept.get(prompt.fingerprint)

    def put(self, prompt: Any, response: APIResponse) -> None:
        self.puts += 1
        self.kept[prompt.fingerprint] = response


def test_a_cache_saves_requests_and_keeps_raw_answers(rehearsal: RehearsalServer) -> None:
    cache = Memory()

    def mark(response: APIResponse) -> None:
        response.completion = f"<{response.completion}>"

    with client_of(rehearsal, cache=cache, postprocess=mark) as client:
        first = client.process_prompts(["a", "b", "[[fault 400]]"])
        again = client.process_prompts(["b", "a", "c"])
        assert [response.completion for response in again] == ["<b>", "<a>", "<c>"]
        assert [response.source for response in again] == ["cache", "cache", "api"]
        assert again[0].local_cache_hit and again[0].cache_hit and again[0].cost == 0 and not again[0].usage.output_tokens
        assert first[0].completion == "<a>" and rehearsal.count == 4
        assert client.start_nowait("a").result(5).completion == "<a>"
        assert client.ask("a", sampling_params={"temperature": 0.1}).source == "api"
        assert client.tracker.snapshot().cache_hits == 0
        assert [r.source for r in client.map(["a", "c", "d"])] == ["cache", "cache", "api"]


def test_a_bulk_of_calls_from_many_threads_leaves_nothing_running(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=7) as client:
        threads = [threading.Thread(target=lambda: [client.ask(f"p {n}") for n in range(10)]) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert client.drain(5)
        now = client.status()
        assert (now.running, now.queued, now.backing_off) == (0, 0, 0)
        assert rehearsal.count == 200


def test_idle_threads_end_and_come_back(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        for word in ("a", "b"):
            others = our_threads()
            client._engine.idle_after = 0.05
            client.process_prompts([f"{word} {n}" for n in range(20)])
            for thread in our_threads():
                if thread not in others:
                    thread.join(5)
                    assert not thread.is_alive()
