"""Rows of a work list as prompts of a call: with their own model and parameters, and their metadata on the response."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from deluge._rowform import Row
from deluge.config import PoolEntry, resolved, shares_of
from deluge.errors import ConfigError
from deluge.prompt import Conversation
from deluge.prompt.fingerprint import canonical
from deluge.request import RequestTemplate
from deluge.tasks import Task
from deluge.wire import Verdict

if TYPE_CHECKING:
    from deluge.plan import Plan

_KEPT = 1_000  # templates of one call: rows share them, unless each has parameters of its own
_NOTHING = Conversation.of_text("")


class RowTemplates:
    """Makes the tasks of rows. Rows that ask for the same model and parameters share a template."""

    def __init__(self) -> None:
        self._made: dict[bytes, RequestTemplate] = {}

    def task(self, plan: Plan, index: int, row: Row) -> Task:
        """The task of a row; one that is refused when the row, or what it asks for, cannot be used."""
        made = plan.task(index, _NOTHING if row.prompt is None else row.prompt)
        made.metadata = row.metadata or None
        made.row_id = row.id
        if row.error is not None:
            _refuse(plan, made, row.error)
        elif row.model is not None or row.params:
            try:
                self._give_own(plan, made, row)
            except ConfigError as error:
                _refuse(plan, made, f"line {row.line}: {error}")
        return made

    def _give_own(self, plan: Plan, made: Task, row: Row) -> None:
        templates = plan.call.templates
        name = row.model
        if name is None:  # with several models the row takes its turn among them
            name = next(iter(templates)) if len(templates) == 1 else plan.next_model()
        own = canonical([name, row.params])
        made.template = self._made.get(own)
        if made.key is not None:  # what the row asks for, not the model whose turn it is
            made.key = plan.key_with(f"{made.prompt.fingerprint}:{hashlib.sha256(_asked(row)).hexdigest()}")
        if made.template is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            made.template = self._made[own] = _own_template(plan, name, row)
        shares = made.share is not None and shares_of(plan.config, plan.dedupe, [made.template.params])
        made.share = (made.key, made.template.api_key, plan.apart) if shares else None


def _asked(row: Row) -> bytes:
    return canonical([row.model, row.params])


def _refuse(plan: Plan, made: Task, message: str) -> None:
    made.refused, made.share = Verdict("input", message=message), None
    if made.key is not None:  # it has no prompt: what is wrong with it tells it from others
        made.key = plan.key_with("refused:" + hashlib.sha256(message.encode("utf-8", "surrogatepass")).hexdigest())


def _own_template(plan: Plan, name: str, row: Row) -> RequestTemplate:
    templates = plan.call.templates
    model, effort = (templates[name].model, None) if name in templates else resolved(name, plan.config)
    params = (templates.get(name) or templates.get(model.id) or next(iter(templates.values()))).params
    changes = dict(row.params) if effort is None else {"reasoning_effort": effort, **row.params}
    if params.extra and "extra" in changes:
        changes["extra"] = {**params.extra, **changes["extra"]}
    return plan.template(PoolEntry(model, params.replace(**changes), 1.0, model.id))
