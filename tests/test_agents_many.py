"""Agents by handle, many agents on few slots, and every way to end one from outside."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import run
from rehearsing import client_of
from test_agents import ADD_AND_MUL, add, check_whole, mul, results_of

from deluge import AgentFuture, APIResponse, ClosedError, ConfigError, Conversation, Interrupted, LLMClient
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]


@pytest.fixture
def client(rehearsal: RehearsalServer) -> Iterator[LLMClient]:
    with client_of(rehearsal) as client:
        yield client


class Waiting:
    """A tool that says when it is called, and waits to be let go."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.go_on = threading.Event()

    def wait(self) -> str:
        """Waits."""
        self.called.set()
        return "late" if self.go_on.wait(20) else "never"


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    tool = Waiting()
    yield tool
    tool.go_on.set()


# ---------------------------------------------------------------------- handles

def test_handles_are_futures_with_a_number(client: LLMClient) -> None:
    talk = Conversation().user(ADD_AND_MUL % 1)
    handle = client.start_agent_loop_nowait(talk, tools=[add, mul])
    assert isinstance(handle, AgentFuture) and isinstance(handle, concurrent.futures.Future)
    assert int(handle) == handle == handle.task_id and {handle: 1}[handle.task_id] == 1  # type: ignore[index]
    done, _ = concurrent.futures.wait([handle], timeout=10)
    assert done == {handle} and "finished" in repr(handle)
    conversation, response = client.wait_for_agent_loop(int(handle))
    assert conversation is talk and response.completion == "The tool says: 3; 12" and response.id == handle.task_id
    with pytest.raises(KeyError, match="no agent with the number"):
        client.wait_for_agent_loop(int(handle))
    assert client.wait_for_agent_loop(handle) == (conversation, response) and handle.cancel() is False
    assert handle.exception() is None and not handle.cancelled()


def test_a_handle_can_be_awaited(client: LLMClient) -> None:
    async def main() -> list[Any]:
        handles = [client.start_agent_loop_nowait(ADD_AND_MUL % 2, tools=[add, mul]) for _ in range(5)]
        return list(await asyncio.gather(*handles))

    assert [response.completion for _, response in asyncio.run(main())] == ["The tool says: 3; 12"] * 5


def test_waiting_can_time_out(client: LLMClient, waiting: Waiting) -> None:
    handle = client.start_agent_loop_nowait("[[call wait]]", tools=[waiting.wait])
    with pytest.raises(concurrent.futures.TimeoutError):
        client.wait_for_agent_loop(handle, timeout=0.01)
    assert client.drain(0.01) is False
    waiting.go_on.set()
    assert handle.result(10)[1].completion == "The tool says: late" and client.drain(10)


def test_cancelling_cuts_the_request_in_flight(rehearsal: RehearsalServer, client: LLMClient) -> None:
    rehearsal.hold()
    talk = Conversation().user("hi")
    handle = client.start_agent_loop_nowait(talk, tools=[add])
    rehearsal.wait_for_requests(1)
    assert handle.cancel() is True and handle.cancelled() and handle.cancel() is True
    conversation, response = handle.result(0)
    assert response.error_kind == "cancelled" and response.possibly_billed and response.trajectory.stop_reason == "cancelled"
    assert conversation is talk and len(talk) == 1
    rehearsal.wait_for_outcomes("aborted", 1)
    rehearsal.release()
    assert client.drain(5) and client.status().running == 0
    assert client.run_agent_loop(talk)[1].completion == "hi"


def test_cancelling_leaves_running_tools_behind_and_every_call_answered(client: LLMClient, waiting: Waiting) -> None:
    talk = Conversation().user('[[call add {"a": 1, "b": 1}]] [[call wait]]')
    handle = client.start_agent_loop_nowait(talk, tools=[add, waiting.wait])
    assert waiting.called.wait(10)
    agent = client._roster._running[handle.task_id]
    while agent._open is None or not agent._open.runs:
        time.sleep(0.001)
    assert handle.cancel()
    check_whole(talk)
    done, left = results_of(talk)
    assert (done.content, left.content, left.is_error) == ("2", "cancelled", True)
    response = handle.result(0)[1]
    assert len(response.trajectory) == 1 and response.usage == client.status().usage and response.usage.input_tokens
    assert [run.result for run in response.trajectory[0].tool_runs] == [done, left]
    waiting.go_on.set()
    assert client.ask(talk.user("bye")).completion == "bye" and len(talk) == 4


def test_a_tool_may_cancel_its_own_agent(client: LLMClient) -> None:
    box: dict[str, Any] = {}
    ready = threading.Event()

    def stop() -> str:
        ready.wait(10)
        box["said"] = box["handle"].cancel()
        return "stopped"

    box["handle"] = client.start_agent_loop_nowait("[[call stop]] [[rounds 9]]", tools=[stop])
    ready.set()
    talk, response = box["handle"].result(10)
    assert response.error_kind == "cancelled"
    check_whole(talk)


