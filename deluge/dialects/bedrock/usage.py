"""Token counts of Converse, the tier that was billed, and what it cost."""

from __future__ import annotations

from typing import Any

from deluge.dialects._counts import count
from deluge.models.model import Model
from deluge.usage import NO_USAGE, Usage


def usage_of(counts: Any) -> Usage:
    """The counts with one meaning; NO_USAGE for none. ``inputTokens`` leaves cached ones out here too."""
    if type(counts) is not dict or not counts:
        return NO_USAGE
    get = counts.get
    written, long_writes, listed = count(get("cacheWriteInputTokens")), 0, 0
    details = get("cacheDetails")
    for detail in details if type(details) is list else ():
        if type(detail) is dict:
            tokens = count(detail.get("inputTokens"))
            listed += tokens
            long_writes += tokens if detail.get("ttl") == "1h" else 0
    return Usage(
        count(get("inputTokens")), count(get("outputTokens")), count(get("cacheReadInputTokens")),
        max(written, listed), long_writes,
    )


def tier_of(data: dict[str, Any]) -> str | None:
    """The service tier that was billed."""
    tier = data.get("serviceTier")
    word = tier.get("type") if type(tier) is dict else None
    return word if type(word) is str else None


def cost_of(data: dict[str, Any], usage: Usage, tier: str | None, model: Model) -> float | None:
    """Dollars, or None: also for answers of optimised latency, whose price nobody lists."""
    if type(data.get("usage")) is not dict or not data["usage"]:
        return None
    performance = data.get("performanceConfig")
    if type(performance) is dict and performance.get("latency") == "optimized":
        return None
    return model.cost(usage, tier)
