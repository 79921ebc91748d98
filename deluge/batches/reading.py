"""Results of a batch as responses: by the dialect that would have read the live reply, at the price of a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from deluge import _json, _log
from deluge.batches.api import BatchApi, Look, Result
from deluge.batches.desks import Desks
from deluge.batches.lines import Facts, Lines
from deluge.batches.state import JobState
from deluge.errors import BatchError
from deluge.journal.lines import identity
from deluge.params import SamplingParams
from deluge.prompt import Conversation
from deluge.request import RequestContext
from deluge.response import APIResponse, Attempt
from deluge.tasks import Call, Task, unfit
from deluge.usage import NO_USAGE
from deluge.wire import Verdict

_said = _log.logger("batches")
_REASONS = {
    "expired": Verdict("timeout", retry=True, message="the batch expired before this prompt was answered"),
    "cancelled": Verdict("cancelled", message="the batch was cancelled before this prompt was answered"),
    "missing": Verdict("server", retry=True, message="the batch ended without a result for this prompt"),
}


class Reading:
    """Makes responses of the lines that a provider sends back, one at a time."""

    def __init__(
        self, state: JobState, lines: Lines, desks: Desks, call: Call, next_id: Callable[[], int],
    ) -> None:
        self._state = state
        self._lines = lines
        self._desks = desks
        self._call = call
        self._next_id = next_id

    def of_part(self, number: int, look: Look) -> Iterator[tuple[int, Facts, APIResponse]]:
        """What came of every prompt of an ended part: its line's number, its facts, its response. Each once.

        ``BatchError`` with ``retry`` when a download is cut: what was given before it is not given again by the next call.
        """
        part = self._state.parts[number]
        prefix = f"{self._state.id}-{number}-"
        seen: set[int] = set()
        for result in self._results(number, look):
            line = result.custom_id.removeprefix(prefix)
            if not result.custom_id.startswith(prefix) or not line.isdecimal() or int(line) >= len(self._lines):
                raise BatchError(f"batch {part.batch} has results of another job", state=self._state.path, kind="parse")
            if int(line) not in seen:
                seen.add(int(line))
                facts = self._lines.facts(int(line))
                yield int(line), facts, self._response(facts, part.lane, result, look)
        rest = "cancelled" if self._state.cancelled or "cancel" in look.status.lower() else (
            "expired" if look.expired or "expired" in look.status.lower() else "missing")
        for facts, _ in self._lines.requests(number, part.start, part.end):
            if facts["n"] not in seen:
                yield facts["n"], facts, self._unanswered(facts, part.lane, _reason(rest, look), look)

    def _results(self, number: int, look: Look) -> Iterator[Result]:
        part = self._state.parts[number]
        api, counter = self._desks.apis[part.lane], self._desks.counters[part.lane]
        for row in look.rows:
            yield from self._read(api, row)
        for output in look.outputs:
            for line in counter.lines(api.results(counter.desk, part.batch, output), "reading the results"):
                if line.strip():
                    yield from self._read(api, line)

    def _read(self, api: BatchApi, row: Any) -> Iterator[Result]:
        """What a row of the results says, or a line with one; nothing, and a line in the log, where it says nothing."""
        try:
            result = api.read(_json.loads(row) if isinstance(row, bytes) else row)
            if not isinstance(result.custom_id, str):
                raise ValueError("no id of ours")
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.event(_said, 30, "a line of the results cannot be read", path=self._state.path)
        else:
            yield result

    def unsent(self, facts: Facts) -> APIResponse:
        """The response of a prompt that could not be sent."""
        kind, message = facts["error"]
        response = APIResponse(model_internal=facts["model"], is_error=True, error_kind=kind, error_message=message,
                               finish_reason="error", _verdict=Verdict(kind, message=message))
        return self._finished(facts, response, None)

    def task(self, facts: Facts) -> Task:
        """The prompt of a line, as the one to whom a response is delivered."""
        prompt = Conversation.from_log(facts["prompt"]).freeze()
        made = Task(self._next_id(), facts["i"], self._call, prompt, 0, metadata=facts["meta"])
        made.key, made.row_id, made.occurrence = facts["key"], facts["id"], facts["occ"]
        if made.key is not None:
            made.mark = identity(made.key, made.row_id, made.occurrence)  # its number in a journal
        return made

    def _context(self, facts: Facts, lane: int) -> RequestContext:
        template = self._desks.templates[lane]
        if facts.get("params"):
            template = replace(template, params=SamplingParams(**facts["params"]))
        return RequestContext(Conversation.from_log(facts["prompt"]).freeze(), template, time.time())

    def _response(self, facts: Facts, lane: int, result: Result, look: Look) -> APIResponse:
        if result.ending != "answered":
            return self._unanswered(facts, lane, _REASONS[result.ending], look)
        ctx = self._context(facts, lane)
        response = self._desks.dialects[lane].parse(ctx, result.reply)
        if response.usage is not NO_USAGE and response.usage != NO_USAGE:
            response.cost = _batch_price(response, ctx)
            response.service_tier = "batch"
        reader = self._call.reader
        if reader is not None:
            response.parsed, problem = reader.reading(response)
            if problem is not None:
                unfit(response, problem)._verdict = Verdict("parse", retry=True, message=problem)
        return self._finished(facts, response, look)

    def _unanswered(self, facts: Facts, lane: int, verdict: Verdict, look: Look) -> APIResponse:
        template = self._context(facts, lane).template
        response = APIResponse(
            model_internal=template.model.id, model_external=template.model.name, provider=template.model.provider.name,
            sampling_params=template.params, is_error=True, error_kind=verdict.kind, error_message=verdict.message,
            finish_reason="error", _verdict=verdict,
        )
        return self._finished(facts, response, look)

    def _finished(self, facts: Facts, response: APIResponse, look: Look | None) -> APIResponse:
        response.source = "batch"
        response.index, response.metadata = facts["i"], facts["meta"]
        response.finished_at = time.time()
        response.latency = response.time_to_first_token = None
        if look is not None:
            response.started_at = look.created_at
            kind = response.error_kind if response.is_error else None
            response.attempts = (Attempt(response.model_internal, response.status_code, kind, look.created_at or 0.0, 0.0,
                                         response.usage, response.cost, response.request_id),)
        return response


def with_earlier(response: APIResponse, earlier: APIResponse) -> APIResponse:
    """The response with what an earlier batch had spent on the same prompt."""
    attempts = earlier.attempts + response.attempts
    used = [attempt for attempt in attempts if attempt.usage != NO_USAGE]
    response.attempts = attempts
    response.usage = sum((attempt.usage for attempt in attempts), NO_USAGE)
    costs = [attempt.cost for attempt in used]
    known = [cost for cost in costs if cost is not None]
    response.cost = sum(known) if known and len(known) == len(costs) else None
    return response


def _batch_price(response: APIResponse, ctx: RequestContext) -> float | None:
    """What the answer cost in a batch: the batch's price for its tokens, and what the provider's own tools cost beside."""
    model, usage = ctx.model, response.usage
    price = model.cost(usage, "batch")
    if price is None:
        return 0.0 if model.price.cost(usage) == 0.0 else None
    tier = response.service_tier
    alone = price if tier == "batch" else model.cost(usage, tier)
    beside = 0.0 if alone is None or response.cost is None else response.cost - alone
    return price + beside if beside > 1e-9 else price


def _reason(rest: str, look: Look) -> Verdict:
    if rest == "missing" and look.problem:
        return Verdict("bad_request", message=f"the provider refused the batch: {look.problem}")
    return _REASONS[rest]


def retried(response: APIResponse) -> bool:
    """Whether another batch may bring the answer that this response has not."""
    if not response.is_error or response.error_kind == "input":
        return False
    verdict = response._verdict
    return response.error_kind == "cancelled" or (verdict is not None and verdict.retry)
