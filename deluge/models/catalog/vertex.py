"""Gemini on Google Cloud's Vertex AI, in location global unless told.

https://cloud.google.com/vertex-ai/generative-ai/docs; other locations have hosts of their own: give them as base_url.
"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

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
)
