"""Token counts of chat completions, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.dialects._counts import count
from deluge.models.model import Model
from deluge.usage import NO_USAGE, Usage


def usage_of(counts: Any, model: Model) -> Usage:
    """The counts with one meaning: input without the cached, output with reasoning; NO_USAGE for none."""
    if type(counts) is not dict or not counts:
        return NO_USAGE
    prompt, output = count(counts.get("prompt_tokens")), count(counts.get("completion_tokens"))
    read = written = reasoning = 0
    details = counts.get("prompt_tokens_details")
    if type(details) is dict:
        read, written = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    if not read:  # DeepSeek, Moonshot
        read = count(counts.get("prompt_cache_hit_tokens")) or count(counts.get("cached_tokens"))
    details = counts.get("completion_tokens_details")
    if type(details) is dict:
        reasoning = count(details.get("reasoning_tokens"))
    reasoning = reasoning or count(counts.get("reasoning_tokens"))
    total = count(counts.get("total_tokens"))
    if total != prompt + output:
        unlisted = _not_in_output(total, prompt, output, reasoning, model)
        output, reasoning = output + unlisted, reasoning or unlisted
    return Usage(max(0, prompt - read - written), output, read, written, 0, min(reasoning, output))


def tier_of(data: dict[str, Any]) -> str | None:
    """The service tier that was billed; Mistral tells it among the counts."""
    tier = data.get("service_tier")
    if tier is None and type(data.get("usage")) is dict:
        tier = data["usage"].get("service_tier")
    return tier if type(tier) is str else None


def cost_of(counts: Any, usage: Usage, tier: str | None, model: Model) -> float | None:
    """What the provider says that it cost, else what the prices say; None where nobody knows."""
    if type(counts) is not dict or not counts:
        return None
    told = counts.get("cost")
    if told is None:
        return model.cost(usage, tier)
    if isinstance(told, Mapping):
        told = told.get("total_cost")
    if isinstance(told, (int, float)) and not isinstance(told, bool) and 0 <= told < 1e9:
        details = counts.get("cost_details")
        if counts.get("is_byok") is True and isinstance(details, Mapping):  # OpenRouter with a key of your own
            upstream = details.get("upstream_inference_cost")
            told += upstream if isinstance(upstream, (int, float)) else 0
        return float(told)
    return model.cost(usage, tier)


def searched(message: dict[str, Any], counts: Any) -> bool:
    """Whether the provider searched the web for this answer, for a fee that nobody tells: its sources are noted."""
    notes = message.get("annotations")
    if not notes or type(notes) is not list or (type(counts) is dict and counts.get("cost") is not None):
        return False
    return any(type(note) is dict and note.get("type") == "url_citation" for note in notes)


def _not_in_output(total: int, prompt: int, output: int, reasoning: int, model: Model) -> int:
    """Reasoning tokens that ``completion_tokens`` leaves out (xAI, Gemini's compatible endpoint): the total knows."""
    excludes = model.has("completion_excludes_reasoning")
    if not total:
        return reasoning if excludes else 0
    missing = total - prompt - output
    return missing if missing > 0 and (excludes or missing == reasoning) else 0
