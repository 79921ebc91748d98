"""Where gevent stands in for threads: patched before deluge is imported, as it should be, and after."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from processes import run

from deluge.testing import RehearsalServer

pytestmark = pytest.mark.integration
pytest.importorskip("gevent")

EARLY = "from gevent import monkey; monkey.patch_all()\n"
PROGRAM = """
import sys, threading, time
import deluge
from deluge import LLMClient

class Slow(dict):
    # A cache that waits, as one on a network would.
    def get(self, prompt):
        time.sleep(0.01)
        return super().get(prompt.fingerprint)
    def put(self, prompt, response):
        time.sleep(0.01)
        self[prompt.fingerprint] = response

seen = []
settings = dict(base_url=sys.argv[1], progress=None, max_requests_per_minute=None, max_tokens_per_minute=None)
client = LLMClient("m", postprocess=lambda response: seen.append(response.id), cache=Slow(), **settings)
other = LLMClient("m", **settings)
PATCH
import gevent
def view(number):
    asked = [client, other][number % 2]
    handle = asked.start_nowait(f"handle {number}")
    got = asked.process_prompts([f"p {number} {n}" for n in range(3)], return_completions_only=True, timeout=30)
    assert asked.wait_for_all() == [handle.result()], "the handles of other greenlets"
    return got + [asked.ask(f"one {number}", timeout=30).completion, handle.result().completion]
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)
ticker = gevent.spawn(tick)
views = [gevent.spawn(view, number) for number in range(40)]
gevent.joinall(views, timeout=40)
for number, job in enumerate(views):
    assert job.get(block=False) == [f"p {number} {n}" for n in range(3)] + [f"one {number}", f"handle {number}"]
assert len(seen) == 20 * 5, len(seen)
first = client.start_nowait("[[latency 60]] cancelled")
gevent.sleep(0.1)
assert first.cancel() and first.result().error_kind == "cancelled"
assert client.ask("[[latency 60]] late", timeout=0.3).error_kind == "cancelled"
gaps = max(b - a for a, b in zip(ticks, ticks[1:]))
client.close(); other.close()
print("done", len(ticks) > 5, gaps)
"""


@pytest.mark.parametrize("when", ["early", "after the import", "after use and a fork"])
def test_clients_among_greenlets(when: str, tmp_path: Path) -> None:
    late = "from gevent import monkey; monkey.patch_all()"
    program = {
        "early": EARLY + PROGRAM.replace("PATCH", ""),
        "after the import": PROGRAM.replace("PATCH", late),
        "after use and a fork": PROGRAM.replace(
            "PATCH", "client.ask('used before'); seen.clear()\nimport os\npid = os.fork()\n"
                     f"if pid:\n    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n{late}\n"),
    }[when]
    with RehearsalServer(latency=0.02) as provider:
        done = run(sys.executable, "-W", "default", "-c", program, provider.base_url, cwd=tmp_path, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("done True"), done.stdout + done.stderr[-3000:]
