"""xAI (Grok): https://docs.x.ai/docs/models"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "xai", "https://api.x.ai/v1", key_env=("XAI_API_KEY", "GROK_API_KEY"),
    flags=frozenset({"completion_excludes_reasoning", "automatic_caching"}), aliases=("grok",),
)
UNLISTED = f.UNLISTED.but("-supports_background")
row = rows_of(PROVIDER, names_are_aliases=True)
_GROK = PLAIN.but("supports_json supports_json_schema supports_tools supports_parallel_tool_calls")
_REASONS = _GROK.but("reasoning always_reasons no_stop")
_EFFORT = _REASONS.but("supports_images supports_responses", efforts="low medium high xhigh")
MODELS = (
    row("grok-4.7", "", _EFFORT, 2.0, 6.0, 0.5, context=500_000),
    row("grok-4.6", "", _EFFORT, 2.0, 6.0, 0.5, context=500_000),
    row("grok-4.5", "", _EFFORT, 2.0, 6.0, 0.3, efforts="low medium high", default_effort="high", context=500_000),
    row("grok-4.3", "", _EFFORT, 1.25, 2.5, 0.2, flags="-always_reasons", efforts="none low medium high",
        context=1_000_000),
    row("grok-4.20-reasoning", "grok-4.20-0309-reasoning", _REASONS, 1.25, 2.5, 0.2,
        flags="supports_images supports_responses", context=1_000_000),
    row("grok-4.20-non-reasoning", "grok-4.20-0309-non-reasoning", _GROK, 1.25, 2.5, 0.2,
        flags="supports_images supports_responses", context=1_000_000),
    row("grok-4.1-fast", "grok-4-1-fast-non-reasoning", _GROK, 0.2, 1.5, flags="supports_images supports_logprobs",
        context=2_000_000),
    row("grok-4.1-fast-reasoning", "grok-4-1-fast-reasoning", _REASONS, 0.2, 1.5,
        flags="supports_images supports_logprobs",
        context=2_000_000),
    row("grok-4-fast-non-reasoning", "", _GROK, 0.2, 0.5, flags="supports_images supports_logprobs", context=2_000_000),
    row("grok-4-fast-reasoning", "", _REASONS, 0.2, 0.5, flags="supports_images supports_logprobs", context=2_000_000),
    row("grok-4", "grok-4-0709", _REASONS, 2.0, 8.0, flags="supports_images supports_logprobs", context=256_000),
    row("grok-3", "grok-3-latest", _GROK, 2.0, 8.0, flags="supports_logprobs", context=131_072),
    row("grok-3-mini", "grok-3-mini-latest", _REASONS, 2.0, 8.0, flags="supports_logprobs", efforts="low high",
        default_effort="low", context=131_072),
    row("grok-build-0.1", "", _REASONS, 1.0, 2.0, 0.2, flags="supports_images supports_responses", context=256_000),
    row("grok-code-fast-1", "", _REASONS, 0.2, 1.5, flags="supports_logprobs", context=256_000),
)
