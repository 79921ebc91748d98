"""The terminal behind standard error: whether there is one, who draws on it, and writing that never breaks a run."""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from typing import Any, TextIO

from deluge import _env

_owner: weakref.ref[Any] | None = None  # one display draws at a time; assignments are atomic


def draws(stream: TextIO | None) -> bool:
    """Whether lines can be drawn over on this stream: a terminal that moves its cursor, or a notebook."""
    if stream is None or _env.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty() or in_notebook(stream)
    except (OSError, ValueError, AttributeError):
        return False


def in_notebook(stream: TextIO) -> bool:
    """Whether this is a notebook's output, which knows the carriage return but no cursor."""
    return type(stream).__module__.startswith("ipykernel")


def claim(display: Any) -> bool:
    """Takes the terminal for this display; False when another one draws on it."""
    global _owner
    owner = _owner() if _owner is not None else None
    if owner is not None and owner is not display:
        return False
    _owner = weakref.ref(display)
    return True


def release(display: Any) -> None:
    """Gives the terminal back, if it was this display's."""
    global _owner
    if _owner is not None and _owner() in (display, None):
        _owner = None


def speaks(stream: TextIO, sample: str) -> bool:
    """Whether the stream's encoding has these characters."""
    try:
        sample.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def size(stream: TextIO | None) -> tuple[int, int]:
    """Columns and lines; 80 x 24 where the terminal does not say (serial lines, some containers: 0 x 0)."""
    columns = lines = 0
    if stream is not None:
        with suppress(OSError, ValueError, AttributeError):
            columns, lines = os.get_terminal_size(stream.fileno())
    return columns or 80, lines or 24


def write(stream: TextIO | None, text: str) -> bool:
    """Writes and flushes; False when the stream is closed or its other end is gone."""
    if stream is None:
        return False
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


class Guarded:
    """Stands in for ``sys.stdout`` or ``sys.stderr`` while something is drawn, and clears that before others write."""

    def __init__(self, stream: TextIO, before: Any) -> None:
        self.stream = stream
        self.in_line = False  # the last write did not end its line
        self._before = before

    def write(self, text: str) -> int:
        """Passes the text on, above the drawing."""
        if not text:
            return 0
        with self._before():
            count = self.stream.write(text)
            self.in_line = not text.endswith("\n")
        return count

    def writelines(self, lines: Any) -> None:
        """Passes the lines on, above the drawing."""
        for text in lines:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Any:
        return iter(self.stream)


class Guards:
    """Keeps what others print clear of a drawing, wherever that goes to a terminal, until it is closed."""

    def __init__(self, before: Any = None) -> None:
        self._guards: dict[str, Guarded] = {}
        for name in ("stdout", "stderr") if before is not None else ():
            stream = getattr(sys, name)
            if draws(stream) and not isinstance(stream, Guarded) and not in_notebook(stream):
                self._guards[name] = Guarded(stream, before)
                setattr(sys, name, self._guards[name])

    @property
    def in_line(self) -> bool:
        """Whether somebody's line is not finished: drawing now would tear it."""
        return any(guarded.in_line for guarded in self._guards.values())

    def close(self) -> bool:
        """Gives the streams back; whether a line is left unfinished, now that it is flushed."""
        left = [guarded.stream for guarded in self._guards.values() if guarded.in_line]
        self.forget()
        return any([write(stream, "") for stream in left])

    def forget(self) -> None:
        """Gives the streams back, unless somebody else has replaced them meanwhile; takes no lock, writes nothing."""
        for name, guarded in self._guards.items():
            if getattr(sys, name) is guarded:
                setattr(sys, name, guarded.stream)
        self._guards = {}


def original(stream: TextIO | None) -> TextIO | None:
    """The stream itself, where a ``Guarded`` stands in for it."""
    return stream.stream if isinstance(stream, Guarded) else stream
