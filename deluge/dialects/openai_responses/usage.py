"""Token counts of the Responses API."""

from __future__ import annotations

from typing import Any

from deluge.models.model import Model
from deluge.usage import NO_USAGE, Usage

_MOST = 1 << 53


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


def _count(counts: dict[str, Any], name: str) -> int:
    """A count of tokens; 0 for anything else."""
    value = counts.get(name)
    if type(value) is int:
        return value if 0 < value < _MOST else 0
    return int(value) if type(value) is float and 0 < value < _MOST else 0
