"""Workers: how many are started for which work, that they are all accounted for, and that they leave."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import tenacity
from processes import run
from rehearsing import client_of, our_threads

from deluge.crew import LONG, SHORT, SOON, Crew, Job
from deluge.lanes import NEVER
from deluge.lobby import available
from deluge.testing import RehearsalServer, rehearsal

pytestmark = pytest.mark.slow

__all__ = ["rehearsal"]

CROWDS = [NEVER, 4, 0] if available() else [NEVER]


def jobs(count: int) -> list[Job]:
    return [(object(), None)] * count  # type: ignore[list-item]


def test_workers_are_ordered_for_work_that_nobody_is_free_for() -> None:
    crew = Crew()
    crew.assign(jobs(3), 0.0)
    assert (crew.wanted, crew.free, crew.ordered(), crew.workers, crew.short_at) == (3, 0, 3, 3, NEVER)
    crew.free += 2  # two are back
    crew.assign(jobs(3), 0.0)
    assert (crew.free, crew.ordered(), crew.workers) == (0, 1, 4)


def test_beyond_a_few_dozen_the_work_has_to_wait_a_little_first() -> None:
    crew = Crew()
    crew.assign(jobs(200), 0.0)
    assert (crew.ordered(), crew.free, crew.short_at) == (SOON, SOON - 200, SHORT)
    crew.relieve(SHORT / 2)
    assert crew.ordered() == 0
    crew.relieve(LONG + SHORT)
    assert (crew.ordered(), crew.free) == (SOON, 2 * SOON - 200)
    crew.relieve(crew.short_at)
    assert (crew.workers + crew.wanted, crew.free, crew.short_at) == (200, 0, NEVER)


def test_without_a_lobby_every_attempt_gets_its_worker_at_once() -> None:
    crew = Crew(1_000)
    crew.assign(jobs(200), 0.0)
    assert (crew.ordered(), crew.free) == (200, 0)


def test_dismissing_gives_back_what_nobody_has_begun_and_one_word_for_each_worker() -> None:
    crew = Crew()
    todo = jobs(5)
    crew.assign(todo, 0.0)
    crew.ordered()
    assert crew.dismiss() == todo
    assert [crew.jobs.get_nowait() for _ in range(5)] == [None] * 5 and crew.jobs.empty()
    done: list[int] = []
    crew.start(3, lambda: done.append(1))  # too late, and no error


@pytest.mark.parametrize("crowd", CROWDS)
def test_every_worker_is_free_again(rehearsal: RehearsalServer, crowd: float) -> None:
    with client_of(rehearsal, max_concurrent_requests=30, max_attempts=9) as client:
        engine = client._engine
        engine.crowd = crowd
        rehearsal.set_script(["500", None, "reset", None] * 20)
        answers = client.process_prompts([f"p {n}" for n in range(120)])
        assert not any(answer.is_error for answer in answers)
        assert client.drain(5)
        limit = time.monotonic() + 5
        while engine._crew.free != engine._crew.workers and time.monotonic() < limit:
            threading.Event().wait(0.01)
        crew = engine._crew
        assert (crew.free, crew.wanted, crew.jobs.qsize()) == (crew.workers, 0, 0)


@pytest.mark.parametrize("crowd", CROWDS)
def test_workers_of_before_and_after_a_rest_do_not_mix(rehearsal: RehearsalServer, crowd: float) -> None:
    """However closing and opening interleave with starting threads, every thread ends."""
    others = our_threads()
    client = client_of(rehearsal, max_concurrent_requests=8)
    client._engine.crowd = crowd
    stop = threading.Event()

    def close() -> None:
        while not stop.wait(0.002):
            client.close()

    closers = [threading.Thread(target=close) for _ in range(2)]
    for closer in closers:
        closer.start()
    try:
        for turn in range(60):
            for answer in client.process_prompts([f"{turn} {n}" for n in range(12)]):
                assert answer.error_kind in (None, "cancelled")
    finally:
        stop.set()
        for closer in closers:
            closer.join(10)
    answers = client.process_prompts([f"p {n}" for n in range(40)])
    assert not any(answer.is_error for answer in answers)
    assert client.drain(5) and client.status().running == 0
    client.close()
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("deluge-")]:
        if thread not in others and "rehearsal" not in thread.name:
            thread.join(5)
            assert not thread.is_alive(), thread


def test_a_strategy_that_takes_its_time_stops_nobody_else(rehearsal: RehearsalServer) -> None:
    """Failures are judged by workers, never by the thread that waits for all replies."""
    go_on = threading.Event()
    judging = threading.Event()

    def wait(state: Any) -> float:
        judging.set()
        go_on.wait(10)
        return 0.0

    with client_of(rehearsal, max_concurrent_requests=8, retry=tenacity.Retrying(wait=wait)) as client:
        client._engine.crowd = 0 if available() else NEVER
        bad = client.start_nowait("[[fault 500 x1]] bad")
        assert judging.wait(10)
        assert client.process_prompts([f"p {n}" for n in range(50)])[-1].completion == "p 49"
        assert not bad.done()
        go_on.set()
        assert not bad.result(10).is_error


def test_an_exiting_interpreter_ends_the_calls_of_threads_that_it_would_wait_for(tmp_path: Path) -> None:
    program = """
import sys, threading
from deluge import LLMClient
from deluge.testing import RehearsalServer

server = RehearsalServer(script=["hang"] * 400).start()
client = LLMClient("m", base_url=server.base_url, progress=None, max_concurrent_requests=int(sys.argv[1]))

def call():
    print({answer.error_kind for answer in client.process_prompts(["a"] * 60)})

client.start_nowait("first")
thread = threading.Thread(target=call)
thread.start()
server.wait_for_requests(min(61, int(sys.argv[1])))
"""
    for slots in ("3", "100"):
        done = run(sys.executable, "-c", program, slots, cwd=tmp_path, timeout=30)
        assert done.returncode == 0 and ("cancelled" in done.stdout or "ClosedError" in done.stderr), done
