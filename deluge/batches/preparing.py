"""Prompts of a call as the lines of a job: which batch each goes into, what its request says, what of it cannot be sent."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from deluge._plugins import load
from deluge.batches.anthropic import ANTHROPIC
from deluge.batches.api import BatchApi
from deluge.batches.gemini import GEMINI
from deluge.batches.lines import NOWHERE, Writer, digest
from deluge.batches.money import Purse
from deluge.batches.openai import MISTRAL, OPENAI
from deluge.batches.state import JobState, Lane, Part
from deluge.dialects._form import formed
from deluge.errors import BudgetExceededError, ConfigError, DelugeError
from deluge.fetching import Fetching
from deluge.private import shown_data, shown_url
from deluge.request import RequestContext, RequestTemplate
from deluge.tasks import Flight, Task
from deluge.tools import MCPServer, Tool
from deluge.transport import Attempt
from deluge.wire import HttpCall, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deluge.plan import Plan

_said = logging.getLogger("deluge.params")
_APIS = {api.name: api for api in (OPENAI, MISTRAL, ANTHROPIC, GEMINI)}
FETCH = 60.0  # seconds for the media of one prompt


def api_of(template: RequestTemplate) -> BatchApi:
    """The batch API in which this model can be asked. ``ConfigError`` when there is none."""
    model = template.model
    name = model.provider.batches
    if not name:
        raise ConfigError(f"{model.id}: no batch API of {model.provider.name} is known; send its prompts without mode='batch'")
    api = named_api(name)
    if template.dialect not in api.dialects:
        raise ConfigError(f"{model.id}: {model.provider.name} has no batches in the format {template.dialect}")
    if template.options.background:
        raise ConfigError("background=True and a batch are two ways to wait; take one of them")
    return api


def named_api(name: str) -> BatchApi:
    """The batch API of this name. ``ConfigError`` for one that is not known."""
    if name not in _APIS:
        raise ConfigError(f"no batch API {name!r}; there are: {', '.join(_APIS)}")
    return _APIS[name]


class Preparation:
    """Writes the lines of new prompts into a job's sidecar. Nothing is sent; ``close`` makes it all known to the state."""

    def __init__(self, plan: Plan, state: JobState, most_lines: int | None, purse: Purse) -> None:
        self.wrote = False  # whether there is anything to be kept
        self._purse = purse
        self._plan = plan
        self._state = state
        self._most_lines = most_lines
        self._fetching = Fetching(plan.engine.transport)
        self._writer = Writer(state)
        self._open: dict[int, int] = {}  # lane -> its part that is not full yet
        self._lanes = {_lane_key(lane): number for number, lane in enumerate(state.lanes)}
        self._noted: set[tuple[str, str]] = set()
        self._number = state.total
        plan.keyed = True

    def add(self, task: Task, known: Known | None = None) -> int:
        """The number of this prompt's line; an old one's, taken out of ``known``, where the same request is there already.

        What there was no money for is tried again, under its old number. ``BudgetExceededError``: what is written down
        already, and still to be created, does not fit.
        """
        mark = digest(task.key or "", task.row_id)
        number = None if known is None else known.take(mark)
        if known is not None and number is not None and number not in known.over:
            self._reserve_again(number, task, known)
            return number
        template = self._template_of(task)
        call = self._built(task, template)
        fresh = self._number if number is None else number
        if not isinstance(call, Verdict) and not self._purse.take(fresh, template, task.size):
            call = Verdict("budget", message=self._purse.over)
            if number is not None:
                return number  # it stays as it is
        facts = _facts(fresh, task, mark)
        if isinstance(call, Verdict):
            facts.update(part=NOWHERE, model=template.model.id, error=[call.kind, call.message])
            return self._write(facts, b"")
        lane = self._lane(template, call)
        facts["part"] = self._part(lane, call.body)
        params = template.params.model_dump(mode="json")
        if params != self._state.lanes[lane].params:
            facts["params"] = params
        return self._write(facts, call.body)

    def _reserve_again(self, number: int, task: Task, known: Known) -> None:
        """A prompt that an earlier process laid out, and that is not at the provider yet, is paid for by this one."""
        if number in known.planned and not self._purse.take(number, self._template_of(task), task.size):
            raise BudgetExceededError(
                f"{self._purse.over}; the batches of {self._state.path} are laid out already: a higher max_cost, or a new job")

    def _template_of(self, task: Task) -> RequestTemplate:
        return task.template_for(task.template.model.id if task.template is not None else self._model_of(task))

    def _built(self, task: Task, template: RequestTemplate) -> HttpCall | Verdict:
        try:
            return self._request(task, template)
        except ConfigError as error:
            if task.template is None and api_trouble(template):
                raise
            return Verdict("input", message=str(error))
        except DelugeError as error:
            return Verdict("input", message=str(error))

    def _model_of(self, task: Task) -> str:
        prefer = task.prefer
        return prefer if prefer in self._plan.call.templates and prefer else self._plan.next_model()

    def _request(self, task: Task, template: RequestTemplate) -> HttpCall | Verdict:
        if task.refused is not None:
            return task.refused
        api_of(template)
        dialect = template.memo.get("dialect")
        if dialect is None:
            dialect = template.memo["dialect"] = formed(load("dialects", template.dialect), template)
        ctx = RequestContext(task.prompt, template, time.time())
        needed = self._fetching.needed(dialect, ctx)
        if needed:
            nothing: Any = None  # it takes no slot, and no share of a limit
            switch: Any = Attempt(time.monotonic() + FETCH)
            flight = Flight(task, nothing, switch, nothing, None, 0, 0.0, False)
            filled = self._fetching.filled(flight, ctx, needed)
            self._fetching.forget(task)
            if isinstance(filled, Verdict):
                return filled
            ctx = filled
        call: HttpCall = dialect.build(ctx)
        if call.sign is not None:
            raise ConfigError(f"{template.model.id}: batches need a key: requests that are signed one by one cannot be sent")
        self._note(template, call)
        return call

    def _write(self, facts: Mapping[str, Any], body: bytes) -> int:
        number: int = facts["n"]
        self._writer.add(facts, body)
        self.wrote = True
        self._number = max(self._number, number + 1)
        part = facts["part"]
        if part != NOWHERE:
            self._state.parts[part].end = self._writer.at
        return number

    def _lane(self, template: RequestTemplate, call: HttpCall) -> int:
        """The lane of a request: batches are made of requests that go to one place in one way."""
        own = {name: value for name, value in call.headers.items() if name.startswith("anthropic-")}
        lane = Lane(
            api_of(template).name, template.model.id, template.dialect, shown_url(call.url), shown_url(template.base_url),
            template.params.model_dump(mode="json"), own,
        )
        number = self._lanes.setdefault(_lane_key(lane), len(self._state.lanes))
        if number == len(self._state.lanes):
            self._state.lanes.append(lane)
        return number

    def _part(self, lane: int, body: bytes) -> int:
        """The part that takes this request: the lane's open one, or a new one when that is full."""
        api = named_api(self._state.lanes[lane].api)
        number, size = self._open.get(lane), api.size(body)
        most = min(api.most_lines, self._most_lines or api.most_lines)
        if number is None or full(self._state.parts[number], size, most, api.most_bytes):
            number = self._open[lane] = len(self._state.parts)
            self._state.parts.append(Part(lane, self._writer.at))
        part = self._state.parts[number]
        part.count += 1
        part.size += size
        return number

    def _note(self, template: RequestTemplate, call: HttpCall) -> None:
        """Says once per model and parameter what is asked for and not had."""
        for note in call.notes:
            if (template.model.id, note.parameter) not in self._noted:
                self._noted.add((template.model.id, note.parameter))
                values = {"model": template.model.id, "parameter": note.parameter}
                _said.warning("%s: %s %s", template.model.id, note.parameter, note.reason, extra={"deluge": values})

    def close(self) -> None:
        """Brings the lines to the disk, then the state that tells of them."""
        state = self._state
        state.total = self._number
        self._writer.close()
        state.size = self._writer.at
        state.key = self._plan.prefix
        state.options = _options(self._plan)
        state.save()

    def leave(self) -> None:
        """Nothing was added."""
        self._writer.close()

    def give_up(self) -> None:
        """Forgets what was not saved."""
        self._purse.give_back()
        self._writer.leave()
        if not os.path.exists(self._state.path):
            self._state.remove()


