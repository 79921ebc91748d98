"""The body of a request, but for its messages: small fragments, each of which reads flags of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.dialects import _settings
from deluge.dialects._notes import Notes
from deluge.dialects._prompt_cache import cache_names, cache_notes
from deluge.errors import ConfigError, InputError
from deluge.request import RequestContext, RequestTemplate
from deluge.tools import MCPServer, Tool
from deluge.tools.schema import strict_schema
from deluge.wire import Note

# What the user's own fields may not replace: they would no longer belong to this prompt, this model or this call.
_OURS = ("model", "messages", "stream")
_CHOICES = ("auto", "none", "required")

CACHE_TTLS = ("30m",)
_TOOLS_OR_REASONING = "chat completions take tools without reasoning only: use_responses_api=True has both"

Fragment = dict[str, Any]


def fragments(ctx: RequestContext) -> tuple[Fragment, tuple[Note, ...]]:
    """The body without messages, and what the user asked for that is not in it.

    ``ConfigError`` or ``InputError`` when chat completions cannot say it at all.
    """
    template, notes = ctx.template, Notes()
    refusal = _settings.chat_refuses(template)
    if refusal is not None:
        raise ConfigError(refusal)
    effort = _effort(template, notes)
    reasoning = _settings.reasons(template, effort)
    body = {
        "model": template.model.name,
        **_sampling(template, reasoning, notes),
        **_limit(template),
        **_reasoning(template, effort, notes),
        **_thoughts_apart(template),
        **_logprobs(template, reasoning, notes),
        **_stop_and_seed(template, notes),
        **_verbosity(template, notes),
        **_format(template, notes),
        **_tools(template, notes),
        **_tool_choice(template, reasoning, notes),
        **_tier(template, notes),
        **_stream(ctx),
        **_own_fields(template, notes),
    }
    notes.extend(cache_notes(template, CACHE_TTLS))
    return body, tuple(notes)


def _effort(template: RequestTemplate, notes: Notes) -> str | None:
    model = template.model
    notes.extend(_settings.spare_budget(template))
    level: str | None
    if model.has("thinking_switch") or model.has("reasoning_object"):
        level = _settings.effort(template)[0]  # these say it in their own words: see _reasoning
    else:
        level = notes.keep(_settings.effort(template))
    if not template.options.tools:
        return level
    if model.has("no_tools_with_reasoning") and level != "none" and "none" in model.efforts:
        if template.params.is_set("reasoning_effort") and template.params.reasoning_effort not in (None, "none"):
            notes.add("reasoning_effort", _TOOLS_OR_REASONING)
        return "none"
    return level


def _sampling(template: RequestTemplate, reasoning: bool, notes: Notes) -> Fragment:
    values, more = _settings.sampling(template, reasoning)
    notes.extend(more)
    return {**values}


def _limit(template: RequestTemplate) -> Fragment:
    name = "max_tokens" if template.model.has("uses_max_tokens") else "max_completion_tokens"
    return {name: template.params.max_new_tokens}


def _thoughts_apart(template: RequestTemplate) -> Fragment:
    """Thoughts are no part of an answer: hosts that mix the two are told so (Groq, MiniMax)."""
    if template.model.has("reasoning_format"):
        return {"reasoning_format": "parsed"}
    return {"reasoning_split": True} if template.model.has("reasoning_split") else {}


def _reasoning(template: RequestTemplate, effort: str | None, notes: Notes) -> Fragment:
    model = template.model
    if model.has("reasoning_object"):
        return _reasoning_object(template, effort, notes)
    if model.has("thinking_switch"):
        return _thinking_switch(template, effort, notes)
    return {} if effort is None else {"reasoning_effort": effort}


def _reasoning_object(template: RequestTemplate, effort: str | None, notes: Notes) -> Fragment:
    """OpenRouter: https://openrouter.ai/docs/use-cases/reasoning-tokens"""
    wanted, budget = template.params.reasoning_effort, template.params.thinking_budget
    if wanted is None and budget is None:
        return {}
    if not template.model.has("reasoning"):
        notes.keep(_settings.effort(template))
        return {}
    if wanted is None:
        return {"reasoning": {"max_tokens": budget} if budget else {"enabled": False}}
    if effort is not None:
        notes.keep(_settings.effort(template))
    return {"reasoning": {"effort": effort or wanted}}


def _thinking_switch(template: RequestTemplate, effort: str | None, notes: Notes) -> Fragment:
    """DeepSeek, Z.ai: thinking is on or off; some take an effort beside it."""
    model, params = template.model, template.params
    wanted = _settings.wanted_effort(template)
    name = "thinking_budget" if params.reasoning_effort is None else "reasoning_effort"
    if wanted is None:
        return {}
    if not model.has("reasoning"):
        notes.keep(_settings.effort(template))
        return {}
    if wanted == "none":
        if not model.has("always_reasons"):
            return {"thinking": {"type": "disabled"}}
        notes.add(name, "the model always reasons")
        return {}
    on: Fragment = {"thinking": {"type": "enabled"}}
    if not model.efforts:
        if params.reasoning_effort is not None or params.thinking_budget:
            notes.add(name, "the model can only turn thinking on and off: it is on")
        return on
    notes.keep(_settings.effort(template))
    return {**on, "reasoning_effort": effort}


