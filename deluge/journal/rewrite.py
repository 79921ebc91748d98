"""Making a journal's file anew: without damaged, stale or foreign lines, in one rename."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from deluge import _json
from deluge.journal.lines import entry_of
from deluge.journal.scan import ASIDE, BITS, CLAIMED
from deluge.journal.table import Table

_CHUNK = 1 << 20

KEEP, SHELVE, DROP = range(3)


def lines_of(path: str) -> Iterator[tuple[int, bytes]]:
    """Whole lines with their offsets."""
    offset = 0
    with open(path, "rb", buffering=_CHUNK) as file:
        for line in file:
            yield offset, line
            offset += len(line)


def replaced(path: str, lines: Iterable[bytes]) -> None:
    """Puts these lines in the file's place, all or none of them; ``OSError`` leaves it as it was."""
    new = path + ".new"
    try:
        with open(new, "wb", buffering=_CHUNK) as file:
            if os.path.exists(path) and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), os.stat(path).st_mode & 0o7777)
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)
        raise
    sync_folder(path)


def sync_folder(path: str) -> None:
    """Makes a file's name as durable as its content, where folders can be opened."""
    with suppress(OSError):
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def set_damaged_aside(path: str, damaged: list[tuple[int, int, int]]) -> None:
    """Moves damaged lines into ``path + ".damaged"``, each as ``{"line": number, "text": …}``."""
    gone = {offset for _, offset, _ in damaged}
    with open(path, "rb") as file, open(path + ".damaged", "ab") as aside:
        for number, offset, length in damaged:
            file.seek(offset)
            text = file.read(length).rstrip(b"\n").decode("utf-8", "backslashreplace")
            aside.write(_json.dumps({"line": number, "text": text}) + b"\n")
        aside.flush()
        os.fsync(aside.fileno())
    replaced(path, (line for offset, line in lines_of(path) if offset not in gone))


def tidied(path: str, table: Table, exact: bool) -> None:
    """One line per prompt. ``exact``: what answers no prompt of this input goes into ``path + ".aside"``."""
    shelf = path + ".aside"
    if exact:
        replaced(shelf, _shelved(path, shelf, table))
        if not os.path.getsize(shelf):
            os.unlink(shelf)
    replaced(path, (line for offset, line in lines_of(path) if _place(table, exact, offset, line) == KEEP))


def _shelved(path: str, shelf: str, table: Table) -> Iterator[bytes]:
    if os.path.exists(shelf):
        yield from (line for offset, line in lines_of(shelf) if _is_only_there(table, offset, line))
    yield from (line for offset, line in lines_of(path) if _place(table, True, offset, line) == SHELVE)


def _is_only_there(table: Table, offset: int, line: bytes) -> bool:
    identity = _identity(line)
    value = table.get(identity) if identity else -1
    return not identity or bool(value & ASIDE) and value >> BITS == offset


def _place(table: Table, exact: bool, offset: int, line: bytes) -> int:
    if line.isspace():
        return DROP
    identity = _identity(line)
    if not identity:
        return SHELVE if exact else KEEP
    value = table.get(identity)
    if value & ASIDE or value >> BITS != offset:
        return DROP
    return SHELVE if exact and not value & CLAIMED else KEEP


def _identity(line: bytes) -> int:
    try:
        return entry_of(line).identity
    except ValueError:
        return 0
