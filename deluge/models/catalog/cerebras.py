"""Cerebras: https://inference-docs.cerebras.ai/models/overview"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "cerebras", "https://api.cerebras.ai/v1", key_env=("CEREBRAS_API_KEY",),
)
row = rows_of(PROVIDER)
MODELS = (
    row("gpt-oss-120b-cerebras", "gpt-oss-120b", f.GPT_OSS, 0.35, 0.75),
    row("qwen3.8-27b-cerebras", "qwen-3.8-27b", f.OPEN_REASONING, context=65_536),
    row("glm-4.7-cerebras", "zai-glm-4.7", f.OPEN_REASONING, context=131_072),
    row("llama-3.1-8b-cerebras", "llama-3.1-8b", f.OPEN, context=32_768),
    row("llama-3.3-70b-cerebras", "llama-3.3-70b", f.OPEN, context=128_000),
    row("qwen-3-235b-instruct-cerebras", "qwen-3-235b-a22b-instruct-2507", f.OPEN, context=131_072),
    row("qwen-3-32b-cerebras", "qwen-3-32b", f.OPEN_REASONING, context=131_072),
)
