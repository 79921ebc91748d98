"""The Django example: its command line without a key, and under gunicorn, its views by WSGI and by ASGI."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from processes import run
from servers import EXAMPLES, Load, gunicorn

from deluge.testing import RehearsalServer

pytestmark = pytest.mark.integration
pytest.importorskip("django", "5.0")

SITE = EXAMPLES / "django_site"


def test_the_command_line() -> None:
    done = run(sys.executable, "manage.py", "ask", "What is 6 * 7?", "How are you?", cwd=SITE)
    assert (done.returncode, done.stdout.split("\n")) == (0, ["42", "How are you?", ""]), done.stderr
    for words in (["check", "--deploy", "--fail-level", "ERROR"], ["migrate"]):
        done = run("env", "LLM_MODEL=gpt-4.1-mini", sys.executable, "manage.py", *words, cwd=SITE)  # which has no key here
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_the_views(kind: str, tmp_path: Path) -> None:
    app, more = ("site_config.asgi", []) if kind == "asgi" else ("site_config.wsgi", ["--threads", "8"])
    words = ["--worker-class", kind, "--workers", "2", "--preload", *more]
    with RehearsalServer(latency=0.02) as provider, gunicorn(
            tmp_path, *words, app=f"{app}:application", cwd=SITE, LLM_BASE_URL=provider.base_url,
            LLM_QUOTA=f"file:{tmp_path}/quota") as server:
        prompts = [f"view {number}" for number in range(40)]
        load = Load(server, prompts).finish()
        assert not load.failures and load.answers == {prompt: prompt for prompt in prompts}, server.said()[-3000:]
        assert server.get("/ask-all?q=one&q=two&q=three") == (200, {"answers": ["one", "two", "three"]})
        assert server.get("/ask?q=%5B%5Bfault+400%5D%5D") == (502, {"error": "bad_request"})
        assert provider.count == 44
        assert server.stop() == 0
