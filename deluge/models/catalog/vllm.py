"""vLLM on this machine: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"""

from __future__ import annotations

from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "vllm", "http://localhost:8000/v1", key_env=("VLLM_API_KEY",),
    flags=frozenset({"local", "uses_max_tokens"}), key_optional=True,
)
MODELS: tuple[Model, ...] = ()
