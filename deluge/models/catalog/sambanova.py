"""SambaNova: https://docs.sambanova.ai/docs/en/features/openai-compatibility"""

from __future__ import annotations

from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "sambanova", "https://api.sambanova.ai/v1", key_env=("SAMBANOVA_API_KEY",), flags=frozenset({"uses_max_tokens"}),
)
MODELS: tuple[Model, ...] = ()
