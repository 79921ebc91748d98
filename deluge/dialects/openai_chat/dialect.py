"""The dialect itself: prompt to request, reply to response."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from deluge.dialects._export import export_context, plain
from deluge.dialects._calls import Fixed, fixed_call, plain_text
from deluge.dialects._headers import address, headers
from deluge.dialects._parts import json_bytes
from deluge.dialects._prompt_cache import cache_tail
from deluge.dialects.openai_chat.body import CACHE_TTLS, fragments
from deluge.dialects.openai_chat.messages import wire_messages
from deluge.dialects.openai_chat.reply import parsed
from deluge.dialects.openai_chat.stream import streamed
from deluge.models.model import Model
from deluge.prompt import Audio, Conversation, File, Image
from deluge.request import OneCall, RequestContext
from deluge.response import APIResponse
from deluge.wire import Framing, HttpCall, HttpReply, Note, ServerEvent, StreamDelta


class OpenAIChat(OneCall):
    """``POST {base_url}/chat/completions``."""

    name = "openai_chat"
    framing: Framing = "sse"

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request: the part that all prompts of a call share is made once."""
        memo = ctx.template.memo
        fixed = memo.get(("openai_chat", ctx.stream))
        if fixed is None:
            fixed = memo["openai_chat", ctx.stream] = _fixed(ctx)
        made, notes = _messages(ctx)
        call: HttpCall = fixed.call(ctx, made + cache_tail(ctx, CACHE_TTLS), notes)
        return call

    def exported(self, prompt: Conversation, model: str | None = None) -> Any:
        """The conversation as a list of message dicts."""
        return plain(wire_messages(export_context(self.name, prompt, model))[0])

    def takes_url(self, model: Model, part: Image | File | Audio) -> bool:
        """Whether the provider fetches this itself: images, and Mistral documents and sound too."""
        return (type(part) is Image or model.has("mistral_chunks")) and not model.has("no_media_urls")

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The answer, or the error with its verdict."""
        return parsed(ctx, reply)

    def events(
        self, ctx: RequestContext, events: Iterable[ServerEvent]
    ) -> Generator[StreamDelta, None, APIResponse]:
        """The pieces of a streamed answer, then the response."""
        return streamed(ctx, events)


def _fixed(ctx: RequestContext) -> Fixed:
    body, notes = fragments(ctx)
    return fixed_call(ctx.template, body, notes, address(ctx.template, "/chat/completions"), headers(ctx.template))


def _messages(ctx: RequestContext) -> tuple[bytes, tuple[Note, ...]]:
    text = plain_text(ctx)
    if text is not None:
        return b'"messages":[{"role":"user","content":' + json_bytes(text, "the prompt") + b"}]", ()
    made, notes = wire_messages(ctx)
    return b'"messages":' + json_bytes(made, "the prompt"), notes
