"""A quota in a file: kept by several processes at once, across forks, and whatever becomes of the file."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from processes import environment
from rehearsing import client_of, our_threads

from fleet import report
from stories import Story

from deluge import ConfigError, FileQuota, Limits, LLMClient
from deluge.leasing import Leasing
from deluge.quota import Answer, QuotaUnavailable, open_quota
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@pytest.mark.parametrize("content", [b"", b"x" * 3000])
def test_a_file_that_is_not_a_quota(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "q"
    path.write_bytes(content)
    quota = FileQuota(path)
    if content:
        with pytest.raises(QuotaUnavailable, match="not a database"):
            quota.exchange([report()])
        assert path.read_bytes() == content, "what we do not know is left alone"
    else:
        assert quota.exchange([report()])[0].members == 1
    quota.close()


def test_books_that_cannot_be_read_are_a_memory_that_was_lost(tmp_path: Path) -> None:
    quota = FileQuota(tmp_path / "q")
    known = quota.exchange([report()])[0].generation
    for books in (b"{", b"[]", b'{"at": "x"}', b'{"at": 1e9, "slots": 3}'):
        with sqlite3.connect(tmp_path / "q") as connection:
            connection.execute("UPDATE deluge_quota_1 SET books = ?", (books,))
        connection.close()
        said, = quota.exchange([report(2, generation=known)])
        assert said.lost and said.generation == "life of m2"
    quota.close()


def test_a_file_that_was_removed_or_replaced_is_opened_again(tmp_path: Path) -> None:
    quota, other = FileQuota(tmp_path / "q"), FileQuota(tmp_path / "q")
    quota.exchange([report()])
    for path in tmp_path.iterdir():
        path.unlink()
    assert other.exchange([report(member="n")])[0].members == 1
    assert quota.exchange([report(2)])[0].members == 2
    quota.close()
    other.close()


@pytest.mark.slow
def test_a_file_that_is_locked_for_too_long_is_unavailable_and_then_is_not(tmp_path: Path) -> None:
    quota = FileQuota(tmp_path / "q")
    quota.exchange([report()])
    other = sqlite3.connect(tmp_path / "q", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(QuotaUnavailable, match="locked"):
        quota.exchange([report(2)])
    other.close()
    assert quota.exchange([report(2)])[0].members == 1
    quota.close()


@needs_fork
def test_many_threads_and_processes_open_it_at_once(tmp_path: Path) -> None:
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                quota = FileQuota(tmp_path / "q")
                for number in range(1, 40):
                    quota.exchange([report(number, member=f"m{child}", capacities=(1e6, -1), spent=[(10**9, 1, 2)])])
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
    quota = FileQuota(tmp_path / "q")
    used: list[Answer] = []
    threads = [threading.Thread(target=lambda: used.extend(quota.exchange([report()]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(used) == 8 and used[-1].used[0] >= 4 * 39 and used[-1].used[1] == 2 * 4 * 39
    quota.close()


# ---------------------------------------------------------------------- descriptions

def test_urls_and_back(tmp_path: Path) -> None:
    odd = tmp_path / "a b?c%d"
    quota = FileQuota(odd, name="team.a", processes=3)
    again = open_quota(quota.url)
    assert isinstance(again, FileQuota) and (again.path, again.name, again.processes) == (odd, "team.a", 3)
    assert str(odd) in repr(quota)
    copied = pickle.loads(pickle.dumps(quota))
    assert (copied.path, copied.name, copied.processes) == (odd, "team.a", 3)
    assert open_quota(f"file://{tmp_path}/q").url == f"file:{tmp_path}/q"
    assert open_quota(quota) is quota


@pytest.mark.parametrize("wrong", [
    "/tmp/q", "http://x", "file:/no/such/folder/q", "file:/tmp/q?processes=x", "file:/tmp/q?prefix=x", "file:/tmp/q?what=1",
    "file:/tmp/q?name=a/b", "file:/tmp/q?name=", "file:/tmp/q?processes=0", "file:/tmp", 7, object(),
])
def test_what_cannot_be_a_quota_is_refused_in_the_constructor(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        LLMClient("rehearsal-echo", quota=wrong)


def test_a_client_is_saved_with_its_quota(tmp_path: Path) -> None:
    client = LLMClient("rehearsal-echo", quota=FileQuota(tmp_path / "q", name="x"))
    assert client.to_dict()["quota"] == f"file:{tmp_path}/q?name=x"
    assert pickle.loads(pickle.dumps(client)).to_dict() == client.to_dict()
    with pytest.raises(ConfigError, match="belongs to all copies"):
        client.copy(quota=None)
    secret = LLMClient("rehearsal-echo", quota=f"file:{tmp_path}/q")
    assert secret.to_dict()["quota"] == f"file:{tmp_path}/q"


# ---------------------------------------------------------------------- clients

def test_two_clients_on_one_quota(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    limits: dict[str, Any] = {"max_requests_per_minute": 60, "max_tokens_per_minute": None, "quota": f"file:{tmp_path}/q"}
    with client_of(rehearsal, **limits) as first, client_of(rehearsal, **limits) as second:
        handles = [client.start_nowait(f"{n}") for n in range(60) for client in (first, second)]
        rehearsal.wait_for_requests(60)
        assert sum(handle.done() for handle in handles) <= 60
        assert first.status().capacity.remaining_requests in range(4)
        first.close()
        second.close()
    assert rehearsal.count == 60
    for thread in our_threads():  # a close does not wait for them
        thread.join(10)
    assert not our_threads()
    said = FileQuota(tmp_path / "q").exchange([report(capacities=(60, -1))])[0]
    assert said.members == 1, "who closes leaves at once"
    assert 60 <= said.used[0] - said.granted[0] <= 61


def test_the_limits_of_a_model_are_shared_too(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "quota": f"file:{tmp_path}/q", "model_limits": {"rehearsal-echo": Limits(requests_per_minute=20)}, "api_key": "s3cret",
    }
    with client_of(rehearsal, "rehearsal-echo", **settings) as first:
        with client_of(rehearsal, "rehearsal-echo", **settings) as second:
            handles = [client.start_nowait(f"{n}") for n in range(20) for client in (first, second)]
            rehearsal.wait_for_requests(20)
            assert sum(handle.done() for handle in handles) <= 20
            assert [lane.why for lane in first.limits()] == ["requests/min"]
            share = first.limits()[0].share
            assert share is not None and share.processes == 2 and not share.alone
            second.close()
        first.close()
    assert rehearsal.count == 20
    books = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"s3cret" not in books and b"rehearsal-echo" not in books


def test_cooldowns_and_what_was_learned_reach_the_others(tmp_path: Path) -> None:
    sides = []
    for _ in range(2):
        leasing = Leasing(FileQuota(tmp_path / "q"))
        story = Story(**leasing.settings({"requests_per_minute": None, "tokens_per_minute": None}))
        story.scheduler.notices = []
        story.submit(story.call(), 4)
        sides.append((leasing, story))

    def talk(leasing: Leasing, story: Story) -> None:
        bucket: Any = story.scheduler.bucket
        bucket.ask_at = story.now
        due = leasing.due(story.scheduler, story.now)
        leasing.hear(due, leasing.ask(due), story.scheduler, story.now)
        story.step()

    (_, one), (_, other) = sides
    for side in sides:
        talk(*side)
    for _ in range(3):
        one.fail("rate_limit", after=5.0)
    here, there = one.scheduler.lanes["a", "a key"], other.scheduler.lanes["a", "a key"]
    one.scheduler.tell(here, limits=Limits(requests_per_minute=500))
    assert one.now < here.health.cooling_until
    talk(*sides[0])
    talk(*sides[1])
    known = there.health.cooling_until
    assert here.health.cooling_until - 0.1 <= known <= here.health.cooling_until + 1.0, "as long, and spread"
    assert there.quota.requests_per_minute == 500
    for _ in range(3):
        talk(*sides[1])
    assert there.health.cooling_until == known, "the same news again say nothing"
    for leasing, _ in sides:
        leasing.quota.close()


@pytest.mark.slow
def test_without_its_quota_a_client_works_and_says_so_once(
    rehearsal: RehearsalServer, tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    class Away:
        url, processes = None, 2
        asked = threading.Event()

        def exchange(self, reports: Any) -> Any:
            self.asked.set()
            raise OSError("gone fishing")

        def close(self) -> None:
            pass

        def after_fork(self) -> None:
            pass

    with client_of(rehearsal, quota=Away(), max_requests_per_minute=40) as client:
        assert "quota" not in client.to_dict()
        handles = [client.start_nowait("x") for _ in range(30)]
        rehearsal.wait_for_requests(19)
        client.close()
        assert sum(not handle.result(5).is_error for handle in handles) <= 20, "half of forty"
    said = [record for record in caplog.records if record.name == "deluge.quota"]
    assert [record.levelname for record in said] == ["WARNING"] and "gone fishing" in said[0].getMessage()


def test_a_quota_that_talks_nonsense_hangs_nobody(rehearsal: RehearsalServer) -> None:
    class Nonsense:
        url, processes = None, None

        def exchange(self, reports: Any) -> Any:
            return ["what?" for _ in reports]

        def close(self) -> None:
            pass

        def after_fork(self) -> None:
            pass

    with client_of(rehearsal, quota=Nonsense(), max_requests_per_minute=40) as client:
        assert client.start_nowait("x").result(10).error_kind == "server"


@needs_fork
def test_a_client_made_before_a_fork_shares_with_its_child(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    with client_of(rehearsal, max_requests_per_minute=60, quota=f"file:{tmp_path}/q") as client:
        assert client.ask("before").completion == "before"
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                said = [r.is_error for r in client.process_prompts(["x"] * 8)]
                os.write(write, json.dumps([any(said), client._engine.scheduler.bucket.share().processes]).encode())
            finally:
                os._exit(0)
        os.close(write)
        with open(read) as pipe:
            assert json.load(pipe) == [False, 2]
        os.waitpid(pid, 0)
        assert client.ask("after").completion == "after"
        assert rehearsal.count == 10 and client.status().capacity.remaining_requests <= 50, "the child's count for both"


def test_a_script_that_ends_gives_its_lease_back(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom deluge import LLMClient\n"
        "client = LLMClient('custom', base_url=sys.argv[1], api_key='k', progress=None, quota=sys.argv[2],\n"
        "                   max_requests_per_minute=600)\n"
        "assert not any(response.is_error for response in client.process_prompts(['x'] * 9))"
    )
    subprocess.run([sys.executable, "-c", program, rehearsal.base_url, f"file:{tmp_path}/q"], env=environment(), check=True,
                   timeout=60)
    quota = FileQuota(tmp_path / "q")
    said, = quota.exchange([report(capacities=(600, -1), needs=(0, 0), head=(0, 0))])
    assert said.members == 1 and said.used[0] == 9
    quota.close()


HUNGRY = """
import sys
from deluge import LLMClient
client = LLMClient("custom", base_url=sys.argv[1], api_key="k", quota=sys.argv[2], progress=None,
                   max_requests_per_minute=float(sys.argv[3]), max_tokens_per_minute=None, limit_mode=sys.argv[4])
for response in client.map(str(n) for n in range(10**6)):
    if not response.is_error:
        print(response.started_at, flush=True)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_its_share(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HUNGRY, rehearsal.base_url, f"file:{tmp_path}/q", "240", "rolling"]
    victim = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None and victim.stdout.readline()
    victim.send_signal(signal.SIGKILL)
    victim.wait(10)
    sent = rehearsal.count
    assert sent
    with client_of(rehearsal, quota=f"file:{tmp_path}/q", max_requests_per_minute=240, max_tokens_per_minute=None) as client:
        responses = client.process_prompts(["x"] * 240, timeout=8.0)
        answered = sum(not response.is_error for response in responses)
    assert 240 - sent - 13 <= answered <= 240 - sent, "all but what it sent and a slice"
    victim.stdout.close()
