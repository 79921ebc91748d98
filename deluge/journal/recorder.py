"""Whoever writes down the responses of a run: counting, what becomes a line, and what happens when none can be written."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from deluge import _log
from deluge.journal.lines import UNDONE, identity
from deluge.journal.table import Table
from deluge.record import record, record_line
from deluge.response import APIResponse

DURABLE = ("second", "each")
NEVER = float("inf")
_said = _log.logger("journal")


class Asked(Protocol):
    """What a recorder needs to know of a prompt. ``mark`` is its number in the index, once it has its place; 0 before."""

    key: str | None
    row_id: Any
    occurrence: int
    mark: int


class Recorder:
    """Takes responses on the courier, and makes lines of them. A write that fails is its last.

    ``written`` responses became lines, ``unwritten`` would have after the ``failure``. ``sync_at``: when (monotonic) what was
    written has to be on the disk.
    """

    def __init__(self, path: str, *, prompts: bool = True) -> None:
        self.path = path
        self.failure: OSError | None = None
        self.written = self.unwritten = self.resumed = 0
        self.sync_at = NEVER
        self._prompts = prompts
        self._lock = threading.Lock()
        self._seen = Table()
        self._secrets: re.Pattern[str] | None = None
        self._on_failure: Callable[[str], object] = _ignore

    def begin(self, prefix: str, secrets: Iterable[str], on_failure: Callable[[str], object]) -> None:
        """A call begins: what its keys begin with, what no line may hold, whom to tell that nothing can be written."""
        found = sorted({re.escape(secret) for secret in secrets if len(secret) >= 8}, key=len, reverse=True)
        self._secrets = re.compile("|".join(found)) if found else None
        self._on_failure = on_failure

    def place(self, asked: Asked) -> None:
        """Numbers a prompt among its equals, in the order of the input."""
        key = asked.key
        if key is not None:
            same = identity(key, asked.row_id, 0)
            before = self._seen.put(same, 0)
            if before >= 0:
                asked.occurrence = before + 1
                self._seen.put(same, before + 1)
                same = identity(key, asked.row_id, asked.occurrence)
            asked.mark = same

    def find(self, asked: Asked, index: int, metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The record that answers this prompt already; None when there is none."""
        return None

    def keep(self, pairs: Iterable[tuple[Asked, APIResponse]]) -> None:
        """Writes the records of final responses, in one write. Never raises: ``failure`` says what went wrong."""
        kept, lines = [], []
        for asked, response in pairs:
            if response.source != "journal" and response.error_kind not in UNDONE:
                line = self._line(asked, response)
                if line:
                    kept.append((asked, response.is_error))
                    lines.append(line)
        if lines:
            self._write(kept, lines)

    def _write(self, kept: list[tuple[Asked, bool]], lines: list[bytes], *, known: bool = False) -> None:
        """``known``: there are lines of these already, which these replace."""
        count = 0 if known else len(lines)
        with self._lock:
            if self.failure is not None:
                self.unwritten += count
                return
            try:
                self._append(kept, lines)
                self.written += count
                return
            except OSError as error:
                failure = self.failure = error
                self.unwritten += count
        self._give_up(failure)

    def _give_up(self, failure: OSError) -> None:
        """Says that nothing can be written any more, to the log and to the call."""
        reason = failure.strerror or type(failure).__name__
        if not isinstance(failure, BrokenPipeError):  # nobody reads any more: then nobody has to be told
            _log.event(_said, 40, f"the journal cannot be written any more: {reason}; nothing more is sent", path=self.path)
        self._on_failure(f"{self.path} cannot be written any more: {reason}")

    def _append(self, kept: list[tuple[Asked, bool]], lines: list[bytes]) -> None:
        """Writes these lines; ``OSError`` when they are not there, whole, afterwards."""
        raise OSError("this recorder has no place for its lines")

    def _line(self, asked: Asked, response: APIResponse) -> bytes:
        try:
            made = record(
                response, id=asked.row_id, key=asked.key, occurrence=asked.occurrence, prompts=self._prompts
            )
            message = made["error_message"]
            if message:
                made["error_message"] = self._without_secrets(message)
            return record_line(made)
        except Exception as error:  # an answer that a hook made unreadable costs its own line only
            _log.event(_said, 40, f"a response could not be recorded: {type(error).__name__}", task=response.id,
                       path=self.path)
            return b""

    def _without_secrets(self, text: str) -> str:
        """A provider may repeat the key that it refuses."""
        return _log.masked(text if self._secrets is None else self._secrets.sub("***", text))

    def sync(self) -> None:
        """Sees to it that what was written is on the disk."""

    def close(self, clean: bool = False) -> None:
        """The end. ``clean``: every prompt of the input has its response."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path} | {self.resumed:,} resumed, {self.written:,} written>"


def _ignore(message: str) -> None:
    """Nobody is to be told."""
