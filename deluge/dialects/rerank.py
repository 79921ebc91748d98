"""Rankings of documents, as Cohere has them and Jina, Voyage, vLLM and others after it.

https://docs.cohere.com/reference/rerank, https://docs.voyageai.com/reference/reranker-api,
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

import math
from typing import Any

from deluge import _json
from deluge.dialects._cohere import cohere_url
from deluge.dialects._headers import address, headers
from deluge.dialects._parts import json_bytes
from deluge.dialects._vectors import Body, Found, Packed, parsed, purpose, texts_of
from deluge.dialects.embeddings import usage_of
from deluge.dialects.openai_chat.reply import refused
from deluge.request import RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.usage import NO_USAGE
from deluge.wire import HttpReply

_SCORES = ("relevance_score", "score")


class Rerank(Packed):
    """``POST {base_url}/rerank``, for Cohere ``…/v2/rerank``. The prompt is the query, then the documents.

    The answer is one Text: pairs of index and score as JSON, best first.
    """

    name = "rerank"
    purpose = "rerank"

    def body(self, template: RequestTemplate) -> Body:
        """The model, and how many of the best are wanted."""
        model, wanted = template.model, purpose(template)
        body: dict[str, Any] = {"model": model.name}
        if wanted.top_n is not None:
            body["top_k" if model.has("top_k_documents") else "top_n"] = wanted.top_n
        return body, ()

    def ours(self) -> tuple[str, ...]:
        """The model, the query and the documents."""
        return "model", "query", "documents"

    def url(self, template: RequestTemplate) -> str:
        """Below ``base_url``, or in Cohere's second version."""
        return cohere_url(template, "/rerank") if template.model.has("cohere_v2") else address(template, "/rerank")

    def headers(self, template: RequestTemplate) -> dict[str, str]:
        """The provider's usual ones."""
        return headers(template)

    def rest(self, template: RequestTemplate, texts: list[str]) -> bytes:
        """The query and the documents."""
        query, *documents = texts
        return b'"query":' + json_bytes(query, "the query") + b',"documents":' + json_bytes(documents, "a document") + b"}"

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The ranking, or the error with its verdict."""
        return parsed(ctx, reply, refused, _read)


def _read(ctx: RequestContext, data: Any) -> Found:
    fields = data if type(data) is dict else {}
    rows = fields.get("results", fields.get("data")) if type(data) is dict else data
    if type(rows) is not list:
        raise ValueError("the reply has no results")
    count = len(texts_of(ctx)) - 1
    ranking = sorted((_ranked(row, count) for row in rows), key=lambda pair: (-pair[1], pair[0]))
    if len({index for index, _ in ranking}) != len(ranking) or len(ranking) < min(purpose(ctx.template).top_n or count, count):
        raise ValueError(f"the reply does not rank {count} documents")
    usage = usage_of(fields.get("usage"))
    cost = None if usage is NO_USAGE else ctx.template.model.cost(usage)
    return Found([_json.dumps(ranking).decode("ascii")], usage, cost, fields.get("model"), fields.get("id"))


def _ranked(row: Any, count: int) -> tuple[int, float]:
    if type(row) is dict:
        index = row.get("index")
        score = next((row[name] for name in _SCORES if name in row), None)
        known = isinstance(score, (int, float)) and not isinstance(score, bool) and math.isfinite(score)
        if type(index) is int and 0 <= index < count and known:
            return index, float(score or 0.0)
    raise ValueError("a result has no index and score")


DIALECT = Rerank()
