"""Cache breakpoints: https://platform.claude.com/docs/en/build-with-claude/prompt-caching"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deluge.dialects._caching import marked
from deluge.dialects._notes import Notes
from deluge.request import RequestTemplate

MAX_MARKS = 4
_TTLS = ("5m", "1h")
_UNMARKED = frozenset({"thinking", "redacted_thinking"})

Wire = dict[str, Any]


def cache_control(template: RequestTemplate) -> Wire | None:
    """The mark for the pattern and time of this call; None when nothing is to be marked."""
    options = template.options
    if options.cache is None or not template.model.has("supports_prompt_caching"):
        return None
    return {"type": "ephemeral", "ttl": options.cache_ttl} if options.cache_ttl in _TTLS else {"type": "ephemeral"}


def marked_tools(template: RequestTemplate, tools: list[Wire], notes: Notes) -> Wire:
    """Marks the last tool where the pattern says so; the field for what the provider is to mark itself."""
    options, control = template.options, cache_control(template)
    if options.cache is None:
        return {}
    if control is None:
        by_itself = template.model.has("automatic_caching")
        notes.add("cache", "the model caches repeated beginnings by itself" if by_itself else "not offered here")
        return {}
    if options.cache_ttl not in (None, *_TTLS):
        notes.add("cache_ttl", f"{options.cache_ttl!r} is not among {', '.join(_TTLS)}")
    if options.cache == "automatic":
        return {"cache_control": control}
    if options.cache in ("tools_only", "system_and_tools"):
        if tools:
            tools[-1].setdefault("cache_control", control)
        elif options.cache == "tools_only":
            notes.add("cache", "there are no tools to be cached")
    return {}


def marks_in(blocks: Iterable[Mapping[str, Any]]) -> int:
    """How many breakpoints are there already."""
    return sum(1 for block in blocks if block.get("cache_control"))


def mark_prompt(
    template: RequestTemplate, system: list[Wire], messages: list[Wire], taken: int, notes: Notes
) -> None:
    """Marks what the pattern says in system and messages, the last first, as long as breakpoints are left."""
    control, pattern = cache_control(template), template.options.cache
    if control is None:
        return
    left = MAX_MARKS - taken - marks_in(system) - sum(marks_in(message["content"]) for message in messages)
    places = [system] if pattern == "system_and_tools" and system else []
    roles = [message["role"] for message in messages]
    if pattern != "system_and_tools":
        places = [messages[place]["content"] for place in reversed(marked(pattern, roles))]
    for blocks in places:
        last = blocks[-1] if blocks else None
        if last is None or last.get("cache_control") or last.get("type") in _UNMARKED:
            continue
        if left <= 0:
            notes.add("cache", f"a request has {MAX_MARKS} breakpoints: your own are kept, the others left out")
            return
        last["cache_control"] = control
        left -= 1
