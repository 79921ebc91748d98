"""What the command line says to a person: one line per error on stderr, logging on request."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}


def say(text: str, *, code: int = 0) -> int:
    """Writes ``deluge: text`` to stderr (a terminal that is gone does not matter) and gives back the exit code."""
    tell(f"deluge: {text}\n")
    return code


def tell(text: str) -> None:
    """Writes to stderr, as far as it can be written to: what was done is done all the same."""
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


@contextmanager
def log_to_stderr(verbosity: int) -> Iterator[None]:
    """Shows the log of ``deluge`` meanwhile: errors with -q, warnings, with -v what happens, with -vv every attempt."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s", "%H:%M:%S"))
    log = logging.getLogger("deluge")
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(_LEVELS.get(verbosity, logging.DEBUG))
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def on_terminal() -> bool:
    """Whether a person watches stderr."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def quiet_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's last flush does not complain about a closed pipe."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def open_missing_streams() -> bool:
    """Opens what a command was started without (``2>&-``), at nothing; whether there was a stdout.

    Else a file of ours would get the number of a stream, and whatever is written to that would end in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
    there = sys.stdout is not None
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)
    return there
