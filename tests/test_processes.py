"""Forks, pickles, signals and the end of the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rehearsing import client_of, our_threads

from deluge import Interrupted, LLMClient
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]

ROOT = Path(__file__).parents[1]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def in_child(work: Any) -> str:
    """What ``work()`` returns in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            try:
                text = str(work())
            except BaseException as error:
                text = f"{type(error).__name__}: {error}"
            os.write(write, text.encode()[:60_000])
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(pid, 0)
    return said


def run(program: str, *arguments: str, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=timeout,
                          env=environment)


# ---------------------------------------------------------------------- fork

@needs_fork
def test_a_client_made_before_a_fork_works_on_both_sides(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        assert in_child(lambda: client.ask("unused before").completion) == "unused before"
        client.process_prompts([f"p {n}" for n in range(30)])
        prompts = [f"child {n}" for n in range(30)]
        assert in_child(lambda: client.process_prompts(prompts, return_completions_only=True) == prompts) == "True"
        assert client.process_prompts(["parent"], return_completions_only=True) == ["parent"]
        assert in_child(lambda: client.start("again").result(10).completion) == "again"


@needs_fork
def test_a_fork_with_requests_in_flight(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=20) as client:
        rehearsal.hold()
        handles = [client.start_nowait(f"p {n}") for n in range(40)]
        called: list[Any] = []
        handles[0].add_done_callback(called.append)
        rehearsal.wait_for_requests(20)

        def child() -> Any:
            lost = {handle.result(5).error_kind for handle in handles}
            running = client.status().running
            mine = client.start_nowait("child")
            new = int(mine) not in {int(handle) for handle in handles}
            return lost, running, len(called), new, client.wait_for_all([handles[3]])[0].is_error

        assert in_child(child) == str(({"cancelled"}, 0, 0, True, True))
        assert not any(handle.done() for handle in handles)
        rehearsal.release()
        assert [handle.result(10).completion for handle in handles] == [f"p {n}" for n in range(40)]
        assert len(called) == 1


@needs_fork
def test_a_fork_while_other_threads_call(rehearsal: RehearsalServer) -> None:
    import threading

    with client_of(rehearsal) as client:
        stop = threading.Event()

        def busy() -> None:
            while not stop.is_set():
                client.process_prompts(["a", "b", "c"])

        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()

        def child() -> Any:
            return client.process_prompts(["x", "y"], return_completions_only=True, timeout=20)

        said = [in_child(child) for _ in range(8)]
        stop.set()
        for thread in threads:
            thread.join(20)
        assert said == ["['x', 'y']"] * 8


UNTOLD = """
import ctypes, os, sys
from deluge import FileQuota, LLMClient
url, path = sys.argv[1:]
quota = FileQuota(path)
client = LLMClient("m", base_url=url, progress=None, max_requests_per_minute=600, quota=quota)
leasing = client._engine._leasing
before = leasing._member
child = ctypes.PyDLL(None).fork()
said = client.ask("child" if child == 0 else "parent").completion
if child == 0:
    os._exit(0 if said == "child" and leasing._member != before else 1)
print(said, leasing._member == before, os.waitpid(child, 0)[1])
client.close()
quota.close()
"""


@needs_fork
def test_a_fork_that_python_was_not_told_of(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    """uWSGI forks so. The child must not take itself for the parent, who has its part of the quota.

    In a process of its own: Python 3.13 crashes in such a child when other tests have left threads in the parent.
    """
    done = run(UNTOLD, rehearsal.base_url, str(tmp_path / "quota"))
    assert (done.stdout, done.returncode) == ("parent True 0\n", 0), done.stderr


@needs_fork
def test_the_embedded_provider_after_a_fork() -> None:
    with LLMClient("rehearsal-echo", progress=None) as client:
        assert client.ask("a").completion == "a"
        assert in_child(lambda: client.ask("b").completion) == "b"
        assert client.ask("c").completion == "c"


@needs_fork
def test_a_pool_of_forked_processes(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        client.ask("warm")
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(_ask, [(client, f"p {n}") for n in range(6)]) == [f"p {n}" for n in range(6)]


def test_a_spawned_process(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    program = """
import multiprocessing, sys
from deluge import LLMClient
def ask(job):
    client, prompt = job
    return client.ask(prompt).completion
if __name__ == "__main__":
    client = LLMClient("m", base_url=sys.argv[1], progress=None)
    client.ask("warm")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(ask, [(client, "a"), (client, "b")]))
    client.close()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    path = tmp_path / "spawned.py"
    path.write_text(program)
    ran = subprocess.run([sys.executable, str(path), rehearsal.base_url], capture_output=True, text=True, timeout=60,
                         env=environment)
    assert ran.stdout.strip() == "['a', 'b']", ran.stderr


def _ask(job: tuple[LLMClient, str]) -> str | None:
    client, prompt = job
    return client.ask(prompt).completion


def test_responses_pickle(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        for answer in client.process_prompts(["a", "[[fault 400]]"]):
            again = pickle.loads(pickle.dumps(answer))
            assert (again.completion, again.error_kind, again.usage) == (answer.completion, answer.error_kind, answer.usage)
            assert again.attempts == answer.attempts
            if answer.is_error:
                assert type(pickle.loads(pickle.dumps(answer.error))) is type(answer.error)


# ---------------------------------------------------------------------- import and exit

def test_no_thread_at_import_or_in_the_constructor() -> None:
    program = """
import threading
import deluge
client = deluge.LLMClient("gpt-4.1-mini"); client.to_dict(); repr(client); client.copy(temperature=0)
client.with_model("gpt-4.1")
client.process_prompts([]); client.close()
print(threading.active_count())
"""
    assert run(program).stdout.strip() == "1"


@pytest.mark.parametrize("count", [1, 40])
def test_an_exiting_interpreter_never_waits(rehearsal: RehearsalServer, count: int) -> None:
    program = f"""
import sys, time
from deluge import LLMClient
client = LLMClient("m", base_url=sys.argv[1], progress=None, max_requests_per_minute=None, max_tokens_per_minute=None)
handles = [client.start_nowait(f"[[latency 60]] {{n}}") for n in range({count})]
print("started", flush=True)
sys.stdin.readline()
"""
    process = subprocess.Popen([sys.executable, "-c", program, rehearsal.base_url], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    rehearsal.wait_for_requests(count)
    began = time.monotonic()
    out, err = process.communicate("go\n", timeout=20)
    assert time.monotonic() - began < 3 and process.returncode == 0 and err == "", err


def test_an_exception_at_the_top_ends_the_program(rehearsal: RehearsalServer) -> None:
    program = """
import sys
from deluge import LLMClient
client = LLMClient("m", base_url=sys.argv[1], progress=None)
for response in client.map((f"[[latency {0 if n == 0 else 60}]] {n}" for n in range(100))):
    1 / 0
"""
    ran = run(program, rehearsal.base_url, timeout=20)
    assert ran.returncode == 1 and ran.stderr.strip().endswith("ZeroDivisionError: division by zero")


# ---------------------------------------------------------------------- Ctrl-C

INTERRUPTED = """
import sys, threading, time
from deluge import Interrupted, LLMClient
client = LLMClient("m", base_url=sys.argv[1], progress=None, max_requests_per_minute=None, max_tokens_per_minute=None,
                   max_concurrent_requests=20)
other = client.start_nowait("[[latency 1.5]] other")
try:
    client.process_prompts([f"quick {n}" for n in range(5)] + [f"[[latency 60]] {n}" for n in range(30)])
except Interrupted as interrupted:
    began = time.monotonic()
    assert isinstance(interrupted, KeyboardInterrupt)
    got = interrupted.responses
    print([r.completion for r in got[:5]], set(got[5:]), len(got), flush=True)
    print(other.result(10).completion is not None, client.ask("after").completion, flush=True)
try:
    client.process_prompts(["[[latency 60]] second"])
except KeyboardInterrupt:
    print("second", client.ask("third").completion, flush=True)
client.close()
"""


def test_ctrl_c_keeps_what_is_paid_and_leaves_the_others_alone(rehearsal: RehearsalServer) -> None:
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, rehearsal.base_url], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    rehearsal.wait_for_requests(25)
    rehearsal.wait_for_outcomes("answered", 5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    first = process.stdout.readline()
    assert time.monotonic() - began < 1.5
    assert first.strip() == "['quick 0', 'quick 1', 'quick 2', 'quick 3', 'quick 4'] {None} 35"
    assert process.stdout.readline().strip() == "True after"
    rehearsal.wait_for(lambda: any("second" in seen.prompt for seen in rehearsal.requests))
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().strip() == "second third"
    assert time.monotonic() - began < 1.5
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0 and err == ""


def test_no_ctrl_c_is_lost_while_threads_are_busy(rehearsal: RehearsalServer) -> None:
    """The signal comes when the requests go out: right before the main thread begins to wait, as often as not."""
    program = """
import sys
from deluge import LLMClient
client = LLMClient("m", base_url=sys.argv[1], progress=None, max_requests_per_minute=None, max_tokens_per_minute=None)
for number in range(12):
    try:
        client.process_prompts([f"[[latency 60]] {number} {n}" for n in range(30)])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
client.close()
"""
    process = subprocess.Popen([sys.executable, "-c", program, rehearsal.base_url], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    for number in range(12):
        rehearsal.wait_for(lambda: any(f" {number} " in seen.prompt for seen in rehearsal.requests))
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline().strip() == "interrupted" and time.monotonic() - began < 2
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0 and err == ""


def test_ctrl_c_twice_in_a_row_ends_at_once(rehearsal: RehearsalServer) -> None:
    program = """
import sys
from deluge import LLMClient
client = LLMClient("m", base_url=sys.argv[1], progress=None)
client.process_prompts(["[[latency 60]]"] * 10)
"""
    process = subprocess.Popen([sys.executable, "-c", program, rehearsal.base_url], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    rehearsal.wait_for_requests(10)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 3 and process.returncode in (-signal.SIGINT, 130, 1) and "Interrupt" in err


def test_interrupted_in_this_process(rehearsal: RehearsalServer) -> None:
    """The signal comes in the middle of the wait; nothing of the call is left."""
    def prompts() -> Any:
        yield "a"
        yield "b"
        rehearsal.wait_for_outcomes("answered", 0)
        raise KeyboardInterrupt

    with client_of(rehearsal) as client:
        with pytest.raises(Interrupted) as caught:
            client.process_prompts(prompts())
        assert len(caught.value.responses) <= 2
        assert client.drain(5) and client.ask("after").completion == "after"
    del caught


TWO_AT_ONCE = """
import threading
from deluge import LLMClient, lifecycle

class Slow:
    def __init__(self):
        self.begun, self.go_on, self.count = threading.Event(), threading.Event(), 0

    def after_fork(self):
        self.count += 1
        self.begun.set()
        assert self.go_on.wait(10)

client, slow, done = LLMClient("rehearsal-echo"), Slow(), []
lifecycle.clients.add(slow)
lifecycle._made_for = (0, None)  # as after a fork that Python was not told of
threads = [threading.Thread(target=lambda: (lifecycle.fit_in(), done.append(slow.count))) for _ in range(4)]
threads[0].start()
assert slow.begun.wait(10)
for thread in threads[1:]:
    thread.start()
threads[1].join(0.2)
assert not done, "nobody passes before all is made anew"
slow.go_on.set()
for thread in threads:
    thread.join(10)
print(done, client.ask("x").completion)
client.close()
"""


def test_threads_of_a_new_worker_wait_until_all_is_made_anew() -> None:
    done = run(TWO_AT_ONCE)
    assert done.stdout == "[1, 1, 1, 1] x\n", done.stderr


def test_threads_of_a_closed_client_are_gone(rehearsal: RehearsalServer) -> None:
    others = our_threads()
    with client_of(rehearsal) as client:
        client.process_prompts([f"p {n}" for n in range(50)])
        mine = [thread for thread in our_threads() if thread not in others]
    for thread in mine:
        thread.join(5)
        assert not thread.is_alive()
