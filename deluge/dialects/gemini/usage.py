"""Token counts of Gemini, and the service tier that was billed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.dialects._counts import count
from deluge.usage import NO_USAGE, Usage

# Vertex names the kind of traffic instead of the tier.
_TRAFFIC = {"ON_DEMAND": "standard", "ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}


def usage_of(counts: Any) -> Usage:
    """The counts with one meaning: input without the cached and with what tools put in, output with thoughts."""
    if type(counts) is not dict or not counts:
        return NO_USAGE
    prompt, cached = count(counts.get("promptTokenCount")), count(counts.get("cachedContentTokenCount"))
    thoughts, tools = count(counts.get("thoughtsTokenCount")), count(counts.get("toolUsePromptTokenCount"))
    if "candidatesTokenCount" in counts:
        said = count(counts.get("candidatesTokenCount"))
    else:
        said = max(0, count(counts.get("totalTokenCount")) - prompt - thoughts - tools)
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
