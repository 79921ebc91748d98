"""A response cache in one SQLite file that threads and processes share."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from deluge import _json, _log
from deluge.caches.memory import CacheStats, answer_of
from deluge.errors import ConfigError
from deluge.prompt import Conversation
from deluge.response import APIResponse

BUSY = 30.0  # seconds that a writer waits for another one
HASTE = 0.02  # seconds that it waits while another one does not let go at all
NOTE_EVERY = 256  # hits after which their counts are written
PRUNE_TO = 0.9  # of max_bytes that are kept when it is full
VERSION = 1

_said = _log.logger("caches")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, size INTEGER NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
    hits INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS answers_used ON answers (used);
CREATE TABLE IF NOT EXISTS totals (
    only INTEGER PRIMARY KEY CHECK (only = 1), bytes INTEGER NOT NULL, hits INTEGER NOT NULL, misses INTEGER NOT NULL
);
INSERT OR IGNORE INTO totals VALUES (1, 0, 0, 0);
CREATE TRIGGER IF NOT EXISTS answer_added AFTER INSERT ON answers
    BEGIN UPDATE totals SET bytes = bytes + new.size; END;
CREATE TRIGGER IF NOT EXISTS answer_changed AFTER UPDATE OF size ON answers
    BEGIN UPDATE totals SET bytes = bytes + new.size - old.size; END;
CREATE TRIGGER IF NOT EXISTS answer_gone AFTER DELETE ON answers
    BEGIN UPDATE totals SET bytes = bytes - old.size; END;
"""
_PUT = """
INSERT INTO answers (key, value, size, created, used) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, size = excluded.size, created = excluded.created, used = excluded.used
"""
_inherited: list[sqlite3.Connection] = []  # of the parent, after a fork: closing them here would disturb it


