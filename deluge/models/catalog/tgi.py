"""Text Generation Inference on this machine: https://huggingface.co/docs/text-generation-inference"""

from __future__ import annotations

from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "tgi", "http://localhost:8080/v1", key_env=("TGI_API_KEY",),
    flags=frozenset({"local", "uses_max_tokens"}), key_optional=True,
)
MODELS: tuple[Model, ...] = ()
