"""LM Studio on this machine: https://lmstudio.ai/docs/app/api/endpoints/openai"""

from __future__ import annotations

from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "lmstudio", "http://localhost:1234/v1", key_env=("LMSTUDIO_API_KEY",),
    flags=frozenset({"local", "uses_max_tokens"}), key_optional=True, aliases=("lm-studio",),
)
MODELS: tuple[Model, ...] = ()
