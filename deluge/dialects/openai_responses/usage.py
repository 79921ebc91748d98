"""Token counts of the Responses API."""

from __future__ import annotations

from typing import Any

from deluge.dialects._searches import with_searches
from deluge.models.model import Model
from deluge.usage import NO_USAGE, Usage

_MOST = 1 << 53
# Billed by the call, the container or the picture, beside the tokens.
_PRICED_APART = frozenset({"file_search_call", "code_interpreter_call", "image_generation_call"})


def usage_of(counts: Any, model: Model) -> Usage:
    """The counts with one meaning: input without the cached, output with reasoning; NO_USAGE for none."""
    if type(counts) is not dict or not counts:
        return NO_USAGE
    read = written = reasoning = 0
    taken, output = _count(counts, "input_tokens"), _count(counts, "output_tokens")
    details = counts.get("input_tokens_details")
    if type(details) is dict:
        read, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    details = counts.get("output_tokens_details")
    if type(details) is dict:
        reasoning = _count(details, "reasoning_tokens")
    missing = _count(counts, "total_tokens") - taken - output
    if missing > 0 and (missing == reasoning or model.has("completion_excludes_reasoning")):
        output, reasoning = output + missing, reasoning or missing
    return Usage(max(0, taken - read - written), output, read, written, 0, min(reasoning, output))


def with_tools(cost: float | None, counts: Any, output: Any, model: Model) -> float | None:
    """The cost with that of the provider's own tools among the output items; None where one has no price of its own.

    What the provider itself says that an answer cost has them in it.
    """
    if type(counts) is dict and counts.get("cost") is not None:
        return cost
    searches = 0
    for item in output if type(output) is list else ():
        kind = item.get("type") if type(item) is dict else None
        if kind == "web_search_call":
            action = item.get("action")
            searches += type(action) is not dict or action.get("type") in (None, "search")
        elif kind in _PRICED_APART:
            return None
    return with_searches(cost, searches, model)


def _count(counts: dict[str, Any], name: str) -> int:
    """A count of tokens; 0 for anything else."""
    value = counts.get(name)
    if type(value) is int:
        return value if 0 < value < _MOST else 0
    return int(value) if type(value) is float and 0 < value < _MOST else 0
