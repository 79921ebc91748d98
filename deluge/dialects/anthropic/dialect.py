"""The dialect itself: prompt to request, reply to response."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from deluge.dialects._export import export_context, plain
from deluge.dialects._calls import Fixed, fixed_call, plain_text
from deluge.dialects._headers import address, headers
from deluge.dialects._parts import json_bytes
from deluge.dialects.anthropic.body import Fragments, fragments
from deluge.dialects.anthropic.messages import said, wire_prompt
from deluge.dialects.anthropic.reply import parsed
from deluge.dialects.anthropic.schema import takes_schema
from deluge.dialects.anthropic.stream import streamed
from deluge.dialects.anthropic.tools import calls_server
from deluge.models.model import Model
from deluge.prompt import Audio, Conversation, File, Image
from deluge.request import OneCall, RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.tools import MCPServer
from deluge.wire import Framing, HttpCall, HttpReply, ServerEvent, StreamDelta

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
        ways: _Ways | None = memo.get(("anthropic", ctx.stream))
        if ways is None:
            ways = memo["anthropic", ctx.stream] = _ways(ctx)
        text = plain_text(ctx)
        if text is not None:
            return ways.usual.call(
                ctx, b'"messages":[{"role":"user","content":' + json_bytes(text, "the prompt") + b"}]}"
            )
        prompt = wire_prompt(ctx, ways.marks)
        fixed = ways.old if prompt.old else ways.usual
        return fixed.call(ctx, json_bytes(prompt.body, "the prompt")[1:], prompt.notes)

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
class _Ways:
    """The fixed part of a request to either version of the API. ``marks``: how many cache breakpoints it has."""

    usual: Fixed
    old: Fixed
    marks: int


def _ways(ctx: RequestContext) -> _Ways:
    template, made = ctx.template, fragments(ctx)
    new = template.model.has("dated_api") and not any(name in made.body for name in _SAMPLING)
    old = _way(ctx, made, _OLD)
    return _Ways(_way(ctx, made, _NEW) if new else old, old, made.marks)


def _way(ctx: RequestContext, made: Fragments, version: str) -> Fixed:
    """On Vertex the model is in the address and the version in the body."""
    template, path = ctx.template, "/messages"
    body, own = made.body, {"anthropic-version": version}
    if template.model.has("raw_predict"):
        path = ":streamRawPredict" if ctx.stream else ":rawPredict"
        body = {"anthropic_version": _OLD_ON_VERTEX if version == _OLD else version, **body}
        del body["model"]
        own = {}
    if made.betas:
        own["anthropic-beta"] = ",".join(made.betas)
    return fixed_call(template, body, made.notes, address(template, path), headers(template, own))
