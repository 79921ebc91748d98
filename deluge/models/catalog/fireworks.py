"""Fireworks: https://docs.fireworks.ai/models"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "fireworks", "https://api.fireworks.ai/inference/v1", key_env=("FIREWORKS_API_KEY",),
    flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
MODELS = (
    row("gpt-oss-120b-fireworks", "accounts/fireworks/models/gpt-oss-120b", f.GPT_OSS),
    row("gpt-oss-20b-fireworks", "accounts/fireworks/models/gpt-oss-20b", f.GPT_OSS),
)
