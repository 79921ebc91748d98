"""A quota in a real Redis: the script keeps the books that Python keeps, and nothing that happens to Redis breaks them."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fleet import report
from processes import environment
from redises import RedisServer
from rehearsing import client_of

from deluge import ConfigError, LLMClient, RedisQuota
from deluge._json import dumps
from deluge.quota import QuotaUnavailable, Report, open_quota
from deluge.quota.books import State, answer
from deluge.quota.redis import _library
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == pytest.approx(other, abs=2e-3) if isinstance(one, float) else one == other


def strange(rng: Random, number: int, now: float, mode: Any, known: dict[str, Any]) -> Report:
    """Any report: of a process that knows another memory, spends in the past, changes its limits, leaves."""
    member = f"m{rng.randrange(5)}"
    generation, held = known.get(member, ("", (0, 0)))
    needs = (rng.randrange(30), rng.randrange(30_000)) if rng.random() < 0.8 else (0, 0)
    head = (min(1, needs[0]), min(needs[1], rng.randrange(3_000))) if rng.random() < 0.7 else (0, 0)
    slot = int(now / 0.25)
    spent = [(slot - rng.randrange(4), *held), (slot - rng.randrange(300), 0, -rng.randrange(500))] if held[0] else []
    return Report(
        "lane", member, number, f"{member}{number}", "other" if rng.random() < 0.02 else generation, mode, 60.0,
        (rng.choice([300, -1, 600.5]), rng.choice([100_000, -1])), needs=needs, head=head, spent=spent,
        pauses={"a": 1.5} if rng.random() < 0.1 else {}, learned={"b": (1.0, 2, -1, -1)} if rng.random() < 0.1 else {},
        whole=rng.random() < 0.01, alone=rng.random() < 0.05, leaves=rng.random() < 0.02,
    )


@pytest.mark.parametrize("mode", ["rolling", "bucket"])
@pytest.mark.parametrize("seed", range(2))
def test_the_script_keeps_the_same_books_as_python(server: RedisServer, mode: str, seed: int) -> None:
    quota, redis = RedisQuota(server.url), _library()
    client = quota._connect()
    rng, state, now = Random(seed), State(), 1e9
    known: dict[str, Any] = {}
    for number in range(1, 800):
        now += rng.expovariate(2.0)
        if rng.random() < 0.003:
            now -= rng.uniform(0.0, 100.0)
        asked = strange(rng, number, now, mode, known)
        here = answer(state, asked, now)
        there = quota._said(client, redis, asked, dumps(asked), repr(now))
        assert there.used == pytest.approx(here.used, abs=1), "what flows into a bucket is rounded"
        there = dataclasses.replace(there, used=here.used)
        assert same(dataclasses.asdict(here), dataclasses.asdict(there)), (number, asked)
        known[asked.member] = (here.generation, here.granted)
    quota.close()


def test_keys_of_its_own_that_go_away_and_a_script_that_is_sent_again(server: RedisServer) -> None:
    quota, other = RedisQuota(server.url), RedisQuota(server.url, name="other", prefix="mine")
    assert [each.exchange([report()])[0].members for each in (quota, other)] == [1, 1]
    with server.client() as client:
        keys = sorted(client.keys())
        assert keys == [b"deluge:quota:1:default:client", b"mine:1:other:client"]
        assert all(100_000 < client.pttl(key) <= 180_000 for key in keys), "nothing is left for ever"
        client.script_flush()
    assert quota.exchange([report(2, leaves=True)])[0].members == 0
    for each in (quota, other):
        each.close()


def test_a_redis_that_is_gone_and_comes_back_empty(server: RedisServer) -> None:
    quota = RedisQuota(server.url)
    known = quota.exchange([report()])[0].generation
    server.kill()
    with pytest.raises(QuotaUnavailable, match="ConnectionError"):
        quota.exchange([report(2)])
    server.start()
    said, = quota.exchange([report(3, generation=known)])
    assert said.lost and said.generation == "life of m3"
    quota.close()


def test_the_password_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer(tmp_path, password="s3cret-word") as server:
        url = server.url.replace("redis://", "redis://:s3cret-word@")
        quota = open_quota(url)
        assert quota.exchange([report()])[0].members == 1
        client = LLMClient("rehearsal-echo", quota=url)
        shown = [repr(quota), quota.url, repr(client), repr(client.config), str(client.to_dict()), repr(pickle.dumps(client)),
                 repr(pickle.dumps(quota))]
        assert not any("s3cret" in text for text in shown)
        bare = pickle.loads(pickle.dumps(quota))
        with pytest.raises(QuotaUnavailable) as refused:
            bare.exchange([report(2)])
        assert "s3cret" not in str(refused.value)
        monkeypatch.setenv("DELUGE_REDIS_PASSWORD", "s3cret-word")
        assert pickle.loads(pickle.dumps(quota)).exchange([report(2)])[0].members == 1
        wrong = RedisQuota(server.url.replace("redis://", "redis://:n0t-this@"))
        with pytest.raises(QuotaUnavailable) as refused:
            wrong.exchange([report(2)])
        assert "n0t-this" not in str(refused.value)
        for each in (quota, wrong):
            each.close()


@pytest.mark.parametrize("wrong", ["http://x", "redis://h/0?nonsense=1", "redis://h:port/0", "redis://h/0?processes=0"])
def test_urls_that_cannot_be(wrong: str) -> None:
    with pytest.raises(ConfigError):
        open_quota(wrong) if wrong.startswith("redis") else RedisQuota(wrong)


WORKER = """
import logging, sys
logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(message)s")
from deluge import LLMClient
client = LLMClient("custom", base_url=sys.argv[1], api_key="k", quota=sys.argv[2], progress=None,
                   max_requests_per_minute=float(sys.argv[3]), max_tokens_per_minute=None, request_timeout=10)
print("ready", flush=True)
sys.stdin.readline()
done = sum(not r.is_error for r in client.map((str(n) for n in range(10**6)), timeout=float(sys.argv[4])))
print(done, flush=True)
client.close()
"""


def test_redis_killed_and_started_again_in_the_middle(server: RedisServer, rehearsal: RehearsalServer) -> None:
    """Twenty seconds of three processes; Redis is gone for some of them and comes back without its memory."""
    workers = [subprocess.Popen([sys.executable, "-W", "error", "-c", WORKER, rehearsal.base_url, server.url, "600", "20"],
                                env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for _ in range(3)]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    rehearsal.wait_for_requests(100, timeout=30)
    server.kill()
    for worker in workers:  # their leases end
        assert worker.stdout is not None and worker.stdout.readline().startswith("the shared quota cannot be asked")
    server.start()
    said = [worker.communicate(timeout=60)[0] for worker in workers]
    assert all(int(text) > 20 for text in said), "and no warning more"
    assert [worker.returncode for worker in workers] == [0] * 3
    assert 560 <= rehearsal.count <= 600, "all of the minute, and no more"


def test_a_client_without_its_redis_goes_on(rehearsal: RehearsalServer, caplog: pytest.LogCaptureFixture) -> None:
    with client_of(rehearsal, quota="redis://127.0.0.1:9/0?processes=2", max_requests_per_minute=60) as client:
        assert client.ask("hello").completion == "hello"
        bucket: Any = client._engine.scheduler.bucket
        assert bucket.alone and bucket.share().fair_requests_per_minute == 30.0
    assert sum(record.levelname == "WARNING" for record in caplog.records if record.name == "deluge.quota") == 1
