"""SGLang on this machine: https://docs.sglang.ai/basic_usage/openai_api.html"""

from __future__ import annotations

from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "sglang", "http://localhost:30000/v1", key_env=("SGLANG_API_KEY",),
    flags=frozenset({"local", "uses_max_tokens"}), key_optional=True,
)
MODELS: tuple[Model, ...] = ()
