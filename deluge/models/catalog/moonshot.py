"""Moonshot AI (Kimi): https://platform.moonshot.ai/docs"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "moonshot", "https://api.moonshot.ai/v1", key_env=("MOONSHOT_API_KEY", "KIMI_API_KEY"),
    flags=frozenset({"uses_max_tokens", "no_forced_tools", "automatic_caching", "no_media_urls"}),
    aliases=("kimi", "moonshotai"),
)
row = rows_of(PROVIDER)
_K2 = f.OPEN.but(context=262_144)
_THINKS = _K2.but("reasoning thinks_by_default sampling_fixed reasoning_content_back")
_K3 = _THINKS.but("always_reasons supports_images", efforts="low high max", default_effort="max", context=1_048_576)
# https://platform.moonshot.ai/docs: the same models in Anthropic's format
_ANTHROPIC = "https://api.moonshot.ai/anthropic/v1"
_MESSAGES = f.IN_CLAUDES_FORMAT.but("sampling_fixed thinks_by_default supports_images")
_K3_MESSAGES = _MESSAGES.but(
    "always_reasons -budget_thinking -thinking_disabled_ok", efforts="low high max", default_effort="max", context=1_048_576,
)
MODELS = (
    row("kimi-k3.1-pro", "", _K3, 2.0, 10.0),
    row("kimi-k3", "", _K3, 3.0, 15.0),
    row("kimi-k2.6", "", _THINKS, 0.95, 4.0, 0.16, flags="supports_images thinking_switch thinking_disabled_ok"),
    row("kimi-k2.5", "", _THINKS, 0.6, 3.0, 0.1, flags="supports_images thinking_switch thinking_disabled_ok"),
    row("kimi-k2-thinking", "", _THINKS, 0.6, 2.5, 0.15, flags="always_reasons"),
    row("kimi-k2-thinking-turbo", "", _THINKS, 1.15, 8.0, 0.15, flags="always_reasons"),
    row("kimi-k2", "kimi-k2-0905-preview", _K2, 0.6, 2.5, 0.15),
    row("kimi-k2-turbo", "kimi-k2-turbo-preview", _K2, 1.15, 8.0, 0.15),
    row("kimi-k3.1-pro-anthropic-compat", "kimi-k3.1-pro", _K3_MESSAGES, 2.0, 10.0, dialect="anthropic",
        base_url=_ANTHROPIC),
    row("kimi-k3-anthropic-compat", "kimi-k3", _K3_MESSAGES, 3.0, 15.0, dialect="anthropic", base_url=_ANTHROPIC),
    row("kimi-k2.6-anthropic-compat", "kimi-k2.6", _MESSAGES, 0.95, 4.0, 0.16, dialect="anthropic",
        base_url=_ANTHROPIC, context=262_144),
)
