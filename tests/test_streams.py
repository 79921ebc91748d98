"""Streams: pieces as they come, then the response."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsing import client_of

from deluge import APIResponse, LLMClient, StreamDelta, Tool
from deluge.testing import Fault, RehearsalServer, rehearsal

__all__ = ["rehearsal"]

LONG = "Write 200 words about rain."


@pytest.fixture
def client(rehearsal: RehearsalServer) -> Iterator[LLMClient]:
    with client_of(rehearsal) as client:
        yield client


def taken(stream: Any) -> tuple[list[StreamDelta], APIResponse]:
    items = list(stream)
    assert all(isinstance(item, StreamDelta) for item in items[:-1]) and isinstance(items[-1], APIResponse)
    return items[:-1], items[-1]


@pytest.mark.parametrize("prompt", [
    "hello", LONG, "[[refuse]]", [{"role": "system", "content": "s"}, {"role": "user", "content": "x"}],
])
def test_the_last_item_is_the_response_that_the_unstreamed_call_gives(client: LLMClient, prompt: Any) -> None:
    deltas, streamed = taken(client.stream_chat(prompt))
    plain = client.ask(prompt)
    assert streamed.completion == plain.completion and streamed.content == plain.content
    assert (streamed.usage, streamed.finish_reason, streamed.is_error) == (plain.usage, plain.finish_reason, False)
    assert "".join(delta.text for delta in deltas if delta.kind == "text") == (plain.completion or "")
    assert streamed.time_to_first_token is not None and streamed.latency is not None
    assert 0 <= streamed.time_to_first_token <= streamed.latency and streamed.attempts[0].status_code == 200


def test_tool_calls_in_a_stream(client: LLMClient) -> None:
    tool = Tool(name="weather", description="the weather", parameters={
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
    prompt = '[[call weather {"city": "Rome"}]]'
    _, streamed = taken(client.stream_chat(prompt, tools=[tool]))
    assert [(call.name, call.arguments) for call in streamed.tool_calls] == [("weather", {"city": "Rome"})]
    assert streamed.finish_reason == "tool_calls" == client.ask(prompt, tools=[tool]).finish_reason


def test_stream_prints_and_returns_the_response(client: LLMClient, capsys: pytest.CaptureFixture[str]) -> None:
    response = client.stream("hello world")
    assert response.completion == "hello world" and capsys.readouterr().out == "hello world\n"
    assert client.stream("[[fault 400]]").is_error and capsys.readouterr().out == ""


def test_closing_aborts(rehearsal: RehearsalServer, client: LLMClient) -> None:
    stream = client.stream_chat("[[fault hang_body]] " + LONG)
    next(stream)
    stream.close()
    rehearsal.wait_for_outcomes("aborted", 1)
    assert client.drain(5) and client.ask("after").completion == "after"


def test_dropping_the_generator_aborts(rehearsal: RehearsalServer, client: LLMClient) -> None:
    for begun in (True, False):
        before = rehearsal.outcomes["aborted"]
        stream = client.stream_chat(f"[[fault hang_body]] {begun} " + LONG)
        if begun:
            next(stream)
        rehearsal.wait_for(lambda: rehearsal.outcomes["open"] >= 0 and rehearsal.count > before)
        del stream
        gc.collect()
        rehearsal.wait_for_outcomes("aborted", before + 1)
    assert client.drain(5)


def test_what_is_dropped_in_the_middle_of_a_step_ends_after_it(rehearsal: RehearsalServer, client: LLMClient) -> None:
    """Garbage is collected on any thread, also on one that has the engine's lock."""
    stream = client.stream_chat("[[fault hang_body]] " + LONG)
    loop = client.map(f"[[latency {30 * n}]] {n}" for n in range(3))
    assert next(stream) and next(loop).completion
    rehearsal.wait_for_requests(4)

    def collect() -> None:
        with client._engine._lock:
            stream.close()
            loop.close()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    rehearsal.wait_for_outcomes("aborted", 3)
    assert client.drain(5) and client.ask("after").completion == "after"


