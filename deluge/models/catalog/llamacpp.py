"""llama.cpp's server on this machine: https://github.com/ggml-org/llama.cpp/tree/master/tools/server"""

from __future__ import annotations

from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "llamacpp", "http://localhost:8080/v1", key_env=("LLAMA_API_KEY",),
    flags=frozenset({"local", "uses_max_tokens"}), key_optional=True, aliases=("llama.cpp",),
)
MODELS: tuple[Model, ...] = ()
