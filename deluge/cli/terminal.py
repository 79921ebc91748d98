"""What the command line says to a person: one line per error on stderr, logging on request."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}


def say(text: str, *, code: int = 0) -> int:
    """Writes ``deluge: text`` to stderr (a terminal that is gone does not matter) and gives back the exit code."""
    try:
        print(f"deluge: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass
    return code


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
