"""The Flask example under a real uWSGI: with threads enabled it answers; without, it says what is missing, at once."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from servers import BIN, EXAMPLES, Load, Server, free_port

from deluge.testing import RehearsalServer, assert_nothing_sent_again

pytestmark = pytest.mark.integration
pytest.importorskip("flask")


def uwsgi(folder: Path, *words: str, module: str = "flask_app:app", cwd: Path = EXAMPLES, **variables: str) -> Server:
    program = BIN / "uwsgi"
    if not program.exists():
        pytest.skip("uWSGI is not installed (the extra \"integration\" brings it)")
    port = free_port()
    command = [program, "--http-socket", f"127.0.0.1:{port}", "--module", module, "--home", sys.prefix, "--master",
               "--processes", "2", "--die-on-term", "--disable-logging", "--worker-reload-mercy", "8", *words]
    return Server(command, folder=folder, port=port, cwd=cwd, **variables)


EARLY = """
import os, flask
from deluge import LLMClient
client = LLMClient("m", base_url=os.environ["LLM_BASE_URL"], progress=None)
client.ask("before the fork")
app = flask.Flask(__name__)
@app.get("/ask")
def ask():
    return {"answer": client.ask(flask.request.args["q"], timeout=20).completion, "pid": os.getpid()}
"""


@pytest.mark.parametrize("words", ["--enable-threads", "--threads 4 --lazy-apps"])
def test_with_threads_it_answers_and_is_reloaded(words: str, tmp_path: Path) -> None:
    prompts = [f"uwsgi {number}" for number in range(80)]
    with RehearsalServer(latency=0.02) as provider, uwsgi(tmp_path, *words.split(), LLM_BASE_URL=provider.base_url) as server:
        load = Load(server, prompts, threads=8)
        load.wait_for(20)
        server.signal(signal.SIGHUP)
        load.finish()
        assert not load.failures and load.answers == {prompt: prompt for prompt in prompts}, repr(load) + server.said()[-3000:]
        assert provider.count == len(prompts)
        assert_nothing_sent_again(provider)
        server.stop()
        assert "Traceback" not in server.said()


def test_without_threads_it_says_so_and_does_not_hang(tmp_path: Path) -> None:
    with RehearsalServer() as provider, uwsgi(tmp_path, LLM_BASE_URL=provider.base_url) as server:
        status, _ = server.get("/ask?q=hello", timeout=20)
        assert status == 500 and provider.count == 0
        server.wait_for(lambda: "start it with --enable-threads" in server.said(), "the error")
        assert "ConfigError: uWSGI runs this process without threads" in server.said()
        server.stop()


@pytest.mark.parametrize("hooks", [False, True])
def test_a_client_that_was_used_before_the_workers_were_forked(hooks: bool, tmp_path: Path) -> None:
    """uWSGI forks behind Python's back unless it is told otherwise; threads of before would leave the workers hanging."""
    (tmp_path / "early.py").write_text(EARLY)
    words = ["--enable-threads", *(["--py-call-uwsgi-fork-hooks"] if hooks else [])]
    with RehearsalServer(latency=0.0) as provider, uwsgi(
            tmp_path, *words, module="early:app", cwd=tmp_path, LLM_BASE_URL=provider.base_url) as server:
        if hooks:
            assert {server.get(f"/ask?q={n}")[1]["answer"] for n in range(6)} == set("012345")
            server.stop()
        else:  # not stopped: uWSGI may lose a TERM that comes while its second worker begins
            assert server.get("/ask?q=hello")[0] == 500 and provider.count == 0
            assert "ConfigError: uWSGI forks its workers from this process" in server.said()
