"""Embeddings of the Gemini API: https://ai.google.dev/api/embeddings#method:-models.batchembedcontents"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from deluge.dialects._counts import count
from deluge.dialects._headers import address, headers
from deluge.dialects._parts import json_bytes
from deluge.dialects._vectors import WORDS, Body, Found, Packed, in_order, parsed, purpose, texts_of
from deluge.dialects.gemini.reply import refused
from deluge.request import RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.usage import NO_USAGE, Usage
from deluge.wire import HttpReply


class GeminiEmbeddings(Packed):
    """``POST {base_url}/models/{model}:batchEmbedContents``."""

    name = "gemini_embeddings"
    purpose = "embed"

    def body(self, template: RequestTemplate) -> Body:
        """Nothing: each text says what is wanted of it."""
        return {}, ()

    def ours(self) -> tuple[str, ...]:
        """The model and the texts."""
        return "model", "requests"

    def url(self, template: RequestTemplate) -> str:
        """Below ``base_url``."""
        return address(template, f"/{quote(_path(template), safe='/@.-_~')}:batchEmbedContents")

    def headers(self, template: RequestTemplate) -> dict[str, str]:
        """The provider's usual ones."""
        return headers(template)

    def rest(self, template: RequestTemplate, texts: list[str]) -> bytes:
        """A request for each text."""
        wanted, same = purpose(template), {"model": _path(template)}
        if wanted.input_type is not None:
            same["taskType"] = WORDS[wanted.input_type][1] if wanted.input_type in WORDS else wanted.input_type.upper()
        more = {} if wanted.dimensions is None else {"outputDimensionality": wanted.dimensions}
        requests = [{**same, **more, "content": {"parts": [{"text": text}]}} for text in texts]
        return b'"requests":' + json_bytes(requests, "a text") + b"}"

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The vectors, or the error with its verdict."""
        return parsed(ctx, reply, refused, _read)


def _path(template: RequestTemplate) -> str:
    name = template.model.name
    return name if "/" in name else f"models/{name}"


def _read(ctx: RequestContext, data: Any) -> Found:
    """Counts come with newer models only: without them nobody knows what it cost."""
    if type(data) is not dict:
        raise ValueError("the reply is not an object")
    vectors = in_order(data.get("embeddings"), len(texts_of(ctx)), "values")
    counts = data.get("usageMetadata")
    read = count(counts.get("promptTokenCount")) if type(counts) is dict else 0
    usage = Usage(read) if read else NO_USAGE
    return Found(vectors, usage, ctx.template.model.cost(usage) if read else None)


DIALECT = GeminiEmbeddings()
