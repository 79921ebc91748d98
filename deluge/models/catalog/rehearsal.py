"""The rehearsal provider: a server on loopback inside this process, without key, network or bill.

It takes every parameter. Its prices are made up, so that the cost of a run is seen before it is real.
"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import UNLIMITED, Limits, PerRequest, Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "rehearsal", "rehearsal:", flags=frozenset({"embedded", "echoes", "base64_vectors"}), key_optional=True,
    service_tiers=("auto", "default", "flex", "priority"), per_request=PerRequest(2_048, 300_000),
    batches="openai",
)
UNLISTED = f.UNLISTED.but("reasoning_summaries", context=1_000_000, max_output=128_000)
_TIERS = {"flex": 0.5, "priority": 2.0, "batch": 0.5}
row = rows_of(PROVIDER)
MODELS = (
    row("rehearsal-echo", "", UNLISTED, 0.1, 0.4, 0.01, tiers=_TIERS, limits=UNLIMITED),
    row("rehearsal-slow", "", UNLISTED, 0.1, 0.4, 0.01, tiers=_TIERS, limits=UNLIMITED),
    row("rehearsal-flaky", "", UNLISTED, 0.1, 0.4, 0.01, tiers=_TIERS, limits=UNLIMITED),
    row("rehearsal-limited", "", UNLISTED, 0.1, 0.4, 0.01, tiers=_TIERS,
        limits=Limits(requests_per_minute=600, tokens_per_minute=60_000)),
    row("rehearsal-embed", "", PLAIN, 0.02, flags="embedding input_types", context=8_192, dimensions=256, limits=UNLIMITED),
    row("rehearsal-rerank", "", PLAIN, 0.05, flags="reranking", context=8_192, limits=UNLIMITED),
)
