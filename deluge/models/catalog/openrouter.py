"""OpenRouter, a market of many hosts: https://openrouter.ai/docs"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "openrouter", "https://openrouter.ai/api/v1", key_env=("OPENROUTER_API_KEY",),
    flags=frozenset({"uses_max_tokens", "reasoning_object", "reports_cost"}),
)
row = rows_of(PROVIDER)
_R = f.OPEN_REASONING.but(efforts="none minimal low medium high xhigh")
_ALWAYS = f.OPEN_REASONING.but("always_reasons", efforts="minimal low medium high xhigh")
MODELS = (
    row("deepseek-3.1-openrouter", "deepseek/deepseek-v3.1-terminus", _R, 0.23, 0.9),
    row("deepseek-3.2-exp-openrouter", "deepseek/deepseek-v3.2-exp", _R, 0.27, 0.4),
    row("deepseek-3.2-openrouter", "deepseek/deepseek-v3.2", _R, 0.27, 0.4),
    row("deepseek-r1-openrouter", "deepseek/deepseek-r1-0528", _ALWAYS, 0.4, 1.75),
    row("deepseek-v4-flash-0731", "deepseek/deepseek-v4-flash-0731", _R),
    row("deepseek-v4-flash-openrouter", "deepseek/deepseek-v4-flash", _R, 0.14, 0.28),
    row("deepseek-v4-pro-openrouter", "deepseek/deepseek-v4-pro", _R, 1.74, 3.48),
    row("devstral-2-free-openrouter", "mistralai/devstral-2512:free", f.OPEN, 0.0, 0.0),
    row("devstral-2-openrouter", "mistralai/devstral-2512", f.OPEN, 0.05, 0.22),
    row("glm-4.6-openrouter", "z-ai/glm-4.6:exacto", _R, 0.6, 2.2),
    row("glm-4.7-flash-openrouter", "z-ai/glm-4.7-flash", _R, 0.1, 0.4, 0.01),
    row("glm-4.7-openrouter", "z-ai/glm-4.7", _R, 0.6, 2.2),
    row("glm-5.2-openrouter", "z-ai/glm-5.2", _R),
    row("glm-5.3-flash-openrouter", "z-ai/glm-5.3-flash", _ALWAYS, 0.15, 0.5, 0.03, flags="supports_images",
        efforts="low high max"),
    row("glm-5.3-openrouter", "z-ai/glm-5.3", _ALWAYS, 1.4, 4.4, 0.26, efforts="low high max"),
    row("gpt-oss-120b-free-openrouter", "openai/gpt-oss-120b:free", f.GPT_OSS, 0.0, 0.0),
    row("gpt-oss-120b-openrouter", "openai/gpt-oss-120b", f.GPT_OSS, 0.05, 0.45),
    row("gpt-oss-20b-free-openrouter", "openai/gpt-oss-20b:free", f.GPT_OSS, 0.0, 0.0),
    row("gpt-oss-20b-openrouter", "openai/gpt-oss-20b", f.GPT_OSS, 0.04, 0.18),
    row("inkling-openrouter", "thinkingmachines/inkling", _R),
    row("inkling-small-openrouter", "thinkingmachines/inkling-small", _R),
    row("intellect-3-openrouter", "prime-intellect/intellect-3", _R, 0.2, 1.1),
    row("kimi-k2-openrouter", "moonshotai/kimi-k2-0905:exacto", f.OPEN, 1.0, 3.0),
    row("kimi-k2-thinking-openrouter", "moonshotai/kimi-k2-thinking", _ALWAYS, 0.6, 2.5),
    row("kimi-k2.5-openrouter", "moonshotai/kimi-k2.5", _R, 0.6, 3.0, 0.1, flags="supports_images"),
    row("kimi-k2.6-openrouter", "moonshotai/kimi-k2.6", _R, 0.7448, 4.655, flags="supports_images"),
    row("kimi-k2.7-code-openrouter", "moonshotai/kimi-k2.7-code", _R, flags="supports_images"),
    row("kimi-k3-openrouter", "moonshotai/kimi-k3", _ALWAYS, flags="supports_images"),
    row("laguna-s2.1-openrouter", "poolside/laguna-s-2.1", f.OPEN),
    row("laguna-xs2.1-openrouter", "poolside/laguna-xs-2.1", f.OPEN),
    row("mercury-2.5-openrouter", "inception/mercury-2.5", _R, 0.04, 0.15, 0.004),
    row("mimo-flash-v2-free-openrouter", "xiaomi/mimo-v2-flash:free", _R, 0.0, 0.0),
    row("minimax-m2.1-openrouter", "minimax/minimax-m2.1", _ALWAYS, 0.3, 1.2),
    row("minimax-m3-openrouter", "minimax/minimax-m3", _R, 0.3, 1.2, 0.06),
    row("muse-spark-1.1-openrouter", "meta/muse-spark-1.1", _ALWAYS),
    row("nemotron-3-nano-30b-a3b", "nvidia/nemotron-3-nano-30b-a3b", _R, 0.06, 0.24),
    row("nemotron-3-nano-30b-a3b-free", "nvidia/nemotron-3-nano-30b-a3b:free", _R, 0.0, 0.0),
    row("nemotron-3-ultra-openrouter", "nvidia/nemotron-3-ultra-550b-a55b", _R, 0.6, 2.4, 0.12),
    row("nemotron-nano-12b-2-vl", "nvidia/nemotron-nano-12b-v2-vl", _R, flags="supports_images"),
    row("nemotron-nano-12b-2-vl-free", "nvidia/nemotron-nano-12b-v2-vl:free", _R, 0.0, 0.0, flags="supports_images"),
    row("olmo-3-32b-think-openrouter", "allenai/olmo-3-32b-think", _ALWAYS),
    row("olmo-3.1-32b-think-openrouter", "allenai/olmo-3.1-32b-think:free", _ALWAYS, 0.0, 0.0),
    row("trinity-large-openrouter", "arcee-ai/trinity-large-preview:free", _R, 0.0, 0.0),
    row("trinity-mini-free-openrouter", "arcee-ai/trinity-mini:free", _R, 0.0, 0.0),
    row("trinity-mini-openrouter", "arcee-ai/trinity-mini", _R, 0.045, 0.15),
)
