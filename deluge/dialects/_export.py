"""Conversations in a provider's words without a request: what ``Conversation.to_openai()`` and its like are made of."""

from __future__ import annotations

from typing import Any

from deluge import _json
from deluge.dialects._parts import json_bytes
from deluge.models.model import Model, Provider
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt import Conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate

_OPENAI = Provider("openai", "https://api.openai.com/v1", flags=frozenset({"reasoning"}))
# Whose words a format is, where no model is named.
_HOMES = {
    "openai_chat": _OPENAI, "openai_responses": _OPENAI,
    "anthropic": Provider(
        "anthropic", "https://api.anthropic.com/v1", "anthropic", flags=frozenset({"supports_prompt_caching", "reasoning"}),
    ),
    "gemini": Provider(
        "google", "https://generativelanguage.googleapis.com/v1beta", "gemini",
        flags=frozenset({"media_in_tool_results", "reasoning"}),
    ),
    "bedrock": Provider(
        "bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com", "bedrock",
        flags=frozenset({"supports_prompt_caching", "reasoning"}),
    ),
}


def export_context(dialect: str, prompt: Conversation, model: str | None, cache: str | None = None) -> RequestContext:
    """A context for this prompt alone, with the flags of the model, or of none in particular."""
    row = get_model(model) if model else Model("any", "any", _HOMES[dialect])
    url = row.base_url or row.provider.base_url
    options = RequestOptions(cache=cache)
    return RequestContext(prompt.freeze(), RequestTemplate(row, SamplingParams(), options, url, dialect=dialect))


def plain(value: Any) -> Any:
    """A copy that is JSON through and through and shares nothing with the conversation."""
    return _json.loads(json_bytes(value, "the conversation"))
