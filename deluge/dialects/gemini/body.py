"""The body of a request, but for its contents: small fragments, each of which reads flags of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.dialects import _settings
from deluge.dialects._notes import Notes
from deluge.dialects.gemini.schema import json_schema
from deluge.errors import InputError
from deluge.request import RequestTemplate
from deluge.tools import MCPServer, Tool
from deluge.wire import Note

# What the user's own fields may not replace: they would no longer belong to this prompt or this model.
_OURS = ("model", "contents", "systemInstruction", "system_instruction")
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_MOST_STOPS = 5

# Tokens that stand for an effort: https://ai.google.dev/gemini-api/docs/openai#thinking
_BUDGETS = {"none": 0, "minimal": 512, "low": 1_024, "medium": 8_192, "high": 24_576}
# Least and most: of models that always think, of those that think unless told, and of the others.
_RANGES = {"always_reasons": (128, 32_768), "thinks_by_default": (1, 24_576), "": (512, 24_576)}

Fragment = dict[str, Any]


def fragments(template: RequestTemplate) -> tuple[Fragment, tuple[Note, ...]]:
    """The body without contents, and what the user asked for that is not in it.

    ``InputError`` when this format cannot say it at all.
    """
    notes = Notes()
    config = {
        **_sampling(template, notes),
        "maxOutputTokens": template.params.max_new_tokens,
        **_thinking(template, notes),
        **_logprobs(template, notes),
        **_stop_and_seed(template, notes),
        **_format(template, notes),
    }
    body = {
        "generationConfig": config,
        **_tools(template, notes),
        **_tier(template, notes),
    }
    _not_offered(template, notes)
    return _with_own_fields(body, template, notes), tuple(notes)


def _sampling(template: RequestTemplate, notes: Notes) -> Fragment:
    values, more = _settings.sampling(template, _settings.reasons(template, None))
    notes.extend(more)
    names = {"temperature": "temperature", "top_p": "topP"}
    return {names[name]: value for name, value in values.items()}


# -- thinking: https://ai.google.dev/gemini-api/docs/thinking ----------------------------------------------------------

def _thinking(template: RequestTemplate, notes: Notes) -> Fragment:
    """A level or a budget; the thoughts are asked for when thinking is."""
    model, params = template.model, template.params
    if params.reasoning_effort is None and params.thinking_budget is None:
        return {}
    if model.has("reasoning") and model.has("budget_thinking") and not model.has("thinking_levels"):
        return _budget(template, notes)
    level = notes.keep(_settings.effort(template))
    if params.reasoning_effort is not None and params.thinking_budget is not None:
        notes.add("thinking_budget", "the model takes an effort, and one was given: reasoning_effort is sent")
    if level is None:
        return {}
    if _settings.wanted_effort(template) == "none":
        return {"thinkingConfig": {"thinkingLevel": level}}
    return {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": level}}


def _budget(template: RequestTemplate, notes: Notes) -> Fragment:
    model, params = template.model, template.params
    effort, wanted = params.reasoning_effort, params.thinking_budget
    name = "thinking_budget"
    if wanted is None:
        name, wanted = "reasoning_effort", _BUDGETS.get(effort or "none", _BUDGETS["high"])
        if effort not in _BUDGETS:
            notes.add(name, f"the model knows no more than 'high': a budget of {wanted} tokens is sent")
    elif effort is not None:
        notes.add("reasoning_effort", "the model takes a budget, and one was given: thinking_budget is sent")
    budget = _in_range(wanted, template)
    if budget != wanted:
        always = model.has("always_reasons") and wanted == 0
        reason = "the model always thinks" if always else "the model takes no such budget"
        notes.add(name, f"{reason}: {budget} tokens are sent")
    return {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": budget} if wanted else {
        "thinkingBudget": budget,
    }}


def _in_range(budget: int, template: RequestTemplate) -> int:
    kind = next((flag for flag in _RANGES if not flag or template.model.has(flag)), "")
    least, most = _RANGES[kind]
    if budget == 0 and kind != "always_reasons":
        return 0
    return min(max(budget, least), most)


# -- the answer --------------------------------------------------------------------------------------------------------

def _logprobs(template: RequestTemplate, notes: Notes) -> Fragment:
    params = template.params
    if not params.logprobs:
        if params.top_logprobs is not None:
            notes.add("top_logprobs", "it needs logprobs=True")
        return {}
    if not template.model.has("supports_logprobs"):
        notes.add("logprobs", "the model does not give them")
        return {}
    return {"responseLogprobs": True, **({"logprobs": params.top_logprobs} if params.top_logprobs else {})}


def _stop_and_seed(template: RequestTemplate, notes: Notes) -> Fragment:
    params, model = template.params, template.model
    kept, more = _settings.stops(template, most=_MOST_STOPS)
    notes.extend(more)
    body: Fragment = {"stopSequences": kept} if kept else {}
    if params.seed is not None:
        if model.has("no_seed"):
            notes.add("seed", "the model takes no seed")
        else:
            body["seed"] = params.seed
    return body


def _format(template: RequestTemplate, notes: Notes) -> Fragment:
    schema, model = template.options.output_schema, template.model
    asked = "output_schema" if schema is not None else "json_mode" if template.params.json_mode else None
    if asked is None:
        return {}
    if template.options.tools and model.has("no_json_with_tools"):
        notes.add(asked, "the model answers in JSON only where it has no tools")
        return {}
    json = {"responseMimeType": "application/json"}
    if schema is not None:
        if model.has("supports_json_schema"):
            return {**json, "responseJsonSchema": json_schema(schema)}
        notes.add("output_schema", "the model takes no schema")
    if not template.params.json_mode:
        return {}
    if model.has("supports_json"):
        return json
    notes.add("json_mode", "the model has no JSON mode")
    return {}


# -- tools: https://ai.google.dev/gemini-api/docs/function-calling -----------------------------------------------------

def _tools(template: RequestTemplate, notes: Notes) -> Fragment:
    tools = template.options.tools
    if not tools:
        return {}
    if not template.model.has("supports_tools"):
        notes.add("tools", "the model does not call functions")
        return {}
    functions = [_function(tool) for tool in tools if not isinstance(tool, Mapping)]
    entries: list[Any] = [dict(tool) for tool in tools if isinstance(tool, Mapping)]
    if functions:
        entries.append({"functionDeclarations": functions})
    named = any("functionDeclarations" in entry for entry in entries)
    mixed = named and any(entry.keys() != {"functionDeclarations"} for entry in entries)
    calling = _calling(template, named, mixed, notes)
    if mixed and template.model.has("server_tool_invocations"):
        calling["includeServerSideToolInvocations"] = True
    return {"tools": entries, **({"toolConfig": calling} if calling else {})}


def _function(tool: Tool | MCPServer) -> Fragment:
    if isinstance(tool, MCPServer):
        raise InputError(
            f"MCP server {tool.name!r}: generateContent calls no MCP servers. Use run_agent_loop, which calls them from "
            "here"
        )
    told = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **told, "parametersJsonSchema": json_schema(tool.parameters)}


def _calling(template: RequestTemplate, named: bool, mixed: bool, notes: Notes) -> Fragment:
    """Which functions may or must be called, and whether calls are held to their schema (mode VALIDATED).

    Beside the provider's own tools (``mixed``) that is the only mode that leaves the model its choice.
    """
    choice, model = template.options.tool_choice, template.model
    strict = named and (_strict(template) or (mixed and choice == "auto" and model.has("server_tool_invocations")))
    if choice is None:
        return _mode("VALIDATED") if strict else {}
    if not named:
        if choice != "auto":
            notes.add("tool_choice", "it rules functions only, and there are none")
        return {}
    forced = choice not in ("auto", "none")
    thinks = model.has("no_forced_tools_when_thinking") and _settings.reasons(template, None)
    if forced and (model.has("no_forced_tools") or thinks):
        notes.add("tool_choice", "the model cannot be forced to call a tool")
        forced, choice = False, "auto"
    if choice == "auto" and strict:
        return _mode("VALIDATED")
    if choice in _MODES:
        return _mode(_MODES[choice])
    return _mode("ANY", allowedFunctionNames=[choice])


def _strict(template: RequestTemplate) -> bool:
    """Whether the user said that calls must follow their schema; unsaid, the model's own way is kept."""
    if template.params.is_set("strict_tools") and template.params.strict_tools:
        return True
    return any(tool.strict for tool in template.options.tools if isinstance(tool, Tool))


