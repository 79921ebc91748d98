"""DeepSeek: https://api-docs.deepseek.com; it also speaks Anthropic's format."""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "deepseek", "https://api.deepseek.com/v1", key_env=("DEEPSEEK_API_KEY",),
    flags=frozenset({"uses_max_tokens", "automatic_caching"}),
)
row = rows_of(PROVIDER)
_ANTHROPIC = "https://api.deepseek.com/anthropic/v1"
_CHAT = PLAIN.but("peak_prices supports_json supports_tools", context=131_072, max_output=8_192)
_R1 = _CHAT.but(
    "reasoning always_reasons sampling_fixed reasoning_content_back no_forced_tools_when_thinking", max_output=65_536,
)
_V4 = _CHAT.but(
    "reasoning thinks_by_default thinking_switch thinking_disabled_ok sampling_fixed_when_reasoning"
    " reasoning_content_back",
    efforts="low high max", default_effort="high", context=1_000_000, max_output=384_000,
)
_MESSAGES = f.IN_CLAUDES_FORMAT.but(
    "peak_prices",
    efforts="low high max", default_effort="high", context=1_000_000, max_output=384_000,
)
MODELS = (
    row("deepseek-flash", "", _V4, 0.15, 0.6),
    row("deepseek-v4-pro", "", _V4, 0.66, 1.98, 0.022),
    row("deepseek-v4-flash", "", _V4, 0.14, 0.28, 0.014),
    row("deepseek-reasoner", "", _R1, 0.28, 0.42, 0.028, retires="2026-07-24"),
    row("deepseek-chat", "", _CHAT, 0.28, 0.42, 0.028, retires="2026-07-24"),
    row("deepseek-r1", "deepseek-reasoner", _R1, 0.28, 0.42, 0.028, retires="2026-07-24"),
    row("deepseek-speciale", "deepseek-reasoner", _R1, 0.28, 0.42, 0.028,
        flags="-supports_tools -supports_json",
        base_url="https://api.deepseek.com/v3.2_speciale_expires_on_20251215/v1", retires="2025-12-15"),
    row("deepseek-v4-pro-anthropic-compat", "deepseek-v4-pro", _MESSAGES, 0.66, 1.98, 0.022, dialect="anthropic",
        base_url=_ANTHROPIC),
    row("deepseek-v4-flash-anthropic-compat", "deepseek-v4-flash", _MESSAGES, 0.14, 0.28, 0.014, dialect="anthropic",
        base_url=_ANTHROPIC),
    row("deepseek-reasoner-anthropic-compat", "deepseek-reasoner", _MESSAGES, 0.28, 0.42, 0.028, flags="always_reasons",
        efforts="", dialect="anthropic", base_url=_ANTHROPIC, context=131_072, max_output=65_536, retires="2026-07-24"),
)
