"""OpenAI: https://developers.openai.com/api/docs/models, shutdown dates from .../docs/deprecations."""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import PerRequest, Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "openai", "https://api.openai.com/v1", key_env=("OPENAI_API_KEY",),
    service_tiers=("auto", "default", "flex", "priority", "fast", "scale"),
    flags=frozenset({"counts_max_tokens", "base64_vectors"}),
    per_request=PerRequest(2_048, 300_000),  # https://platform.openai.com/docs/api-reference/embeddings/create
    batches="openai",
)
UNLISTED = f.GPT_6
row = rows_of(PROVIDER, names_are_aliases=True)
MODELS = (
    row("gpt-6.2-astra", "", f.GPT_6_ALWAYS, 8.0, 40.0),
    row("gpt-6.2-sol", "", f.GPT_6_ALWAYS, 2.0, 10.0, aliases="gpt-6.2"),
    row("gpt-6.1-sol", "", f.GPT_6_ALWAYS, 2.0, 10.0, 0.1, 2.5, aliases="gpt-6.1"),
    row("gpt-6.1-terra", "", f.GPT_6, 1.0, 5.0, 0.05),
    row("gpt-6-astra", "", f.GPT_6_ALWAYS, 10.0, 50.0, 1.0, 12.5),
    row("gpt-6-sol", "", f.GPT_6, 2.0, 10.0, 0.2, 2.5, aliases="gpt-6"),
    row("gpt-6-luna", "", f.GPT_6, 0.1, 0.5, 0.01, 0.125),
    row("gpt-5.6-sol", "", f.GPT_5_6, 4.0, 20.0, 0.4, 5.0, aliases="gpt-5.6"),
    row("gpt-5.6-terra", "", f.GPT_5_6, 2.0, 12.0, 0.2, 2.5),
    row("gpt-5.6-luna", "", f.GPT_5_6, 0.2, 1.2, 0.02, 0.25),
    row("gpt-5.5", "", f.GPT_5_5, 5.0, 30.0, 0.5),
    row("gpt-5.4", "", f.GPT_5_4, 2.5, 15.0, 0.25),
    row("gpt-5.4-mini", "", f.GPT_5_2, 0.75, 4.5, 0.075),
    row("gpt-5.4-nano", "", f.GPT_5_2, 0.2, 1.25, 0.02, flags="-supports_priority", retires="2027-04-01"),
    row("gpt-5.4-pro", "", f.GPT_5_2_PRO, 30.0, 180.0, context=1_050_000),
    row("gpt-5.2", "", f.GPT_5_2, 1.75, 14.0, 0.175),
    row("gpt-5.2-pro", "", f.GPT_5_2_PRO, 21.0, 168.0),
    row("gpt-5.1", "", f.GPT_5_1, 1.25, 10.0, 0.125, retires="2027-04-01"),
    row("gpt-5.1-codex", "", f.GPT_5_CODEX, 1.25, 10.0, 0.125, retires="2026-07-23"),
    row("gpt-5.1-codex-max", "", f.GPT_5_CODEX, 1.25, 10.0, 0.125, efforts="low medium high xhigh",
        retires="2026-07-23"),
    row("gpt-5.1-codex-mini", "", f.GPT_5_CODEX, 0.25, 2.0, 0.025, retires="2026-07-23"),
    row("gpt-5", "", f.GPT_5, 1.25, 10.0, 0.125, aliases="gpt-5-2025-08-07", retires="2026-12-11"),
    row("gpt-5-mini", "", f.GPT_5, 0.25, 2.0, 0.025, aliases="gpt-5-mini-2025-08-07", retires="2026-12-11"),
    row("gpt-5-nano", "", f.GPT_5, 0.05, 0.4, 0.005, flags="-supports_priority", aliases="gpt-5-nano-2025-08-07",
        retires="2026-12-11"),
    row("gpt-5-pro", "", f.GPT_5_PRO, 15.0, 120.0, retires="2026-12-11", max_output=272_000),
    row("gpt-5-codex", "", f.GPT_5_CODEX, 1.25, 10.0, 0.125, retires="2026-07-23"),
    row("gpt-5-chat", "gpt-5-chat-latest", f.GPT_CHAT, 1.25, 10.0, 0.125, retires="2026-07-23"),
    row("codex-mini-latest", "", f.GPT_5_CODEX, 1.5, 6.0, 0.375, flags="-supports_verbosity", context=200_000,
        max_output=100_000, retires="2026-02-12"),
    row("gpt-4.5", "gpt-4.5-preview-2025-02-27", f.GPT_4_5, 75.0, 150.0, retires="2025-07-14"),
    row("gpt-4.1", "gpt-4.1-2025-04-14", f.GPT_4_1, 2.0, 8.0, 0.5, retires="2027-01-14"),
    row("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", f.GPT_4_1, 0.4, 1.6, 0.1, retires="2027-01-14"),
    row("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14", f.GPT_4_1, 0.1, 0.4, 0.025, retires="2026-10-23"),
    row("gpt-4o", "gpt-4o-2024-08-06", f.GPT_4O, 2.5, 10.0, 1.25, retires="2027-01-14"),
    row("gpt-4o-mini", "gpt-4o-mini-2024-07-18", f.GPT_4O, 0.15, 0.6, 0.075, retires="2027-01-14"),
    row("gpt-4-turbo", "gpt-4-turbo-2024-04-09", f.GPT_4_TURBO, 10.0, 30.0, retires="2026-10-23"),
    row("gpt-4", "gpt-4-0613", f.GPT_4, 30.0, 60.0, retires="2026-10-23"),
    row("gpt-3.5-turbo", "gpt-3.5-turbo-0125", f.GPT_3_5, 0.5, 1.5, retires="2026-10-23"),
    row("o4-mini", "o4-mini-2025-04-16", f.O_SERIES, 1.1, 4.4, 0.275, flags="supports_flex supports_priority",
        retires="2026-10-23"),
    row("o3", "o3-2025-04-16", f.O_SERIES, 2.0, 8.0, 0.5, flags="supports_flex supports_priority",
        retires="2026-12-11"),
    row("o3-mini", "o3-mini-2025-01-31", f.O_SERIES, 1.1, 4.4, 0.55, flags="-supports_images",
        retires="2026-10-23"),
    row("o1", "o1-2024-12-17", f.O_SERIES, 15.0, 60.0, 7.5, flags="-reasoning_summaries", retires="2026-10-23"),
    row("o1-preview", "o1-preview-2024-09-12", f.O1_MINI, 15.0, 60.0, 7.5, max_output=32_768,
        retires="2025-07-28"),
    row("o1-mini", "o1-mini-2024-09-12", f.O1_MINI, 1.1, 4.4, 0.55, retires="2025-10-27"),
    row("o3-deep-research", "", f.DEEP_RESEARCH, 10.0, 40.0, 2.5, retires="2026-07-23"),
    row("o4-mini-deep-research", "", f.DEEP_RESEARCH, 2.0, 8.0, 0.5, retires="2026-07-23"),
    row("openai-computer-use-preview", "computer-use-preview", f.COMPUTER_USE, 3.0, 12.0,
        retires="2026-07-23"),
    row("text-embedding-3-small", "", PLAIN, 0.02, flags="embedding", context=8_191, dimensions=1_536),
    row("text-embedding-3-large", "", PLAIN, 0.13, flags="embedding", context=8_191, dimensions=3_072),
)
