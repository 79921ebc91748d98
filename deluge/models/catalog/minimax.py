"""MiniMax: https://platform.minimax.io/docs"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "minimax", "https://api.minimax.io/v1", key_env=("MINIMAX_API_KEY",), flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
_M2 = PLAIN.but("supports_tools reasoning always_reasons reasoning_split", context=204_800)
_M3 = PLAIN.but(
    "supports_tools supports_images reasoning thinks_by_default thinking_switch thinking_disabled_ok reasoning_split",
)
# https://platform.minimax.io/docs/api-reference/text-anthropic-api
_ANTHROPIC = "https://api.minimax.io/anthropic/v1"
_MESSAGES = f.IN_CLAUDES_FORMAT.but("thinks_by_default no_stop", context=1_000_000)
MODELS = (
    row("minimax-m3.1-flash", "MiniMax-M3.1-Flash", _M3, 0.15, 0.6, context=1_000_000),
    row("minimax-m3", "MiniMax-M3", _M3, 0.3, 1.2, context=1_000_000),
    row("minimax-m2.1", "MiniMax-M2.1", _M2),
    row("minimax-m2", "MiniMax-M2", _M2),
    row("minimax-m3.1-flash-anthropic-compat", "MiniMax-M3.1-Flash", _MESSAGES, 0.15, 0.6, dialect="anthropic",
        base_url=_ANTHROPIC),
    row("minimax-m3-anthropic-compat", "MiniMax-M3", _MESSAGES, 0.3, 1.2, dialect="anthropic", base_url=_ANTHROPIC),
    row("minimax-m2.1-anthropic-compat", "MiniMax-M2.1", _MESSAGES, flags="always_reasons -thinking_disabled_ok",
        context=204_800, dialect="anthropic", base_url=_ANTHROPIC),
)