@pytest.mark.parametrize("kind", ["cut_stream", "stream_error", "truncated", "reset_body"])
def test_a_cut_stream_is_an_error_and_not_a_short_answer(rehearsal: RehearsalServer, client: LLMClient, kind: str) -> None:
    rehearsal.set_script([kind])
    deltas, response = taken(client.stream_chat(LONG))
    assert response.is_error and response.error_kind in ("connection", "server", "parse", "overloaded"), response
    assert deltas and rehearsal.count == 1 and len(response.attempts) == 1  # no retry after the first delta
    with pytest.raises(Exception, match="."):
        response.raise_for_error()


@pytest.mark.parametrize("fault", ["500", Fault("429", retry_after=0.01), "reset", "503"])
def test_retries_before_the_first_delta(rehearsal: RehearsalServer, client: LLMClient, fault: Any) -> None:
    rehearsal.set_script([fault])
    deltas, response = taken(client.stream_chat("hello"))
    assert response.completion == "hello" and len(response.attempts) == 2
    assert "".join(delta.text for delta in deltas) == "hello"


def test_a_refused_stream_is_a_response(rehearsal: RehearsalServer, client: LLMClient) -> None:
    deltas, response = taken(client.stream_chat("[[fault 400]]"))
    assert deltas == [] and response.error_kind == "bad_request"


def test_streams_obey_the_limits(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_requests_per_minute=2, max_concurrent_requests=1) as client:
        assert taken(client.stream_chat("a"))[1].completion == "a"
        assert client.ask("b").completion == "b"
        _, response = taken(client.stream_chat("c", timeout=0.2))
        assert response.error_kind == "cancelled" and rehearsal.count == 2


def test_slots_hold_for_streams(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=1) as client:
        stream = client.stream_chat("[[fault hang_body]] " + LONG)
        next(stream)
        waiting = client.start_nowait("waits")
        assert client.status().queued == 1 and rehearsal.count == 1
        stream.close()
        assert waiting.result(5).completion == "waits"


def test_silence_ends_a_stream(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, request_timeout=0.3) as client:
        began = time.monotonic()
        deltas, response = taken(client.stream_chat("[[fault hang_body]] " + LONG))
        assert deltas and response.error_kind == "timeout" and time.monotonic() - began < 5


def test_stream_timeout_is_the_total(rehearsal: RehearsalServer) -> None:
    rehearsal.set_script([Fault("drip_body", size=40, seconds=0.02)] * 2)
    with client_of(rehearsal, request_timeout=5, stream_timeout=0.4) as client:
        began = time.monotonic()
        _, response = taken(client.stream_chat(LONG))
        assert response.error_kind == "timeout" and 0.3 < time.monotonic() - began < 4
    rehearsal.set_script([Fault("drip_body", size=4_000, seconds=0.05)] * 2)
    with client_of(rehearsal, request_timeout=0.4) as client:
        assert not taken(client.stream_chat(LONG))[1].is_error  # it may last longer than request_timeout, gap by gap


def test_hooks_caches_and_the_tracker_see_streams(rehearsal: RehearsalServer) -> None:
    seen: list[str | None] = []
    with client_of(rehearsal, postprocess=lambda response: seen.append(response.completion)) as client:
        client.open(show_progress=False)
        assert taken(client.stream_chat("hello"))[1].completion == "hello"
        assert seen == ["hello"]
        now = client.tracker.snapshot()
        assert (now.succeeded, now.requests_sent, now.total, now.running) == (1, 1, 1, 0)
        assert now.usage == client.ask("hello").usage


def test_several_streams_at_once(client: LLMClient) -> None:
    streams = [client.stream_chat(f"stream number {n} of several") for n in range(8)]
    assert [taken(stream)[1].completion for stream in streams] == [f"stream number {n} of several" for n in range(8)]


def test_a_stream_that_nobody_reads_does_not_hold_up_close(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal)
    stream = client.stream_chat(LONG)
    client.close()
    assert isinstance(list(stream)[-1], APIResponse)
