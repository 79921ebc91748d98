"""gunicorn, 4 workers, `--preload`: 2,000 requests through a view that calls the client, reloaded in the middle.

Sixteen browsers ask the Flask example, each request over a connection of its own; the provider takes 50 ms. When half are
back, gunicorn gets its HUP: the old workers end what they have, new ones go on. Once for each class of workers. Then ten more
reloads with 100 requests each, for what the master and the largest worker hold.
Reach: all answered, none sent to the provider twice, no request that hangs (20 s, the view's own timeout); memory flat.
"""
import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import REPOSITORY, Bench, Failed, Figure, Report, Server, at_most, environment  # noqa: E402

CLASSES = {"sync": [], "gthread": ["--threads", "8"], "gevent": []}
WORKERS, BROWSERS, RELOADS, EACH = 4, 16, 10, 100
HEADINGS = ["workers", "answered", "sent twice", "slowest s", "wall s", "requests/s", "master MB", "after 10 reloads",
            "worker MB", "after 10 reloads"]


def run(bench: Bench) -> Report:
    """Every class of workers that is installed."""
    requests = bench.size(2_000, 400)
    found = {}
    for kind in CLASSES:
        if all(importlib.util.find_spec(name) for name in ("gunicorn", "flask", *(["gevent"] if kind == "gevent" else []))):
            with Server("latency", seconds=0.05) as server:
                found[kind] = measured(server, kind, requests)
    if not found:
        raise Failed("gunicorn and flask are not installed")
    report = Report(f"gunicorn --workers {WORKERS} --preload, {requests:,} requests, reloaded in the middle", HEADINGS,
                    raw={kind: [result] for kind, result in found.items()})
    for kind, result in found.items():
        first, last = result["held"][0], result["held"][-1]
        report.rows.append([kind, f"{result['answered']:,} of {requests:,}", str(result["duplicates"]),
                            f"{result['slowest']:.2f}", f"{result['wall']:.2f}", f"{requests / result['wall']:,.0f}",
                            f"{first[0]:.1f}", f"{last[0]:.1f}", f"{first[1]:.1f}", f"{last[1]:.1f}"])
        report.figures += [
            Figure(f"answered ({kind})", result["answered"], f"{requests:,}", result["answered"] == requests),
            Figure(f"sent again after a good answer ({kind})", result["duplicates"], "0", result["duplicates"] == 0),
            at_most(f"s, the slowest request ({kind})", result["slowest"], 20),
            at_most(f"master's memory after ten more reloads, of that after the first ({kind})", last[0] / first[0], 1.02),
            at_most(f"worker's memory, likewise ({kind})", last[1] / first[1], 1.05)]
    return report


def measured(server: Server, kind: str, requests: int) -> dict:
    """One gunicorn, from its start to its end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "flask_app:app", "--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS),
               "--preload", "--log-level", "error", "--no-control-socket", "--worker-class", kind, *CLASSES[kind]]
    variables = {**environment(server), "LLM_MODEL": "gpt-4.1-mini", "LLM_BASE_URL": server.url, "OPENAI_API_KEY": "sk-bench"}
    gunicorn = subprocess.Popen(command, cwd=REPOSITORY / "examples", env=variables, start_new_session=True)
    try:
        wait_for(lambda: listens(port))
        browsers = Browsers(port)
        result = browsers.ask(range(requests), at_half=lambda: gunicorn.send_signal(signal.SIGHUP))
        held = []
        for turn in range(RELOADS + 1):
            reload(gunicorn)
            browsers.ask(range(100_000 + turn * EACH, 100_000 + (turn + 1) * EACH))
            held.append((memory(gunicorn.pid), max(map(memory, children(gunicorn.pid)))))
        return {**result, "held": held, "duplicates": server.ask("stats")["duplicates"]}
    finally:
        os.killpg(gunicorn.pid, signal.SIGKILL)
        gunicorn.wait(10)


class Browsers:
    """Threads that ask the view."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.half = threading.Semaphore(0)

    def ask(self, numbers: range, at_half: "object" = None) -> dict:
        """Each of the prompts once; what came of it."""
        began = time.monotonic()
        with ThreadPoolExecutor(BROWSERS) as pool:
            runs = [pool.submit(self._ask, number) for number in numbers]
            if callable(at_half):
                for _ in range(len(numbers) // 2):
                    self.half.acquire()
                at_half()
        seconds = [run.result() for run in runs]
        return {"answered": sum(took is not None for took in seconds), "wall": time.monotonic() - began,
                "slowest": max((took for took in seconds if took is not None), default=float("inf"))}

    def _ask(self, number: int) -> "float | None":
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", "/ask?q=" + quote(f"[#{number}] hello"), headers={"Connection": "close"})
            reply = connection.getresponse()
            good = reply.status == 200 and b'"answer"' in reply.read()
        except (OSError, http.client.HTTPException):
            good = False
        finally:
            connection.close()
            self.half.release()
        return time.monotonic() - began if good else None


def reload(gunicorn: "subprocess.Popen[bytes]") -> None:
    """HUP; returns when every worker is a new one."""
    old = children(gunicorn.pid)
    gunicorn.send_signal(signal.SIGHUP)
    wait_for(lambda: len(children(gunicorn.pid)) == WORKERS and not old & children(gunicorn.pid))


def wait_for(true: "object") -> None:
    """Returns when it is true."""
    deadline = time.monotonic() + 60
    while not true():
        if time.monotonic() > deadline:
            raise Failed("gunicorn did not come up")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def children(pid: int) -> "set[int]":
    """The processes that this one has started."""
    return {int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()}


def memory(pid: int) -> float:
    """What a process holds, in MB."""
    rows = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return next(int(row[1]) / 1024 for row in rows if row[0] == "VmRSS:")
