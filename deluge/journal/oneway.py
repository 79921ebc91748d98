"""Where records can only go out: standard output, a pipe, a device. Nothing is resumed from there."""

from __future__ import annotations

from typing import Any

from deluge.journal.recorder import Asked, Recorder
from deluge.worklist import RecordWriter


class OneWay(Recorder):
    """Writes records to ``"-"`` (stdout) or to something that is no regular file. ``ConfigError`` when it cannot."""

    def __init__(self, path: str, *, prompts: bool = True) -> None:
        super().__init__(path, prompts=prompts)
        self._writer = RecordWriter(path, overwrite=True)

    def _append(self, kept: list[tuple[Asked, Any]], lines: list[bytes]) -> None:
        self._writer.append(b"".join(lines), len(lines))

    def close(self, clean: bool = False) -> None:
        """Stdout stays open."""
        self._writer.close()
