"""Response caches: bounds, time to live, threads, processes, forks, and files that are no caches."""

from __future__ import annotations

import dbm.dumb
import os
import pickle
import re
import shelve
import signal
import sqlite3
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from processes import run
from rehearsing import client_of

from deluge import APIResponse, Attempt, ConfigError, Conversation, Message, SamplingParams, Text, Thinking, ToolCall, Usage
from deluge.caches import CacheStats, MappingCache, MemoryCache, SQLiteCache
from deluge.caches.sqlite import NOTE_EVERY
from deluge.cli import main
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]

PROMPT = Conversation().user("hello").freeze()


def answer(text: str = "hi", **more: Any) -> APIResponse:
    return APIResponse(
        content=Message("assistant", (Thinking("hm", signature="s", provider="anthropic"), Text(text),
                                      ToolCall("c", "f", {"x": [1, None]}))),
        usage=Usage(3, 4, cache_read_tokens=5), cost=0.25, model_internal="m", finish_reason="stop", status_code=200,
        sampling_params=SamplingParams(temperature=0.2), prompt=PROMPT, metadata={"secret": 1},
        attempts=(Attempt("m", 200, usage=Usage(3, 4)),), logprobs=[{"token": "a"}], **more,
    )


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def caches(tmp_path: Path) -> list[Any]:
    return [MemoryCache(), SQLiteCache(tmp_path / "a.db"), MappingCache({})]


def test_what_is_kept_comes_back_whole(tmp_path: Path) -> None:
    for cache in caches(tmp_path):
        assert cache.get(PROMPT) is None and cache
        cache.put(PROMPT, answer())
        found = cache.get(PROMPT)
        assert found.content == answer().content and found.thinking == "hm"
        assert found.tool_calls[0].arguments == {"x": [1, None]}
        assert found.usage == Usage(3, 4, cache_read_tokens=5) and found.cost == 0.25 and found.logprobs == [{"token": "a"}]
        assert found.prompt is None and found.metadata is None and found.attempts == ()
        assert found.sampling_params == SamplingParams(temperature=0.2)
        assert cache.get(PROMPT.keyed("another")) is None


def test_a_response_survives_its_log() -> None:
    whole = answer(id=7, index=3, started_at=1.5)
    back = APIResponse.from_log(whole.to_log())
    assert back.to_log() == whole.to_log() and back.attempts == whole.attempts
    assert back.prompt.fingerprint == PROMPT.fingerprint
    assert whole.to_dict()["completion"] == "hi" and whole.to_dict()["id"] == 7
    with pytest.raises(ConfigError, match="another version"):
        APIResponse.from_log({"log": 99})


def test_memory_forgets_what_was_used_longest_ago_and_what_is_old() -> None:
    clock = Clock()
    cache = MemoryCache(2, ttl=10.0, clock=clock)
    for key in "ab":
        cache.put(PROMPT.keyed(key), answer(key))
    assert cache.get(PROMPT.keyed("a")).completion == "a"
    cache.put(PROMPT.keyed("c"), answer("c"))
    assert cache.get(PROMPT.keyed("b")) is None and len(cache) == 2
    clock.now += 10.0
    assert cache.get(PROMPT.keyed("a")) is None and cache.stats() == CacheStats(1, 1, 2)
    assert cache.clear() == 1 and len(cache) == 0
    for wrong in ({"max_entries": 0}, {"ttl": 0}):
        with pytest.raises(ConfigError):
            MemoryCache(**wrong)


def test_sqlite_has_a_size_and_a_time_to_live(tmp_path: Path) -> None:
    clock = Clock()
    cache = SQLiteCache(tmp_path / "a.db", ttl=100.0, max_bytes=20_000, clock=clock)
    for number in range(40):
        clock.now += 1.0
        cache.put(PROMPT.keyed(f"k{number}"), answer("x" * 1_000))
    size = cache.stats().bytes
    assert size is not None and 10_000 < size <= 20_000
    kept = [number for number in range(40) if cache.get(PROMPT.keyed(f"k{number}")) is not None]
    assert kept == list(range(40 - len(kept), 40)), "the oldest went first"
    stats = cache.stats()
    assert stats.hits == len(kept) and stats.misses == 40 - len(kept)
    clock.now += 100.0
    assert cache.get(PROMPT.keyed("k39")) is None
    assert cache.clear(older_than=50.0) == stats.entries and cache.stats().bytes == 0
    cache.close()
    with pytest.raises(ConfigError):
        SQLiteCache(tmp_path / "b.db", ttl=-1)


