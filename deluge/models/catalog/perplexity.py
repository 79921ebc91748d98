"""Perplexity: https://docs.perplexity.ai/getting-started/models"""

from __future__ import annotations

from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "perplexity", "https://api.perplexity.ai", key_env=("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
    flags=frozenset({"uses_max_tokens"}),
)
row = rows_of(PROVIDER)
_SONAR = PLAIN.but("supports_json_schema supports_images no_stop")
MODELS = (
    row("sonar", "", _SONAR, 1.0, 1.0, context=128_000),
    row("sonar-pro", "", _SONAR, 3.0, 15.0, context=200_000, max_output=8_000),
    row("sonar-reasoning-pro", "", _SONAR, 2.0, 8.0, flags="reasoning always_reasons", context=128_000),
    row("sonar-deep-research", "", _SONAR, 2.0, 8.0, flags="reasoning always_reasons",
        efforts="minimal low medium high",
        default_effort="medium", context=128_000),
)
