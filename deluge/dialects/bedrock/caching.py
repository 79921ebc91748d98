"""Cache points: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html"""

from __future__ import annotations

from typing import Any

from deluge.dialects._caching import marked
from deluge.dialects._notes import Notes
from deluge.request import RequestTemplate

MAX_POINTS = 4
_TTLS = ("5m", "1h")

Wire = dict[str, Any]


def cache_point(template: RequestTemplate) -> Wire | None:
    """The block for the time of this call; None when nothing is to be marked."""
    options, model = template.options, template.model
    if options.cache is None or not model.has("supports_prompt_caching"):
        return None
    point = {"type": "default"}
    if options.cache_ttl in _TTLS and not (options.cache_ttl == "1h" and model.has("no_hour_caching")):
        point["ttl"] = options.cache_ttl
    return {"cachePoint": point}


def marked_tools(template: RequestTemplate, tools: list[Wire], notes: Notes) -> None:
    """Ends the tools with a cache point where the pattern says so."""
    options, model, point = template.options, template.model, cache_point(template)
    if point is None:
        return
    if options.cache_ttl not in (None, *_TTLS):
        notes.add("cache_ttl", f"{options.cache_ttl!r} is not among {', '.join(_TTLS)}")
    elif options.cache_ttl == "1h" and model.has("no_hour_caching"):
        notes.add("cache_ttl", "the model keeps what it caches for five minutes")
    if options.cache not in ("tools_only", "system_and_tools"):
        return
    if model.has("no_tool_caching"):
        if options.cache == "tools_only":
            notes.add("cache", "the model caches system and messages, but no tools alone")
    elif tools:
        if "cachePoint" not in tools[-1]:
            tools.append(point)
    elif options.cache == "tools_only":
        notes.add("cache", "there are no tools to be cached")


def mark_prompt(
    template: RequestTemplate, system: list[Wire], messages: list[Wire], taken: int, notes: Notes
) -> None:
    """Marks what the pattern says in system and messages, the last first, as long as points are left."""
    point, pattern = cache_point(template), template.options.cache
    if point is None:
        return
    contents = [system, *(message["content"] for message in messages)]
    left = MAX_POINTS - taken - sum(1 for blocks in contents for block in blocks if "cachePoint" in block)
    for blocks in _places(pattern, system, messages):
        if not blocks or "cachePoint" in blocks[-1]:
            continue
        if left <= 0:
            notes.add("cache", f"a request has {MAX_POINTS} cache points: your own are kept, the others left out")
            return
        blocks.append(dict(point))
        left -= 1


def _places(pattern: str | None, system: list[Wire], messages: list[Wire]) -> list[list[Wire]]:
    """The contents that are to end with a cache point."""
    if pattern == "system_and_tools":
        return [system]
    if pattern == "automatic":
        return [messages[-1]["content"]]
    roles = [message["role"] for message in messages]
    return [messages[place]["content"] for place in reversed(marked(pattern, roles))]
