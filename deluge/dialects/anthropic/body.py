"""The body of a request, but for system and messages: small fragments, each of which reads flags of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deluge.dialects import _settings
from deluge.dialects._notes import Notes
from deluge.dialects.anthropic.caching import marked_tools, marks_in
from deluge.dialects.anthropic.schema import closed_schema
from deluge.dialects.anthropic.thinking import Thoughts, thoughts
from deluge.dialects.anthropic.tools import Toolbox, toolbox
from deluge.request import RequestContext, RequestTemplate
from deluge.wire import Note

# What the user's own fields may not replace: they would no longer belong to this prompt, this model or this call.
_OURS = ("model", "messages", "system", "stream")
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
_TIERS = ("auto", "standard_only")
_FAST_BETA = "fast-mode-2026-02-01"

Fragment = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fragments:
    """The body without system and messages; ``betas`` are for the header, ``marks`` its cache breakpoints."""

    body: Fragment
    notes: tuple[Note, ...]
    betas: tuple[str, ...]
    marks: int


def fragments(ctx: RequestContext) -> Fragments:
    """What all prompts of a call have in common, and what the user asked for that is not in it.

    ``InputError`` when the Messages API cannot say it at all.
    """
    template, notes = ctx.template, Notes()
    thought = thoughts(template, notes)
    box = _toolbox(template, notes)
    body: Fragment = {
        "model": template.model.name,
        "max_tokens": thought.max_tokens,
        **_sampling(template, thought, notes),
        **({} if thought.config is None else {"thinking": thought.config}),
        **_output_config(template, thought, notes),
        **_stop(template, notes),
        **_tools(box),
        **_tool_choice(template, thought, box, notes),
        **marked_tools(template, box.tools, notes),
        **_tier(template, box, notes),
        **({"stream": True} if ctx.stream else {}),
    }
    _not_here(template, notes)
    _add_own_fields(template, body, notes)
    marks = marks_in(box.tools) + ("cache_control" in body)
    return Fragments(body, tuple(notes), tuple(box.betas), marks)


def _sampling(template: RequestTemplate, thought: Thoughts, notes: Notes) -> Fragment:
    """Temperature and top_p. 1 is what the API uses anyway: it stays out, so that the newer version can be asked."""
    values, more = _settings.sampling(template, thought.kind in ("adaptive", "enabled"))
    notes.extend(more)
    if values.get("temperature", 0.0) > 1.0 and template.model.has("temperature_to_one"):
        values["temperature"] = 1.0
        notes.add("temperature", "the model takes 1 at most: 1 is used")
    return {name: value for name, value in values.items() if value != 1.0}


def _output_config(template: RequestTemplate, thought: Thoughts, notes: Notes) -> Fragment:
    config: Fragment = {}
    if thought.effort is not None:
        config["effort"] = thought.effort
    schema = template.options.output_schema
    if schema is not None:
        closed = closed_schema(schema) if template.model.has("supports_json_schema") else None
        if closed is not None:
            config["format"] = {"type": "json_schema", "schema": closed.schema}
            if any(lost.startswith("properties") for lost in closed.lost):
                notes.add("output_schema", "objects have the properties that are named, and no others")
        elif template.model.has("supports_json_schema"):
            notes.add("output_schema", "it cannot be read as a schema")
        else:
            notes.add("output_schema", "the model takes no schema")
    if template.params.json_mode and "format" not in config:
        notes.add("json_mode", "the model has no JSON mode; output_schema holds it to a schema")
    return {"output_config": config} if config else {}


def _stop(template: RequestTemplate, notes: Notes) -> Fragment:
    kept, more = _settings.stops(template, blank=False)
    notes.extend(more)
    return {"stop_sequences": kept} if kept else {}


def _toolbox(template: RequestTemplate, notes: Notes) -> Toolbox:
    if not template.options.tools:
        return Toolbox()
    if not template.model.has("supports_tools"):
        notes.add("tools", "the model does not call functions")
        return Toolbox()
    return toolbox(template, notes)


def _tools(box: Toolbox) -> Fragment:
    servers = {"mcp_servers": box.servers} if box.servers else {}
    return {"tools": box.tools, **servers} if box.tools else servers


def _tool_choice(template: RequestTemplate, thought: Thoughts, box: Toolbox, notes: Notes) -> Fragment:
    choice, model = template.options.tool_choice, template.model
    if choice is None or not box.tools:
        return {}
    word = _CHOICES.get(choice)
    if word is None and choice not in {tool.get("name") for tool in box.tools}:
        notes.add("tool_choice", "it can name one of the tools only, no MCP server")
        return {"tool_choice": {"type": "auto"}}
    if word in (None, "any"):
        if model.has("no_forced_tools"):
            notes.add("tool_choice", "the model cannot be forced to call a tool")
            return {"tool_choice": {"type": "auto"}}
        if thought.kind == "enabled" and model.has("no_forced_tools_when_thinking"):
            notes.add("tool_choice", "the model cannot be forced to call a tool while it thinks")
            return {"tool_choice": {"type": "auto"}}
    return {"tool_choice": {"type": "tool", "name": choice} if word is None else {"type": word}}


def _tier(template: RequestTemplate, box: Toolbox, notes: Notes) -> Fragment:
    """The tier, or the speed: https://platform.claude.com/docs/en/build-with-claude/fast-mode"""
    if template.options.service_tier == "fast" and template.model.has("supports_fast"):
        box.betas.append(_FAST_BETA)
        return {"speed": "fast"}
    tier = notes.keep(_settings.service_tier(template))
    if tier is None or tier in _TIERS:
        return {} if tier is None else {"service_tier": tier}
    notes.add("service_tier", f"{tier!r} is not offered for this model")
    return {}


def _not_here(template: RequestTemplate, notes: Notes) -> None:
    """What the Messages API has no words for."""
    params = template.params
    if params.logprobs:
        notes.add("logprobs", "the model does not give them")
    if params.top_logprobs is not None:
        notes.add("top_logprobs", "the model does not give them" if params.logprobs else "it needs logprobs=True")
    if params.seed is not None:
        notes.add("seed", "the model takes no seed")


def _add_own_fields(template: RequestTemplate, body: Fragment, notes: Notes) -> None:
    """The user's own fields, which win; an ``output_config`` is added to ours."""
    for own in (template.params.extra or {}), template.options.extra_body:
        for name, value in own.items():
            if name in _OURS:
                notes.add(name, "it belongs to the call and cannot be set in extra fields")
            elif name == "output_config" and isinstance(value, dict):
                body[name] = {**body.get(name, {}), **value}
            else:
                body[name] = value