def test_closing_the_client_ends_its_agents(rehearsal: RehearsalServer, waiting: Waiting) -> None:
    with client_of(rehearsal) as client:
        handles = [client.start_agent_loop_nowait("[[call wait]]", tools=[waiting.wait]) for _ in range(3)]
        assert waiting.called.wait(10)
        client.close()
        for handle in handles:
            talk, response = handle.result(1)
            assert (response.error_kind, response.error_message) == ("cancelled", "the client was closed")
            check_whole(talk)
        assert client.run_agent_loop("again")[1].completion == "again"
    with pytest.raises(ClosedError):
        client.run_agent_loop("x")


def test_the_postprocess_hook_has_its_turn_on_a_cancelled_agent_too(rehearsal: RehearsalServer, waiting: Waiting) -> None:
    seen: list[Any] = []
    with client_of(rehearsal, postprocess=lambda response: seen.append(response.error_kind)) as client:
        handle = client.start_agent_loop_nowait("[[call wait]]", tools=[waiting.wait])
        assert waiting.called.wait(10) and handle.cancel()
        assert client.ask("barrier").completion == "barrier" and seen == ["cancelled", None]


def test_a_hook_cannot_wait_for_an_agent(rehearsal: RehearsalServer) -> None:
    errors: list[str] = []
    started: list[AgentFuture] = []

    def hook(response: APIResponse) -> None:
        if not started:
            started.append(client.start_agent_loop_nowait("inner"))
            for wait in (lambda: client.run_agent_loop("x"), lambda: client.process_agent_loops(["x"]), started[0].result):
                try:
                    wait()  # type: ignore[operator]
                except RuntimeError as error:
                    errors.append(str(error))

    with client_of(rehearsal, postprocess=hook) as client:
        client.ask("outer")
        assert started[0].result(10)[1].completion == "inner"
        assert len(errors) == 3 and all("deluge hook" in words for words in errors)


# ---------------------------------------------------------------------- time

def test_the_timeout_is_for_the_whole_loop(rehearsal: RehearsalServer, client: LLMClient, waiting: Waiting) -> None:
    began = time.monotonic()
    talk, response = client.run_agent_loop("[[call wait]]", tools=[waiting.wait], timeout=0.1)
    assert (response.error_kind, response.error_message) == ("cancelled", "the call's timeout has passed")
    assert response.trajectory.stop_reason == "cancelled" and len(response.trajectory) == 1
    check_whole(talk)
    rehearsal.hold()
    talk, response = client.run_agent_loop("hi", timeout=0.1)
    rehearsal.release()
    assert response.error_kind == "cancelled" and response.possibly_billed and time.monotonic() - began < 5
    pairs = client.process_agent_loops(["[[call wait]]"] * 5, tools=[waiting.wait], timeout=0.1, max_concurrent_agents=2)
    assert [response.error_kind for _, response in pairs] == ["cancelled"] * 5 and client.drain(5)


# ---------------------------------------------------------------------- many

def test_fifty_agents_on_two_slots(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=2) as client:
        def delegate(n: int) -> str | None:
            return client.ask(f"inner {n}").completion

        prompts = (f'[[call delegate {{"n": {n}}}]] [[call add {{"a": {n}, "b": 1}}]] [[rounds 3]]' for n in range(50))
        pairs = client.process_agent_loops(prompts, tools=[delegate, add], max_concurrent_agents=50)
        assert [response.completion for _, response in pairs] == [f"The tool says: inner {n}; {n + 1}" for n in range(50)]
        assert [response.index for _, response in pairs] == list(range(50))
        for talk, response in pairs:
            check_whole(talk)
            assert len(response.trajectory) == 4
        status = client.status()
        assert status.requests_sent == 50 * (4 + 3) == status.succeeded and status.running == 0


def test_at_most_so_many_at_a_time_from_a_lazy_input(client: LLMClient) -> None:
    lock, running, most, pulled = threading.Lock(), [0], [0], [0]

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            assert pulled[0] - done[0] <= 5
        with lock:
            running[0] -= 1

    done = [0]

    def prompts() -> Iterator[str]:
        for n in range(20):
            pulled[0] += 1
            yield f"[[call work]] {n}"

    def count(talk: Conversation, response: APIResponse, number: int) -> None:
        with lock:
            done[0] += response.finish_reason == "stop"

    pairs = client.process_agent_loops(prompts(), tools=[work], max_concurrent_agents=4, on_round_complete=count)
    assert len(pairs) == 20 and 1 <= most[0] <= 4
    assert not any(result.is_error for talk, _ in pairs for result in results_of(talk))


def test_each_agent_has_a_conversation_of_its_own(client: LLMClient) -> None:
    talk = Conversation().user(ADD_AND_MUL % 1)
    pairs = client.process_agent_loops([talk] * 5, tools=[add, mul])
    assert len(talk) == 1 and all(len(own) == 4 for own, _ in pairs)
    assert client.process_agent_loops([]) == [] and len(client.process_agent_loops("one")) == 1


