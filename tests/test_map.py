"""``map``: inputs larger than memory, taken as room comes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsing import client_of

from deluge import APIResponse, ConfigError, Conversation, LLMClient
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]


@pytest.fixture
def client(rehearsal: RehearsalServer) -> Iterator[LLMClient]:
    with client_of(rehearsal, max_concurrent_requests=5) as client:
        yield client


class Source:
    """A long input that knows how far it was pulled, and by whom."""

    def __init__(self, size: int = 1_000_000) -> None:
        self.size = size
        self.pulled = 0
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        for number in range(self.size):
            self.pulled += 1
            self.threads.add(threading.current_thread().name)
            yield f"prompt {number}"


def test_ordered(client: LLMClient) -> None:
    got = [response.completion for response in client.map(Source(500))]
    assert got == [f"prompt {number}" for number in range(500)]


def test_unordered_gives_each_once(client: LLMClient) -> None:
    got = [(response.index, response.completion) for response in client.map(Source(500), ordered=False)]
    assert sorted(got) == [(number, f"prompt {number}") for number in range(500)]


def test_unordered_gives_the_quick_ones_first(rehearsal: RehearsalServer, client: LLMClient) -> None:
    prompts = ["[[latency 1]]", "a", "b"]
    assert [response.index for response in client.map(prompts, ordered=False)][-1] == 0
    assert [response.index for response in client.map(prompts)] == [0, 1, 2]


def test_nothing_is_pulled_before_the_loop_begins(client: LLMClient, rehearsal: RehearsalServer) -> None:
    source = Source()
    iterator = client.map(source)
    assert source.pulled == 0
    iterator.close()  # type: ignore[attr-defined]
    assert source.pulled == 0 and rehearsal.count == 0


def test_the_input_is_pulled_in_a_window_by_the_caller(client: LLMClient) -> None:
    source = Source()
    for number, _ in enumerate(client.map(source), 1):
        assert source.pulled <= number + 3 * 4 * 5
        if number == 300:
            break
    assert source.threads == {threading.current_thread().name}


def test_a_slow_consumer_does_not_let_the_buffer_grow(rehearsal: RehearsalServer, client: LLMClient) -> None:
    source = Source()
    iterator = client.map(source, ordered=False)
    next(iterator)
    client.drain(10)
    assert source.pulled <= 4 * 5 + 1
    iterator.close()  # type: ignore[attr-defined]


def test_a_head_that_hangs_holds_back_a_bounded_number(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=50) as client:
        source = Source(30_000)

        def prompts() -> Iterator[str]:
            yield "[[latency 2]]"
            yield from source

        iterator = client.map(prompts())
        assert next(iterator).index == 0
        assert source.pulled <= 10_000 + 4 * 50 + 1
        iterator.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("ordered", [True, False])
def test_leaving_the_loop_cancels_this_call_only(rehearsal: RehearsalServer, client: LLMClient, ordered: bool) -> None:
    other = client.start_nowait("[[latency 0.3]] other")
    for response in client.map((f"[[latency {'0' if n == 0 else 30}]] {n}" for n in range(100)), ordered=ordered):
        assert response.index == 0
        rehearsal.wait_for_requests(5)
        break
    gc.collect()
    rehearsal.wait_for_outcomes("aborted", 3)
    assert other.result(10).completion is not None
    assert client.drain(10) and client.tracker.snapshot().running == 0


def test_an_exception_in_the_loop_cancels(rehearsal: RehearsalServer, client: LLMClient) -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in client.map(["a"] + ["[[latency 30]] b"] * 20):
            1 / 0
    assert client.drain(10)


def test_an_input_that_raises(rehearsal: RehearsalServer, client: LLMClient) -> None:
    def prompts() -> Iterator[str]:
        for number in range(10):
            yield f"prompt {number}"
        raise LookupError("the file has ended")

    got = []
    with pytest.raises(LookupError, match="the file has ended"):
        for response in client.map(prompts()):
            got.append(response.completion)
    assert got == [f"prompt {number}" for number in range(len(got))]
    assert client.drain(10)
    with pytest.raises(LookupError):
        client.process_prompts(prompts())
    assert client.drain(10) and client.ask("after").completion == "after"


def test_a_prompt_of_the_wrong_type_names_its_index(client: LLMClient) -> None:
    with pytest.raises(ConfigError, match="prompt 3 is of type"):
        list(client.map(["a", "b", "c", 4]))


@pytest.mark.parametrize("ordered", [True, False])
def test_timeout(rehearsal: RehearsalServer, client: LLMClient, ordered: bool) -> None:
    prompts = ["quick"] + [f"[[latency 60]] {n}" for n in range(30)]
    got = list(client.map(prompts, ordered=ordered, timeout=0.4))
    assert sorted(response.index for response in got) == list(range(len(got)))  # what was not pulled by then stays where it is
    assert 5 <= len(got) <= 31 and sum(response.error_kind == "cancelled" for response in got) == len(got) - 1


def test_timeout_of_an_endless_input_ends(rehearsal: RehearsalServer, client: LLMClient) -> None:
    def endless() -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield f"prompt {number}"

    got = list(client.map(endless(), timeout=0.3))
    assert got and got[0].completion == "prompt 1"


def test_live_objects_are_bounded(rehearsal: RehearsalServer, client: LLMClient) -> None:
    def count() -> int:
        gc.collect()
        return sum(isinstance(item, (APIResponse, Conversation)) for item in gc.get_objects())

    before, most = count(), 0
    for response in client.map(Source(1_200), ordered=False):
        if response.index % 400 == 399:
            most = max(most, count() - before)
    del response
    assert most < 300
    assert count() - before < 10


def test_two_loops_side_by_side(client: LLMClient) -> None:
    pairs = zip(client.map(Source(200)), client.map((f"other {n}" for n in range(200))))
    assert all((a.completion, b.completion) == (f"prompt {n}", f"other {n}") for n, (a, b) in enumerate(pairs))


def test_nested_loops(client: LLMClient) -> None:
    answers = [client.ask(f"again {response.completion}").completion for response in client.map(Source(30))]
    assert answers == [f"again prompt {n}" for n in range(30)]


def test_a_loop_may_be_left_in_another_thread(rehearsal: RehearsalServer, client: LLMClient) -> None:
    iterator: Any = client.map(Source())
    next(iterator)
    thread = threading.Thread(target=iterator.close)
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and client.drain(10)
