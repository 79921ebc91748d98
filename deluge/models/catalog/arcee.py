"""Arcee (Trinity): https://docs.arcee.ai"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "arcee", "https://api.arcee.ai/api/v1", key_env=("ARCEE_API_KEY",), flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
MODELS = (
    row("trinity-large-thinking", "", f.OPEN_REASONING, 0.25, 0.9, flags="always_reasons"),
    row("trinity-large-preview", "", f.OPEN_REASONING, 0.25, 1.0),
    row("trinity-mini", "", f.OPEN_REASONING, 0.045, 0.15),
)
