"""Google's Gemini API: https://ai.google.dev/gemini-api/docs/models, dates from .../docs/deprecations."""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import PerRequest, Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "google", "https://generativelanguage.googleapis.com/v1beta", "gemini",
    key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"), key_header="x-goog-api-key",
    service_tiers=("standard", "flex", "priority"), aliases=("gemini",),
    flags=frozenset({"server_tool_invocations", "counts_input_only"}),
    per_request=PerRequest(100),
    batches="gemini",
)
UNLISTED = f.GEMINI_4
row = rows_of(PROVIDER, names_are_aliases=True)
MODELS = (
    row("gemini-4-argon", "", f.GEMINI_4, 2.0, 10.0, 0.1),
    row("gemini-3.8-flash", "", f.GEMINI_3_7_FLASH, 0.75, 3.75, 0.075),
    row("gemini-3.7-flash", "", f.GEMINI_3_7_FLASH, 0.75, 3.75, 0.075),
    row("gemini-3.6-flash", "", f.GEMINI_3_6_FLASH, 0.75, 3.75, 0.075),
    row("gemini-3.5-flash", "", f.GEMINI_3_FLASH, 1.5, 9.0, 0.15),
    row("gemini-3.5-flash-lite", "", f.GEMINI_3_5_FLASH_LITE, 0.3, 2.5, 0.03),
    row("gemini-3.1-pro-preview", "", f.GEMINI_3_PRO, 2.0, 12.0, 0.2),
    row("gemini-3.1-flash-lite", "", f.GEMINI_3_FLASH_LITE, 0.25, 1.5, 0.025, retires="2027-05-07"),
    row("gemini-3.1-flash-lite-preview", "", f.GEMINI_3_FLASH_LITE, 0.25, 1.5, 0.025),
    row("gemini-3-flash-preview", "", f.GEMINI_3_FLASH, 0.5, 3.0, 0.05),
    row("gemini-2.5-pro", "", f.GEMINI_2_5_PRO, 1.25, 10.0, 0.125, retires="2026-12-01"),
    row("gemini-2.5-flash", "", f.GEMINI_2_5_FLASH, 0.3, 2.5, 0.03, retires="2026-12-01"),
    row("gemini-2.5-flash-lite", "", f.GEMINI_2_5_FLASH_LITE, 0.1, 0.4, 0.01),
    row("gemini-2.5-computer-use", "gemini-2.5-computer-use-preview-10-2025", f.GEMINI_2_5_PRO, 1.25, 10.0, 0.31,
        flags="computer_use", context=131_072),
    row("gemini-2.0-flash", "", f.GEMINI_2, 0.1, 0.4, 0.025, retires="2026-06-01"),
    row("gemini-2.0-flash-lite", "", f.GEMINI_2, 0.075, 0.3, retires="2026-06-01"),
    row("gemini-1.5-pro", "", f.GEMINI_1_5, 1.25, 5.0, 0.3125, context=2_097_152,
        retires="2025-09-29"),
    row("gemini-1.5-flash", "", f.GEMINI_1_5, 0.075, 0.3, 0.01875, retires="2025-09-29"),
    row("gemini-embedding-001", "", PLAIN, 0.15, flags="embedding", context=2_048, dimensions=3_072),
)
