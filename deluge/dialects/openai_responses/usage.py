"""Token counts of the Responses API."""

from __future__ import annotations

from typing import Any

from deluge.dialects._counts import count
from deluge.dialects._searches import with_searches
from deluge.models.model import Model
from deluge.usage import NO_USAGE, Usage

# Billed by the call, the container or the picture, beside the tokens.
_PRICED_APART = frozenset({"file_search_call", "code_interpreter_call", "image_generation_call"})


def usage_of(counts: Any, model: Model) -> Usage:
    """The counts with one meaning: input without the cached, output with reasoning; NO_USAGE for none."""
    if type(counts) is not dict or not counts:
        return NO_USAGE
    read = written = reasoning = 0
    taken, output = count(counts.get("input_tokens")), count(counts.get("output_tokens"))
    details = counts.get("input_tokens_details")
    if type(details) is dict:
        read, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    details = counts.get("output_tokens_details")
    if type(details) is dict:
        reasoning = count(details.get("reasoning_tokens"))
    missing = count(counts.get("total_tokens")) - taken - output
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
        elif type(kind) is str and kind in _PRICED_APART:
            return None
    return with_searches(cost, searches, model)
