"""What the formats that embed and rank have in common: texts in one message, vectors in base64, replies and their errors.

An answer has one Text for each text that was sent, in the same order: its vector as base64 of 32-bit floats, little
endian, as OpenAI's ``encoding_format`` has it. So a vector goes into caches and journals as it is, at its full precision.
"""

from __future__ import annotations

import binascii
import math
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from deluge.dialects._calls import Fixed, fixed_call
from deluge.dialects._problems import base_problem, problem_of, status_in
from deluge.dialects._reading import Refused, read
from deluge.dialects._replies import error_response, request_id_of
from deluge.dialects._verdicts import parse_verdict
from deluge.errors import InputError
from deluge.prompt import Message, Text
from deluge.request import OneCall, Purpose, RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.usage import NO_USAGE, Usage
from deluge.wire import Framing, HttpCall, HttpReply, Note

Body = tuple[dict[str, Any], "tuple[Note, ...]"]

# The words for what a text is, in those of Cohere and Google; others go as they are.
WORDS: Mapping[str, tuple[str, str]] = {
    "query": ("search_query", "RETRIEVAL_QUERY"), "document": ("search_document", "RETRIEVAL_DOCUMENT"),
    "classification": ("classification", "CLASSIFICATION"), "clustering": ("clustering", "CLUSTERING"),
    "similarity": ("clustering", "SEMANTIC_SIMILARITY"),
}


class Found(NamedTuple):
    """What a good reply holds. ``cost`` is None where nobody knows it."""

    texts: Sequence[str]
    usage: Usage = NO_USAGE
    cost: float | None = None
    model: Any = None
    id: Any = None


class Packed(OneCall):
    """A format of one call whose prompt is a list of texts. Whoever is one says what its body, address and reply are."""

    name = ""
    purpose = ""
    framing: Framing = "none"

    def fixed(self, template: RequestTemplate) -> Fixed:
        """What all requests of a call share, made once."""
        made: Fixed | None = template.memo.get(self.name)
        if made is None:
            made = template.memo[self.name] = self.begun(template)
        return made

    def begun(self, template: RequestTemplate) -> Fixed:
        """The part of the request that its texts do not change."""
        body, notes = self.body(template)
        body, notes = with_own_fields(template, body, notes, self.ours())
        made = fixed_call(template, body, notes, self.url(template), self.headers(template))
        return made if body else replace(made, head=b"{")

    def body(self, template: RequestTemplate) -> Body:
        """The fields of the request that stand before the texts, and what of the user's wishes is not in them."""
        raise TypeError(f"{self.name} says nothing about its body")

    def ours(self) -> tuple[str, ...]:
        """Fields that the user's own may not replace."""
        raise TypeError(f"{self.name} says nothing about its fields")

    def url(self, template: RequestTemplate) -> str:
        """The address."""
        raise TypeError(f"{self.name} says nothing about its address")

    def headers(self, template: RequestTemplate) -> dict[str, str]:
        """The headers."""
        raise TypeError(f"{self.name} says nothing about its headers")

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request."""
        call: HttpCall = self.fixed(ctx.template).call(ctx, self.rest(ctx.template, texts_of(ctx)))
        return call

    def rest(self, template: RequestTemplate, texts: list[str]) -> bytes:
        """The end of the body: the texts."""
        raise TypeError(f"{self.name} says nothing about its texts")

    def events(self, ctx: RequestContext, events: Iterable[Any]) -> Any:
        """There are none: nothing is streamed. What came all the same is no answer."""
        return error_response(ctx, HttpReply(200), parse_verdict(f"{self.name} has no streams"))
        yield


def purpose(template: RequestTemplate) -> Purpose:
    """What the request is for."""
    return template.options.purpose or Purpose("embed")


def texts_of(ctx: RequestContext) -> list[str]:
    """The texts of a prompt; ``InputError`` for one with anything else in it."""
    parts = [part for message in ctx.prompt.messages for part in message.parts]
    texts = [part.text for part in parts if type(part) is Text]
    if not texts or len(texts) != len(parts):
        raise InputError("texts are embedded and ranked, and nothing else")
    return texts


def with_own_fields(template: RequestTemplate, body: dict[str, Any], notes: tuple[Note, ...], ours: tuple[str, ...]) -> Body:
    """The body with the user's ``extra_body`` over it."""
    extra = template.options.extra_body
    refused = tuple(Note(name, "it belongs to the texts and the model of this call") for name in extra if name in ours)
    return {**body, **{name: value for name, value in extra.items() if name not in ours}}, notes + refused


