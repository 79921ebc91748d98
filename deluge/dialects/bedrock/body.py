"""The body of a request, but for system and messages: small fragments, each of which reads flags of the model.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deluge.dialects import _settings
from deluge.dialects._notes import Notes
from deluge.dialects._parts import json_text
from deluge.dialects.anthropic.schema import closed_schema
from deluge.dialects.anthropic.thinking import Thoughts, thoughts
from deluge.dialects.bedrock.caching import cache_point, marked_tools
from deluge.dialects.bedrock.tools import Toolbox, toolbox
from deluge.request import RequestContext, RequestTemplate
from deluge.wire import Note

# What the user's own fields may not replace: they would no longer belong to this prompt, this model or this call.
_OURS = ("modelId", "model", "messages", "system", "stream")
# Objects of the body to which the user's own fields are added.
_SHARED = frozenset({"additionalModelRequestFields", "inferenceConfig", "outputConfig", "toolConfig"})
_CHOICES = {"auto": "auto", "required": "any", "any": "any"}

Fragment = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fragments:
    """The body without system and messages. ``spare_tools``: ``toolConfig`` for conversations that cannot be without.

    ``marks``: how many cache points it has.
    """

    body: Fragment
    notes: tuple[Note, ...]
    spare_tools: Fragment | None
    marks: int


def fragments(ctx: RequestContext) -> Fragments:
    """What all prompts of a call have in common, and what the user asked for that is not in it.

    ``InputError`` when Converse cannot say it at all.
    """
    template, notes = ctx.template, Notes()
    thought = thoughts(template, notes)
    box = _toolbox(template, notes)
    body: Fragment = {
        "inferenceConfig": {
            "maxTokens": thought.max_tokens, **_sampling(template, thought, notes), **_stop(template, notes),
        },
        **_output(template, thought, notes),
        **_model_fields(template, thought, box),
        **_tier(template, notes),
    }
    tools = _tools(template, thought, box, notes)
    unwanted = template.options.tool_choice == "none"
    if tools and not unwanted:
        body["toolConfig"] = tools
    _not_here(template, notes)
    _add_own_fields(template, body, notes)
    marks = sum(1 for tool in tools.get("tools", ()) if "cachePoint" in tool)
    return Fragments(body, tuple(notes), tools if tools and unwanted else None, marks)


def _sampling(template: RequestTemplate, thought: Thoughts, notes: Notes) -> Fragment:
    values, more = _settings.sampling(template, thought.kind in ("adaptive", "enabled"))
    notes.extend(more)
    if values.get("temperature", 0.0) > 1.0:
        values["temperature"] = 1.0
        notes.add("temperature", "Converse takes 1 at most: 1 is used")
    names = {"temperature": "temperature", "top_p": "topP"}
    return {names[name]: value for name, value in values.items()}


def _stop(template: RequestTemplate, notes: Notes) -> Fragment:
    kept, more = _settings.stops(template, blank=False)
    notes.extend(more)
    return {"stopSequences": kept} if kept else {}


def _output(template: RequestTemplate, thought: Thoughts, notes: Notes) -> Fragment:
    """Effort, and the schema as a text."""
    config: Fragment = {} if thought.effort is None else {"effort": thought.effort}
    schema = template.options.output_schema
    if schema is not None:
        closed = closed_schema(schema) if template.model.has("supports_json_schema") else None
        if closed is not None:
            text = json_text(closed.schema, "output_schema")
            config["textFormat"] = {
                "type": "json_schema", "structure": {"jsonSchema": {"schema": text, "name": "response"}},
            }
            if any(lost.startswith("properties") for lost in closed.lost):
                notes.add("output_schema", "objects have the properties that are named, and no others")
        elif template.model.has("supports_json_schema"):
            notes.add("output_schema", "it cannot be read as a schema")
        else:
            notes.add("output_schema", "the model takes no schema")
    if template.params.json_mode and "textFormat" not in config:
        notes.add("json_mode", "the model has no JSON mode; output_schema holds it to a schema")
    return {"outputConfig": config} if config else {}


def _model_fields(template: RequestTemplate, thought: Thoughts, box: Toolbox) -> Fragment:
    """What only the model's own provider has words for: thinking, its tools, its betas."""
    fields: Fragment = {} if thought.config is None else {"thinking": thought.config}
    if box.own:
        fields["tools"] = box.own
    if template.model.has("anthropic_fields"):
        asked = (
            value for name, value in template.options.extra_headers.items() if value and name.lower() == "anthropic-beta"
        )
        betas = [*box.betas, *(word.strip() for value in asked for word in value.split(","))]
        if betas:
            fields["anthropic_beta"] = list(dict.fromkeys(filter(None, betas)))
    return {"additionalModelRequestFields": fields} if fields else {}


def _toolbox(template: RequestTemplate, notes: Notes) -> Toolbox:
    if not template.options.tools:
        return Toolbox()
    if not template.model.has("supports_tools"):
        notes.add("tools", "the model does not call functions")
        return Toolbox()
    return toolbox(template, notes)


def _tools(template: RequestTemplate, thought: Thoughts, box: Toolbox, notes: Notes) -> Fragment:
    marked_tools(template, box.tools, notes)
    if not box.tools:
        return {}
    choice = template.options.tool_choice
    if choice is None or choice == "none":
        return {"tools": box.tools}
    word, model = _CHOICES.get(choice), template.model
    if word != "auto":
        if model.has("no_forced_tools"):
            notes.add("tool_choice", "the model cannot be forced to call a tool")
            word = "auto"
        elif thought.kind == "enabled" and model.has("no_forced_tools_when_thinking"):
            notes.add("tool_choice", "the model cannot be forced to call a tool while it thinks")
            word = "auto"
    return {"tools": box.tools, "toolChoice": {"tool": {"name": choice}} if word is None else {word: {}}}


def _tier(template: RequestTemplate, notes: Notes) -> Fragment:
    tier = notes.keep(_settings.service_tier(template))
    return {} if tier is None else {"serviceTier": {"type": tier}}


def _not_here(template: RequestTemplate, notes: Notes) -> None:
    """What Converse has no words for."""
    params, options = template.params, template.options
    if params.logprobs:
        notes.add("logprobs", "the model does not give them")
    if params.top_logprobs is not None:
        notes.add("top_logprobs", "the model does not give them" if params.logprobs else "it needs logprobs=True")
    if params.seed is not None:
        notes.add("seed", "the model takes no seed")
    if options.cache is not None and cache_point(template) is None:
        by_itself = template.model.has("automatic_caching")
        notes.add("cache", "the model caches repeated beginnings by itself" if by_itself else "not offered here")


def _add_own_fields(template: RequestTemplate, body: Fragment, notes: Notes) -> None:
    """The user's own fields, which win; objects that Converse shares out are added to ours."""
    for own in (template.params.extra or {}), template.options.extra_body:
        for name, value in own.items():
            if name in _OURS:
                notes.add(name, "it belongs to the call and cannot be set in extra fields")
            elif name in _SHARED and isinstance(value, Mapping):
                body[name] = {**body.get(name, {}), **value}
            else:
                body[name] = value
