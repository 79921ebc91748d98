"""The body of a request, but for its input: small fragments, each of which reads flags of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.dialects import _settings
from deluge.dialects._notes import Notes
from deluge.dialects._prompt_cache import cache_names, cache_notes
from deluge.dialects.openai_responses.tools import tool_choice, wire_tool
from deluge.request import RequestContext, RequestTemplate
from deluge.tools.schema import strict_schema
from deluge.wire import Note

# What the user's own fields may not replace: they would no longer belong to this prompt, this model or this call.
_OURS = ("model", "input", "stream")
_MERGED = ("reasoning", "text", "stream_options", "prompt_cache_options")  # the user's words go in beside ours
_LEAST_OUTPUT = 16
CACHE_TTLS = ("30m", "12h")
_NOT_HERE = "the Responses API has no such setting"

Fragment = dict[str, Any]


def fragments(ctx: RequestContext) -> tuple[Fragment, tuple[Note, ...]]:
    """The body without its input, and what the user asked for that is not in it."""
    template, notes = ctx.template, Notes()
    effort = notes.keep(_settings.effort(template))
    notes.extend(_settings.spare_budget(template))
    reasoning = _settings.reasons(template, effort)
    body = {
        "model": template.model.name,
        **_sampling(template, reasoning, notes),
        **_limit(template, notes),
        **_reasoning(template, effort),
        **_text(template, notes),
        **_logprobs_and_state(template, reasoning, notes),
        **_tools(template, reasoning, notes),
        **_tier(template, notes),
        **_background(ctx, notes),
        **({"truncation": "auto"} if template.model.has("computer_use") else {}),
        **({"stream": True} if ctx.stream else {}),
    }
    _without_words(template, notes)
    notes.extend(cache_notes(template, CACHE_TTLS))
    return _with_own_fields(body, template, notes), tuple(notes)


def _sampling(template: RequestTemplate, reasoning: bool, notes: Notes) -> Fragment:
    values, more = _settings.sampling(template, reasoning)
    notes.extend(more)
    return {**values}


def _limit(template: RequestTemplate, notes: Notes) -> Fragment:
    most = template.params.max_new_tokens
    if most < _LEAST_OUTPUT:
        notes.add("max_new_tokens", f"the Responses API takes {_LEAST_OUTPUT} at least: {_LEAST_OUTPUT} is sent")
    return {"max_output_tokens": max(most, _LEAST_OUTPUT)}


def _reasoning(template: RequestTemplate, effort: str | None) -> Fragment:
    """Who asks for an effort gets to see the thoughts too, as far as the provider shows them."""
    if effort is None:
        return {}
    shown = effort != "none" and template.model.has("reasoning_summaries")
    return {"reasoning": {"effort": effort, **({"summary": "auto"} if shown else {})}}


def _text(template: RequestTemplate, notes: Notes) -> Fragment:
    form = _format(template, notes)
    level = notes.keep(_settings.verbosity(template))
    text = {**({} if form is None else {"format": form}), **({} if level is None else {"verbosity": level})}
    return {"text": text} if text else {}


def _format(template: RequestTemplate, notes: Notes) -> Fragment | None:
    schema, model = template.options.output_schema, template.model
    if schema is not None:
        if model.has("supports_json_schema"):
            strict = strict_schema(schema)
            if strict is None:
                notes.add("output_schema", _settings.UNSTRICT)
            return {
                "type": "json_schema", "name": "response", "schema": dict(schema) if strict is None else strict,
                "strict": strict is not None,
            }
        notes.add("output_schema", "the model takes no schema")
    if template.params.json_mode:
        if model.has("supports_json"):
            return {"type": "json_object"}
        notes.add("json_mode", "the model has no JSON mode")
    return None


def _logprobs_and_state(template: RequestTemplate, reasoning: bool, notes: Notes) -> Fragment:
    """Nothing is stored at the provider: the conversation goes along, and so do its sealed thoughts."""
    body: Fragment = {"store": False}
    include = ["reasoning.encrypted_content"] if template.model.has("reasoning") else []
    if _gives_logprobs(template, reasoning, notes):
        include.append("message.output_text.logprobs")
        if template.params.top_logprobs is not None:
            body["top_logprobs"] = template.params.top_logprobs
    return {**body, "include": include} if include else body


def _gives_logprobs(template: RequestTemplate, reasoning: bool, notes: Notes) -> bool:
    params, model = template.params, template.model
    if not params.logprobs:
        if params.top_logprobs is not None:
            notes.add("top_logprobs", "it needs logprobs=True")
        return False
    if not model.has("supports_logprobs"):
        notes.add("logprobs", "the model does not give them")
        return False
    if reasoning and model.has("sampling_fixed_when_reasoning"):
        notes.add("logprobs", "the model does not give them while it reasons")
        return False
    return True


def _tools(template: RequestTemplate, reasoning: bool, notes: Notes) -> Fragment:
    options, model = template.options, template.model
    if not options.tools:
        return {}
    notes.extend(_settings.unstrict_tools(template) if model.has("supports_tools") else ())
    tools = [wire_tool(template, tool) for tool in options.tools]
    if not model.has("supports_tools"):
        kept = [tool for tool in tools if tool.get("type") not in ("function", "custom")]
        if len(kept) < len(tools):
            notes.add("tools", "the model does not call functions")
        tools = kept
    if not tools:
        return {}
    choice = options.tool_choice
    if choice is None:
        return {"tools": tools}
    forced = choice not in ("auto", "none")
    if forced and (model.has("no_forced_tools") or (reasoning and model.has("no_forced_tools_when_thinking"))):
        notes.add("tool_choice", "the model cannot be forced to call a tool")
        choice = "auto"
    return {"tools": tools, "tool_choice": tool_choice(choice, tools)}


def _tier(template: RequestTemplate, notes: Notes) -> Fragment:
    tier = notes.keep(_settings.service_tier(template))
    return {} if tier is None else {"service_tier": tier}


def _background(ctx: RequestContext, notes: Notes) -> Fragment:
    if not ctx.options.background:
        return {}
    if ctx.stream:
        notes.add("background", "a stream is not run in the background")
        return {}
    if not ctx.model.has("supports_background"):
        notes.add("background", "the model is not run in the background here")
        return {}
    return {"background": True}


def _without_words(template: RequestTemplate, notes: Notes) -> None:
    """What chat completions have and this API has not."""
    if template.params.stop:
        notes.add("stop", _NOT_HERE)
    if template.params.seed is not None:
        notes.add("seed", _NOT_HERE)


def _with_own_fields(body: Fragment, template: RequestTemplate, notes: Notes) -> Fragment:
    """The body with the user's own fields over it. What is asked to be included adds up."""
    later = cache_names(template)  # these depend on the prompt: see the dialect
    for own in (template.params.extra or {}, template.options.extra_body):
        for name, value in own.items():
            ours = body.get(name)
            if name in later:
                continue
            if name in _OURS:
                notes.add(name, "it belongs to the call and cannot be set in extra fields")
            elif name in _MERGED and isinstance(value, Mapping) and isinstance(ours, Mapping):
                body[name] = {**ours, **value}
            elif name == "include" and isinstance(value, (list, tuple)) and isinstance(ours, list):
                body[name] = list(dict.fromkeys([*ours, *value]))
            else:
                body[name] = value
    return body