def _logprobs(template: RequestTemplate, reasoning: bool, notes: Notes) -> Fragment:
    params, model = template.params, template.model
    if not params.logprobs:
        if params.top_logprobs is not None:
            notes.add("top_logprobs", "it needs logprobs=True")
        return {}
    if not model.has("supports_logprobs"):
        notes.add("logprobs", "the model does not give them")
        return {}
    if reasoning and model.has("sampling_fixed_when_reasoning"):
        notes.add("logprobs", "the model does not give them while it reasons")
        return {}
    top = {} if params.top_logprobs is None else {"top_logprobs": params.top_logprobs}
    return {"logprobs": True, **top}


def _stop_and_seed(template: RequestTemplate, notes: Notes) -> Fragment:
    params, model = template.params, template.model
    kept, more = _settings.stops(template)
    notes.extend(more)
    body: Fragment = {"stop": kept} if kept else {}
    if params.seed is not None:
        if model.has("no_seed"):
            notes.add("seed", "the model takes no seed")
        else:
            body["random_seed" if model.has("random_seed") else "seed"] = params.seed
    return body


def _verbosity(template: RequestTemplate, notes: Notes) -> Fragment:
    level = notes.keep(_settings.verbosity(template))
    return {} if level is None else {"verbosity": level}


def _format(template: RequestTemplate, notes: Notes) -> Fragment:
    schema, model = template.options.output_schema, template.model
    if schema is not None:
        if model.has("supports_json_schema"):
            strict = strict_schema(schema)
            shape: Fragment = {"name": "response", "schema": dict(schema), "strict": False}
            if strict is not None:
                shape.update(schema=strict, strict=True)
            else:
                notes.add("output_schema", _settings.UNSTRICT)
            return {"response_format": {"type": "json_schema", "json_schema": shape}}
        notes.add("output_schema", "the model takes no schema")
    if template.params.json_mode:
        if model.has("supports_json"):
            return {"response_format": {"type": "json_object"}}
        notes.add("json_mode", "the model has no JSON mode")
    return {}


def _tools(template: RequestTemplate, notes: Notes) -> Fragment:
    if not template.options.tools:
        return {}
    if not template.model.has("supports_tools"):
        notes.add("tools", "the model does not call functions")
        return {}
    notes.extend(_settings.unstrict_tools(template))
    return {"tools": [_tool(template, tool) for tool in template.options.tools]}


def _tool(template: RequestTemplate, tool: Tool | MCPServer | Mapping[str, Any]) -> Fragment:
    if isinstance(tool, MCPServer):
        raise InputError(
            f"MCP server {tool.name!r}: chat completions call no MCP servers. Set use_responses_api=True where the "
            "provider calls them itself, or use run_agent_loop, which calls them from here"
        )
    if not isinstance(tool, Tool):
        return dict(tool)
    wanted = template.params.strict_tools if tool.strict is None else tool.strict
    strict = strict_schema(tool.parameters) if wanted and template.model.has("supports_strict_tools") else None
    function: Fragment = {"name": tool.name, "description": tool.description}
    function["parameters"] = dict(tool.parameters) if strict is None else strict
    if strict is not None:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(template: RequestTemplate, reasoning: bool, notes: Notes) -> Fragment:
    choice, model = template.options.tool_choice, template.model
    if choice is None or not template.options.tools or not model.has("supports_tools"):
        return {}
    forced = choice not in ("auto", "none")
    if forced and (model.has("no_forced_tools") or (reasoning and model.has("no_forced_tools_when_thinking"))):
        notes.add("tool_choice", "the model cannot be forced to call a tool")
        return {"tool_choice": "auto"}
    if choice in _CHOICES:
        return {"tool_choice": choice}
    own = any(isinstance(tool, Mapping) and tool.get("type") == "custom" and (tool.get("custom") or {}).get("name") == choice
              for tool in template.options.tools)
    kind = "custom" if own else "function"
    return {"tool_choice": {"type": kind, kind: {"name": choice}}}


def _tier(template: RequestTemplate, notes: Notes) -> Fragment:
    tier = notes.keep(_settings.service_tier(template))
    return {} if tier is None else {"service_tier": tier}


def _stream(ctx: RequestContext) -> Fragment:
    if not ctx.stream:
        return {}
    # Hosts that refuse fields they do not know (Mistral) send the usage unasked.
    usage = {} if ctx.model.has("strict_body") else {"stream_options": {"include_usage": True}}
    return {"stream": True, **usage}


def _own_fields(template: RequestTemplate, notes: Notes) -> Fragment:
    own = {**(template.params.extra or {}), **template.options.extra_body}
    for name in _OURS:
        if own.pop(name, None) is not None:
            notes.add(name, "it belongs to the call and cannot be set in extra fields")
    for name in cache_names(template):  # they depend on the prompt: see the dialect
        own.pop(name, None)
    return own
