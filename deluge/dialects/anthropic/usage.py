"""Token counts of the Messages API, the tier that was billed, and what it cost."""

from __future__ import annotations

from typing import Any

from deluge.dialects._counts import count
from deluge.dialects._searches import with_searches
from deluge.models.model import Model
from deluge.usage import NO_USAGE, Usage


def usage_of(counts: Any) -> Usage:
    """The counts with one meaning; NO_USAGE for none. ``input_tokens`` leaves cached ones out here too."""
    if type(counts) is not dict or not counts:
        return NO_USAGE
    get = counts.get
    output, long_writes, thinking = count(get("output_tokens")), 0, 0
    written, details = count(get("cache_creation_input_tokens")), get("cache_creation")
    if type(details) is dict:
        long_writes = count(details.get("ephemeral_1h_input_tokens"))
        written = max(written, long_writes + count(details.get("ephemeral_5m_input_tokens")))
    details = get("output_tokens_details")
    if type(details) is dict:
        thinking = count(details.get("thinking_tokens"))
    return Usage(
        count(get("input_tokens")), output, count(get("cache_read_input_tokens")), written, long_writes,
        min(thinking, output),
    )


def tier_of(counts: Any) -> str | None:
    """The tier that was billed: standard, priority, batch, or fast (a speed that has its own price)."""
    if type(counts) is not dict:
        return None
    if counts.get("speed") == "fast":
        return "fast"
    tier = counts.get("service_tier")
    return tier if type(tier) is str else None


def cost_of(counts: Any, usage: Usage, tier: str | None, model: Model) -> float | None:
    """Dollars, with those for the searches of the provider's own tool; None where one of them is not known."""
    if type(counts) is not dict or not counts:
        return None
    tools = counts.get("server_tool_use")
    searches = count(tools.get("web_search_requests")) if type(tools) is dict else 0
    return with_searches(model.cost(usage, tier), searches, model)