def test_two_caches_of_one_file_are_one(tmp_path: Path) -> None:
    first, second = SQLiteCache(tmp_path / "a.db"), SQLiteCache(tmp_path / "a.db")
    first.put(PROMPT, answer("one"))
    assert second.get(PROMPT).completion == "one"
    second.put(PROMPT, answer("two"))
    assert first.get(PROMPT).completion == "two" and len(first) == 1
    again = pickle.loads(pickle.dumps(second))
    assert again.get(PROMPT).completion == "two"
    for cache in (first, second, again):
        cache.close()


def test_hits_that_cannot_be_counted_cost_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.db"
    cache = SQLiteCache(path)
    cache.put(PROMPT, answer("kept"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("DROP TABLE totals")
    for _ in range(NOTE_EVERY + 1):
        found = cache.get(PROMPT)
        assert found is not None and found.completion == "kept"
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["the hits of a cache could not be counted"]
    other.execute("BEGIN IMMEDIATE")  # nobody is left in the middle of a transaction
    other.execute("ROLLBACK")
    other.close()
    cache.close()
    assert len(caplog.records) == 2


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database " * 1_000)
    with pytest.raises(ConfigError, match="is no cache"):
        SQLiteCache(text).get(PROMPT)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE users (name)")
    other.commit()
    other.close()
    with pytest.raises(ConfigError, match="something else"):
        SQLiteCache(tmp_path / "other.db").put(PROMPT, answer())
    with pytest.raises(ConfigError, match="cannot be opened"):
        SQLiteCache(tmp_path / "nowhere" / "a.db").get(PROMPT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_connections_of_its_own(tmp_path: Path) -> None:
    cache = SQLiteCache(tmp_path / "a.db")
    cache.put(PROMPT, answer("parent"))
    child = os.fork()
    if child == 0:
        try:
            cache.put(PROMPT.keyed("child"), answer("child"))
            os._exit(0 if cache.get(PROMPT).completion == "parent" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.get(PROMPT.keyed("child")).completion == "child"
    cache.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_never_waits_for_a_lock_of_its_parents() -> None:
    cache = MemoryCache()
    cache.put(PROMPT, answer("parent"))
    with cache._lock:  # as another thread may hold it
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(10)  # kills whoever waits for ever
                found = cache.get(PROMPT)
                cache.put(PROMPT, answer("child"))
                os._exit(0 if found is not None and found.completion == "parent" else 1)
            finally:
                os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_any_store_with_items_will_do(tmp_path: Path, rehearsal: RehearsalServer) -> None:
    # Not shelve.open: from Python 3.13 on it may be SQLite, bound to the thread that opened it.
    with shelve.Shelf(dbm.dumb.open(str(tmp_path / "shelf"))) as shelf, client_of(rehearsal, cache=shelf) as client:
        assert [client.ask("hello").source for _ in range(2)] == ["api", "cache"]
    store: dict[str, Any] = {}
    with client_of(rehearsal, cache=store) as client:
        assert [client.ask("hello").source for _ in range(2)] == ["api", "cache"]
    assert len(store) == 1 and next(iter(store)).startswith("deluge:")


def test_a_run_with_a_cache_spends_nothing_twice(
    tmp_path: Path, rehearsal: RehearsalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text("one\ntwo\nthree\n")
    command = ["run", str(rows), "-m", "m", "--base-url", rehearsal.base_url, "--cache", str(tmp_path / "c.db"), "-q", "-o"]
    assert main([*command, str(tmp_path / "first.jsonl")]) == 0
    assert main([*command, str(tmp_path / "second.jsonl")]) == 0
    assert rehearsal.count == 3
    capsys.readouterr()
    assert main(["cache", "stats", str(tmp_path / "c.db")]) == 0
    assert re.fullmatch(r"3 answers, 0.0 MB, 3 hits \(50 % of 6\)\n", capsys.readouterr().out)
    assert main(["cache", "clear", str(tmp_path / "c.db"), "--older-than", "1"]) == 0
    assert main(["cache", "clear", str(tmp_path / "c.db")]) == 0 and "3 answers forgotten" in capsys.readouterr().err
    assert main(["cache", "stats", str(tmp_path / "none.db")]) == 2
    with sqlite3.connect(tmp_path / "odd.db") as odd:
        odd.execute("PRAGMA user_version = 1")
        odd.execute("CREATE TABLE other (x)")
    odd.close()
    for action in ("stats", "clear"):
        assert main(["cache", action, str(tmp_path / "odd.db")]) == 2
        assert "odd.db cannot be used: no such table: answers" in capsys.readouterr().err


MANY = """
import sys, threading
from deluge import APIResponse, Conversation, Message, Text
from deluge.caches import SQLiteCache
path, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cache, errors = SQLiteCache(path, max_bytes=200_000), []
def work(number):
    try:
        for turn in range(count):
            prompt = Conversation().user("x").freeze().keyed(f"k{(seed * 7 + number * 3 + turn) % 97}")
            found = cache.get(prompt)
            if found is None:
                cache.put(prompt, APIResponse(content=Message("assistant", (Text(prompt.fingerprint),))))
            elif found.completion != prompt.fingerprint:
                errors.append(found.completion)
    except Exception as error:
        errors.append(repr(error))
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
cache.close()
sys.exit(repr(errors) if errors else 0)
"""


def hammer(path: Path, processes: int, count: int) -> None:
    failures: list[str] = []

    def one(seed: int) -> None:
        done = run(sys.executable, "-c", MANY, path, str(seed), str(count), cwd=path.parent, timeout=240)
        if done.returncode:
            failures.append(done.stderr[-500:])

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with SQLiteCache(path) as cache:
        stats = cache.stats()
        assert stats.hits + stats.misses == processes * 4 * count and stats.entries <= 97


def test_processes_and_threads_share_a_file(tmp_path: Path) -> None:
    hammer(tmp_path / "a.db", 2, 40)


@pytest.mark.slow
def test_many_processes_and_threads_share_a_file(tmp_path: Path) -> None:
    hammer(tmp_path / "a.db", 8, 500)


def test_whoever_never_lets_go_of_the_file_holds_up_one_answer_only(tmp_path: Path) -> None:
    class Soon(SQLiteCache):
        patience = 0.4

    def seconds(wrong: bool) -> float:
        began = time.perf_counter()
        with pytest.raises(sqlite3.OperationalError, match="locked") if wrong else nullcontext():
            cache.put(PROMPT.keyed("a"), answer())
        return time.perf_counter() - began

    other = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    with Soon(tmp_path / "c.db") as cache:
        seconds(False)
        other.execute("BEGIN IMMEDIATE")
        assert seconds(True) >= 0.35 and min(seconds(True) for _ in range(3)) < 0.3
        other.execute("COMMIT")
        seconds(False)
        other.execute("BEGIN IMMEDIATE")
        assert seconds(True) >= 0.35, "whoever has let go once is waited for again"
    other.close()


def test_a_cache_that_returns_something_else_breaks_no_run(
    rehearsal: RehearsalServer, caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd:
        def get(self, prompt: Any) -> Any:
            return "an answer, but no response"

        def put(self, prompt: Any, response: Any) -> None:
            """Forgets it."""

    with client_of(rehearsal, cache=Odd()) as client:
        assert [response.source for response in client.process_prompts(["a", "b"])] == ["api", "api"]
    assert "the response cache failed: TypeError" in caplog.text
