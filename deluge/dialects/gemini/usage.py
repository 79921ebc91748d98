"""Token counts of Gemini, and the service tier that was billed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.usage import NO_USAGE, Usage

_MOST = 1 << 53
# Vertex names the kind of traffic instead of the tier.
_TRAFFIC = {"ON_DEMAND": "standard", "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


def usage_of(counts: Any) -> Usage:
    """The counts with one meaning: input without the cached and with what tools put in, output with thoughts."""
    if type(counts) is not dict or not counts:
        return NO_USAGE
    prompt, cached = _count(counts, "promptTokenCount"), _count(counts, "cachedContentTokenCount")
    thoughts, tools = _count(counts, "thoughtsTokenCount"), _count(counts, "toolUsePromptTokenCount")
    if "candidatesTokenCount" in counts:
        said = _count(counts, "candidatesTokenCount")
    else:
        said = max(0, _count(counts, "totalTokenCount") - prompt - thoughts - tools)
    return Usage(max(0, prompt - cached) + tools, said + thoughts, cached, 0, 0, thoughts)


def tier_of(counts: Any, headers: Mapping[str, str], asked: str | None) -> str | None:
    """The tier that was billed: the reply's usage or a header says it, else the one that was asked for."""
    told = None
    if type(counts) is dict:
        told = counts.get("serviceTier")
        if told is None:
            told = _TRAFFIC.get(str(counts.get("trafficType")))
    if told is None and headers:
        told = headers.get("x-gemini-service-tier")
    if type(told) is str and told and told.lower() != "unspecified":
        return told.lower()
    return asked


def _count(counts: dict[str, Any], name: str) -> int:
    """A count of tokens; 0 for anything else."""
    value = counts.get(name)
    if type(value) is int:
        return value if 0 < value < _MOST else 0
    return int(value) if type(value) is float and 0 < value < _MOST else 0