class SQLiteCache:
    """Keeps answers in the file ``path``, each for ``ttl`` seconds (None: for ever), up to ``max_bytes`` in all.

    When it is full, the answers that were used longest ago go first. Any number of threads and processes may use the
    file at once, also across a fork. Hit counts are written every few hundred hits and by ``close``. ``clock`` gives
    epoch seconds. ``ConfigError`` when the file is no cache of this version.
    """

    thread_safe = True
    patience = BUSY

    def __init__(self, path: str | os.PathLike[str], *, ttl: float | None = None, max_bytes: int | None = None,
                 clock: Callable[[], float] = time.time) -> None:
        if (ttl is not None and not ttl > 0) or (max_bytes is not None and max_bytes < 1):
            raise ConfigError("ttl and max_bytes are above 0, or None")
        self.path = os.path.abspath(os.fspath(path))
        self.ttl = ttl
        self.max_bytes = max_bytes
        self._clock = clock
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._ready = False
        self._noted: dict[str, int] = {}
        self._misses = 0
        self._unwritten = 0
        self._locked_out = False  # the last put has waited in vain: the next ones hold nobody up

    def get(self, prompt: Conversation) -> APIResponse | None:
        """The answer to this request, or None."""
        key = prompt.fingerprint
        with self._connection() as connection:
            row = connection.execute("SELECT value, created FROM answers WHERE key = ?", (key,)).fetchone()
            if row is not None and self.ttl is not None and self._clock() - row[1] >= self.ttl:
                row = None
            self._note(connection, None if row is None else key)
        return None if row is None else APIResponse.from_log(_json.loads(row[0]))

    def put(self, prompt: Conversation, response: APIResponse) -> None:
        """Keeps an answer; its prompt is not kept."""
        value = _json.dumps(answer_of(response).to_log())
        now = self._clock()
        with self._connection() as connection:
            self._put(connection, (prompt.fingerprint, value, len(value), now, now))
            if self.max_bytes is not None:
                self._prune(connection, self.max_bytes)

    def _put(self, connection: sqlite3.Connection, row: tuple[object, ...]) -> None:
        hasty = self._locked_out
        if hasty:
            connection.execute(f"PRAGMA busy_timeout = {HASTE * 1e3:.0f}")
        try:
            connection.execute(_PUT, row)
        except sqlite3.OperationalError:  # the connection is closed for it
            self._locked_out = True
            raise
        if hasty:
            connection.execute(f"PRAGMA busy_timeout = {self.patience * 1e3:.0f}")
            self._locked_out = False

    def stats(self) -> CacheStats:
        """Entries, bytes of answers, hits and misses, of all processes as far as they are written."""
        with self._connection() as connection:
            self._write(connection)
            entries = connection.execute("SELECT count(*) FROM answers").fetchone()[0]
            size, hits, misses = connection.execute("SELECT bytes, hits, misses FROM totals").fetchone()
        return CacheStats(entries, hits, misses, size)

    def clear(self, older_than: float | None = None) -> int:
        """Forgets everything, or what is older than so many seconds; how many answers that were."""
        with self._connection() as connection:
            if older_than is None:
                count = connection.execute("DELETE FROM answers").rowcount
                connection.execute("UPDATE totals SET hits = 0, misses = 0")
            else:
                count = connection.execute("DELETE FROM answers WHERE created < ?", (self._clock() - older_than,)).rowcount
            connection.execute("VACUUM")
        return count

    def close(self) -> None:
        """Writes the hit counts and closes the file; the next call opens it again."""
        if os.getpid() != self._process:
            return
        if self._unwritten:
            with self._connection() as connection:
                self._try_to_write(connection)
        while self._idle:
            self._idle.pop().close()

    def __len__(self) -> int:
        return self.stats().entries

    def __bool__(self) -> bool:
        return True  # an empty cache is a cache

    def __repr__(self) -> str:
        return f"<SQLiteCache {os.path.basename(self.path)}>"

    def __enter__(self) -> SQLiteCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_process", None) == os.getpid():
            while self._idle:
                self._idle.pop().close()
        else:
            _inherited.extend(getattr(self, "_idle", ()))

    def __reduce__(self) -> tuple[type[SQLiteCache], tuple[str], dict[str, object]]:
        return type(self), (self.path,), {"ttl": self.ttl, "max_bytes": self.max_bytes}

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        if os.getpid() != self._process:
            _inherited.extend(self._idle)
            self._forget()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._opened()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _opened(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=self.patience, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ConfigError(f"the cache {self.path} cannot be opened: {error}") from None
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            if not self._ready:
                self._prepare(connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise ConfigError(f"{self.path} is no cache: {error}") from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Makes the tables, once per process; what is there already stays."""
        with self._lock:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == VERSION:
                self._ready = True
                return
            if version or not self._ours(connection):
                raise ConfigError(f"{self.path} is a database of something else, or a cache of another version")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
            self._ready = True

    @staticmethod
    def _ours(connection: sqlite3.Connection) -> bool:
        """Whether the database is empty, or another process is making the same tables right now."""
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return names <= {"answers", "totals"}

    def _note(self, connection: sqlite3.Connection, key: str | None) -> None:
        """Counts a hit or a miss, and now and then writes the counts."""
        with self._lock:
            if key is None:
                self._misses += 1
            else:
                self._noted[key] = self._noted.get(key, 0) + 1
            self._unwritten += 1
            full = self._unwritten >= NOTE_EVERY
        if full:
            self._try_to_write(connection)

    def _try_to_write(self, connection: sqlite3.Connection) -> None:
        """Counts are worth no answer: where they cannot be written, these are lost."""
        try:
            self._write(connection)
        except sqlite3.Error as error:
            _log.event(_said, 30, f"the hits of a cache could not be counted: {error}", path=self.path)

    def _write(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            noted, misses = self._noted, self._misses
            self._noted, self._misses, self._unwritten = {}, 0, 0
        if not noted and not misses:
            return
        now = self._clock()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany("UPDATE answers SET hits = hits + ?, used = ? WHERE key = ?",
                                   [(count, now, key) for key, count in noted.items()])
            connection.execute("UPDATE totals SET hits = hits + ?, misses = misses + ?", (sum(noted.values()), misses))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # else this connection would keep everybody from writing
                connection.execute("ROLLBACK")
            raise

    def _prune(self, connection: sqlite3.Connection, most: int) -> None:
        """Drops what was used longest ago, down to a little below the bound, so that not every put has to."""
        size = connection.execute("SELECT bytes FROM totals").fetchone()[0]
        if size <= most:
            return
        self._try_to_write(connection)
        goal = size - int(most * PRUNE_TO)
        connection.execute(
            "DELETE FROM answers WHERE key IN (SELECT key FROM ("
            "SELECT key, sum(size) OVER (ORDER BY used, key) - size AS before FROM answers) WHERE before < ?)", (goal,))


CACHE = SQLiteCache
