"""The dialect itself: prompt to request, reply to response."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from deluge.dialects._export import export_context, plain
from deluge.dialects._calls import Fixed, fixed_call, named, plain_text
from deluge.dialects._headers import address, headers
from deluge.dialects._parts import json_bytes
from deluge.dialects.gemini.body import fragments
from deluge.dialects.gemini.contents import said, wire_contents
from deluge.dialects.gemini.history import messages_of
from deluge.dialects.gemini.reply import parsed
from deluge.dialects.gemini.stream import streamed
from deluge.models.model import Model
from deluge.prompt import Audio, Conversation, File, Image, Message
from deluge.request import OneCall, RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.wire import Framing, HttpCall, HttpReply, Note, ServerEvent, StreamDelta

# How Google's API keys begin. A key for Vertex AI may be one (express mode), or an OAuth token.
_API_KEYS = ("AIza", "AQ.")


_NAMELESS = (Note("name", "messages carry no names here"),)


class Gemini(OneCall):
    """``POST {base_url}/models/{model}:generateContent``, or ``:streamGenerateContent?alt=sse``."""

    name = "gemini"
    framing: Framing = "sse"

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request: the part that all prompts of a call share is made once."""
        memo = ctx.template.memo
        fixed = memo.get(("gemini", ctx.stream))
        if fixed is None:
            fixed = memo["gemini", ctx.stream] = _fixed(ctx)
        call: HttpCall = fixed.call(ctx, _contents(ctx), _NAMELESS if named(ctx) else ())
        return call

    def exported(self, prompt: Conversation, model: str | None = None) -> tuple[Any, Any]:
        """The system instruction (None, a str, or a dict of parts) and ``contents``."""
        body = plain(said(export_context(self.name, prompt, model)))
        parts = body.get("systemInstruction", {}).get("parts", [])
        system = parts[0]["text"] if len(parts) == 1 else {"parts": parts} if parts else None
        return system, body["contents"]

    def imported(self, contents: Iterable[Any], system: Any = None) -> list[Message]:
        """The messages that contents describe."""
        return messages_of(contents, system)

    def takes_url(self, model: Model, part: Image | File | Audio) -> bool:
        """Whether the provider fetches this itself: everything."""
        return not model.has("no_media_urls")

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The answer, or the error with its verdict."""
        return parsed(ctx, reply)

    def events(
        self, ctx: RequestContext, events: Iterable[ServerEvent]
    ) -> Generator[StreamDelta, None, APIResponse]:
        """The pieces of a streamed answer, then the response."""
        return streamed(ctx, events)


def _fixed(ctx: RequestContext) -> Fixed:
    template = ctx.template
    body, notes = fragments(template)
    return fixed_call(template, body, notes, _url(template, ctx.stream), _headers(template))


def _url(template: RequestTemplate, stream: bool) -> str:
    """A name with a slash is a path of its own (tunedModels/…, models/…, endpoints/…)."""
    name = quote(template.model.name, safe="/@.-_~")
    path = f"/{name}" if "/" in name else f"/models/{name}"
    if not stream:
        return address(template, f"{path}:generateContent")
    url = address(template, f"{path}:streamGenerateContent")
    return f"{url}{'&' if '?' in url else '?'}alt=sse"


def _headers(template: RequestTemplate) -> dict[str, str]:
    key = template.api_key
    if key and template.model.has("google_auth") and key.startswith(_API_KEYS):
        return headers(replace(template, api_key=None), {"x-goog-api-key": key})
    return headers(template)


def _contents(ctx: RequestContext) -> bytes:
    text = plain_text(ctx)
    if text is not None:
        return b'"contents":[{"role":"user","parts":[{"text":' + json_bytes(text, "the prompt") + b"}]}]}"
    return json_bytes(wire_contents(ctx), "the prompt")[1:]
