"""Notes as they are found while a request is made."""

from __future__ import annotations

from typing import Any

from deluge.dialects._settings import Setting
from deluge.wire import Note


class Notes(list[Note]):
    """What the user asked for and does not get, in the order of finding it, each once."""

    def add(self, parameter: str, reason: str) -> None:
        """Notes why a parameter is not sent as it was asked for."""
        note = Note(parameter, reason)
        if note not in self:
            self.append(note)

    def keep(self, setting: Setting) -> Any:
        """The value of a setting; its note is kept."""
        value, note = setting
        if note is not None and note not in self:
            self.append(note)
        return value