def full(part: Part, size: int, most_lines: int, most_bytes: int) -> bool:
    """Whether a part has no room for a request of this size."""
    return part.count >= most_lines or part.size + size > most_bytes


def api_trouble(template: RequestTemplate) -> bool:
    """Whether the model has no batches at all, whatever the prompt."""
    try:
        api_of(template)
    except ConfigError:
        return True
    return False


class Known:
    """The prompts that a job has already.

    ``over``: the numbers of those that there was no money for; ``planned``: of those that are not at the provider yet.
    """

    def __init__(self, facts: Iterable[Mapping[str, Any]], parts: list[Part]) -> None:
        self.over: set[int] = set()
        self.planned: set[int] = set()
        self._numbers: dict[str, list[int]] = {}
        for one in facts:
            number, part = one["n"], one["part"]
            self._numbers.setdefault(one["h"], []).append(number)
            if part == NOWHERE and one["error"][0] == "budget":
                self.over.add(number)
            elif part != NOWHERE and parts[part].stage in ("planned", "uploaded", "creating"):
                self.planned.add(number)

    def take(self, mark: str) -> int | None:
        """The number of one prompt of this digest, which is given once."""
        numbers = self._numbers.get(mark)
        return numbers.pop(0) if numbers else None

    @property
    def left(self) -> bool:
        """Whether there are some that nobody has asked for."""
        return any(self._numbers.values())


def _facts(number: int, task: Task, mark: str) -> dict[str, Any]:
    return {
        "n": number, "i": task.index, "h": mark, "id": task.row_id, "key": task.key, "occ": task.occurrence,
        "meta": dict(task.metadata) if task.metadata else None, "prompt": task.prompt.to_log(),
    }


def _lane_key(lane: Lane) -> str:
    return "\0".join((lane.api, lane.model, lane.url, lane.dialect, *(f"{k}={v}" for k, v in sorted(lane.headers.items()))))


def _options(plan: Plan) -> dict[str, Any]:
    """What the answers are read with: the schema, which tools there were beside it, what an unknown price counts as."""
    options = plan.options
    tools = [tool.name if isinstance(tool, (Tool, MCPServer)) else shown_data(tool) for tool in options.tools]
    schema = options.output_schema
    return {"schema": None if schema is None else dict(schema), "tools": tools, "tool_choice": options.tool_choice,
            "unknown_cost": plan.call.unknown_cost}
