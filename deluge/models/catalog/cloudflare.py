"""Cloudflare Workers AI: https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "cloudflare", "https://api.cloudflare.com/client/v4/accounts/{account_id}/ai/v1",
    key_env=("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"), flags=frozenset({"uses_max_tokens"}),
    url_env={"account_id": "CLOUDFLARE_ACCOUNT_ID"}, aliases=("workers-ai",),
)
row = rows_of(PROVIDER)
MODELS = (
    row("deepseek-v4-flash-0731-cf", "@cf/deepseek-ai/deepseek-v4-flash-0731", f.OPEN_REASONING),
    row("deepseek-v4-pro-0813-cf", "@cf/deepseek-ai/deepseek-v4-pro-0813", f.OPEN_REASONING),
    row("gemma-4-26b-cf", "@cf/google/gemma-4-26b-a4b-it", f.OPEN_REASONING,
        flags="-supports_json -supports_json_schema"),
    row("glm-4.7-flash-cf", "@cf/zai-org/glm-4.7-flash", f.OPEN_REASONING),
    row("glm-5.2-cf", "@cf/zai-org/glm-5.2", f.OPEN_REASONING),
    row("glm-5.3-cf", "@cf/zai-org/glm-5.3", f.OPEN_REASONING, flags="always_reasons"),
    row("glm-5.3-flash-cf", "@cf/zai-org/glm-5.3-flash", f.OPEN_REASONING_VISION, flags="always_reasons"),
    row("gpt-oss-120b-cf", "@cf/openai/gpt-oss-120b", f.GPT_OSS, flags="supports_responses"),
    row("kimi-k2.5-cf", "@cf/moonshotai/kimi-k2.5", f.OPEN_REASONING_VISION),
    row("kimi-k2.6-cf", "@cf/moonshotai/kimi-k2.6", f.OPEN_REASONING_VISION),
    row("kimi-k2.7-code-cf", "@cf/moonshotai/kimi-k2.7-code", f.OPEN_REASONING_VISION),
    row("llama-4-scout-cf", "@cf/meta/llama-4-scout-17b-16e-instruct", f.OPEN_VISION),
    row("moondream3.1-9b-a2b-cf", "@cf/moondream/moondream3.1-9B-A2B", PLAIN, flags="supports_images"),
    row("nemotron-3-120b-cf", "@cf/nvidia/nemotron-3-120b-a12b", f.OPEN_REASONING),
    row("qwen3.8-27b-cf", "@cf/qwen/qwen3.8-27b", f.OPEN_REASONING_VISION),
)
