"""Embeddings of Cohere's own API, which is told what the texts are: https://docs.cohere.com/reference/embed"""

from __future__ import annotations

from typing import Any

from deluge.dialects._counts import count
from deluge.dialects._headers import headers
from deluge.dialects._parts import json_bytes
from deluge.dialects._vectors import WORDS, Body, Found, Packed, encoded, even, parsed, purpose, texts_of
from deluge.dialects._cohere import cohere_url
from deluge.dialects.openai_chat.reply import refused
from deluge.request import RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.usage import NO_USAGE, Usage
from deluge.wire import HttpReply


class CohereEmbeddings(Packed):
    """``POST …/v2/embed``, beside the compatible endpoint that ``base_url`` names."""

    name = "cohere_embeddings"
    purpose = "embed"

    def body(self, template: RequestTemplate) -> Body:
        """Model, length of the vectors, and the kind of the texts, which has to be said: documents unless told."""
        wanted = purpose(template)
        word = wanted.input_type or "document"
        body: dict[str, Any] = {
            "model": template.model.name, "input_type": WORDS[word][0] if word in WORDS else word,
            "embedding_types": ["float"],
        }
        if wanted.dimensions is not None:
            body["output_dimension"] = wanted.dimensions
        return body, ()

    def ours(self) -> tuple[str, ...]:
        """The model, the texts, and how vectors are written."""
        return "model", "texts", "embedding_types"

    def url(self, template: RequestTemplate) -> str:
        """Cohere's second version."""
        return cohere_url(template, "/embed")

    def headers(self, template: RequestTemplate) -> dict[str, str]:
        """The provider's usual ones."""
        return headers(template)

    def rest(self, template: RequestTemplate, texts: list[str]) -> bytes:
        """The texts."""
        return b'"texts":' + json_bytes(texts, "a text") + b"}"

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The vectors, or the error with its verdict."""
        return parsed(ctx, reply, refused, _read)


def _read(ctx: RequestContext, data: Any) -> Found:
    found = data.get("embeddings") if type(data) is dict else None
    rows = found.get("float") if type(found) is dict else found
    if type(rows) is not list or len(rows) != len(texts_of(ctx)):
        raise ValueError("the reply has not one vector for each text")
    meta = data.get("meta")
    units = meta.get("billed_units") if type(meta) is dict else None
    read = count(units.get("input_tokens")) if type(units) is dict else 0
    usage = Usage(read) if read else NO_USAGE
    return Found(even([encoded(row) for row in rows]), usage, ctx.template.model.cost(usage) if read else None,
                 id=data.get("id"))


DIALECT = CohereEmbeddings()
