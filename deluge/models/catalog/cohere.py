"""Cohere, through its OpenAI-compatible endpoint: https://docs.cohere.com/docs/compatibility-api"""

from __future__ import annotations

from deluge.models.model import PerRequest, Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "cohere", "https://api.cohere.ai/compatibility/v1", key_env=("COHERE_API_KEY", "CO_API_KEY"),
    flags=frozenset({"uses_max_tokens", "cohere_v2"}),
    per_request=PerRequest(96),  # https://docs.cohere.com/reference/embed
)
row = rows_of(PROVIDER, names_are_aliases=True)
_COMMAND = PLAIN.but("supports_json supports_json_schema supports_tools")
MODELS = (
    row("command-a", "command-a-03-2025", _COMMAND, 2.5, 10.0, context=256_000, max_output=8_000),
    row("command-r", "command-r-08-2024", _COMMAND, 0.5, 1.5, context=128_000, max_output=4_000),
    row("command-r-cohere", "command-r7b-12-2024", _COMMAND, 0.5, 1.5, aliases="command-r7b", context=128_000,
        max_output=4_000),
    row("command-r-plus", "command-r-plus-04-2024", _COMMAND, 3.0, 15.0, context=128_000, max_output=4_000),
    row("aya-expanse-32b", "c4ai-aya-expanse-32b", PLAIN, 0.5, 1.5, context=128_000, max_output=4_000),
    row("aya-expanse-8b", "c4ai-aya-expanse-8b", PLAIN, 0.5, 1.5, context=8_000, max_output=4_000),
    row("aya-vision-32b", "c4ai-aya-vision-32b", PLAIN, 0.5, 1.5, flags="supports_images", context=16_000,
        max_output=4_000),
    row("aya-vision-8b", "c4ai-aya-vision-8b", PLAIN, 0.5, 1.5, flags="supports_images", context=16_000,
        max_output=4_000),
    row("embed-v4.0", "", PLAIN, 0.12, flags="embedding", context=128_000, dimensions=1_536),
    row("rerank-v3.5", "", PLAIN, flags="reranking", context=4_096, per_request=PerRequest(1_000)),
)
