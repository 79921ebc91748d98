"""Perceptron, vision models: https://docs.perceptron.inc"""

from __future__ import annotations

from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "perceptron", "https://api.perceptron.inc/v1", key_env=("PERCEPTRON_API_KEY",),
    flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
_SEES = PLAIN.but("supports_json supports_images")
MODELS = (
    row("perceptron-mk1", "", _SEES, 0.15, 1.5),
    row("isaac-0.2-2b-preview", "", _SEES, 0.15, 1.25),
    row("isaac-0.2-1b", "", _SEES, 0.15, 1.25),
    row("isaac-0.1", "", _SEES, 0.15, 1.25),
)