def test_a_prompt_that_is_none_is_said_with_its_place(rehearsal: RehearsalServer, client: LLMClient) -> None:
    with pytest.raises(ConfigError, match="prompt 2"):
        client.process_agent_loops(["a", "b", 3], tools=[add])
    assert client.drain(5) and not client._roster._running


def test_what_is_finished_keeps_nothing_but_its_result(rehearsal: RehearsalServer, client: LLMClient) -> None:
    rehearsal.hold()
    handle = client.start_agent_loop_nowait("hi", tools=(tool for tool in [add, mul]))
    agent = weakref.ref(client._roster._running[handle.task_id])
    rehearsal.release()
    assert handle.result(10)[1].completion == "hi" and client.drain(5)
    assert client.ask("one more").completion == "one more"  # the courier lets go of the last response
    gc.collect()
    assert agent() is None and handle.cancel() is False


def test_tools_may_come_from_a_generator(rehearsal: RehearsalServer, client: LLMClient) -> None:
    talk, response = client.run_agent_loop("[[call add]] [[rounds 9]]", tools=(tool for tool in [add]), max_rounds=2)
    assert len(rehearsal.requests[-1].body["tools"]) == 1 and response.trajectory.stop_reason == "answer"


def test_a_failing_agent_does_not_touch_the_others(client: LLMClient) -> None:
    pairs = client.process_agent_loops(["a", "[[fault 400]]", "c"], tools=[add])
    assert [response.completion or response.error_kind for _, response in pairs] == ["a", "bad_request", "c"]


def test_an_agent_beside_a_bulk_does_not_wait_for_its_end(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=1) as client:
        bulk = [client.start_nowait(f"[[latency 0.02]] {n}") for n in range(60)]
        _, response = client.run_agent_loop(ADD_AND_MUL % 2, tools=[add, mul])
        waiting = sum(not handle.done() for handle in bulk)
        assert len(response.trajectory) == 3 and waiting > 20
        for handle in bulk:
            handle.cancel()


# ---------------------------------------------------------------------- Ctrl-C and forks

def test_ctrl_c_ends_the_agent_and_keeps_the_conversation(client: LLMClient, waiting: Waiting) -> None:
    def interrupt() -> str:
        signal.raise_signal(signal.SIGINT)
        return "x"

    talk = Conversation().user("[[call interrupt]] [[call wait]]")
    with pytest.raises(Interrupted) as caught:
        client.run_agent_loop(talk, tools=[interrupt, waiting.wait])
    (response,) = caught.value.responses
    assert response.error_kind == "cancelled" and len(response.trajectory) == 1
    check_whole(talk)
    assert len(talk) == 3 and client.drain(5)
    assert client.ask(talk.user("bye")).completion == "bye"


def test_ctrl_c_among_many_keeps_what_is_finished(client: LLMClient, waiting: Waiting) -> None:
    def interrupt() -> str:
        waiting.called.wait(10)
        signal.raise_signal(signal.SIGINT)
        return waiting.wait()

    def first_one_done(talk: Conversation, response: APIResponse, number: int) -> None:
        if response.completion == "quick":
            quick.set()

    quick = threading.Event()
    prompts = ["quick", "[[call wait]]", "[[call interrupt]]"]
    with pytest.raises(Interrupted, match="of 3 agents finished") as caught:
        client.process_agent_loops(prompts, tools=[waiting.wait, interrupt], on_round_complete=first_one_done)
    assert quick.wait(5)
    first, *others = caught.value.responses
    assert others == [None, None] and (first is None or first[1].completion == "quick") and client.drain(5)


FORK = """
import os, sys, threading
from deluge import LLMClient
from deluge.testing import RehearsalServer

called, go_on = threading.Event(), threading.Event()

def wait() -> str:
    called.set()
    go_on.wait(20)
    return "done"

with RehearsalServer(latency=0.0) as server:
    client = LLMClient("rehearsed", base_url=server.base_url, progress=None)
    handle = client.start_agent_loop_nowait("[[call wait]]", tools=[wait])
    called.wait(10)
    child = os.fork()
    if child == 0:
        talk, response = handle.result(5)
        right = response.error_kind == "cancelled" and "forked" in response.error_message and talk.messages[-1].tool_results
        go_on.set()
        again = client.run_agent_loop("[[call wait]] again", tools=[wait])[1]
        os._exit(0 if right and again.completion == "The tool says: done" else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    go_on.set()
    assert handle.result(10)[1].completion == "The tool says: done"
    client.close()
    sys.exit(code)
"""


@pytest.mark.slow
def test_after_a_fork_the_handles_end_in_the_child(tmp_path: Path) -> None:
    script = tmp_path / "fork.py"
    script.write_text(FORK)
    done = run(sys.executable, "-W", "ignore::DeprecationWarning", script, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
