"""Real servers for the tests, each a process group of its own on a free port, waited for with a deadline and ended whole."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from processes import environment

EXAMPLES = Path(__file__).parents[1] / "examples"
BIN = Path(sys.executable).parent
PATIENCE = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Server:
    """A command that runs, and what it says. ``with Server([...], port=...) as server``."""

    def __init__(self, command: Iterable[str | Path], *, folder: Path, port: int = 0, cwd: Path = EXAMPLES,
                 **variables: str) -> None:
        self.port = port
        self.log = folder / "server.log"
        self._command = [str(word) for word in command]
        self._cwd = cwd
        kept = {name: value for name, value in environment().items() if name != "PYTHONWARNINGS"}
        self._environment = {**kept, **variables}
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Server:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self._command, cwd=self._cwd, env=self._environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        if self.port:
            self.wait_for(self._listens, "the port")
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the process and everything that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def wait_for(self, true: Callable[[], Any], what: str, timeout: float = PATIENCE) -> None:
        """Returns when it is true; fails with the log when that takes too long, or the server has ended."""
        end = time.monotonic() + timeout
        while not true():
            try:
                code = self.process.wait(0.02)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < end, f"waited {timeout:g} s for {what}: {self.said()[-3000:]}"
            else:
                raise AssertionError(f"ended with {code} before {what}: {self.said()[-3000:]}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, timeout: float = 20.0) -> int:
        """TERM, and the exit code: a hang fails."""
        self.process.terminate()
        return self.process.wait(timeout)

    def children(self) -> list[int]:
        """The processes that it started and that live."""
        found = []
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            found += [int(word) for word in path.read_text().split()]
        return found

    def memory(self) -> int:
        """What the process holds itself, in KiB."""
        return memory(self.process.pid)

    def get(self, path: str, timeout: float = PATIENCE) -> tuple[int, Any]:
        """The status and the JSON (or text) behind a path, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            reply = connection.getresponse()
            body = reply.read().decode()
        finally:
            connection.close()
        return reply.status, json.loads(body) if body[:1] in ("{", "[") else body

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def memory(pid: int) -> int:
    """The resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Load:
    """Asks ``/ask?q=<prompt>`` for each prompt, from some threads: what came back, and which processes answered."""

    def __init__(self, server: Server, prompts: list[str], threads: int = 16, timeout: float = PATIENCE) -> None:
        self.answers: dict[str, Any] = {}
        self.failures: Counter[str] = Counter()
        self.pids: Counter[int] = Counter()
        self._server = server
        self._timeout = timeout
        self._done = threading.Condition()
        self._pool = ThreadPoolExecutor(threads)
        self._runs = [self._pool.submit(self._ask, prompt) for prompt in prompts]

    def wait_for(self, count: int) -> None:
        """Returns when so many have come back."""
        with self._done:
            assert self._done.wait_for(lambda: len(self.answers) + self.failures.total() >= count, self._timeout), repr(self)

    def finish(self) -> Load:
        """Returns when all are back."""
        self.wait_for(len(self._runs))
        self._pool.shutdown()
        return self

    def _ask(self, prompt: str) -> None:
        failure, answer = "", None
        try:
            status, answer = self._server.get(f"/ask?q={quote(prompt)}", self._timeout)
            if status != 200:
                failure = f"{status} {answer}"
        except (OSError, http.client.HTTPException) as error:
            failure = repr(error)
        with self._done:
            if failure:
                self.failures[failure] += 1
            else:
                self.answers[prompt] = answer["answer"]
                self.pids[answer["pid"]] += 1
            self._done.notify_all()

    def __repr__(self) -> str:
        return f"<Load {len(self.answers)} of {len(self._runs)} answered | {dict(self.failures)}>"


def gunicorn(folder: Path, *words: str, app: str = "flask_app:app", cwd: Path = EXAMPLES, **variables: str) -> Server:
    """A gunicorn that serves the Flask example."""
    port = free_port()
    command = [BIN / "gunicorn", app, "--bind", f"127.0.0.1:{port}", "--worker-tmp-dir", folder, "--no-control-socket", *words]
    return Server(command, folder=folder, port=port, cwd=cwd, **variables)
