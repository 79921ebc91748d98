"""What every store of a shared quota keeps: the file, and Redis where there is one."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import report

from deluge.quota import FileQuota, Quota, open_quota


class Store:
    """A place for books: ``open`` gives another process's view of it, ``lose`` its memory."""

    def __init__(self, make: Callable[..., Quota], lose: Callable[[], None]) -> None:
        self.make, self.lose = make, lose
        self.opened: list[Quota] = []

    def open(self, **words: Any) -> Any:
        self.opened.append(self.make(**words))
        return self.opened[-1]


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "file":
        def remove() -> None:
            for path in tmp_path.iterdir():
                path.unlink()

        store = Store(lambda **words: FileQuota(tmp_path / "q", **words), remove)
        yield store
    else:
        from redises import RedisServer

        from deluge.quota import RedisQuota

        with RedisServer(tmp_path) as server:
            def flush() -> None:
                with server.client() as client:
                    client.flushall()

            store = Store(lambda **words: RedisQuota(server.url, **words), flush)
            yield store
            for quota in store.opened:
                quota.close()
            return
    for quota in store.opened:
        quota.close()


def test_what_one_process_holds_another_does_not_get(store: Store) -> None:
    first, second = store.open(), store.open()
    assert first.exchange([report(needs=(60, 0))])[0].granted == (5, 0), "a slice"
    said, = second.exchange([report(member="n", needs=(60, 0), head=(60, 0))])
    assert said.granted == (60, 0) and said.members == 2 and said.used == (65, 0)
    said, = second.exchange([report(2, member="n", held=(60, 0), needs=(40, 0), head=(40, 0))])
    assert said.granted == (0, 0) and said.retry_in > 0.0
    first.exchange([report(2, leaves=True)])
    said, = second.exchange([report(3, member="n", held=(60, 0), needs=(40, 0), head=(40, 0))])
    assert said.granted == (40, 0) and said.members == 1


def test_accounts_and_lanes_have_books_of_their_own(store: Store) -> None:
    ours, theirs = store.open(), store.open(name="other")
    for quota in (ours, theirs):
        assert quota.exchange([report(head=(10, 0))])[0].used == (10, 0)
    lane = report(lane="client/x", needs=(7, 0), head=(7, 0))
    assert [said.used for said in ours.exchange([report(2, head=(10, 0)), lane])] == [(10, 0), (7, 0)]


def test_a_report_that_comes_twice_counts_once(store: Store) -> None:
    quota = store.open()
    said, = quota.exchange([report()])
    spent = report(2, needs=(0, 0), head=(0, 0), spent=[(slot_of(said), 8, 0)])
    assert [quota.exchange([spent])[0].used for _ in range(3)] == [(8, 0)] * 3


def slot_of(said: Any) -> int:
    """The quota's slot of the time of an answer."""
    return int(said.now / (60.0 / 240))


def test_whoever_can_get_nothing_hears_when_the_window_opens(store: Store) -> None:
    first, second = store.open(), store.open()
    now = slot_of(first.exchange([report()])[0])
    first.exchange([report(2, needs=(0, 0), head=(0, 0), spent=[(now - 236, 90, 0), (now, 10, 0)])])
    said, = second.exchange([report(member="n")])
    assert said.granted == (0, 0) and 0.5 <= said.retry_in <= 1.25, "when its oldest slot has left"
    said, = second.exchange([report(2, member="n", needs=(95, 0), head=(95, 0))])
    assert said.granted == (0, 0) and said.retry_in == 2.5, "later than a process may be silent"


def test_a_memory_that_was_lost_is_another_life(store: Store) -> None:
    quota, other = store.open(), store.open()
    known = quota.exchange([report()])[0].generation
    store.lose()
    assert other.exchange([report(member="n")])[0].generation == "life of n1"
    said, = quota.exchange([report(2, generation=known)])
    assert said.lost and said.generation == "life of n1" and said.granted == (0, 0)
    said, = other.exchange([report(2, member="n")])
    assert said.granted == (0, 0) and 2.0 < said.retry_in <= 3.0, "nobody gets anything until all have reported"


def test_what_is_closed_opens_again_and_a_copy_is_the_same_place(store: Store) -> None:
    quota = store.open(processes=3)
    quota.exchange([report()])
    quota.close()
    copies = [pickle.loads(pickle.dumps(quota)), open_quota(quota.url)]
    store.opened += copies
    for number, copy in enumerate([quota, *copies]):
        assert copy.exchange([report(member=f"{number}")])[0].members == number + 2 and copy.processes == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_gets_a_connection_of_its_own(store: Store) -> None:
    quota = store.open()
    quota.exchange([report()])
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            quota.after_fork()
            code = 0 if quota.exchange([report(member="child")])[0].members == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert quota.exchange([report(2)])[0].members == 2
