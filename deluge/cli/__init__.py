"""The command line: ``deluge run``, ``ask``, ``estimate``, ``batch``, ``models``, ``rehearse``, ``report`` and ``cache``.

Exit codes: 0 all answered, 1 some failed, 2 wrong usage, 130 Ctrl-C, 141 nobody reads stdout any more, 143 TERM.
"""

from __future__ import annotations

from collections.abc import Sequence

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code. Never raises for what a user can cause, Ctrl-C at any moment included."""
    try:
        from deluge.cli.commands import run_command  # takes a while, in which Ctrl-C may come

        return run_command(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
