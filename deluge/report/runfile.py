"""The notes that a run leaves beside its records: what no record can tell, for the report."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from deluge import _json
from deluge.status import StatusSnapshot

SUFFIX = ".runs"
VERSION = 1
MOST_RUNS = 50
_LATEST = 1e11  # epoch seconds that still have a date
_LARGEST = 16_000_000  # bytes of notes that are read


@dataclass(frozen=True, slots=True)
class RunNotes:
    """One run. ``limited``: for each minute since ``started_at`` (epoch seconds) the seconds that a factor limited it.

    Limits are None where there was none, or nobody knows.
    """

    started_at: float
    seconds: float = 0.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    slots: int | None = None
    requests: int = 0
    retries: Mapping[str, int] = field(default_factory=dict)
    rate_limit_errors: int = 0
    possibly_billed: int = 0
    limited: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


def notes_of(now: StatusSnapshot, started_at: float) -> RunNotes:
    """The notes of a run that has these counters at its end."""
    capacity = now.capacity
    slots = capacity.slots
    return RunNotes(
        started_at, now.seconds, _finite(capacity.requests_per_minute), _finite(capacity.tokens_per_minute), slots,
        now.requests_sent, dict(now.retries_by_kind), now.rate_limit_errors, now.possibly_billed,
        {minute: dict(factors) for minute, factors in now.limited_minutes.items()},
    )


def save_notes(records: str | os.PathLike[str], notes: RunNotes) -> None:
    """Adds a run to the notes beside this file of records. Notes are no answers: what cannot be written is left out."""
    line = _json.dumps({
        "v": VERSION, "started_at": notes.started_at, "seconds": notes.seconds,
        "requests_per_minute": notes.requests_per_minute, "tokens_per_minute": notes.tokens_per_minute,
        "slots": notes.slots, "requests": notes.requests, "retries": dict(notes.retries),
        "rate_limit_errors": notes.rate_limit_errors, "possibly_billed": notes.possibly_billed,
        "limited": {str(minute): dict(factors) for minute, factors in notes.limited.items()},
    })
    with suppress(OSError), open(path_of(records), "ab") as file:
        file.write(line + b"\n")


def forget_notes(records: str | os.PathLike[str]) -> None:
    """The records begin anew, and so do the notes."""
    with suppress(OSError):
        os.unlink(path_of(records))


def path_of(records: str | os.PathLike[str]) -> str:
    """Where the notes of this file of records are."""
    return os.fspath(records) + SUFFIX


def read_notes(records: str | os.PathLike[str]) -> tuple[RunNotes, ...]:
    """The runs that wrote this file, oldest first; none where there are no notes, or no readable ones."""
    try:
        with open(path_of(records), "rb") as file:
            lines = file.read(_LARGEST).splitlines()
    except OSError:
        return ()
    found = [_notes(line) for line in lines]
    return tuple(notes for notes in found if notes is not None)[-MOST_RUNS:]


def _notes(line: bytes) -> RunNotes | None:
    try:
        data = _json.loads(line)
        if data["v"] != VERSION:
            return None
        limited = {int(_figure(minute, _LATEST / 60)): {str(name): _figure(spent) for name, spent in factors.items()}
                   for minute, factors in data["limited"].items()}
        return RunNotes(
            _figure(data["started_at"], _LATEST), _figure(data["seconds"]), _limit(data["requests_per_minute"]),
            _limit(data["tokens_per_minute"]), None if data["slots"] is None else int(_figure(data["slots"])),
            int(_figure(data["requests"])), {str(kind): int(_figure(count)) for kind, count in data["retries"].items()},
            int(_figure(data["rate_limit_errors"])), int(_figure(data["possibly_billed"])), limited,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def _figure(value: Any, most: float = 1e15) -> float:
    """A number that can be drawn; ``ValueError`` for any other."""
    number = float(value)
    if not 0.0 <= number <= most:
        raise ValueError("no figure of a run")
    return number


def _limit(value: Any) -> float | None:
    return None if value is None else _figure(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
