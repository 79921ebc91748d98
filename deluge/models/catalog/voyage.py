"""Voyage AI, embeddings and reranking: https://docs.voyageai.com/docs/embeddings"""

from __future__ import annotations

from deluge.models.model import PerRequest, Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "voyage", "https://api.voyageai.com/v1", key_env=("VOYAGE_API_KEY",), aliases=("voyageai",),
    flags=frozenset({"output_dimension", "input_types", "base64_vectors", "top_k_documents"}),
    per_request=PerRequest(1_000, 120_000),  # https://docs.voyageai.com/reference/embeddings-api
)
row = rows_of(PROVIDER)
_MEDIUM, _LARGE, _RANKED = PerRequest(tokens=320_000), PerRequest(tokens=1_000_000), PerRequest(1_000, 600_000)
MODELS = (
    row("voyage-4-large", "", PLAIN, flags="embedding", context=32_000, dimensions=1_024),
    row("voyage-4", "", PLAIN, flags="embedding", context=32_000, dimensions=1_024, per_request=_MEDIUM),
    row("voyage-4-lite", "", PLAIN, flags="embedding", context=32_000, dimensions=1_024, per_request=_LARGE),
    row("voyage-3.5", "", PLAIN, flags="embedding", context=32_000, dimensions=1_024, per_request=_MEDIUM),
    row("voyage-3.5-lite", "", PLAIN, flags="embedding", context=32_000, dimensions=1_024, per_request=_LARGE),
    row("voyage-code-3", "", PLAIN, flags="embedding", context=32_000, dimensions=1_024),
    row("rerank-2.5", "", PLAIN, 0.05, flags="reranking", context=32_000, per_request=_RANKED),
    row("rerank-2.5-lite", "", PLAIN, 0.02, flags="reranking", context=32_000, per_request=_RANKED),
)
