"""The rehearsal provider's batches and files, whatever the protocol: lines are answered when a batch is created, and shown
when its time has come. Pure but for the times that are passed in.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from deluge import _json
from deluge.testing import faults
from deluge.testing.exchange import Reply, Request, Wire

if TYPE_CHECKING:
    from deluge.testing.service import Service

Ending = Literal["done", "failed", "expired", "cancelled"]

_EXPIRE = re.compile(r"\[\[expire(?: x(\d+))?\]\]")
MOST = {"openai": (50_000, 200_000_000), "mistral": (1_000_000, 512_000_000), "anthropic": (100_000, 256_000_000),
        "gemini": (1_000_000, 2_000_000_000)}  # lines and bytes of one batch


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch and what becomes of it. ``body`` is the protocol's reply, or its error."""

    custom_id: str
    status: int
    body: Any
    ends: Ending


@dataclass(slots=True)
class StoredFile:
    """A file as it was uploaded or made. ``id`` without a prefix."""

    id: str
    name: str
    purpose: str
    data: bytes = field(repr=False)
    created_at: float = 0.0
    wanted: int = 0  # bytes of an upload that comes in pieces
    kind: str = "application/jsonl"


@dataclass(slots=True)
class Batch:
    """One batch. ``facts`` is what its protocol keeps with it; times are epoch seconds."""

    id: str
    api: str
    created_at: float
    seconds: float
    lines: tuple[Line, ...]
    facts: dict[str, Any]
    cancelled_at: float | None = None
    problem: str = ""

    def ended_at(self, now: float) -> float | None:
        """When it ended; None while it runs."""
        end = self.created_at + self.seconds if self.cancelled_at is None else self.cancelled_at
        return end if self.problem or now >= end else None

    def counts(self, now: float) -> Counter[str]:
        """How many lines have ended how; ``running`` for those that have not."""
        if self.ended_at(now) is None:
            done = self._done(now)
            ended: Counter[str] = Counter(str(line.ends) for line in self.lines[:done] if line.ends in ("done", "failed"))
            ended["running"] = len(self.lines) - sum(ended.values())
            return ended
        return Counter(str(line.ends) for line in self.results())

    def results(self) -> list[Line]:
        """What came of every line, in an order that is not the input's."""
        lines = self.lines
        if self.cancelled_at is not None:
            done = self._done(self.cancelled_at)
            lines = tuple(
                line if at < done and line.ends != "expired" else Line(line.custom_id, 0, None, "cancelled")
                for at, line in enumerate(lines)
            )
        return list(reversed(lines))

    def _done(self, at: float) -> int:
        share = (at - self.created_at) / self.seconds if self.seconds > 0 else 1.0
        return int(len(self.lines) * min(1.0, max(0.0, share)))


class BatchStore:
    """Files and batches of one server. ``seconds``: how long a batch takes from its creation on.

    ``bought`` counts how often a prompt was answered in a batch, ``created`` the batches. A prompt with ``[[expire]]`` in
    it expires in each batch, one with ``[[expire x1]]`` in the first that it is in; ``[[fault 500]]`` fails its line.
    """

    def __init__(self, seconds: float = 0.2) -> None:
        self.seconds = seconds
        self.created = self.uploads = 0
        self.bought: Counter[str] = Counter()
        self.batches: dict[str, Batch] = {}
        self.files: dict[str, StoredFile] = {}
        self.most = dict(MOST)
        self._expired: Counter[str] = Counter()
        self._spoilt: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<BatchStore {len(self.batches)} batches | {sum(self.bought.values()):,} answers | {self.seconds:g} s each>"

    def finish(self) -> None:
        """Ends every batch now, with all of its answers."""
        self.seconds = 0.0
        for batch in list(self.batches.values()):
            batch.seconds = 0.0

    def keep(self, name: str, purpose: str, data: bytes, now: float) -> StoredFile:
        """A file, stored."""
        self.uploads += 1
        file = StoredFile(str(uuid.uuid4()), name, purpose, data, now)
        self.files[file.id] = file
        return file

    def create(
        self, api: str, requests: Iterable[tuple[str, Mapping[str, Any]]], path: Callable[[Mapping[str, Any]], str],
        headers: Mapping[str, str], wire: Wire, service: Service, now: float, facts: dict[str, Any],
    ) -> Batch:
        """A batch of these (custom id, body) pairs; ``path`` says where each would have been posted."""
        lines = [self._line(custom_id, body, path(body), headers, wire, service) for custom_id, body in requests]
        self.created += 1
        batch = Batch(uuid.uuid4().hex, api, now, self.seconds, tuple(lines), facts)
        self.batches[batch.id] = batch
        return batch

    def failed(self, api: str, problem: str, now: float, facts: dict[str, Any]) -> Batch:
        """A batch whose input cannot be used."""
        batch = Batch(uuid.uuid4().hex, api, now, 0.0, (), facts, problem=problem)
        self.batches[batch.id] = batch
        return batch

    def _line(
        self, custom_id: str, body: Mapping[str, Any], path: str, headers: Mapping[str, str], wire: Wire, service: Service,
    ) -> Line:
        request = Request("POST", path, headers, _json.dumps(dict(body)), number=len(self.bought) + 1)
        reply = wire.reply(request, service)
        if self._expires(reply.prompt):
            return Line(custom_id, 0, None, "expired")
        fault = faults.asked_for(reply.prompt, self._spoilt)
        if fault is not None:
            status = int(fault.kind) if fault.kind.isdigit() else 500
            reply = Reply(status, wire.error(status, f"Rehearsed error {status}."), prompt=reply.prompt)
        if reply.status == 200:
            self.bought[reply.prompt] += 1
        return Line(custom_id, reply.status, _json.loads(reply.body), "done" if reply.status == 200 else "failed")

    def _expires(self, prompt: str) -> bool:
        mark = _EXPIRE.search(prompt) if "[[expire" in prompt else None
        if mark is None:
            return False
        self._expired[prompt] += 1
        return mark[1] is None or self._expired[prompt] <= int(mark[1])


def multipart(body: bytes, content_type: str) -> dict[str, tuple[str, bytes]]:
    """The fields of a form as (file name, content) by name."""
    found = re.search(r'boundary="?([^";,]+)"?', content_type)
    fields: dict[str, tuple[str, bytes]] = {}
    if found is None:
        return fields
    for piece in body.split(b"--" + found[1].encode("latin-1"))[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        words = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode("latin-1")))
        if "name" in words:
            fields[words["name"]] = (words.get("filename", ""), content.removesuffix(b"\r\n"))
    return fields


def json_lines(data: bytes) -> list[Any]:
    """The objects of a JSONL file. ``ValueError`` names the line that is none."""
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                found.append(_json.loads(line))
            except ValueError:
                raise ValueError(f"line {number}: This line is not parseable as valid JSON.") from None
    return found
