"""What deluge says through ``logging``: one logger per room, values beside the text, never a prompt and never a key.

    WARNING deluge.retry client=nightly task=17 model=gpt-4.1-mini attempt=2/5 kind=rate_limit status=429 retry_in=1.8

The text is for people; ``record.deluge`` is a dict of the same values for programs. Only the words in ``KEYS`` are ever
written, and only scalars under them, so that no call can let a prompt or a secret slip through.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TextIO, TypeVar

# In the order in which they are written.
KEYS = (
    "client", "task", "id", "model", "to_model", "provider", "lane", "attempt", "kind", "status", "retry_in", "wait_in",
    "seconds", "latency", "parameter", "reason", "limit", "used", "path", "line", "prompts", "done", "total",
    "succeeded", "failed", "cancelled", "running", "queued", "requests", "retries", "possibly_billed", "input_tokens",
    "output_tokens", "cost", "limited_by", "finish_reason", "source", "error_class", "request_id", "response_id",
    "repeated",
)
_RANK = {key: rank for rank, key in enumerate(KEYS)}
_LONGEST, _LONGEST_MESSAGE = 200, 500
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|key)[-_][\w-]{12,}|\bAIza[\w-]{20,}|\bA[KS]IA\w{12,}|\b[Bb]earer\s+\S+|\bya29\.[\w.-]{12,}"
    r"|\beyJ[\w-]{12,}\.[\w-]{8,}\.[\w-]+"
)
_PLAIN = re.compile(r"[!-~]+")

logging.getLogger("deluge").addHandler(logging.NullHandler())


def logger(room: str = "") -> logging.Logger:
    """The logger of one room: ``deluge.<room>``."""
    return logging.getLogger(f"deluge.{room}" if room else "deluge")


def event(log: logging.Logger, level: int, message: str, /, **values: Any) -> None:
    """Writes one record: the message, then ``key=value`` for the known keys; None is left out, so are unknown keys."""
    if not log.isEnabledFor(level):
        return
    kept = {key: _scalar(values[key]) for key in sorted(values.keys() & _RANK.keys(), key=_RANK.__getitem__)
            if values[key] is not None}
    pairs = " ".join(f"{key}={_written(value)}" for key, value in kept.items())
    text = f"{_clean(message, _LONGEST_MESSAGE)} {pairs}".strip()
    log.log(level, "%s", text, extra={"deluge": kept}, stacklevel=2)


def _scalar(value: Any) -> str | int | float | bool:
    if isinstance(value, (bool, int, float)):
        return value
    return _clean(value) if isinstance(value, str) else type(value).__name__


def _written(value: str | int | float | bool) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = str(value)
    if _PLAIN.fullmatch(text) and '"' not in text:
        return text
    return '"' + text.replace('"', "'") + '"'


def masked(text: str) -> str:
    """The text with ``***`` for whatever looks like a key."""
    return _SECRET.sub("***", text)


def _clean(text: str, longest: int = _LONGEST) -> str:
    text = masked(text)
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= longest else text[:longest - 3] + "..."


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:  # Python 3.10 cannot subscript it
    _StreamHandler = logging.StreamHandler


class StderrHandler(_StreamHandler):
    """A handler that writes to what ``sys.stderr`` is at the moment, so that its lines stay clear of a display."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        logging.Handler.__init__(self, level)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The standard error of this moment."""
        return sys.stderr


T = TypeVar("T")


@dataclass(slots=True)
class _Fold(Generic[T]):
    until: float
    last: T
    count: int = 0


class Folder(Generic[T]):
    """Folds repeats: the first of a key is said at once, what follows within ``every`` seconds as one with a count.

    Pure: the time is an argument. What it gives are ``(item, count)`` pairs to be written: the last item, and how many
    it stands for.
    """

    __slots__ = ("every", "_folds")

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self._folds: dict[Hashable, _Fold[T]] = {}

    def add(self, key: Hashable, item: T, now: float) -> list[tuple[T, int]]:
        """What to write now that this happened."""
        said = self.due(now)
        fold = self._folds.get(key)
        if fold is None:
            self._folds[key] = _Fold(now + self.every, item)
            return [*said, (item, 1)]
        fold.count += 1
        fold.last = item
        return said

    def due(self, now: float) -> list[tuple[T, int]]:
        """What to write because its time is over; a key that was quiet for a whole period is forgotten."""
        said = []
        for key, fold in list(self._folds.items()):
            if now < fold.until:
                continue
            if fold.count:
                said.append((fold.last, fold.count))
                fold.until, fold.count = now + self.every, 0
            else:
                del self._folds[key]
        return said

    def flush(self) -> list[tuple[T, int]]:
        """What is left, at the end of a run."""
        left = [(fold.last, fold.count) for fold in self._folds.values() if fold.count]
        self._folds.clear()
        return left

    @property
    def next_at(self) -> float | None:
        """When ``due`` will have something; None while nothing is folded."""
        return min((fold.until for fold in self._folds.values() if fold.count), default=None)
