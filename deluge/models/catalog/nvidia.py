"""NVIDIA's hosted models: https://docs.api.nvidia.com/nim/reference/llm-apis"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "nvidia", "https://integrate.api.nvidia.com/v1", key_env=("NVIDIA_API_KEY",), flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
MODELS = (
    row("deepseek-3.2-nvidia", "deepseek-ai/deepseek-v3.2", f.OPEN_REASONING),
    row("glm-4.7-nvidia", "z-ai/glm4.7", f.OPEN_REASONING),
    row("glm-5.1-nvidia", "z-ai/glm-5.1", f.OPEN_REASONING),
    row("gpt-oss-120b-nvidia", "openai/gpt-oss-120b", f.GPT_OSS),
    row("gpt-oss-20b-nvidia", "openai/gpt-oss-20b", f.GPT_OSS),
    row("kimi-k2.5-nvidia", "moonshotai/kimi-k2.5", f.OPEN_REASONING_VISION),
    row("minimax-m2.7-nvidia", "minimaxai/minimax-m2.7", f.OPEN_REASONING, flags="always_reasons"),
    row("nemotron-3-super-120b-a12b-nvidia", "nvidia/nemotron-3-super-120b-a12b", f.OPEN_REASONING),
    row("sarvam-m-nvidia", "sarvamai/sarvam-m", f.OPEN_REASONING),
)
