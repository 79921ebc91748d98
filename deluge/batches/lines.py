"""The sidecar of a job: for every prompt a line of facts and a line with its request, written before anything is sent.

Lines are only ever added: a prompt that is asked again has its two lines again, with the number of a later part.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from deluge import _json
from deluge.batches.state import JobState
from deluge.errors import ConfigError

NOWHERE = -1  # the part of a prompt that is never sent

Facts = dict[str, Any]


def digest(key: str, row_id: Any) -> str:
    """By what a prompt is found again: its request key, whichever model of the pool has it, and the id of its row."""
    return hashlib.sha256(f"{key}\0{row_id!r}".encode("utf-8", "surrogatepass")).hexdigest()[:24]


class Writer:
    """Adds lines to a sidecar. ``ConfigError`` when the disk does not take them."""

    def __init__(self, state: JobState) -> None:
        self._path = state.prompts
        try:
            self._file = open(self._path, "ab")
            self._file.truncate(state.size)  # what a process that died had begun to write
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None
        self.at = self._file.seek(0, os.SEEK_END)

    def add(self, facts: Mapping[str, Any], body: bytes) -> None:
        """One prompt."""
        data = _json.dumps(facts) + b"\n" + body + b"\n"
        try:
            self._file.write(data)
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None
        self.at += len(data)

    def close(self) -> None:
        """Brings it all to the disk."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None
        finally:
            self.leave()

    def leave(self) -> None:
        """Closes the file, whatever became of its lines."""
        with suppress(OSError):  # that of a full disk has been said
            self._file.close()


class Lines:
    """Reads a sidecar: which lines there are, in which part each was last sent, and its facts one by one."""

    def __init__(self, state: JobState) -> None:
        try:
            self._file = open(state.prompts, "rb")
        except OSError as error:
            raise ConfigError(
                f"{state.prompts} cannot be read: {error.strerror}; it belongs to {state.path} and has its prompts"
            ) from None
        self._offsets = array("Q")
        self.parts = array("l")
        self.look(state.size)

    def __len__(self) -> int:
        return len(self._offsets)

    def look(self, size: int) -> None:
        """Reads the file once, as far as it counts."""
        del self._offsets[:], self.parts[:]
        for at, facts, _ in self._pairs(0, size):
            number = facts["n"]
            if number == len(self._offsets):
                self._offsets.append(at)
                self.parts.append(facts["part"])
            else:
                self._offsets[number] = at
                self.parts[number] = facts["part"]

    def facts(self, number: int) -> Facts:
        """What is known of a prompt."""
        self._file.seek(self._offsets[number])
        facts: Facts = _json.loads(self._file.readline())
        return facts

    def whole(self, number: int) -> tuple[Facts, bytes]:
        """The facts of a prompt, and its request."""
        facts = self.facts(number)
        return facts, self._file.readline()[:-1]

    def all_facts(self) -> Iterator[Facts]:
        """The latest facts of every prompt, in order."""
        for number in range(len(self._offsets)):
            yield self.facts(number)

    def requests(self, part: int, start: int, end: int) -> Iterator[tuple[Facts, bytes]]:
        """The requests of one part."""
        for _, facts, body in self._pairs(start, end):
            if facts["part"] == part:
                yield facts, body

    def _pairs(self, start: int, end: int) -> Iterator[tuple[int, Facts, bytes]]:
        at = start
        while at < end:
            self._file.seek(at)
            first, body = self._file.readline(), self._file.readline()
            if not body.endswith(b"\n"):
                raise ConfigError(f"{self._file.name} is shorter than it was: it has been changed")
            yield at, _json.loads(first), body[:-1]
            at += len(first) + len(body)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
