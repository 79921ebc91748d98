"""Brings a job's parts to the provider, each of them once, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Iterator

from deluge import _log
from deluge.batches.api import UNDECIDED, Ticket
from deluge.batches.counter import Unclear
from deluge.batches.desks import Desks
from deluge.batches.lines import Lines
from deluge.batches.state import JobState, Part
from deluge.errors import BatchError

SETTLE = 1.0  # seconds before a batch that may have been made is looked for
CREATES = 5  # create calls of one part in a row that may be lost

_said = _log.logger("batches")


class Submission:
    """Moves parts on. Every step is in the state file before the next begins, and a create call before it leaves."""

    def __init__(self, state: JobState, lines: Lines, desks: Desks, settle: float = SETTLE) -> None:
        self._state = state
        self._lines = lines
        self._desks = desks
        self._settle = settle

    def advance_all(self) -> bool:
        """Creates what is not created yet; whether all of it is. ``BatchError`` when the provider refuses."""
        return all([self.advance(number) for number in range(len(self._state.parts))])

    def advance(self, number: int) -> bool:
        """Creates one part, if it is not; False when the provider cannot tell yet whether it is."""
        part = self._state.parts[number]
        lost = ""
        for attempt in range(CREATES):
            if part.stage == "creating":
                if attempt:
                    time.sleep(self._settle)
                found = self._find(number, part)
                if found == UNDECIDED:
                    return False
                if found is not None:
                    return self._created(number, part, found)
            if part.stage in ("planned", "creating", "uploaded") and self._state.cancelled:
                part.stage = "dropped"
                self._state.save()
            if part.stage in ("created", "ended", "dropped"):
                return True
            try:
                return self._created(number, part, self._create(number, part))
            except Unclear as unclear:
                lost = str(unclear)
        raise BatchError(f"a batch could not be created: {lost}", state=self._state.path, kind="connection", retry=True)

    def ticket(self, number: int) -> Ticket:
        """What the provider is told about a part."""
        part = self._state.parts[number]
        known = frozenset(other.batch for other in self._state.parts if other.batch)
        return Ticket(self._state.id, number, part.count, part.intent_at or time.time(), part.file, known)

    def _find(self, number: int, part: Part) -> str | None:
        api, counter = self._desks.apis[part.lane], self._desks.counters[part.lane]
        return counter.run(api.find(counter.desk, self.ticket(number)), "looking for a batch that may have been created")

    def _create(self, number: int, part: Part) -> str:
        api, counter, state = self._desks.apis[part.lane], self._desks.counters[part.lane], self._state
        if part.stage == "planned":
            calls = api.upload(counter.desk, self.ticket(number), self._requests(number, part), part.size)
            part.file = counter.run(calls, "uploading the requests")
            part.stage = "uploaded"
            state.save()
        part.stage = "creating"
        part.intent_at = part.intent_at or time.time()
        state.save()
        try:
            return counter.once(
                api.create(counter.desk, self.ticket(number), self._requests(number, part)), "creating the batch")
        except BatchError as error:
            if not error.retry:  # it was refused: nothing was made, and its file may be the reason
                part.stage, part.file, part.intent_at = "planned", "", 0.0
                state.save()
            raise

    def _created(self, number: int, part: Part, batch: str) -> bool:
        part.batch, part.stage = batch, "created"
        self._state.save()
        model = self._state.lanes[part.lane].model
        _log.event(_said, 20, f"batch {batch} created", model=model, prompts=part.count, path=self._state.path)
        return True

    def _requests(self, number: int, part: Part) -> Iterator[tuple[str, bytes]]:
        ticket = self.ticket(number)
        for facts, body in self._lines.requests(number, part.start, part.end):
            yield ticket.custom_id(facts["n"]), body
