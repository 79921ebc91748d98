"""The display for terminals: a bar, what is going on, and what it has taken. Three lines at most, gone when it ends.

rich measures the terminal and knows its colours; the drawing is ours, because rich's own live display loses what log
handlers write meanwhile. The cursor rests on an empty line *above* the drawing: what others write lands there, and the
next drawing follows below it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO

from deluge.progress import _terminal, _words
from deluge.status import StatusSnapshot

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_NARROWEST_BAR, _WIDEST_BAR = 8, 40


class RichDisplay:
    """Draws on a terminal that moves its cursor."""

    needs_terminal = True
    interval = 0.1

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        self._stream = stream
        self._width = width
        self._height = 0  # lines that are drawn now, the empty one included
        self._frame = 0
        self._lock = threading.RLock()
        self._guards = _terminal.Guards()
        self._console: Console | None = None
        self._ascii = False

    def open(self, now: StatusSnapshot) -> None:
        """Draws for the first time. ``ImportError`` where rich is not installed."""
        from rich.console import Console

        self._stream = _terminal.original(self._stream or sys.stderr)
        terminal: Any = Console(file=self._stream)
        if self._stream is None or terminal.legacy_windows or _terminal.in_notebook(self._stream):
            raise ImportError("this terminal has no cursor to move")
        self._console = Console(  # renders only: rich would flush the terminal, which may be gone
            file=StringIO(), width=1_000, color_system=terminal.color_system, no_color=terminal.no_color,
            force_terminal=True, legacy_windows=False, highlight=False, markup=False, emoji=False,
        )
        self._ascii = not _terminal.speaks(self._stream, _SPINNER + "━╸·✓")
        if self._stream is sys.stderr:
            self._guards = _terminal.Guards(self._cleared)
        self.show(now)

    def show(self, now: StatusSnapshot) -> None:
        """Draws again, over what was drawn before."""
        with self._lock:
            if self._guards.in_line:
                return
            self._frame += 1
            lines = self._rendered(self.block(now))
            body = "".join(f"\n\r{line}\x1b[K" for line in lines)
            self._write(f"\r\x1b[K{body}\x1b[J\x1b[{len(lines)}A\r")
            self._height = len(lines) + 1

    def close(self, now: StatusSnapshot) -> None:
        """Clears the drawing and leaves one line that says how it ended."""
        with self._lock:
            self._clear()
            unfinished = self._guards.close()
            ending = "".join(f"{line}\n" for line in self._rendered([self.ending(now)]))
            self._write(("\n" if unfinished else "") + ending)

    def forget(self) -> None:
        """In a forked child: gives the streams back without touching a lock or the terminal."""
        self._guards.forget()
        self._stream, self._lock = None, threading.RLock()

    # ---- what is drawn -----------------------------------------------------------------------------------------------

    def block(self, now: StatusSnapshot) -> list[Text]:
        """The lines: the bar, the traffic, and what it has taken."""
        parts = [_words.traffic(now), _words.spending(now)]
        return [self._bar(now), *(self._line(line, "  ") for line in parts if line)]

    def ending(self, now: StatusSnapshot) -> Text:
        """The line that stays."""
        from rich.text import Text

        good = not now.failed and not now.cancelled
        mark = ("+ " if good else "! ") if self._ascii else ("✓ " if good else "✗ ")
        name = _words.name(now)
        text = Text().append(mark, style="green" if good else "red").append(name, style="bold").append("  ")
        return text.append_text(self._line(_words.outcome(now), "", text.cell_len))

    def _bar(self, now: StatusSnapshot) -> Text:
        from rich.cells import cell_len
        from rich.text import Text

        spinner = "|/-\\"[self._frame % 4] if self._ascii else _SPINNER[self._frame % len(_SPINNER)]
        name = _words.name(now)
        figures = _words.progress(now)
        room = self._columns() - len(_words.line(figures)) - 2 * len(figures)
        text = Text().append(spinner + " ", style="cyan")
        if room >= cell_len(name) + 4:
            text.append(name, style="bold").append("  ")
            room -= cell_len(name) + 2
        if now.total and room >= _NARROWEST_BAR + 4:
            self._fill(text, now, min(_WIDEST_BAR, room - 4))
        for part, style in _words.fit(figures, self._columns() - text.cell_len):
            text.append(part, style=style).append("  ")
        return text

    def _fill(self, text: Text, now: StatusSnapshot, width: int) -> None:
        full, empty = ("#", "-") if self._ascii else ("━", "━")
        whole = max(now.total or 0, now.done, 1)
        lost = now.failed + now.cancelled
        done = width * now.done // whole
        red = min(done, -(-width * lost // whole)) if lost else 0
        text.append(full * (done - red), style="green").append(full * red, style="red")
        text.append(empty * (width - done), style="bright_black").append("  ")

    def _line(self, parts: list[_words.Part], indent: str, used: int = 0) -> Text:
        from rich.text import Text

        text = Text(indent)
        for number, (part, style) in enumerate(_words.fit(parts, self._columns() - len(indent) - used)):
            text.append(_words.SEPARATOR if number else "", style="dim").append(part, style=style)
        return text

    # ---- the terminal ------------------------------------------------------------------------------------------------

    def _columns(self) -> int:
        return max(1, (self._width or _terminal.size(self._stream)[0]) - 1)

    def _rendered(self, lines: list[Text]) -> list[str]:
        console = self._console
        if console is None:
            return []
        with console.capture() as captured:
            for line in lines:
                line.truncate(self._columns())
                console.print(line, no_wrap=True, overflow="ignore", crop=False)
        text = captured.get()
        return (text.replace("·", "|") if self._ascii else text).splitlines()

    @contextmanager
    def _cleared(self) -> Iterator[None]:
        with self._lock:
            self._clear()
            yield

    def _clear(self) -> None:
        if self._height:
            self._height = 0
            self._write("\r\x1b[J")

    def _write(self, text: str) -> None:
        if not _terminal.write(self._stream, text):
            self._stream = None


DISPLAY = RichDisplay
