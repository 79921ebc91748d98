"""Together AI: https://docs.together.ai/docs/serverless-models"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "together", "https://api.together.xyz/v1", key_env=("TOGETHER_API_KEY",), flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
MODELS = (
    row("deepseek-r1-together", "deepseek-ai/DeepSeek-R1", f.OPEN_REASONING, 3.0, 7.0, flags="always_reasons",
        context=163_840),
    row("deepseek-v3-together", "deepseek-ai/DeepSeek-V3", f.OPEN, 1.25, 1.25, context=131_072),
    row("gpt-oss-120b-together", "openai/gpt-oss-120b", f.GPT_OSS, 0.18, 0.59),
    row("gpt-oss-20b-together", "openai/gpt-oss-20b", f.GPT_OSS, 0.18, 0.59),
    row("llama-4-maverick-together", "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", f.OPEN_VISION, 0.27, 0.85,
        context=1_048_576),
    row("llama-4-scout-together", "meta-llama/Llama-4-Scout-17B-16E-Instruct", f.OPEN_VISION, 0.18, 0.59,
        context=1_048_576),
    row("qwen-2.5-vl-together", "Qwen/Qwen2.5-VL-72B-Instruct", f.OPEN_VISION, 1.95, 8.0, context=32_768),
    row("qwen-3-235b-together", "Qwen/Qwen3-235B-A22B-fp8", f.OPEN_REASONING, 0.2, 0.6, context=40_960),
    row("trinity-mini-together", "arcee-ai/trinity-mini", f.OPEN_REASONING, 0.18, 0.59, context=131_072),
)
