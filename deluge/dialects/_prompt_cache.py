"""OpenAI's prompt caching: https://developers.openai.com/api/docs/guides/prompt-caching

Every model there caches repeated beginnings by itself. A key brings requests with the same beginning to the same machine;
newer models take marks in the prompt too, and then write nothing but what is marked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from deluge.dialects._caching import marked
from deluge.dialects._parts import json_bytes
from deluge.prompt import Text
from deluge.request import RequestContext, RequestTemplate
from deluge.tools import MCPServer, Tool
from deluge.wire import Note

_OPTIONS, _KEY = "prompt_cache_options", "prompt_cache_key"
_CALL_ONLY = ("tools_only", "system_and_tools")  # patterns that cache what all prompts of a call may share

Fragment = dict[str, Any]


def cache_notes(template: RequestTemplate, ttls: tuple[str, ...]) -> list[Note]:
    """What is not done of the caching that was asked for; ``ttls``: how long the API can be told to keep it."""
    options, model = template.options, template.model
    if options.cache is None:
        return []
    if not model.has("supports_prompt_cache_options"):
        if model.has("supports_prompt_cache_key"):
            return [Note("cache_ttl", "the provider decides how long it is kept")] if options.cache_ttl else []
        by_itself = model.has("automatic_caching")
        return [Note("cache", "the model caches repeated beginnings by itself" if by_itself else "not offered here")]
    if options.cache == "tools_only":
        return [Note("cache", "tools alone cannot be marked here: the model caches repeated beginnings by itself")]
    if options.cache_ttl not in (None, *ttls):
        return [Note("cache_ttl", f"the model keeps what it caches for {' or '.join(ttls)}")]
    return []


def cache_names(template: RequestTemplate) -> tuple[str, ...]:
    """The fields that ``cache_tail`` makes for this call, with the user's own in them."""
    if template.options.cache is None:
        return ()
    names = {"supports_prompt_cache_options": _OPTIONS, "supports_prompt_cache_key": _KEY}
    return tuple(name for flag, name in names.items() if template.model.has(flag))


def cache_tail(ctx: RequestContext, ttls: tuple[str, ...]) -> bytes:
    """The end of a body: the fields about caching, and the brace."""
    fields = _cache_fields(ctx, ttls) if ctx.template.options.cache is not None else None
    return b"," + json_bytes(fields, "the body of the request")[1:] if fields else b"}"


def _cache_fields(ctx: RequestContext, ttls: tuple[str, ...]) -> Fragment:
    """The fields about caching, which depend on the prompt; what the user gives in extra fields wins."""
    template, names = ctx.template, cache_names(ctx.template)
    own = {**(template.params.extra or {}), **template.options.extra_body}
    made: Fragment = {}
    if _OPTIONS in names:
        theirs = own.get(_OPTIONS)
        ours = _mode(ctx, ttls) if isinstance(theirs, (Mapping, type(None))) else {}
        if ours or theirs is not None:
            made[_OPTIONS] = {**ours, **theirs} if isinstance(theirs, Mapping) else ours or theirs
    if _KEY in names:
        key = own.get(_KEY) or _key(ctx)
        if key is not None:
            made[_KEY] = key
    return made


def _mode(ctx: RequestContext, ttls: tuple[str, ...]) -> Fragment:
    """Explicit means that nothing is written but what is marked: only where something is."""
    options = ctx.options
    if options.cache == "tools_only":
        return {}
    marks = marked(options.cache, [message.role for message in ctx.prompt.messages])
    ttl = {"ttl": options.cache_ttl} if options.cache_ttl in ttls else {}
    return {"mode": "explicit" if marks else "implicit", **ttl}


def _key(ctx: RequestContext) -> str | None:
    """The same for prompts with the same beginning: tools and system messages, and what the user said first.

    Patterns that cache no more than tools and system messages leave the latter out.
    """
    facts: list[Any] = [_tool(tool) for tool in ctx.options.tools]
    for message in ctx.prompt.messages:
        if message.role == "system" or ctx.options.cache not in _CALL_ONLY:
            facts.append([message.role, [part.text for part in message.parts if type(part) is Text]])
        if message.role != "system":
            break
    if not facts:
        return None
    return "deluge-" + hashlib.sha256(repr((ctx.model.id, facts)).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _tool(tool: Tool | MCPServer | Mapping[str, Any]) -> Any:
    if isinstance(tool, Mapping):
        return sorted(map(repr, tool.items()))
    return [tool.name, tool.description, dict(tool.parameters)] if isinstance(tool, Tool) else [tool.name, tool.url]
