"""Beside programs that are not ours: a provider's own SDK against our rehearsal server, our client inside web servers."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from processes import environment

from deluge.testing import RehearsalServer

pytestmark = pytest.mark.integration

VIEW = '''
from flask import Flask, request
from deluge import LLMClient

app = Flask(__name__)
client = LLMClient("rehearsal-echo", max_requests_per_minute=60_000, max_tokens_per_minute=10_000_000, progress=None)
if {warm}:  # before the server forks its workers: they inherit a client that has run
    client.ask("warm")

@app.get("/")
def view():
    return client.ask(request.args["q"], timeout=20).raise_for_error().completion
'''


def test_the_sdk_of_openai_understands_the_rehearsal_server() -> None:
    openai = pytest.importorskip("openai")
    with RehearsalServer() as server, openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as sdk:
        question = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "What is 6 * 7?"}]}
        answer = sdk.chat.completions.create(**question)
        assert answer.choices[0].message.content == "42" and answer.usage.completion_tokens > 0
        pieces = list(sdk.chat.completions.create(**question, stream=True, stream_options={"include_usage": True}))
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == "42"
        assert pieces[-1].usage.total_tokens == answer.usage.total_tokens


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "forked after use"])
def test_a_shared_client_in_a_preforking_server_with_threads(tmp_path: Path, warm: bool) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "view.py").write_text(VIEW.format(warm=warm))
    command = [sys.executable, "-m", "gunicorn", "view:app", "--preload", "--workers", "2", "--threads", "8",
               "--bind", "127.0.0.1:0", "--worker-tmp-dir", str(tmp_path)]
    environ = {**environment(), "PYTHONWARNINGS": "default"}
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stderr is not None
        listening = next(line for line in server.stderr if "Listening at" in line)
        url = listening.split("Listening at: ")[1].split()[0]
        ThreadPoolExecutor(1).submit(server.stderr.read)  # so that it never blocks on a full pipe
        with ThreadPoolExecutor(16) as pool:
            asked = [f"question {n}" for n in range(100)]
            answers = list(pool.map(lambda text: urlopen(f"{url}/?q={quote(text)}", timeout=30).read().decode(), asked))
        server.terminate()
    assert answers == asked
