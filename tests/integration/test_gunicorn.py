"""The Flask and the Django example under a real gunicorn: every class of workers, preloaded or not, reloaded under load."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from servers import Load, gunicorn

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
