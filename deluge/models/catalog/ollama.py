"""Ollama on this machine: https://docs.ollama.com/openai"""

from __future__ import annotations

from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "ollama", "http://localhost:11434/v1", key_env=("OLLAMA_API_KEY",),
    flags=frozenset({"local", "uses_max_tokens", "no_media_urls"}), key_optional=True,
)
MODELS: tuple[Model, ...] = ()
