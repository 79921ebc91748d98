"""A journal on disk: opened with its lock, repaired, indexed; appended to by the courier; tidied at a clean end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import IO, Any

from deluge import _json, _log
from deluge.errors import ConfigError
from deluge.journal.lock import Lock, is_still
from deluge.journal.recorder import DURABLE, NEVER, Asked, Recorder
from deluge.journal.rewrite import set_damaged_aside, sync_folder, tidied
from deluge.journal.scan import ASIDE, BITS, CLAIMED, FAILED, Scan, outweighed, scan, scan_aside
from deluge.journal.table import Table
from deluge.record import record_line

SYNC_EVERY = 1.0  # seconds
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NAMED = 5  # damaged lines that a message names
_said = _log.logger("journal")


class Journal(Recorder):
    """The records of a run in a file, and what it has of them already. One call at a time has it.

    ``durable``: "second" brings what was written to the disk at most a second later, "each" every batch before anybody
    sees it. ``retry_failed``: failures are asked again. ``overwrite``: begins anew (the old file stays until there is
    a first record). ``exact``: the file belongs to one input: at a clean end it has one line for each of its prompts,
    and the answers to anything else are in ``path + ".aside"``, where they are found again. ``ConfigError`` when the
    file cannot be written, is none of ours, or is in use.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durable: str = "second", retry_failed: bool = False, prompts: bool = True,
        overwrite: bool = False, exact: bool = False,
    ) -> None:
        super().__init__(os.fspath(path), prompts=prompts)
        if durable not in DURABLE:
            raise ConfigError(f"durable is 'second' or 'each', not {durable!r}")
        self._real = os.path.realpath(self.path)
        self._each = durable == "each"
        self._retry_failed = retry_failed
        self._exact = exact
        self._pid = os.getpid()
        self._file = -1
        self._reader: IO[bytes] | None = None
        self._shelf: IO[bytes] | None = None
        self._claimed = 0
        self._found = Scan(Table())
        self._new = not os.path.exists(self._real)
        if not self._new and not os.path.isfile(self._real):
            raise ConfigError(f"{self.path} is no regular file: a journal has to be one")
        self._hold = Lock(self._real, self.path)
        try:
            self._open(overwrite)
        except BaseException:
            self._let_go()
            raise

    def _open(self, overwrite: bool) -> None:
        try:
            self._file = os.open(self._real, _FLAGS, 0o666)
            self._stale = overwrite and not self._new
            if not overwrite:
                self._found = scan(self._real)
                self._repair()
                self._reader = open(self._real, "rb")
                if self._exact and os.path.exists(self._real + ".aside"):
                    scan_aside(self._real + ".aside", self._found.table)
                    self._shelf = open(self._real + ".aside", "rb")
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from None
        self._fresh = not self._found.table
        if self._new:
            sync_folder(self._real)

    def _repair(self) -> None:
        found = self._found
        if found.torn:
            os.ftruncate(self._file, found.end)
            _log.event(_said, 30, "the last line was cut; its prompt will be asked again", path=self.path)
        elif found.end and found.end == os.fstat(self._file).st_size and not _ends_well(self._real):
            os.write(self._file, b"\n")
            found.end += 1
        if found.damaged:
            numbers = ", ".join(f"{number:,}" for number, _, _ in found.damaged[:_NAMED])
            more = ", …" if len(found.damaged) > _NAMED else ""
            set_damaged_aside(self._real, found.damaged)
            lines = "1 damaged line" if len(found.damaged) == 1 else f"{len(found.damaged):,} damaged lines"
            _log.event(_said, 30, f"{lines} ({numbers}{more}) went into {self.path}.damaged; what they answered will be asked "
                       "again", path=self.path)
            os.close(self._file)
            self._file = os.open(self._real, _FLAGS, 0o666)
            self._found = scan(self._real)

    def begin(self, prefix: str, secrets: Iterable[str], on_failure: Callable[[str], object]) -> None:
        """A call begins; says how many answers are of no use to it."""
        super().begin(prefix, secrets, on_failure)
        others = sum(count for known, count in self._found.answers.items() if known != prefix)
        if others:
            said = "1 answer in the journal is" if others == 1 else f"{others:,} answers in the journal are"
            _log.event(_said, 30, f"{said} for other parameters", path=self.path)

    def find(self, asked: Asked, index: int, metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The record that answers this prompt already, with its index and metadata as they are in this input."""
        number = asked.mark
        if not number or self._fresh:
            return None
        with self._lock:
            value = self._found.table.get(number)
            if value < 0 or self._file < 0 or value & FAILED and self._retry_failed:
                return None
            data = self._read(value)
            if data is None or any(data[name] != said for name, said in (
                    ("key", asked.key), ("id", asked.row_id), ("occurrence", asked.occurrence))):
                return None
            if not value & (CLAIMED | ASIDE):
                self._found.table.put(number, value | CLAIMED)
                self._claimed += 1
        self.resumed += 1
        carried = dict(metadata) if metadata else None
        if value & ASIDE or data["index"] != index or data["metadata"] != carried:
            data.update(index=index, metadata=carried)
            self._write([(asked, bool(value & FAILED))], [record_line(data)], known=True)
        return data

    def _read(self, value: int) -> dict[str, Any] | None:
        file = self._shelf if value & ASIDE else self._reader
        if file is None:
            return None
        try:
            file.seek(value >> BITS)
            data = _json.loads(file.readline())
        except (OSError, ValueError):  # somebody else has changed the file
            return None
        return data if isinstance(data, dict) and {"key", "id", "occurrence", "index", "metadata"} <= data.keys() else None

    def _append(self, kept: list[tuple[Asked, bool]], lines: list[bytes]) -> None:
        if self._file < 0:
            return  # it came after the end
        found = self._found
        self._forget_old()
        self._write_whole(b"".join(lines))
        put, end = found.table.put, found.end
        for (asked, failed), line in zip(kept, lines):
            if not asked.mark:
                found.loose += 1
            else:
                value = end << BITS | CLAIMED | failed
                before = put(asked.mark, value)
                if before < 0:
                    found.live += 1
                    self._claimed += 1
                else:
                    self._replace(asked.mark, before, value)
            end += len(line)
        found.end = end
        self._mark_unsynced()

    def _replace(self, mark: int, before: int, value: int) -> None:
        """There was a line for this prompt already: one of the two is stale."""
        found = self._found
        before = outweighed(found.table, mark, before, value)
        gone = not before & ASIDE
        found.stale += gone
        found.live += not gone
        self._claimed += not before & CLAIMED

    def _write_whole(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:] if written else data)
        except OSError:
            with suppress(OSError):  # no half line is left behind
                os.ftruncate(self._file, self._found.end)
            raise

    def _forget_old(self) -> None:
        if self._stale:
            os.ftruncate(self._file, 0)
            self._stale = False
            for sidecar in (".aside", ".damaged"):
                with suppress(OSError):
                    os.unlink(self._real + sidecar)

    def _mark_unsynced(self) -> None:
        now = time.monotonic()
        if self._each or now >= self.sync_at:
            os.fsync(self._file)
            self.sync_at = NEVER
        elif self.sync_at == NEVER:
            self.sync_at = now + SYNC_EVERY

    def sync(self) -> None:
        """Sees to it that what was written is on the disk."""
        with self._lock:
            if self._file < 0 or self.sync_at == NEVER or self.failure is not None:
                self.sync_at = NEVER
                return
            self.sync_at = NEVER
            try:
                os.fsync(self._file)
                return
            except OSError as error:
                failure = self.failure = error
        self._give_up(failure)

    def close(self, clean: bool = False) -> None:
        """Brings all to the disk, tidies after a clean end, and lets go of the lock. In a forked child it only lets go."""
        if os.getpid() != self._pid:  # whoever held the lock of this object is not in this process
            self._let_go()
            return
        with self._lock:
            if self._file < 0:
                return
            try:
                self._finish(clean)
            except OSError as error:
                if self.failure is None and self.sync_at < NEVER:
                    self.failure = error
                _log.event(_said, 30, f"the journal could not be tidied: {error.strerror}; nothing is lost", path=self.path)
            finally:
                self._let_go()

    def _finish(self, clean: bool) -> None:
        found = self._found
        if clean:
            self._forget_old()
        if self.sync_at < NEVER:
            os.fsync(self._file)
            self.sync_at = NEVER
        if not is_still(self._file, self._real):
            _log.event(_said, 30, "the journal was moved or removed while it was written; its records went with it",
                       path=self.path)
        elif self._new and not clean and not found.end:
            os.unlink(self._real)
        elif clean and self.failure is None:
            foreign = self._exact and (found.loose or self._claimed < found.live)
            if found.stale or foreign:
                tidied(self._real, found.table, self._exact)

    def _let_go(self) -> None:
        file, self._file = self._file, -1
        for reader in (self._reader, self._shelf):
            if reader is not None:
                reader.close()
        if file >= 0:
            os.close(file)
        self._hold.release()

    def __del__(self) -> None:
        if getattr(self, "_file", -1) >= 0:
            self.close()


def _ends_well(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
