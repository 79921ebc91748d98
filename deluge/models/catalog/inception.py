"""Inception (Mercury): https://docs.inceptionlabs.ai"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "inception", "https://api.inceptionlabs.ai/v1", key_env=("INCEPTION_API_KEY",),
    flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
MODELS = (
    row("mercury-2", "", f.OPEN_REASONING, 0.25, 0.75, 0.025, efforts="low medium high", context=128_000),
)
