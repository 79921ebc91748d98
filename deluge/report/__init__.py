"""One page about a run: what was answered, how fast, for how much, and what held it back.

``write_report("run.jsonl", "run.html")`` reads a file of records line by line, whatever its length, and writes one HTML
file that needs no network and runs no script.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from deluge.errors import ConfigError
from deluge.report.gather import Gathered, read_records
from deluge.report.page import page
from deluge.report.runfile import RunNotes, forget_notes, notes_of, read_notes, save_notes

__all__ = ["Gathered", "RunNotes", "forget_notes", "notes_of", "read_notes", "save_notes", "write_report"]


def write_report(records: str | os.PathLike[str], output: str | os.PathLike[str]) -> Gathered:
    """Writes the page about this file of records, and gives what was counted.

    What the records cannot tell (limits, what limited the run) comes from the notes that a run leaves beside its file.
    ``ConfigError`` when one file cannot be read, holds no record, or the other cannot be written. The page appears
    whole or not at all; a device or a pipe is written to.
    """
    gathered = read_records(records)
    if not gathered.prompts:
        raise ConfigError(f"{records} holds no records of a run")
    if os.path.exists(output) and os.path.samefile(records, output):
        raise ConfigError("the report would replace its own records")
    text = page(Path(records).name, gathered, read_notes(records))
    try:
        _put(text, os.fspath(output))
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}") from None
    return gathered


def _put(text: str, path: str) -> None:
    if os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe takes the page, and is not replaced by it
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return
    path = os.path.realpath(path)
    half = f"{path}.{os.getpid()}.part"
    try:
        with open(half, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.replace(half, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(half)
        raise
