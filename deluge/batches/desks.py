"""A job's lanes as this client asks for them: its key, its address, its headers, and how answers are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deluge._plugins import load
from deluge.batches.api import BatchApi, Desk
from deluge.batches.counter import Counter
from deluge.batches.preparing import named_api
from deluge.batches.state import JobState, Lane
from deluge.config import ClientConfig, PoolEntry, resolved
from deluge.dialects._form import formed
from deluge.errors import ConfigError
from deluge.params import SamplingParams
from deluge.private import shown_url
from deluge.request import Dialect, RequestTemplate
from deluge.tools import Tool

if TYPE_CHECKING:
    from deluge.plan import Plan


def pool_of_job(state: JobState, config: ClientConfig) -> tuple[PoolEntry, ...]:
    """The job's models with its parameters, one entry per lane, under the lane's number."""
    return tuple(
        PoolEntry(resolved(lane.model, config)[0], SamplingParams(**lane.params), 1.0, str(number))
        for number, lane in enumerate(state.lanes)
    )


class Desks:
    """Counter, template and dialect of every lane; made of a plan whose pool is ``pool_of_job``."""

    def __init__(self, state: JobState, plan: Plan) -> None:
        self.counters: list[Counter] = []
        self.apis: list[BatchApi] = []
        self.templates: list[RequestTemplate] = []
        self.dialects: list[Dialect] = []
        for number, lane in enumerate(state.lanes):
            template = _template(state, lane, plan.call.templates[str(number)])
            api = named_api(lane.api)
            desk = Desk(template, lane.headers, api.endpoint(lane.dialect))
            self.apis.append(api)
            self.templates.append(template)
            self.dialects.append(formed(load("dialects", lane.dialect), template))
            self.counters.append(Counter(plan.engine.transport, desk, state.path))


def _template(state: JobState, lane: Lane, made: RequestTemplate) -> RequestTemplate:
    """How the lane's prompts were asked. ``ConfigError`` where this client would ask somebody else for the answers."""
    ours = shown_url(made.base_url)
    if ours != lane.base_url:
        if made.model.has("embedded"):
            raise ConfigError(
                f"{state.path}: its rehearsal provider ended with the process that submitted it; "
                "one that lasts is served by 'deluge rehearse'"
            )
        raise ConfigError(f"{state.path} was submitted to {lane.base_url}, and this client asks {ours}: set base_url")
    options = replace(made.options, tools=_tools(state.options), output_schema=state.options.get("schema"),
                      tool_choice=state.options.get("tool_choice"))
    return replace(made, dialect=lane.dialect, options=options, memo={})


def _tools(options: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(Tool(tool) if isinstance(tool, str) else tool for tool in options.get("tools") or ())
