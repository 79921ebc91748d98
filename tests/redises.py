"""A real Redis for the tests, on a port and in a folder of its own, that can be killed and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("redis", reason='needs the extra "integration"')

from redis import Redis  # noqa: E402
from redis.backoff import ConstantBackoff  # noqa: E402
from redis.exceptions import ConnectionError  # noqa: E402
from redis.retry import Retry  # noqa: E402

MISSING = "redis-server is not installed (Debian: apt-get install redis-server)"


class RedisServer:
    """``with RedisServer(folder) as server``: ``server.url``."""

    def __init__(self, folder: Path, password: str = "") -> None:
        if shutil.which("redis-server") is None:
            if os.environ.get("CI"):
                pytest.fail(MISSING)
            pytest.skip(MISSING)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, self.password = folder, password
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["--requirepass", self.password] if self.password else []
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
             "--appendonly", "no", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        with self.client() as client:
            client.ping()

    def client(self) -> Redis:
        """A client that waits until the server is there."""
        retry = Retry(ConstantBackoff(0.02), 500, (ConnectionError, TimeoutError))
        return Redis(port=self.port, password=self.password or None, retry=retry)

    def kill(self) -> None:
        """Ends it at once; what it knew is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
