"""The commands, and what becomes of whatever they raise."""

from __future__ import annotations

import argparse
import io
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress

from deluge.cli.arguments import parsed
from deluge.cli.ask import ask
from deluge.cli.batch import batch
from deluge.cli.cache import cache
from deluge.cli.estimate import estimate
from deluge.cli.models import list_models
from deluge.cli.rehearse import rehearse
from deluge.cli.report import report
from deluge.cli.run import run
from deluge.cli.signals import BROKEN_PIPE, Signals
from deluge.cli.terminal import log_to_stderr, open_missing_streams, quiet_stdout, say
from deluge.errors import DelugeError, MissingAPIKeyError

COMMANDS = {
    "run": run, "ask": ask, "estimate": estimate, "models": list_models, "rehearse": rehearse, "report": report,
    "cache": cache, "batch": batch,
}
_SHOWING = ("ask", "estimate", "models", "cache")  # what they are asked for goes to stdout


def run_command(argv: Sequence[str] | None) -> int:
    """Runs one command and gives its exit code. Never raises for what a user can cause."""
    shown = open_missing_streams()
    options = parsed(sys.argv[1:] if argv is None else argv)
    if not shown and (options.command in _SHOWING or getattr(options, "output", None) == "-"):
        return say("stdout is closed: there is nowhere to write to", code=2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # answers hold whatever a model says; a terminal shows less
    with Signals() as signals:
        try:
            with log_to_stderr(getattr(options, "verbosity", 0)):
                try:
                    return COMMANDS[options.command](options, signals)
                finally:
                    _close_cache(options)
        except MissingAPIKeyError as error:
            return say(f"{error}\ndeluge: no key needed: the same command with -m rehearsal-echo", code=2)
        except DelugeError as error:
            return say(str(error), code=2)
        except KeyboardInterrupt:
            return signals.exit_code
        except BrokenPipeError:
            quiet_stdout()
            return BROKEN_PIPE
        except OSError as error:  # a full disk, a terminal that is gone
            quiet_stdout()
            return say(f"{error.filename or 'the output'}: {error.strerror or error}", code=1)


def _close_cache(options: argparse.Namespace) -> None:
    """Counts what the cache of ``--cache`` was good for; a broken one has been said by then."""
    answers = getattr(options, "answers", None)
    if answers is not None:
        with suppress(DelugeError, sqlite3.Error):
            answers.close()
