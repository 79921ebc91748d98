"""The benchmarks stay runnable: every file compiles, the harness imports, the server answers in every mode."""
import http.client
import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
MODES = {
    "zero": (), "latency": ("--seconds", "0.01"), "mixed": ("--seconds", "0.01"), "lockstep": ("--seconds", "0.05"),
    "gate": ("--gate", "1"), "tls": ("--tls",),
}


@pytest.mark.parametrize("path", sorted(BENCHMARKS.rglob("*.py")), ids=lambda path: path.stem)
def test_every_file_compiles(path):
    compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)


def test_every_scenario_imports_and_says_what_it_measures():
    program = ("import importlib, run, sys\n"
               "for name in run.SCENARIOS:\n"
               "    module = importlib.import_module('scenarios.' + name)\n"
               "    assert callable(module.run) and module.__doc__, name")
    subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, check=True)


@pytest.fixture
def server(request):
    mode = "zero" if request.param == "tls" else request.param
    process = subprocess.Popen([sys.executable, str(BENCHMARKS / "server.py"), "--mode", mode, *MODES[request.param]],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    with process:
        yield process, json.loads(process.stdout.readline())
        process.stdin.close()
        process.wait(10)


@pytest.mark.parametrize("server", MODES, indirect=True)
def test_server_answers_a_request_in_every_mode(server):
    process, ready = server
    if ready["ca"]:
        context = ssl.create_default_context(cafile=ready["ca"])
        connection = http.client.HTTPSConnection("127.0.0.1", ready["port"], timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", ready["port"], timeout=10)
    body = json.dumps({"messages": [{"role": "user", "content": "[#7] hello"}]})
    for _ in range(2):
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        assert reply.status == 200 and answer["choices"][0]["message"]["content"] and answer["usage"]["total_tokens"]
    connection.close()
    process.stdin.write("stats\n")
    stats = json.loads(process.stdout.readline())
    assert (stats["requests"], stats["answered"], stats["duplicates"], stats["connections"]) == (2, 1, 1, 1)


def test_the_faults_are_the_same_for_everybody_and_leave_a_good_attempt_among_five():
    program = ("import traffic\n"
               "kinds = [[traffic.fault_of(1, n, a) for a in range(1, 6)] for n in range(5_000)]\n"
               "assert all(None in attempts for attempts in kinds)\n"
               "assert max(attempts[:attempts.index(None)].count('hang') for attempts in kinds) <= 2\n"
               "first = [attempts[0] for attempts in kinds]\n"
               "assert 0.04 < first.count('500') / 5_000 < 0.06 and 0.01 < first.count('429') / 5_000 < 0.03")
    subprocess.run([sys.executable, "-c", program], cwd=BENCHMARKS, check=True)
