"""Voyage AI, embeddings and reranking: https://docs.voyageai.com/docs/embeddings"""

from __future__ import annotations

from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "voyage", "https://api.voyageai.com/v1", key_env=("VOYAGE_API_KEY",), aliases=("voyageai",),
)
row = rows_of(PROVIDER)
MODELS = (
    row("voyage-4-large", "", PLAIN, flags="embedding", context=32_000),
    row("voyage-4", "", PLAIN, flags="embedding", context=32_000),
    row("voyage-4-lite", "", PLAIN, flags="embedding", context=32_000),
    row("voyage-3.5", "", PLAIN, flags="embedding", context=32_000),
    row("voyage-3.5-lite", "", PLAIN, flags="embedding", context=32_000),
    row("voyage-code-3", "", PLAIN, flags="embedding", context=32_000),
    row("rerank-2.5", "", PLAIN, 0.05, flags="reranking", context=32_000),
    row("rerank-2.5-lite", "", PLAIN, 0.02, flags="reranking", context=32_000),
)
