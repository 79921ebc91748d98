"""Hugging Face's router to many hosts: https://huggingface.co/docs/inference-providers"""

from __future__ import annotations

from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "huggingface", "https://router.huggingface.co/v1", key_env=("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    flags=frozenset({"uses_max_tokens"}), aliases=("hf",),
)
MODELS: tuple[Model, ...] = ()
