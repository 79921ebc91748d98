"""A job's state file: which provider batches it has, and how far each of them has come. Small, whole, without keys.

It is written before whatever it announces is done: a part is ``planned``, its file ``uploaded``, then ``creating`` before
the create call leaves, and ``created`` when the provider's id is known. Whoever finds ``creating`` asks the provider first.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from deluge import _json
from deluge.errors import ConfigError
from deluge.journal.lock import Lock
from deluge.journal.rewrite import sync_folder

Stage = Literal["planned", "uploaded", "creating", "created", "ended", "dropped"]

VERSION = 1
PROMPTS = ".prompts"  # the sidecar's ending


@dataclass(slots=True)
class Lane:
    """How the prompts of some parts are asked: one model, one address, one format. ``headers`` are the dialect's own."""

    api: str
    model: str
    dialect: str
    url: str
    base_url: str
    params: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Part:
    """One provider batch. ``start`` and ``end`` bound its lines in the sidecar (bytes), ``size`` is that of its requests.

    ``batch`` and ``file`` are the provider's ids. ``intent_at``: when it was first about to be created (epoch seconds).
    """

    lane: int
    start: int
    end: int = 0
    count: int = 0
    size: int = 0
    stage: Stage = "planned"
    file: str = ""
    batch: str = ""
    intent_at: float = 0.0
    status: str = ""


@dataclass(slots=True)
class JobState:
    """All that is known of a job. ``key``: what the keys of its prompts begin with. ``options``: schema and tools.

    ``size``: the bytes of the sidecar that count; what is behind them was being written when a process died.
    """

    path: str
    id: str
    created_at: float
    total: int = 0
    size: int = 0
    key: str = ""
    cancelled: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    lanes: list[Lane] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    @property
    def prompts(self) -> str:
        """The sidecar: its prompts and their requests, line by line."""
        return self.path + PROMPTS

    def save(self) -> None:
        """Writes the file anew, whole or not at all, and brings it to the disk. ``ConfigError`` when that fails."""
        data = asdict(self)
        del data["path"]
        write_whole(self.path, _json.dumps({"deluge_batch": VERSION, **data}) + b"\n")

    def remove(self) -> None:
        """Takes the file and its sidecar away."""
        for path in (self.path, self.prompts):
            with suppress(OSError):
                os.unlink(path)

    def hold(self) -> Lock:
        """The lock that keeps other processes and threads from this job. ``ConfigError`` names who has it."""
        return Lock(os.path.realpath(self.path), self.path)


def new_state(path: str | os.PathLike[str] | None) -> JobState:
    """The state of a job that begins. Without a path it is a file of a name of its own in the working directory."""
    id, now = secrets.token_hex(6), time.time()
    if path is None:
        path = f"deluge-batch-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{id}.json"
    return JobState(os.fspath(path), id, now)


def load_state(path: str | os.PathLike[str]) -> JobState:
    """The state that a file has. ``ConfigError`` for a file that is none, or of another version."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = _json.loads(file.read())
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from None
    except ValueError:
        data = None
    if not isinstance(data, dict) or "deluge_batch" not in data:
        raise ConfigError(f"{name} is no state of a batch job")
    version = data.pop("deluge_batch")
    if version != VERSION:
        raise ConfigError(f"{name} is of version {version}; this release reads {VERSION}: fetch it with the one that wrote it")
    try:
        lanes = [Lane(**lane) for lane in data.pop("lanes")]
        parts = [Part(**part) for part in data.pop("parts")]
        return JobState(path=name, lanes=lanes, parts=parts, **data)
    except (TypeError, KeyError):
        raise ConfigError(f"{name} is no state of a batch job, or was changed") from None


def write_whole(path: str, data: bytes) -> None:
    """Replaces a file, so that it is the old one or the new one whatever happens. ``ConfigError`` when that fails."""
    beside = f"{path}.{os.getpid()}.new"
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(beside)
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
