"""The dialect itself: prompt to request, reply to response."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deluge.dialects._export import export_context, plain
from deluge.dialects._headers import address, headers, signer
from deluge.dialects._parts import json_bytes
from deluge.dialects.anthropic.body import Fragments, fragments
from deluge.dialects.anthropic.messages import said, wire_prompt
from deluge.dialects.anthropic.reply import parsed
from deluge.dialects.anthropic.schema import takes_schema
from deluge.dialects.anthropic.stream import streamed
from deluge.dialects.anthropic.tools import calls_server
from deluge.models.model import Model
from deluge.prompt import Audio, Conversation, File, Image, Text
from deluge.request import OneCall, RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.tools import MCPServer
from deluge.wire import Framing, HttpCall, HttpReply, Note, ServerEvent, StreamDelta

# The first version takes sampling parameters, and documents in the model's own words; the second refuses both.
_OLD, _NEW = "2023-06-01", "2026-10-21"
_OLD_ON_VERTEX = "vertex-2023-10-16"
_SAMPLING = ("temperature", "top_p", "top_k")


class AnthropicMessages(OneCall):
    """``POST {base_url}/messages``, on Vertex ``POST {base_url}:rawPredict``."""

    name = "anthropic"
    framing: Framing = "sse"

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request: the part that all prompts of a call share is made once."""
        memo = ctx.template.memo
        fixed = memo.get(("anthropic", ctx.stream))
        if fixed is None:
            fixed = memo["anthropic", ctx.stream] = _fixed(ctx)
        text = _plain(ctx)
        if text is not None:
            way, notes = fixed.way, fixed.notes
            rest = b'"messages":[{"role":"user","content":' + json_bytes(text, "the prompt") + b"}]}"
        else:
            prompt = wire_prompt(ctx, fixed.marks)
            way, notes = fixed.old_way if prompt.old else fixed.way, fixed.notes + prompt.notes
            rest = json_bytes(prompt.body, "the prompt")[1:]
        return HttpCall(
            "POST", fixed.url, way.headers, way.head + rest, 0.0, ctx.stream, fixed.sign, fixed.sign_args, notes,
        )

    def exported(self, prompt: Conversation, model: str | None = None, cache: str | None = None) -> tuple[Any, Any]:
        """``system`` (None, a str or blocks) and ``messages``."""
        body = plain(said(export_context(self.name, prompt, model, cache), 0).body)
        return body.get("system"), body["messages"]

    def takes_url(self, model: Model, part: Image | File | Audio) -> bool:
        """Whether the provider fetches this itself: images and PDFs. Sound it takes in no form."""
        return type(part) is Audio or not (
            model.has("no_media_urls") or (type(part) is File and part.media_type != "application/pdf")
        )

    def takes_schema(self, template: RequestTemplate) -> bool:
        """Whether structured output can say the whole of the call's schema."""
        return takes_schema(template)

    def calls_mcp(self, template: RequestTemplate, server: MCPServer) -> bool:
        """Whether the provider calls this MCP server itself."""
        return calls_server(template, server)

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The answer, or the error with its verdict."""
        return parsed(ctx, reply)

    def events(
        self, ctx: RequestContext, events: Iterable[ServerEvent]
    ) -> Generator[StreamDelta, None, APIResponse]:
        """The pieces of a streamed answer, then the response."""
        return streamed(ctx, events)


@dataclass(frozen=True, slots=True)
class _Way:
    """The request to one version of the API. ``head``: the body up to system and messages."""

    head: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What does not depend on the prompt. ``marks``: how many cache breakpoints it has."""

    way: _Way
    old_way: _Way
    url: str
    notes: tuple[Note, ...]
    marks: int
    sign: str | None
    sign_args: Mapping[str, Any] | None


def _fixed(ctx: RequestContext) -> _Fixed:
    template = ctx.template
    made = fragments(ctx)
    new = template.model.has("dated_api") and not any(name in made.body for name in _SAMPLING)
    old_way = _way(template, made, _OLD)
    path = "/messages"
    if template.model.has("raw_predict"):
        path = ":streamRawPredict" if ctx.stream else ":rawPredict"
    sign, sign_args = signer(template, _service(template.base_url))
    return _Fixed(
        _way(template, made, _NEW) if new else old_way, old_way, address(template, path), made.notes, made.marks,
        sign, sign_args,
    )


def _way(template: RequestTemplate, made: Fragments, version: str) -> _Way:
    """On Vertex the model is in the address and the version in the body."""
    body, own = made.body, {"anthropic-version": version}
    if template.model.has("raw_predict"):
        body = {"anthropic_version": _OLD_ON_VERTEX if version == _OLD else version, **body}
        del body["model"]
        own = {}
    if made.betas:
        own["anthropic-beta"] = ",".join(made.betas)
    return _Way(json_bytes(body, "the body of the request")[:-1] + b",", headers(template, own))


def _service(base_url: str) -> str:
    """The name under which AWS signs: that of the host, but for the oldest of them."""
    label = (urlsplit(base_url).hostname or "").partition(".")[0]
    return "bedrock" if label == "bedrock-runtime" else label


def _plain(ctx: RequestContext) -> str | None:
    """The text of a prompt that is nothing but one text of the user's."""
    messages = ctx.prompt.messages
    if len(messages) == 1 and ctx.template.options.cache is None:
        (message,) = messages
        if message.role == "user" and len(message.parts) == 1:
            (part,) = message.parts
            if type(part) is Text:
                return part.text
    return None
