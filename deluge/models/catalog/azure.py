"""Azure OpenAI and Foundry models, by their name as deployment: https://learn.microsoft.com/azure/ai-foundry/openai"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "azure", "{endpoint}/openai/v1", key_env=("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"), key_header="api-key",
    url_env={"endpoint": "AZURE_OPENAI_ENDPOINT AZURE_ENDPOINT AZURE_URL"},
    service_tiers=("auto", "default", "flex", "priority"),
    flags=frozenset({"counts_max_tokens"}),
)
row = rows_of(PROVIDER)
_OPEN = f.OPEN.but("uses_max_tokens")
_REASONS = f.OPEN_REASONING.but("uses_max_tokens")
MODELS = (
    row("gpt-6.1-sol-azure", "gpt-6.1-sol", f.GPT_6_ALWAYS, 2.0, 10.0, 0.1, 2.5),
    row("gpt-6-astra-azure", "gpt-6-astra", f.GPT_6_ALWAYS, 10.0, 50.0, 1.0, 12.5),
    row("gpt-6-sol-azure", "gpt-6-sol", f.GPT_6, 2.0, 10.0, 0.2, 2.5),
    row("gpt-6-luna-azure", "gpt-6-luna", f.GPT_6, 0.1, 0.5, 0.01, 0.125),
    row("gpt-5.6-sol-azure", "gpt-5.6-sol", f.GPT_5_6, 5.0, 30.0, 0.5, 6.25),
    row("gpt-5.6-terra-azure", "gpt-5.6-terra", f.GPT_5_6, 2.0, 12.0, 0.2, 2.5),
    row("gpt-5.6-luna-azure", "gpt-5.6-luna", f.GPT_5_6, 0.2, 1.2, 0.02, 0.25),
    row("gpt-5.2-azure", "gpt-5.2", f.GPT_5_2, 1.75, 14.0, 0.175),
    row("gpt-5.1-azure", "gpt-5.1", f.GPT_5_1, 1.25, 10.0, 0.125),
    row("gpt-5-azure", "gpt-5", f.GPT_5, 1.25, 10.0, 0.125),
    row("gpt-5-mini-azure", "gpt-5-mini", f.GPT_5, 0.25, 2.0, 0.025),
    row("gpt-5-nano-azure", "gpt-5-nano", f.GPT_5, 0.05, 0.4, 0.005),
    row("gpt-chat-latest-azure", "gpt-chat-latest", f.GPT_CHAT, 5.0, 30.0, 0.5),
    row("gpt-4.1-azure", "gpt-4.1", f.GPT_4_1, 2.0, 8.0, 0.5),
    row("gpt-4.1-mini-azure", "gpt-4.1-mini", f.GPT_4_1, 0.4, 1.6, 0.1),
    row("gpt-4.1-nano-azure", "gpt-4.1-nano", f.GPT_4_1, 0.1, 0.4, 0.025),
    row("gpt-4o-azure", "gpt-4o", f.GPT_4O, 2.5, 10.0, 1.25),
    row("gpt-4o-mini-azure", "gpt-4o-mini", f.GPT_4O, 0.15, 0.6, 0.075),
    row("gpt-oss-120b-azure", "gpt-oss-120b", f.GPT_OSS, 0.15, 0.6, flags="uses_max_tokens"),
    row("command-a-plus-azure", "Cohere-command-a-plus-05-2026", _OPEN, 0.8, 3.2),
    row("deepseek-v3.2-azure", "DeepSeek-V3.2", _REASONS),
    row("deepseek-v4-flash-azure", "DeepSeek-V4-Flash", _REASONS, 0.19, 0.51, 0.028),
    row("deepseek-v4-pro-azure", "DeepSeek-V4-Pro", _REASONS, 1.74, 3.48, 0.145),
    row("grok-4-fast-non-reasoning-azure", "grok-4-fast-non-reasoning", _OPEN),
    row("grok-4-fast-reasoning-azure", "grok-4-fast-reasoning", _REASONS, flags="always_reasons no_stop"),
    row("grok-4.3-azure", "grok-4.3", _REASONS, 1.25, 2.5, 0.2, flags="no_stop supports_responses",
        efforts="none low medium high"),
    row("grok-4.6-azure", "grok-4.6", _REASONS, 2.0, 6.0, 0.5, flags="always_reasons no_stop supports_responses",
        efforts="low medium high xhigh"),
    row("kimi-k2-thinking-azure", "Kimi-K2-Thinking", _REASONS, flags="always_reasons"),
    row("kimi-k2.6-azure", "Kimi-K2.6", _REASONS, 0.95, 4.0, 0.16),
    row("kimi-k2.7-code-azure", "Kimi-K2.7-Code", _REASONS, 0.95, 4.0, 0.19),
    row("llama-4-maverick-azure", "Llama-4-Maverick-17B-128E-Instruct-FP8", _OPEN, flags="supports_images"),
    row("mai-thinking-1-azure", "MAI-Thinking-1", _REASONS, 2.0, 8.0, 0.2),
    row("mistral-large-3-azure", "Mistral-Large-3", _OPEN, 2.0, 6.0),
)
