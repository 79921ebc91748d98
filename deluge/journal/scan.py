"""Reading a whole journal once: an index of its lines, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from deluge.errors import ConfigError
from deluge.journal.lines import OtherVersion, begins_a_record, entry_of
from deluge.journal.table import Table
from deluge.record import RECORD_VERSION

# A value of the index is the line's offset, and three bits below it.
FAILED, CLAIMED, ASIDE = 1, 2, 4
BITS = 3

_PATIENCE = 100  # lines without a record among them after which a file is no journal of ours


@dataclass(slots=True)
class Scan:
    """What was found. ``stale`` lines have a better one for the same prompt; ``loose`` ones answer no prompt at all.

    ``torn``: the bytes of a last line that has no end. ``damaged``: number, offset and length of each such line.
    ``answers``: how many there are for each set of parameters.
    """

    table: Table
    records: int = 0
    live: int = 0
    stale: int = 0
    loose: int = 0
    end: int = 0
    torn: bytes = b""
    damaged: list[tuple[int, int, int]] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)


def noted(table: Table, identity: int, value: int) -> int:
    """Notes a line: the value that it replaces (-1: none). An error never replaces an answer: then it is its own."""
    before = table.put(identity, value)
    return before if before < 0 else outweighed(table, identity, before, value)


def outweighed(table: Table, identity: int, before: int, value: int) -> int:
    """Which of two values of a prompt, the second of which has just been noted, goes; the other one is in the table."""
    if value & FAILED and not before & (FAILED | ASIDE):
        table.put(identity, before | value & CLAIMED)
        return value
    return before


def scan(path: str) -> Scan:
    """The index of a journal. ``ConfigError`` for a file that is none, or one of another version."""
    found = Scan(Table())
    with open(path, "rb", buffering=1 << 20) as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                found.torn = line
                break
            _take(found, path, number, line)
            found.end += len(line)
    if not found.records and (found.damaged or not begins_a_record(found.torn)):
        raise _no_journal(path)
    if found.torn:
        _complete(found, path)
    return found


def _take(found: Scan, path: str, number: int, line: bytes) -> None:
    try:
        entry = entry_of(line)
    except OtherVersion as error:
        raise _other_version(path, error.version) from None
    except ValueError:
        if not line.isspace():
            found.damaged.append((number, found.end, len(line)))
            if not found.records and len(found.damaged) >= _PATIENCE:
                raise _no_journal(path) from None
        return
    found.records += 1
    identity = entry.identity
    if not identity:
        found.loose += 1
    elif noted(found.table, identity, found.end << BITS | entry.failed) >= 0:
        found.stale += 1
    else:
        found.live += 1
        if not entry.failed:
            found.answers[entry.prefix] = found.answers.get(entry.prefix, 0) + 1


def _complete(found: Scan, path: str) -> None:
    """A last line that lacks nothing but its end is a record."""
    line = found.torn
    try:
        entry_of(line)
    except OtherVersion as error:
        raise _other_version(path, error.version) from None
    except ValueError:
        return
    _take(found, path, 0, line)
    found.torn = b""
    found.end += len(line)


def scan_aside(path: str, table: Table) -> None:
    """Adds the lines of earlier inputs and parameters, where the journal itself has none."""
    offset = 0
    try:
        with open(path, "rb", buffering=1 << 20) as file:
            for line in file:
                try:
                    entry = entry_of(line)
                except ValueError:
                    entry = None
                if entry is not None and entry.identity and line.endswith(b"\n") and table.get(entry.identity) < 0:
                    table.put(entry.identity, offset << BITS | ASIDE | entry.failed)
                offset += len(line)
    except OSError:
        return


def _no_journal(path: str) -> ConfigError:
    return ConfigError(f"{path} exists already; --overwrite replaces it (it is no journal, so that nothing can go on from it)")


def _other_version(path: str, version: int) -> ConfigError:
    return ConfigError(
        f"{path} is a journal of version {version}, and this release reads version {RECORD_VERSION}: go on with the release "
        "that wrote it, or take another file (deluge run --overwrite replaces this one)"
    )