def _mode(mode: str, **more: Any) -> Fragment:
    return {"functionCallingConfig": {"mode": mode, **more}}


# -- the rest ----------------------------------------------------------------------------------------------------------

def sent_tier(template: RequestTemplate) -> str | None:
    """The service tier that the request asks for; None where it asks for none."""
    if template.options.service_tier in (None, "auto"):  # auto is what is billed when nothing is said
        return None
    tier = _settings.service_tier(template)[0]
    return tier if isinstance(tier, str) else None


def _tier(template: RequestTemplate, notes: Notes) -> Fragment:
    if template.options.service_tier == "auto":
        return {}
    tier = notes.keep(_settings.service_tier(template))
    return {} if tier is None else {"serviceTier": tier}


def _not_offered(template: RequestTemplate, notes: Notes) -> None:
    """What no Gemini takes."""
    notes.keep(_settings.verbosity(template))
    options, by_itself = template.options, template.model.has("automatic_caching")
    for name in ("cache", "cache_ttl"):
        if getattr(options, name) is not None:
            notes.add(name, "the model caches repeated beginnings by itself" if by_itself else "not offered here")


def _with_own_fields(body: Fragment, template: RequestTemplate, notes: Notes) -> Fragment:
    for own in (template.params.extra or {}, template.options.extra_body):
        for name in _OURS:
            if name in own:
                notes.add(name, "it belongs to the call and cannot be set in extra fields")
        body = _merged(body, {name: value for name, value in own.items() if name not in _OURS})
    return body


def _merged(body: Fragment, own: Mapping[str, Any]) -> Fragment:
    """The user's fields over ours, objects field by field; the API reads top_p and topP as one."""
    result = dict(body)
    for name, value in own.items():
        name = _camel(name) if _camel(name) in result else name
        ours = result.get(name)
        both = isinstance(ours, Mapping) and isinstance(value, Mapping)
        result[name] = _merged(dict(ours), value) if both and isinstance(ours, Mapping) else value
    return result


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
