"""Gemini and Claude on Google Cloud's Vertex AI, in location global unless told.

https://cloud.google.com/vertex-ai/generative-ai/docs; other locations have hosts of their own: give them as base_url.
"""

from __future__ import annotations

from dataclasses import replace

from deluge.models import families as f
from deluge.models.model import Model, Provider
from deluge.models.rows import Family, rows_of

PROVIDER = Provider(
    "vertex", "https://aiplatform.googleapis.com/v1beta1/projects/{project}/locations/{location}/publishers/google",
    "gemini",
    key_env=("VERTEX_ACCESS_TOKEN", "VERTEX_API_KEY"), flags=frozenset({"google_auth"}), key_optional=True,
    url_env={
        "project": "GOOGLE_CLOUD_PROJECT VERTEX_PROJECT", "location": "GOOGLE_CLOUD_LOCATION VERTEX_LOCATION",
    },
    url_defaults={"location": "global"}, service_tiers=("standard", "flex", "priority"), aliases=("vertexai",),
)
UNLISTED = f.GEMINI_4
row = rows_of(PROVIDER)
_CLAUDE = "https://aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/anthropic/models/{model}"


def _claude(id: str, name: str, family: Family, *dollars: float) -> Model:
    """A model of Anthropic's: https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai"""
    made = row(id, name, family.but("raw_predict dated_api no_media_urls"), *dollars, dialect="anthropic", base_url=_CLAUDE)
    hour = 2 * dollars[0] if dollars else None  # what is kept for an hour costs twice the input
    return replace(made, price=replace(made.price, cache_write_1h=hour))


MODELS = (
    row("gemini-4-argon-vertex", "gemini-4-argon", f.GEMINI_4, 2.0, 10.0, 0.1),
    row("gemini-3.8-flash-vertex", "gemini-3.8-flash", f.GEMINI_3_7_FLASH, 0.75, 3.75, 0.075),
    row("gemini-3.7-flash-vertex", "gemini-3.7-flash", f.GEMINI_3_7_FLASH, 0.75, 3.75, 0.075),
    row("gemini-3.6-flash-vertex", "gemini-3.6-flash", f.GEMINI_3_6_FLASH, 0.75, 3.75, 0.075),
    row("gemini-3.5-flash-vertex", "gemini-3.5-flash", f.GEMINI_3_FLASH, 1.5, 9.0, 0.15),
    row("gemini-3.5-flash-lite-vertex", "gemini-3.5-flash-lite", f.GEMINI_3_5_FLASH_LITE, 0.3, 2.5, 0.03),
    row("gemini-3.1-pro-preview-vertex", "gemini-3.1-pro-preview", f.GEMINI_3_PRO, 2.0, 12.0, 0.2),
    row("gemini-3.1-flash-lite-vertex", "gemini-3.1-flash-lite", f.GEMINI_3_FLASH_LITE, 0.25, 1.5, 0.025),
    row("gemini-3-flash-preview-vertex", "gemini-3-flash-preview", f.GEMINI_3_FLASH, 0.5, 3.0, 0.05),
    row("gemini-2.5-pro-vertex", "gemini-2.5-pro", f.GEMINI_2_5_PRO, 1.25, 10.0, 0.125),
    row("gemini-2.5-flash-vertex", "gemini-2.5-flash", f.GEMINI_2_5_FLASH, 0.3, 2.5, 0.03),
    row("gemini-2.5-flash-lite-vertex", "gemini-2.5-flash-lite", f.GEMINI_2_5_FLASH_LITE, 0.1, 0.4, 0.01),
    _claude("claude-fable-5.2-vertex", "claude-fable-5-2", f.CLAUDE_FABLE_5_1, 8.0, 40.0, 0.2, 10.0),
    _claude("claude-5.5-opus-vertex", "claude-opus-5-5", f.CLAUDE_5_5_OPUS, 4.0, 20.0, 0.2, 5.0),
    _claude("claude-5.5-sonnet-vertex", "claude-sonnet-5-5", f.CLAUDE_5_5_SONNET, 2.0, 10.0, 0.1, 2.5),
    _claude("claude-5.5-haiku-vertex", "claude-haiku-5-5", f.CLAUDE_5_5_HAIKU),
    _claude("claude-5-opus-vertex", "claude-opus-5", f.CLAUDE_5_OPUS, 5.0, 25.0, 0.5, 6.25),
    _claude("claude-5-sonnet-vertex", "claude-sonnet-5", f.CLAUDE_5_SONNET, 2.0, 10.0, 0.2, 2.5),
    _claude("claude-4.6-sonnet-vertex", "claude-sonnet-4-6", f.CLAUDE_4_6, 3.0, 15.0, 0.3, 3.75),
    _claude("claude-4.5-haiku-vertex", "claude-haiku-4-5@20251001", f.CLAUDE_4_5, 1.0, 5.0, 0.1, 1.25),
)
