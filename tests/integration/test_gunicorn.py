"""The Flask and the Django example under a real gunicorn: every class of workers, preloaded or not, reloaded under load."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from servers import Load, Server, gunicorn, memory

from deluge.testing import RehearsalServer, assert_nothing_sent_again

pytestmark = pytest.mark.integration
pytest.importorskip("gunicorn")
pytest.importorskip("flask")

CLASSES = {
    "sync": (),
    "gthread": ("--threads", "8"),
    "gevent": (),
}


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
@pytest.mark.parametrize("kind", CLASSES)
def test_workers_answer_through_a_reload(kind: str, preload: bool, tmp_path: Path) -> None:
    if kind == "gevent":
        pytest.importorskip("gevent")
    words = ["--worker-class", kind, "--workers", "2", *CLASSES[kind], *(["--preload"] if preload else [])]
    prompts = [f"{kind} {number}" for number in range(120)]
    with RehearsalServer(latency=0.02) as provider, gunicorn(tmp_path, *words, LLM_BASE_URL=provider.base_url) as server:
        load = Load(server, prompts)
        load.wait_for(40)
        server.signal(signal.SIGHUP)
        load.finish()
        assert not load.failures and load.answers == {prompt: prompt for prompt in prompts}, server.said()[-3000:]
        assert provider.count == len(prompts)
        assert_nothing_sent_again(provider)
        again = Load(server, [f"again {number}" for number in range(20)]).finish()
        assert not again.failures, repr(again)
        assert server.stop() == 0
        assert "Traceback" not in server.said()


def test_two_thousand_requests_with_a_reload_in_the_middle_then_ten_more(tmp_path: Path) -> None:
    """All answered, none asked twice, no hang; and neither the master nor its workers grow from reload to reload."""
    prompts = [f"request {number}" for number in range(2_000)]
    with RehearsalServer(latency=0.01) as provider, gunicorn(
            tmp_path, "--workers", "4", "--preload", LLM_BASE_URL=provider.base_url) as server:
        load = Load(server, prompts)
        load.wait_for(1_000)
        server.signal(signal.SIGHUP)
        load.finish()
        assert not load.failures and load.answers == {prompt: prompt for prompt in prompts}, repr(load)
        assert provider.count == 2_000 and len(load.pids) == 8
        assert_nothing_sent_again(provider)
        held = []
        for turn in range(10):
            reload(server, 4)
            assert not Load(server, [f"turn {turn} {number}" for number in range(40)]).finish().failures
            held.append((server.memory(), max(memory(pid) for pid in server.children())))
        masters, workers = zip(*held)
        assert max(masters[5:]) <= max(masters[:5]) * 1.02, masters
        assert max(workers[5:]) <= max(workers[:5]) * 1.05, workers
        assert server.stop() == 0


def reload(server: Server, workers: int) -> None:
    """Returns when every worker is a new one."""
    old = set(server.children())
    server.signal(signal.SIGHUP)
    server.wait_for(lambda: len(server.children()) == workers and not old & set(server.children()), "new workers")


LATER = """
import flask
from deluge import LLMClient
client = LLMClient("m", base_url=%r, progress=None)
app = flask.Flask(__name__)
@app.get("/later")
def later():
    client.start_nowait("nobody waits for this")
    return {}
"""
DRAINS = """
def worker_exit(server, worker):
    from later import client
    client.drain(timeout=10)
"""


@pytest.mark.parametrize("kind", ["gthread", "gevent"])
def test_a_worker_that_drains_finishes_what_nobody_waits_for(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    with RehearsalServer(latency=0.0) as provider:
        (tmp_path / "later.py").write_text(LATER % provider.base_url)
        (tmp_path / "gunicorn.conf.py").write_text(DRAINS)
        words = ["--workers", "1", "--worker-class", kind, "--preload"]
        with gunicorn(tmp_path, *words, app="later:app", cwd=tmp_path) as server:
            provider.hold()
            assert server.get("/later") == (200, {})
            provider.wait_for_requests(1)
            server.process.terminate()
            server.wait_for(lambda: "Worker exiting" in server.said(), "the worker's end")
            provider.release()
            assert server.process.wait(20) == 0 and provider.outcomes["answered"] == 1, server.said()
