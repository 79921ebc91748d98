"""What a call says of its journal, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deluge.errors import ConfigError
from deluge.journal import DURABLE, Journal, Recorder

_WORDS = ("journal", "durable", "retry_failed")


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """A path, or a journal that the caller has opened and closes himself."""

    journal: str | os.PathLike[str] | Recorder
    durable: str = "second"
    retry_failed: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> JournalOptions | None:
        """None for a call without one."""
        given, durable, again = (options.get(word) for word in _WORDS)
        if durable not in (None, *DURABLE):
            raise ConfigError(f"durable is 'second' or 'each', not {durable!r}")
        if again not in (None, True, False):
            raise ConfigError(f"retry_failed is True or False, not {again!r}")
        if given is None:
            for word in ("durable", "retry_failed"):
                if options.get(word):
                    raise ConfigError(f"{word} is a setting of journal=, which this call does not have")
            return None
        if not isinstance(given, (str, os.PathLike, Recorder)) or given == "":
            raise ConfigError(f"journal is the path of a file, not {given!r}")
        return cls(given, durable or "second", bool(again))

    def opened(self) -> tuple[Recorder, bool]:
        """The journal, and whether it has to be closed by who asked for it here."""
        if isinstance(self.journal, Recorder):
            return self.journal, False
        return Journal(self.journal, durable=self.durable, retry_failed=self.retry_failed), True


def without_journal(options: Mapping[str, Any]) -> None:
    """``ConfigError`` where a call takes no journal."""
    for word in _WORDS:
        if options.get(word) is not None:
            raise ConfigError(f"{word}= is for process_prompts, map and ask; handles, streams and agents have no journal")
