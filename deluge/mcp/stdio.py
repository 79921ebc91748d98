"""A server that is a process of ours: messages by line through its stdin and stdout, its stderr into the log."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import IO

from deluge import _env, _json, _log
from deluge.errors import MCPError
from deluge.mcp import lifetime
from deluge.mcp.inbox import Inbox
from deluge.mcp.pending import Lost, Pending
from deluge.mcp.protocol import MAX_MESSAGE, Message, notification
from deluge.tools import MCPServer

# What every program needs; all other variables of ours (keys among them) are given in ``env`` or not at all.
INHERITED = (
    "APPDATA HOMEDRIVE HOMEPATH LOCALAPPDATA PATH PATHEXT PROCESSOR_ARCHITECTURE SYSTEMDRIVE SYSTEMROOT TEMP USERNAME "
    "USERPROFILE" if sys.platform == "win32" else "HOME LOGNAME PATH SHELL TERM USER LANG LC_ALL LC_CTYPE TZ TMPDIR"
).split()
GRACE = 2.0  # seconds for a server to end by itself, and again after it was told to
_READ = 65_536
_KEPT_LINES, _LINE, _SHOWN = 3, 2_000, 500

_logger = _log.logger("mcp")


class StdioChannel:
    """A running server process. Three daemon threads write, read, and drain its stderr; nobody else touches the pipes."""

    def __init__(self, server: MCPServer, inbox: Inbox) -> None:
        self._server = server
        self._inbox = inbox
        self._outgoing: queue.SimpleQueue[tuple[bytes, Pending | None] | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._closing = False
        self._last_words: deque[str] = deque(maxlen=_KEPT_LINES)
        inbox.answer = self.post
        self.process = _started(server)
        lifetime.channels.add(self)
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        assert stdin is not None and stdout is not None and stderr is not None
        try:
            self._drainer = self._thread("stderr", self._drain, stderr)
            self._thread("writer", self._write, stdin)
            self._thread("reader", self._read, stdout)
        except BaseException:  # no thread can be started
            self._end_process(0.0)
            raise

    def _thread(self, word: str, target: Callable[[IO[bytes]], None], pipe: IO[bytes]) -> threading.Thread:
        thread = threading.Thread(target=target, args=(pipe,), name=f"deluge-mcp-{word}", daemon=True)
        thread.start()
        return thread

    # -- for callers ---------------------------------------------------------------------------------------------

    def settle(self, version: str) -> None:
        """Nothing here depends on the version."""

    def exchange(self, message: Message, pending: Pending, until: float, extra: Mapping[str, str] | None = None) -> None:
        """Sends a request and waits until it has ended; ``TimeoutError``, or ``Lost`` when the process has ended."""
        if self._ended.is_set():
            raise Lost(self._epitaph(), sent=False)
        self.post(message, pending)
        if self._ended.is_set():  # it ended in between, and may not have seen this one among those that wait
            self._fail(pending)
        if not pending.wait(until):
            raise TimeoutError

    def post(self, message: Message, pending: Pending | None = None) -> None:
        """Sends a message; never waits."""
        self._outgoing.put((_json.dumps(message) + b"\n", pending))

    def withdraw(self, pending: Pending, reason: str) -> None:
        """Tells the server that a reply is not wanted any more."""
        self.post(notification("notifications/cancelled", {"requestId": pending.id, "reason": reason}))

    def listen(self, subscription: Message | None = None) -> None:
        """What the server says by itself comes through the same pipe; a stateless one is asked for it."""
        if subscription is not None:
            self.post(subscription)

    @property
    def ended(self) -> bool:
        """Whether the process has ended, or will soon."""
        return self._ended.is_set() or self._closing

    # -- threads -------------------------------------------------------------------------------------------------

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            while (item := self._outgoing.get()) is not None:
                data, pending = item
                if pending is not None:
                    if pending.ended:
                        continue
                    pending.sent = True
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(pipe.fileno(), rest):]
        except (OSError, ValueError):  # nobody reads there any more
            if pending is not None and len(rest) == len(data):
                pending.sent = False
            if not self._closing:
                self._end_process(0.5)  # the reader sees the end of its output then
        finally:
            with suppress(OSError):
                pipe.close()

    def _read(self, pipe: IO[bytes]) -> None:
        rest = bytearray()
        try:
            while data := os.read(pipe.fileno(), _READ):
                start = len(rest)
                rest += data
                if b"\n" in data:
                    end = rest.rindex(b"\n", start)
                    lines = bytes(rest[:end]).split(b"\n")
                    del rest[:end + 1]
                    for line in lines:
                        if line.strip():
                            self._inbox.read(line)
                if len(rest) > MAX_MESSAGE:
                    self._last_words.append(f"a message is larger than {MAX_MESSAGE} bytes")
                    break
        except (OSError, ValueError):
            pass
        except Exception:
            _logger.exception("reading from an MCP server failed")
        finally:
            with suppress(OSError):
                pipe.close()
            self._finish()

    def _drain(self, pipe: IO[bytes]) -> None:
        rest = b""
        with suppress(OSError, ValueError):
            while data := os.read(pipe.fileno(), _READ):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > _LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._said(line)
        self._said(rest)
        with suppress(OSError):
            pipe.close()

    def _said(self, line: bytes) -> None:
        text = self._server.redacted(line[:_LINE].decode("utf-8", "replace").strip())
        if text:
            self._last_words.append(text)
            _log.event(_logger, logging.DEBUG, f"{self._server.name}: {text}", client=self._server.name)

    def _finish(self) -> None:
        """The server says nothing more: its process is ended and reaped, and whoever waits hears of it."""
        self._ended.set()
        if not self._closing:
            self._drainer.join(0.2)  # its last words may say why
            self._end_process(0.5)
        self._outgoing.put(None)
        self._inbox.fail_all(self._lost)
        lifetime.channels.discard(self)

    def _fail(self, pending: Pending) -> None:
        pending.fail(self._lost(pending))

    def _lost(self, pending: Pending) -> Lost:
        return Lost(self._epitaph(), sent=pending.sent)

    def _epitaph(self) -> str:
        code = self.process.returncode
        words = "its process has ended" + ("" if code is None else f" (exit code {code})")
        return words + (": " + " | ".join(self._last_words)[-_SHOWN:] if self._last_words else "")

    # -- the end -------------------------------------------------------------------------------------------------

    def close(self, wait: bool = True) -> None:
        """Ends the process: stdin is closed, then it is told to, then it is killed. Without ``wait`` on a thread."""
        self._closing = True
        self._inbox.cancel_all("the connection was closed")
        self._outgoing.put(None)
        if wait:
            self._end_process(GRACE)
        else:
            threading.Thread(target=self._end_process, args=(GRACE,), name="deluge-mcp-close", daemon=True).start()

    def retire(self) -> None:
        """The process has ended by itself."""
        self.close(False)

    def _end_process(self, grace: float) -> None:
        for number, seconds in ((None, grace), (lifetime.TERMINATE, GRACE), (lifetime.KILL, GRACE)):
            if number is not None:
                self.signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                return

    def signal(self, number: int) -> None:
        """Sends a signal to the process and all that it started."""
        if self.process.poll() is not None:
            return  # reaped: its number may belong to somebody else
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)
            else:  # pragma: no cover - Windows
                self.process.kill()

    def leave(self) -> None:
        """The interpreter exits: nobody waits any more, and the server sees the end of its input."""
        self._closing = True
        self._inbox.cancel_all("the interpreter is exiting")
        self._outgoing.put(None)

    def gone(self, until: float) -> bool:
        """Whether the process has ended at that time."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(until - monotonic(), 0.001))
            return True
        return False

    def after_fork(self) -> None:
        """In the child: the process is the parent's; its pipes are closed here, so that the server sees only one end."""
        self._closing = True
        self._ended = threading.Event()
        self._ended.set()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        if self.process.returncode is None:
            self.process.returncode = 0  # so that nobody here waits for it, or warns that it still runs
        self._inbox.after_fork()


def _started(server: MCPServer) -> subprocess.Popen[bytes]:
    variables = {name: value for name in INHERITED if (value := _env.get(name)) and not value.startswith("()")}
    variables.update(server.env or {})
    assert server.command is not None
    command = shutil.which(server.command, path=variables.get("PATH")) or server.command
    try:
        return subprocess.Popen(
            [command, *server.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            env=variables, cwd=server.cwd, start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise MCPError(
            f"{server}: {server.command!r} cannot be started: {reason}", server=server.name, kind="connection",
        ) from None
