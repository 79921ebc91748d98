"""Handles: futures that stand for their numbers."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsing import client_of

from deluge import APIResponse, LLMClient, ResponseFuture
from deluge.handles import KEPT, HandleBook, NumberedFuture
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]


@pytest.fixture
def client(rehearsal: RehearsalServer) -> Iterator[LLMClient]:
    with client_of(rehearsal) as client:
        yield client


def test_a_handle_is_a_future_and_its_number(client: LLMClient) -> None:
    handle = client.start_nowait("a")
    assert isinstance(handle, concurrent.futures.Future) and isinstance(handle, ResponseFuture)
    assert int(handle) == handle.task_id == handle and hash(handle) == hash(handle.task_id)
    assert {handle: "a"}[handle.task_id] == "a" and {handle.task_id: "a"}[handle] == "a"
    assert handle != handle.task_id + 1 and handle != "x" and handle is not None
    response = handle.result(5)
    assert response.id == handle.task_id and response.completion == "a"
    assert handle.done() and not handle.running() and not handle.cancelled() and handle.exception() is None
    assert handle.result() is response and not handle.cancel()
    assert str(handle.task_id) in repr(handle) and "finished" in repr(handle)


def test_an_error_is_a_response(client: LLMClient) -> None:
    response = client.start("[[fault 400]]").result(5)
    assert response.is_error and response.error_kind == "bad_request"


def test_numbers_grow_in_order(client: LLMClient) -> None:
    handles = [client.start_nowait(f"p{n}") for n in range(5)]
    assert [int(handle) for handle in handles] == sorted({int(handle) for handle in handles})
    assert [response.id for response in client.wait_for_all(handles)] == [int(handle) for handle in handles]


def test_wait_for_takes_handles_and_numbers(client: LLMClient) -> None:
    first, second = client.start_nowait("a"), client.start_nowait("b")
    assert client.wait_for(first).completion == "a"
    assert client.wait_for(int(second)).completion == "b"
    with pytest.raises(KeyError, match=str(int(second))):
        client.wait_for(int(second))  # collected
    assert client.wait_for(second).completion == "b"  # the handle itself keeps its response


def test_wait_for_all_means_what_this_thread_started_and_has_not_collected(client: LLMClient) -> None:
    handles = [client.start_nowait(f"p{n}") for n in range(4)]
    handles[1].result(5)
    other: list[list[APIResponse]] = []
    thread = threading.Thread(target=lambda: other.append(client.wait_for_all()))
    thread.start()
    thread.join(5)
    assert other == [[]]
    assert [response.completion for response in client.wait_for_all()] == ["p0", "p2", "p3"]
    assert client.wait_for_all() == []


def test_as_completed_gives_numbers_and_responses(rehearsal: RehearsalServer, client: LLMClient) -> None:
    rehearsal.hold()
    prompts = {client.start_nowait(prompt): prompt for prompt in ("a", "b", "c")}
    rehearsal.wait_for_requests(3)
    rehearsal.release()
    seen = {prompts[number]: response.completion for number, response in client.as_completed(prompts)}
    assert seen == {"a": "a", "b": "b", "c": "c"}
    late = client.start_nowait("[[latency 5]]")
    quick = client.start_nowait("quick")
    assert next(iter(client.as_completed([late, quick])))[0] == quick
    late.cancel()
    assert sorted(number for number, _ in client.as_completed([int(late)])) == [late]


def test_as_completed_without_handles(client: LLMClient) -> None:
    handles = [client.start_nowait(f"p{n}") for n in range(3)]
    assert sorted(number for number, _ in client.as_completed()) == [int(handle) for handle in handles]
    assert list(client.as_completed()) == []


def test_as_completed_of_numbers_from_another_thread(client: LLMClient) -> None:
    numbers = [int(client.start_nowait(f"p{n}")) for n in range(3)]
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(client.as_completed(numbers)))
    thread.start()
    thread.join(10)
    assert sorted(response.completion for _, response in got) == ["p0", "p1", "p2"]
    assert client.wait_for_all() == []


def test_unknown_numbers_are_said_at_once(client: LLMClient) -> None:
    with pytest.raises(KeyError):
        client.wait_for(4_711)
    with pytest.raises(KeyError):
        client.as_completed([4_711])
    with pytest.raises(KeyError):
        client.wait_for_all([4_711])


def test_timeouts(rehearsal: RehearsalServer, client: LLMClient) -> None:
    rehearsal.hold()
    handle = client.start_nowait("a")
    for wait in (lambda: handle.result(0.01), lambda: handle.result(timeout=0), lambda: client.wait_for(handle, 0.01),
                 lambda: client.wait_for_all([handle], timeout=0.01), lambda: handle.exception(0.01),
                 lambda: list(client.as_completed([handle], timeout=0.01))):
        with pytest.raises(concurrent.futures.TimeoutError):
            wait()
    rehearsal.release()
    assert handle.result(5).completion == "a"


def test_a_timeout_of_wait_for_all_loses_nothing(rehearsal: RehearsalServer, client: LLMClient) -> None:
    first = client.start_nowait("a")
    first.exception(5)
    rehearsal.hold()
    client.start_nowait("b")
    with pytest.raises(concurrent.futures.TimeoutError):
        client.wait_for_all(timeout=0.05)
    rehearsal.release()
    assert [response.completion for response in client.wait_for_all()] == ["a", "b"]


def test_concurrent_futures_wait_and_as_completed(rehearsal: RehearsalServer, client: LLMClient) -> None:
    rehearsal.hold()
    handles = [client.start_nowait(f"p{n}") for n in range(4)]
    done, waiting = concurrent.futures.wait(handles, timeout=0.01)
    assert not done and waiting == set(handles)
    rehearsal.wait_for_requests(4)
    rehearsal.release(1)
    done, waiting = concurrent.futures.wait(handles, timeout=10, return_when=concurrent.futures.FIRST_COMPLETED)
    assert len(done) >= 1
    rehearsal.release()
    done, waiting = concurrent.futures.wait(handles, timeout=10)
    assert done == set(handles) and not waiting
    assert {f.result().completion for f in concurrent.futures.as_completed(handles)} == {"p0", "p1", "p2", "p3"}


def test_wait_on_handles_of_several_threads_and_clients(rehearsal: RehearsalServer, client: LLMClient) -> None:
    handles: list[ResponseFuture] = []
    with client_of(rehearsal) as second, client_of(rehearsal) as third:
        clients = [client, second, third]
        threads = [threading.Thread(target=lambda c=c: handles.extend(c.start_nowait(f"p{n}") for n in range(20)))
                   for c in clients * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        done = concurrent.futures.as_completed(handles[:20], timeout=10)  # numbers of three clients may be equal
        assert len(list(done)) >= 1
        for c in clients:
            assert c.drain(10)
        assert all(handle.done() for handle in handles)


def test_callbacks(rehearsal: RehearsalServer, client: LLMClient, caplog: pytest.LogCaptureFixture) -> None:
    called: list[Any] = []
    rehearsal.hold()
    handle = client.start_nowait("a")
    handle.add_done_callback(called.append)
    handle.add_done_callback(lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    handle.add_done_callback(lambda future: called.append(future.result().completion))
    rehearsal.release()
    handle.result(5)
    client.drain(5)
    assert client.ask("barrier").completion == "barrier"  # the courier has come to the callbacks' end
    assert called == [handle, "a"]
    handle.add_done_callback(called.append)
    assert called[-1] is handle


# ---------------------------------------------------------------------- cancelling

def test_cancel_in_flight_closes_the_socket(rehearsal: RehearsalServer, client: LLMClient) -> None:
    rehearsal.hold()
    handle = client.start_nowait("a")
    rehearsal.wait_for_requests(1)
    assert handle.cancel() is True
    assert handle.cancelled() and handle.done()
    response = handle.result(0)
    assert response.error_kind == "cancelled" and response.is_error and response.possibly_billed
    assert len(response.attempts) == 1 and handle.cancel() is True
    rehearsal.wait_for_outcomes("aborted", 1)
    rehearsal.release()
    assert client.ask("b").completion == "b"
    assert client.drain(10) and client.tracker.snapshot().running == 0


def test_cancel_in_the_queue_sends_nothing(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=1) as client:
        rehearsal.hold()
        running, queued, last = (client.start_nowait(word) for word in ("running", "queued", "last"))
        rehearsal.wait_for_requests(1)
        assert queued.cancel() and queued.cancelled()
        assert not queued.result(0).possibly_billed and queued.result().attempts == ()
        rehearsal.release()
        assert running.result(5).completion == "running" and last.result(5).completion == "last"
        assert [seen.prompt for seen in rehearsal.requests] == ["running", "last"]


def test_cancel_in_the_backoff(rehearsal: RehearsalServer) -> None:
    from deluge.testing import Fault

    rehearsal.set_script([Fault("503", retry_after=60)])
    with client_of(rehearsal) as client:
        handle = client.start_nowait("a")
        rehearsal.wait_for_outcomes("faulted", 1)
        while client.status().backing_off == 0:
            time.sleep(0.001)
        assert handle.cancel() and handle.result(0).error_kind == "cancelled"
        assert [attempt.kind for attempt in handle.result().attempts] == ["overloaded"]
        assert client.drain(5)


def test_a_late_answer_is_counted_and_cached(rehearsal: RehearsalServer) -> None:
    """Cancelling one handle aborts its socket only."""
    with client_of(rehearsal) as client:
        rehearsal.hold()
        handles = [client.start_nowait(f"p{n}") for n in range(5)]
        rehearsal.wait_for_requests(5)
        assert handles[2].cancel()
        rehearsal.release()
        assert [handle.result(5).completion for handle in handles] == ["p0", "p1", None, "p3", "p4"]


# ---------------------------------------------------------------------- awaiting

def test_a_handle_can_be_awaited(client: LLMClient) -> None:
    async def one(prompt: str) -> str | None:
        return (await client.start_nowait(prompt)).completion

    async def main() -> list[str | None]:
        return list(await asyncio.gather(*(one(f"p{n}") for n in range(20))))

    assert asyncio.run(main()) == [f"p{n}" for n in range(20)]


def test_awaiting_a_handle_that_is_cancelled(rehearsal: RehearsalServer, client: LLMClient) -> None:
    async def main() -> None:
        handle = client.start_nowait("a")
        waiting = asyncio.ensure_future(_result(handle))
        await asyncio.sleep(0)
        handle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def _result(handle: ResponseFuture) -> Any:
        return await handle

    rehearsal.hold()
    asyncio.run(main())
    rehearsal.release()


def test_cancelling_the_await_cancels_the_prompt(rehearsal: RehearsalServer, client: LLMClient) -> None:
    async def main() -> None:
        handle = client.start_nowait("a")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_result(handle), 0.05)
        assert handle.result(5).error_kind == "cancelled"

    async def _result(handle: ResponseFuture) -> Any:
        return await handle

    rehearsal.hold()
    asyncio.run(main())
    rehearsal.release()


# ---------------------------------------------------------------------- many

def test_many_handles_leave_nothing_behind(client: LLMClient) -> None:
    def count() -> int:
        gc.collect()
        return sum(isinstance(item, (ResponseFuture, APIResponse)) for item in gc.get_objects())

    client.with_limits(max_concurrent_requests=50)
    before = count()
    for batch in range(8):
        handles = [client.start(f"p {batch} {n}") for n in range(250)]
        for handle in handles:
            assert not handle.result(30).is_error
    del handles, handle
    assert count() - before < 50
    book = client._book
    assert not book._open and not book._resolved


def test_the_book_forgets_the_oldest_that_nobody_takes() -> None:
    book: HandleBook[str] = HandleBook()
    condition = threading.Condition()
    for number in range(KEPT + 5):
        handle = NumberedFuture[str](number, book, condition)
        book.add(handle)
        assert handle.settle(f"answer {number}", cancelled=False)
        book.resolved(handle)
    with pytest.raises(KeyError, match="no prompt with the number 4"):
        book.find(4)
    assert book.wait(5) == "answer 5" and len(book.mine()) == KEPT - 1


def test_collected_handles_do_not_stay_in_the_book(client: LLMClient) -> None:
    """Who takes responses at once pays for none of them later, whatever the order of taking and resolving."""
    for n in range(300):
        client.start_nowait(f"p {n}").result(10)
    client.ask("barrier")
    assert len(client._book._open) == 0 and len(client._book._resolved) <= 10


def test_start_waits_for_room_and_start_nowait_does_not(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=1, max_queued=5) as client:
        rehearsal.hold()
        handles = [client.start_nowait(f"p {n}") for n in range(20)]
        started = threading.Event()
        more: list[ResponseFuture] = []

        def start() -> None:
            more.append(client.start("one more"))
            started.set()

        thread = threading.Thread(target=start)
        thread.start()
        rehearsal.wait_for_requests(1)
        assert not started.wait(0.1)
        rehearsal.release()
        assert started.wait(10)
        thread.join(10)
        assert more[0].result(10).completion == "one more"
        assert all(handle.result(10).completion for handle in handles)


def test_start_after_close_while_waiting_for_room(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_concurrent_requests=1, max_queued=1)
    rehearsal.hold()
    for n in range(4):
        client.start_nowait(f"p {n}")
    done = threading.Event()

    def start() -> None:
        client.start("waits")
        done.set()

    thread = threading.Thread(target=start)
    thread.start()
    rehearsal.wait_for_requests(1)
    client.close()
    assert done.wait(10)
    thread.join(10)
    client.close()
