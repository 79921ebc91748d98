"""Embeddings as OpenAI and everybody compatible has them: https://platform.openai.com/docs/api-reference/embeddings"""

from __future__ import annotations

from typing import Any

from deluge.dialects._counts import count
from deluge.dialects._headers import address, headers
from deluge.dialects._parts import json_bytes
from deluge.dialects._vectors import Body, Found, Packed, in_order, parsed, purpose, texts_of
from deluge.dialects.openai_chat.reply import refused
from deluge.dialects.openai_chat.usage import cost_of
from deluge.request import RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.usage import NO_USAGE, Usage
from deluge.wire import HttpReply, Note


class Embeddings(Packed):
    """``POST {base_url}/embeddings``."""

    name = "embeddings"
    purpose = "embed"

    def body(self, template: RequestTemplate) -> Body:
        """Model, length of the vectors, kind of the texts."""
        model, wanted = template.model, purpose(template)
        body: dict[str, Any] = {"model": model.name}
        notes: tuple[Note, ...] = ()
        if wanted.dimensions is not None and model.has("fixed_dimension"):
            notes = (Note("dimensions", "the vectors of the model have one length"),)
        elif wanted.dimensions is not None:
            body["output_dimension" if model.has("output_dimension") else "dimensions"] = wanted.dimensions
        if wanted.input_type is not None:
            if model.has("input_types"):
                body["input_type"] = wanted.input_type
            else:
                notes += (Note("input_type", "the model is not told what its texts are"),)
        if model.has("base64_vectors"):
            body["encoding_format"] = "base64"
        return body, notes

    def ours(self) -> tuple[str, ...]:
        """The model and the texts."""
        return "model", "input"

    def url(self, template: RequestTemplate) -> str:
        """Below ``base_url``."""
        return address(template, "/embeddings")

    def headers(self, template: RequestTemplate) -> dict[str, str]:
        """The provider's usual ones."""
        return headers(template)

    def rest(self, template: RequestTemplate, texts: list[str]) -> bytes:
        """The texts."""
        return b'"input":' + json_bytes(texts, "a text") + b"}"

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The vectors, or the error with its verdict."""
        return parsed(ctx, reply, refused, _read)


def usage_of(counts: Any) -> Usage:
    """The tokens that were read; Voyage tells their total only."""
    if type(counts) is not dict:
        return NO_USAGE
    read = count(counts.get("prompt_tokens")) or count(counts.get("input_tokens")) or count(counts.get("total_tokens"))
    return Usage(read) if read else NO_USAGE


def _read(ctx: RequestContext, data: Any) -> Found:
    if type(data) is not dict:
        raise ValueError("the reply is not an object")
    vectors = in_order(data.get("data"), len(texts_of(ctx)), "embedding")
    counts = data.get("usage")
    usage = usage_of(counts)
    cost = None if usage is NO_USAGE else cost_of(counts, usage, None, ctx.template.model)
    return Found(vectors, usage, cost, data.get("model"), data.get("id"))


DIALECT = Embeddings()
