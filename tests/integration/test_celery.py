"""The Celery example with real workers and a real Redis as the broker, on every pool."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import BIN, EXAMPLES, Server

pytest.importorskip("celery")
pytest.importorskip("redis")

from celery import Celery  # noqa: E402
from celery.result import AsyncResult  # noqa: E402
from redises import RedisServer  # noqa: E402

from deluge.testing import RehearsalServer, assert_nothing_sent_again  # noqa: E402

# Celery and redis leave sockets to the garbage collector.
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

POOLS = {"prefork": ("--concurrency", "2"), "threads": ("--concurrency", "20"), "gevent": ("--concurrency", "20")}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def worker(folder: Path, pool: str, broker: str, **variables: str) -> Server:
    command = [BIN / "celery", "-A", "celery_tasks", "worker", "--pool", pool, *POOLS[pool], "--loglevel", "INFO",
               "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return Server(command, folder=folder, cwd=EXAMPLES, CELERY_BROKER_URL=broker, **variables)


@pytest.mark.parametrize("pool", POOLS)
def test_tasks_ask(pool: str, redis: RedisServer, tmp_path: Path) -> None:
    if pool == "gevent":
        pytest.importorskip("gevent")
    broker = f"redis://127.0.0.1:{redis.port}/{list(POOLS).index(pool)}"
    with RehearsalServer(latency=0.02) as provider, Celery(broker=broker, backend=broker) as app, worker(
            tmp_path, pool, broker, LLM_BASE_URL=provider.base_url, LLM_QUOTA=f"file:{tmp_path}/quota") as server:
        asked = {f"{pool} {n}": app.send_task("celery_tasks.ask", [f"{pool} {n}"]) for n in range(40)}
        bulk = app.send_task("celery_tasks.ask_all", [[f"bulk {n}" for n in range(30)]])
        assert {prompt: answer_of(result, server) for prompt, result in asked.items()} == {prompt: prompt for prompt in asked}
        assert answer_of(bulk, server) == [f"bulk {n}" for n in range(30)]
        assert provider.count == 70
        assert_nothing_sent_again(provider)
        failed = app.send_task("celery_tasks.ask", ["[[fault 400]]"])
        with pytest.raises(Exception, match="400"):
            answer_of(failed, server)
        assert server.stop(40) == 0, server.said()[-3000:]


def test_a_process_of_the_pool_that_is_killed_costs_its_own_task_only(redis: RedisServer, tmp_path: Path) -> None:
    broker = f"redis://127.0.0.1:{redis.port}/5"
    with RehearsalServer(latency=0.0) as provider, Celery(broker=broker, backend=broker) as app, worker(
            tmp_path, "prefork", broker, LLM_BASE_URL=provider.base_url) as server:
        lost = app.send_task("celery_tasks.ask", ["[[latency 60]]"])
        provider.wait_for_requests(1, 60)
        busy = [pid for pid in server.children() if holds_a_connection(pid, provider.port)]
        assert len(busy) == 1
        os.kill(busy[0], signal.SIGKILL)
        with pytest.raises(Exception, match="SIGKILL"):
            answer_of(lost, server)
        assert answer_of(app.send_task("celery_tasks.ask", ["after"]), server) == "after"


def answer_of(result: AsyncResult, server: Server) -> object:
    server.wait_for(result.ready, "a task's result")
    return result.get(timeout=5)


def holds_a_connection(pid: int, port: int) -> bool:
    """Whether the process is connected to this port of loopback."""
    mine = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return any(f"socket:[{row[9]}]" in mine for row in rows if row[2].endswith(f":{port:04X}"))
