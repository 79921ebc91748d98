"""Waits for a job: looks at its batches, reads those that have ended, hands their answers over, asks again on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from deluge import _log
from deluge.batches.api import Look
from deluge.batches.counter import FIRST_PAUSE, TRIES
from deluge.batches.desks import Desks
from deluge.batches.lines import NOWHERE, Facts, Lines, Writer
from deluge.batches.money import Purse
from deluge.batches.reading import Reading, retried, with_earlier
from deluge.batches.state import JobState, Part
from deluge.batches.submission import Submission
from deluge.errors import BatchError, BatchTimeoutError
from deluge.response import APIResponse
from deluge.tasks import Task, failed
from deluge.usage import NO_USAGE
from deluge.wire import Verdict

FIRST_LOOK, LONGEST_LOOK, GROWTH = 1.0, 60.0, 1.5  # seconds between two looks, and by how much they grow
SLICE = 0.2  # seconds: Ctrl-C that comes right before a sleep is seen only when it ends
CHUNK = 64  # responses that are handed over at a time

Pair = tuple[Task, APIResponse]
_said = _log.logger("batches")


class Collecting:
    """One wait for one job. ``wanted`` maps the numbers of lines to the places of their responses in this call."""

    def __init__(
        self, state: JobState, lines: Lines, desks: Desks, reading: Reading, purse: Purse,
        deliver: Callable[[list[Pair]], None], wanted: Mapping[int, int], *, until: float | None, poll_in: float | None,
        resubmit: bool,
    ) -> None:
        self._state = state
        self._lines = lines
        self._desks = desks
        self._reading = reading
        self._purse = purse
        self._submission = Submission(state, lines, desks)
        self._deliver = deliver
        self._wanted = wanted
        self._until = until
        self._poll_in = poll_in
        self._old = len(state.parts) if resubmit else 0  # parts whose failures are asked again
        self._done = bytearray(len(lines))
        self._earlier: dict[int, APIResponse] = {}
        self._told: dict[int, tuple[int, ...]] = {}

    def run(self) -> None:
        """Returns when every prompt that is wanted has its response. ``BatchTimeoutError`` when the time is over before."""
        self._hand_over_unsent()
        pending = self._needed()
        pause = self._poll_in or FIRST_LOOK
        while pending:
            after, count = 0.0, len(self._state.parts)
            ended: list[int] = []
            for number in pending:
                try:
                    if self._ended(number):
                        ended.append(number)
                except BatchError as error:  # what can be asked again is asked again, as long as there is time
                    if not error.retry:
                        raise
                    after = max(after, error.retry_after or 0.0)
                    _log.event(_said, 20, f"a look at a batch failed: {error}", path=self._state.path)
            new = range(count, len(self._state.parts))
            pending = [number for number in pending if number not in ended] + list(new)
            if pending and not (ended and new):
                self._sleep(max(pause, after))
                pause = self._poll_in or min(LONGEST_LOOK, pause * GROWTH)

    def _needed(self) -> list[int]:
        """The parts that have what is wanted; all of them when prompts were asked again, since both may have cost."""
        parts, lines = self._state.parts, self._lines.parts
        if sum(part.count for part in parts) > sum(part != NOWHERE for part in lines):
            return list(range(len(parts)))
        return sorted({lines[line] for line in self._wanted} - {NOWHERE})

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if self._until is not None and now >= self._until:
                raise BatchTimeoutError(f"the job has not ended in time; it goes on ({self._state.path})",
                                        state=self._state.path, kind="timeout", retry=True)
            left = min(end, end if self._until is None else self._until) - now
            if left <= 0.0 and now >= end:
                return
            time.sleep(max(0.001, min(SLICE, left)))

    def _ended(self, number: int) -> bool:
        """Whether this part is over and its answers handed over."""
        part = self._state.parts[number]
        if not self._submission.advance(number):
            return False
        if part.stage == "dropped":
            self._read(number, Look("cancelled", True))
            return True
        api, counter = self._desks.apis[part.lane], self._desks.counters[part.lane]
        look = counter.run(api.look(counter.desk, part.batch), "asking for the batch", 1, self._until)
        self._tell(number, part, look)
        if not look.ended:
            return False
        self._read(number, look)
        return True

    def _tell(self, number: int, part: Part, look: Look) -> None:
        """Says in the log how far a batch is, when that has changed."""
        counts = (look.succeeded, look.failed)
        if self._told.get(number) != counts or part.status != look.status:
            self._told[number] = counts
            _log.event(_said, 20, f"batch {part.batch} {look.status}", model=self._state.lanes[part.lane].model,
                       done=look.succeeded + look.failed, total=part.count, path=self._state.path)
        if part.status != look.status or (look.ended and part.stage != "ended"):
            part.status = look.status
            part.stage = "ended" if look.ended else part.stage
            self._state.save()

    def _read(self, number: int, look: Look) -> None:
        """Hands over what came of a part; a download that is cut begins anew, and gives nothing twice."""
        again: list[int] = []
        for attempt in range(TRIES):
            try:
                self._hand_over(self._taken(number, look, again))
                break
            except BatchError as error:
                if not error.retry or attempt + 1 >= TRIES:
                    raise
                self._sleep(max(FIRST_PAUSE * 2.0 ** attempt, error.retry_after or 0.0))
        if again:
            self._ask_again(self._state.parts[number], again)

    def _taken(self, number: int, look: Look, again: list[int]) -> Iterable[tuple[int, Facts, APIResponse]]:
        for line, facts, response in self._reading.of_part(number, look):
            if line not in self._wanted or self._done[line]:
                continue
            if line in self._earlier and self._lines.parts[line] == number:
                response = with_earlier(response, self._earlier.pop(line))
            if self._lines.parts[line] != number:  # it was asked again since
                self._remember(line, response)
            elif number < self._old and retried(response) and self._paid_again(line, number):
                if line not in again:
                    again.append(line)
                self._remember(line, response)
            else:
                yield line, facts, response

    def _paid_again(self, line: int, number: int) -> bool:
        """Whether the caps allow that a prompt is asked again; what this client reserved for it is still there."""
        _, body = self._lines.whole(line)
        return self._purse.take(line, self._desks.templates[self._state.parts[number].lane], len(body))

    def _remember(self, line: int, response: APIResponse) -> None:
        """Keeps what was spent on a prompt that is asked again."""
        if response.usage != NO_USAGE:
            self._earlier[line] = response

    def _hand_over(self, found: Iterable[tuple[int, Facts, APIResponse]]) -> None:
        pairs: list[Pair] = []
        try:
            for line, facts, response in found:
                self._done[line] = 1
                self._purse.settle(line, response)
                pairs.append(self._pair(line, facts, response))
                if len(pairs) >= CHUNK:
                    self._deliver(pairs)
                    pairs = []
        finally:  # what came before a download was cut is there
            if pairs:
                self._deliver(pairs)

    def _pair(self, line: int, facts: Facts, response: APIResponse | None) -> Pair:
        task = self._reading.task(facts)
        task.index = self._wanted[line]
        if response is None:
            words = f"the call's time is over; the job goes on ({self._state.path})"
            response = failed(task, Verdict("cancelled", message=words))
        response.id, response.index, response.prompt, response.metadata = task.id, task.index, task.prompt, task.metadata
        return task, response

    def _hand_over_unsent(self) -> None:
        lines = self._lines
        facts = (lines.facts(line) for line in self._wanted if lines.parts[line] == NOWHERE)
        self._hand_over([(one["n"], one, self._reading.unsent(one)) for one in facts])

    def hand_over_rest(self) -> None:
        """Gives the prompts whose answers are not there an error that says so."""
        for line in self._wanted:
            if not self._done[line]:
                self._done[line] = 1
                self._deliver([self._pair(line, self._lines.facts(line), None)])

    def _ask_again(self, part: Part, lines: list[int]) -> None:
        """A new part of the same lane with these lines."""
        state = self._state
        writer = Writer(state)
        made = Part(part.lane, writer.at)
        number = len(state.parts)
        for line in lines:
            facts, body = self._lines.whole(line)
            writer.add({**facts, "part": number}, body)
            made.count += 1
            made.size += self._desks.apis[part.lane].size(body)
        made.end = writer.at
        writer.close()
        state.size = writer.at
        state.parts.append(made)
        state.save()
        self._lines.look(state.size)
        _log.event(_said, 20, "prompts are asked again in a new batch", prompts=made.count, path=state.path)
