"""Anthropic: https://platform.claude.com/docs/en/about-claude/models, dates from .../model-deprecations."""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "anthropic", "https://api.anthropic.com/v1", "anthropic", key_env=("ANTHROPIC_API_KEY",), key_header="x-api-key",
    flags=frozenset({"dated_api", "native_mcp", "cached_input_free"}), service_tiers=("auto", "standard_only"),
    aliases=("claude",),
    batches="anthropic",
)
UNLISTED = f.CLAUDE_5_OPUS
row = rows_of(PROVIDER, names_are_aliases=True)
MODELS = (
    row("claude-fable-5.2", "claude-fable-5-2", f.CLAUDE_FABLE_5_1, 8.0, 40.0, 0.2, 10.0,
        flags="supports_fast", aliases="claude-5.2-fable claude-5-2-fable"),
    row("claude-mythos-5.2", "claude-mythos-5-2", f.CLAUDE_FABLE_5_1, 8.0, 40.0, 0.2, 10.0,
        flags="supports_fast", aliases="claude-5.2-mythos claude-5-2-mythos"),
    row("claude-fable-5.1", "claude-fable-5-1", f.CLAUDE_FABLE_5_1, 10.0, 50.0, 0.25, 12.5,
        aliases="claude-5.1-fable claude-5-1-fable"),
    row("claude-fable-5", "", f.CLAUDE_FABLE_5, 10.0, 50.0, 1.0, 12.5, aliases="claude-5-fable"),
    row("claude-5.5-opus", "claude-opus-5-5", f.CLAUDE_5_5_OPUS, 4.0, 20.0, 0.2, 5.0,
        flags="supports_fast", aliases="claude-opus-5.5 claude-5-5-opus"),
    row("claude-5.5-sonnet", "claude-sonnet-5-5", f.CLAUDE_5_5_SONNET, 2.0, 10.0, 0.1, 2.5,
        aliases="claude-sonnet-5.5 claude-5-5-sonnet"),
    row("claude-5.5-haiku", "claude-haiku-5-5", f.CLAUDE_5_5_HAIKU, 0.1, 0.5, 0.01, 0.125,
        aliases="claude-haiku-5.5 claude-5-5-haiku"),
    row("claude-5-opus", "claude-opus-5", f.CLAUDE_5_OPUS, 5.0, 25.0, 0.5, 6.25, flags="supports_fast"),
    row("claude-5-sonnet", "claude-sonnet-5", f.CLAUDE_5_SONNET, 2.0, 10.0, 0.2, 2.5),
    row("claude-4.8-opus", "claude-opus-4-8", f.CLAUDE_4_8, 5.0, 25.0, 0.5, 6.25, flags="supports_fast",
        aliases="claude-opus-4.8"),
    row("claude-4.7-opus", "claude-opus-4-7", f.CLAUDE_4_7, 5.0, 25.0, 0.5, 6.25, aliases="claude-opus-4.7"),
    row("claude-4.6-opus", "claude-opus-4-6", f.CLAUDE_4_6, 5.0, 25.0, 0.5, 6.25, aliases="claude-opus-4.6"),
    row("claude-4.6-sonnet", "claude-sonnet-4-6", f.CLAUDE_4_6, 3.0, 15.0, 0.3, 3.75, aliases="claude-sonnet-4.6"),
    row("claude-4.5-opus", "claude-opus-4-5-20251101", f.CLAUDE_4_5_OPUS, 5.0, 25.0, 0.5, 6.25,
        aliases="claude-opus-4-5 claude-opus-4.5"),
    row("claude-4.5-sonnet", "claude-sonnet-4-5-20250929", f.CLAUDE_4_5, 3.0, 15.0, 0.3, 3.75,
        aliases="claude-sonnet-4-5 claude-sonnet-4.5"),
    row("claude-4.5-haiku", "claude-haiku-4-5-20251001", f.CLAUDE_4_5, 1.0, 5.0, 0.1, 1.25,
        aliases="claude-haiku-4-5 claude-haiku-4.5"),
    row("claude-4.1-opus", "claude-opus-4-1-20250805", f.CLAUDE_4_1_OPUS, 15.0, 75.0, 1.5, 18.75,
        aliases="claude-opus-4-1 claude-opus-4.1"),
    row("claude-4-opus", "claude-opus-4-20250514", f.CLAUDE_4_OPUS, 15.0, 75.0, 1.5, 18.75,
        aliases="claude-opus-4", retires="2026-06-15"),
    row("claude-4-sonnet", "claude-sonnet-4-20250514", f.CLAUDE_4_SONNET, 3.0, 15.0, 0.3, 3.75,
        aliases="claude-sonnet-4", retires="2026-06-15"),
    row("claude-3.7-sonnet", "claude-3-7-sonnet-20250219", f.CLAUDE_3_7, 3.0, 15.0, 0.3, 3.75,
        aliases="claude-sonnet-3.7 claude-sonnet-3-7", retires="2026-02-19"),
    row("claude-3.5-sonnet", "claude-3-5-sonnet-20241022", f.CLAUDE_3_5, 3.0, 15.0, 0.3, 3.75,
        aliases="claude-3-5-sonnet", retires="2025-10-28"),
    row("claude-3.5-haiku", "claude-3-5-haiku-20241022", f.CLAUDE_3_5, 0.8, 4.0, 0.08, 1.0,
        aliases="claude-3-5-haiku", retires="2026-02-19"),
    row("claude-3-opus", "claude-3-opus-20240229", f.CLAUDE_3, 15.0, 75.0, 1.5, 18.75,
        retires="2026-01-05"),
    row("claude-3-haiku", "claude-3-haiku-20240307", f.CLAUDE_3, 0.25, 1.25, 0.03, 0.3,
        retires="2026-04-20"),
)
