"""Mistral: https://docs.mistral.ai/getting-started/models"""

from __future__ import annotations

from deluge.models.model import PerRequest, Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "mistral", "https://api.mistral.ai/v1", key_env=("MISTRAL_API_KEY",),
    flags=frozenset({"uses_max_tokens", "random_seed", "strict_body", "mistral_chunks", "supports_prompt_cache_key"}),
    service_tiers=("auto", "standard_only"), per_request=PerRequest(128, 16_384),
    batches="mistral",
)
row = rows_of(PROVIDER, names_are_aliases=True)
_MISTRAL = PLAIN.but("supports_logprobs supports_json supports_json_schema supports_tools supports_parallel_tool_calls")
MODELS = (
    row("mistral-large-4", "", _MISTRAL, 0.7, 2.1, flags="supports_images reasoning", efforts="none high",
        default_effort="none", context=1_048_576),
    row("mistral-large", "mistral-large-latest", _MISTRAL, 2.0, 6.0, flags="supports_images"),
    row("mistral-medium-3.5", "mistral-medium-3-5", _MISTRAL, 1.5, 7.5, flags="supports_images", context=262_144),
    row("mistral-medium", "mistral-medium-latest", _MISTRAL, 0.4, 2.0, flags="supports_images"),
    row("mistral-small-4", "mistral-small-2603", _MISTRAL, 0.15, 0.6, flags="supports_images", context=262_144),
    row("mistral-small", "mistral-small-latest", _MISTRAL, 0.1, 0.3, flags="supports_images"),
    row("codestral", "codestral-latest", _MISTRAL, 0.2, 0.6, context=256_000),
    row("devstral-small", "devstral-small-2505", _MISTRAL, 0.1, 0.3, context=131_072),
    row("ministral-8b", "ministral-8b-latest", _MISTRAL, 0.7, 0.7, flags="short_tool_ids"),
    row("mistral-nemo", "open-mistral-nemo", _MISTRAL, 0.1, 0.3, flags="short_tool_ids", context=131_072),
    row("mixtral-8x22b", "open-mixtral-8x22b", _MISTRAL, 2.0, 6.0, flags="short_tool_ids", context=65_536),
    row("pixtral-12b", "", _MISTRAL, 0.1, 0.3, flags="supports_images short_tool_ids", context=131_072),
    row("pixtral-large", "pixtral-large-latest", _MISTRAL, 2.0, 6.0, flags="supports_images short_tool_ids",
        context=131_072),
    row("mistral-embed", "", PLAIN, 0.1, flags="embedding fixed_dimension", context=8_192, dimensions=1_024),
    row("codestral-embed", "", PLAIN, 0.15, flags="embedding output_dimension", context=8_192, dimensions=1_536),
)
