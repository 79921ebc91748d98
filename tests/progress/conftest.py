"""A terminal to draw on: a pseudo-terminal, and a small emulator that keeps its screen."""

import fcntl
import os
import re
import select
import struct
import sys
import termios
from contextlib import suppress

import pytest

_TOKENS = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[[\d;]*m|(.)", re.DOTALL)


class Screen:
    """What a terminal of unlimited height shows."""

    def __init__(self) -> None:
        self.rows = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        for count, verb, char in _TOKENS.findall(text):
            if char:
                self._put(char)
            elif verb == "A":
                self.row = max(0, self.row - int(count or 1))
            elif verb == "K":
                self.rows[self.row] = self.rows[self.row][:self.column]
            elif verb == "J":
                self.rows[self.row] = self.rows[self.row][:self.column]
                del self.rows[self.row + 1:]

    def _put(self, char: str) -> None:
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.row += 1
            self.rows += [""] * (self.row + 1 - len(self.rows))
        else:
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[:self.column] + char + line[self.column + 1:]
            self.column += 1

    @property
    def lines(self) -> list[str]:
        return [row.rstrip() for row in self.rows]


class Terminal:
    """A pseudo-terminal: ``stream`` is what a program writes to, ``screen`` what its user sees."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        self.resize(100, 30)
        self.stream = os.fdopen(slave, "w", encoding="utf-8", buffering=1)
        self.raw = ""
        self._screen = Screen()

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def screen(self) -> list[str]:
        self.read()
        return self._screen.lines

    def read(self) -> str:
        data = b""
        while select.select([self.master], [], [], 0)[0]:
            data += os.read(self.master, 65536)
        text = data.decode("utf-8")
        self.raw += text
        self._screen.feed(text)
        return text

    def second(self):
        """Another stream on the same terminal, as standard output is beside standard error."""
        return os.fdopen(os.dup(self.stream.fileno()), "w", encoding="utf-8", buffering=1)

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        if self.master >= 0 and not self.stream.closed:
            self.read()
        with suppress(OSError):
            self.stream.close()
        if self.master >= 0:
            os.close(self.master)


@pytest.fixture
def terminal(monkeypatch):
    """A terminal behind ``sys.stderr``."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    made = Terminal()
    yield made
    made.close()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """Puts the terminal behind ``sys.stderr`` for the test itself: what a fixture puts there is captured again."""
    terminal = pyfuncitem.funcargs.get("terminal")
    before = sys.stderr
    if terminal is not None:
        sys.stderr = terminal.stream
    try:
        return (yield)
    finally:
        sys.stderr = before