# -- vectors --------------------------------------------------------------------------------------------------------

def encoded(vector: Any) -> str:
    """A vector as base64 of its floats: a list of numbers, or base64 already. ``ValueError`` when it is neither."""
    if type(vector) is str:
        raw = bytes_in(vector)
        if raw is None:
            raise ValueError("a vector is no base64 of 32-bit numbers")
        _check(raw)
        return vector
    if type(vector) is not list or not vector:
        raise ValueError("a vector is missing")
    try:
        numbers = array("f", vector)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a vector holds something else than numbers") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    raw = numbers.tobytes()
    _check(raw)
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def bytes_in(encoded: str) -> bytes | None:
    """The bytes of a vector in base64; None for anything else.

    Whatever is not of base64 is skipped, and then there are too few bytes: a stricter reading takes far longer.
    """
    try:
        raw = binascii.a2b_base64(encoded)
    except ValueError:
        return None
    whole = len(raw) == len(encoded) // 4 * 3 - encoded.count("=", -2)
    return raw if raw and whole and len(raw) % 4 == 0 else None


def floats_in(encoded: str | None) -> array[float] | None:
    """The numbers of a vector in base64; None for anything else."""
    raw = bytes_in(encoded or "")
    if raw is None:
        return None
    numbers = array("f", raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _check(raw: bytes) -> None:
    """``ValueError`` when a number is none: its bits, and those of very large ones, end in one of two bytes."""
    ends = raw[3::4]
    if b"\x7f" in ends or b"\xff" in ends:
        numbers = array("f", raw)
        if sys.byteorder == "big":
            numbers.byteswap()
        if not math.isfinite(sum(numbers)):
            raise ValueError("a vector holds something else than numbers")


def in_order(items: Any, count: int, field: str) -> list[str]:
    """The vectors of objects that say their ``index``, encoded; ``ValueError`` unless there is one for each text."""
    if type(items) is not list or len(items) != count:
        raise ValueError(f"the reply has not one vector for each of {count} texts")
    found: list[str | None] = [None] * count
    for place, item in enumerate(items):
        index = item.get("index", place) if type(item) is dict else None
        if type(index) is not int or not 0 <= index < count or found[index] is not None:
            raise ValueError(f"the reply has not one vector for each of {count} texts")
        found[index] = encoded(item.get(field))
    return even([text for text in found if text is not None])


def even(vectors: list[str]) -> list[str]:
    """The vectors; ``ValueError`` when they are not all of one length."""
    if len({len(vector) for vector in vectors}) > 1:
        raise ValueError("the vectors of one reply have different lengths")
    return vectors


# -- replies --------------------------------------------------------------------------------------------------------

def parsed(
    ctx: RequestContext, reply: HttpReply, refused: Refused, found: Callable[[RequestContext, Any], Found]
) -> APIResponse:
    """The answer, or the error with its verdict. ``found`` raises ``ValueError`` for a reply that is none."""
    def answered(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
        if type(data) is dict:
            base = base_problem(data)
            if data.get("error") or base is not None:
                problem, status = base or (problem_of(data, 500), status_in(data))
                return refused(ctx, reply, problem, status, data)
        try:
            return _answered(ctx, reply, found(ctx, data), data)
        except ValueError as error:
            return error_response(ctx, reply, parse_verdict(str(error)), raw=data)

    return read(ctx, reply, answered, refused)


def _answered(ctx: RequestContext, reply: HttpReply, found: Found, data: Any) -> APIResponse:
    template = ctx.template
    model, keep = template.model, template.options.keep_raw
    return APIResponse(
        model_internal=model.id, model_external=found.model if type(found.model) is str and found.model else model.name,
        provider=model.provider.name, prompt=ctx.prompt, sampling_params=template.params, status_code=reply.status,
        content=Message("assistant", tuple(map(Text, found.texts))), finish_reason="stop",
        usage=found.usage, cost=found.cost, response_id=found.id if type(found.id) is str else None,
        request_id=request_id_of(reply.headers), raw_response=data if keep else None, headers=reply.headers if keep else None,
    )
