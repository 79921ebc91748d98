"""Meta's API for its Muse models."""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "meta", "https://api.meta.ai/v1", key_env=("META_API_KEY", "MODEL_API_KEY"),
)
row = rows_of(PROVIDER)
_MUSE = f.OPEN_REASONING_VISION.but(
    "always_reasons sampling_fixed supports_parallel_tool_calls supports_responses requires_stateless_responses",
    efforts="minimal low medium high xhigh", context=1_048_576,
)
MODELS = (
    row("muse-wonder-1.0", "", _MUSE, 4.0, 20.0),
    row("muse-spark-1.3", "", _MUSE, 1.25, 4.25),
    row("muse-spark-1.3-contributor", "", _MUSE),
    row("muse-spark-1.2", "", _MUSE),
    row("muse-spark-1.2-contributor", "", _MUSE),
    row("muse-spark-1.1", "", _MUSE),
)
