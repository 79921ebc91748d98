"""Moondream, small vision models, through its OpenAI-compatible endpoint: https://docs.moondream.ai/openai"""

from __future__ import annotations

from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "moondream", "https://api.moondream.ai/v1", key_env=("MOONDREAM_API_KEY",), flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
MODELS = (
    row("moondream-cloud", "moondream3-preview", PLAIN, flags="supports_images reasoning",
        aliases="moondream", context=32_768),
)
