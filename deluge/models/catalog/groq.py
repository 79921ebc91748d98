"""Groq: https://console.groq.com/docs/models"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "groq", "https://api.groq.com/openai/v1", key_env=("GROQ_API_KEY",),
    flags=frozenset({"supports_flex", "four_stops", "cached_input_free"}),
    service_tiers=("auto", "on_demand", "flex", "performance"),
)
row = rows_of(PROVIDER)
MODELS = (
    row("gpt-oss-120b-groq", "openai/gpt-oss-120b", f.GPT_OSS, 0.15, 0.6, max_output=65_536),
    row("gpt-oss-20b-groq", "openai/gpt-oss-20b", f.GPT_OSS, 0.075, 0.3, max_output=65_536),
    row("qwen3.8-27b-groq", "qwen/qwen3.8-27b", f.OPEN_REASONING_VISION, 0.8, 4.0, efforts="none low medium high",
        flags="reasoning_format", context=131_072),
    row("qwen-3-32b-groq", "qwen/qwen3-32b", f.OPEN_REASONING, flags="reasoning_format", context=131_072),
    row("kimi-k2-groq", "moonshotai/kimi-k2-instruct-0905", f.OPEN, context=262_144),
    row("llama-3.1-8b-groq", "llama-3.1-8b-instant", f.OPEN, flags="-supports_json_schema", context=131_072),
    row("llama-3.3-70b-groq", "llama-3.3-70b-versatile", f.OPEN, flags="-supports_json_schema", context=131_072),
    row("llama-4-maverick-groq", "meta-llama/llama-4-maverick-17b-128e-instruct", f.OPEN_VISION, context=131_072),
    row("llama-4-scout-groq", "meta-llama/llama-4-scout-17b-16e-instruct", f.OPEN_VISION, context=131_072),
    row("r1-llama-70b-groq", "deepseek-r1-distill-llama-70b", f.OPEN_REASONING,
        flags="always_reasons reasoning_format", context=131_072),
)
