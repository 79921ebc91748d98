"""A quota for the processes of one host: one row of an SQLite file for every lane."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deluge._json import dumps, loads
from deluge.errors import ConfigError
from deluge.quota.books import State, answer
from deluge.quota.words import Answer, QuotaUnavailable, Report

if TYPE_CHECKING:
    import sqlite3

PATIENCE = 5.0  # seconds to wait for the other processes, which may be many on a busy machine
_TABLE = "deluge_quota_1"
_SCHEMA = f"CREATE TABLE IF NOT EXISTS {_TABLE} (lane TEXT PRIMARY KEY, books BLOB, slots BLOB)"
_READ = f"SELECT books, slots FROM {_TABLE} WHERE lane = ?"
_ADD = f"INSERT INTO {_TABLE} (books, slots, lane) VALUES (?, ?, ?)"
_WRITE = f"UPDATE {_TABLE} SET books = ?, slots = ? WHERE lane = ?"
_orphans: list[Any] = []  # a parent's connections: closing them here would drop the parent's locks


class FileQuota:
    """A quota that all processes share which name the same file. It is made when it is first needed.

    ``FileQuota("/run/myapp/openai.quota")``. The file must be on a local disk. ``name``: the account, where several
    share a file. ``processes``: how many share it at most, for the time when the file cannot be used; None: as many as
    were seen last. ``ConfigError`` when there is no such folder.
    """

    def __init__(self, path: str | Path, *, name: str = "default", processes: int | None = None) -> None:
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        if not self.path.parent.is_dir():
            raise ConfigError(f"the quota's folder {str(self.path.parent)!r} does not exist")
        if self.path.is_dir():
            raise ConfigError(f"the quota needs a file, and {str(self.path)!r} is a folder")
        self._place = str(self.path)
        self.name = checked_name(name)
        self.processes = checked_processes(processes)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def url(self) -> str:
        """How a configuration names it: ``file:/path?name=...``."""
        words = [f"name={quote(self.name)}"] if self.name != "default" else []
        words += [f"processes={self.processes}"] if self.processes else []
        return f"file:{quote(str(self.path))}{'?' if words else ''}{'&'.join(words)}"

    def exchange(self, reports: Sequence[Report]) -> list[Answer]:
        """The answers, in order; all reports are counted, or none. ``QuotaUnavailable`` when the file cannot be used."""
        import sqlite3

        with self._lock:
            try:
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    answers = [self._answer(connection, report) for report in reports]
                    connection.execute("COMMIT")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                return answers
            except (sqlite3.Error, OSError) as error:
                self._drop()
                raise QuotaUnavailable(f"{self.path}: {error}") from error

    def _answer(self, connection: sqlite3.Connection, report: Report) -> Answer:
        key = f"{self.name}/{report.lane}"
        row = connection.execute(_READ, (key,)).fetchone()
        now = time.monotonic()  # with the file locked: no process is ahead of another
        try:
            state: State = {} if row is None else _unpacked(*row)
            said = answer(state, report, now)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):  # not ours: a memory that was lost
            state = {}
            said = answer(state, report, now)
        connection.execute(_ADD if row is None else _WRITE, (*_packed(state), key))
        return said

    def _open(self) -> sqlite3.Connection:
        """This process's connection; another one when somebody has replaced the file."""
        if self._connection is not None:
            try:
                found = os.stat(self._place)
                same = (found.st_dev, found.st_ino) == self._identity
            except OSError:
                same = False
            if same:
                return self._connection
            self._drop()
        import sqlite3

        tries, end = 0, time.monotonic() + PATIENCE
        while True:
            connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")  # does not wait for others that do the same
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(_SCHEMA)
                break
            except sqlite3.OperationalError as error:
                connection.close()
                tries += 1
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(min(0.1, 0.01 * tries))
            except sqlite3.Error:
                connection.close()
                raise
        found = os.stat(self.path)
        self._connection, self._identity = connection, (found.st_dev, found.st_ino)
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Closes this process's connection; the next exchange opens another."""
        with self._lock:
            self._drop()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None and self._owner == os.getpid():
            connection.close()
        elif connection is not None:
            _orphans.append(connection)

    def after_fork(self) -> None:
        """In a forked child: forgets the parent's connection and lock."""
        if self._owner != os.getpid():
            if self._connection is not None:
                _orphans.append(self._connection)
            self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return _file_quota, (str(self.path), self.name, self.processes)

    def __repr__(self) -> str:
        return f"<FileQuota {self.path} {self.name}>"


def _packed(state: State) -> tuple[bytes, bytes]:
    """The books as JSON, and their slots, which are many, as plain numbers: that is ten times faster."""
    slots = state.pop("slots")
    return dumps(state), b"".join([column.tobytes() for column in slots])


def _unpacked(books: bytes, slots: bytes) -> State:
    state: State = dict(loads(books))
    flat = array("q", slots)
    third = len(flat) // 3
    state["slots"] = [flat[:third], flat[third:2 * third], flat[2 * third:]]
    return state


def _file_quota(path: str, name: str, processes: int | None) -> FileQuota:
    return FileQuota(path, name=name, processes=processes)


def checked_name(name: str) -> str:
    """The account's name: letters, digits and ``._-``, so that it is safe in a key."""
    if not isinstance(name, str) or not name or not all(char.isalnum() or char in "._-" for char in name) or len(name) > 100:
        raise ConfigError("a quota's name is made of letters, digits and . _ -")
    return name


def checked_processes(processes: int | None) -> int | None:
    """A number of processes, or None."""
    if processes is not None and (isinstance(processes, bool) or not isinstance(processes, int) or processes < 1):
        raise ConfigError(f"processes must be a whole number above zero, not {processes!r}")
    return processes
