"""The dialect itself: prompt to request, reply to response."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from deluge.dialects._export import export_context, plain
from deluge.dialects._headers import address, headers, signer
from deluge.dialects._parts import json_bytes
from deluge.dialects._prompt_cache import cache_tail
from deluge.dialects.openai_chat.body import CACHE_TTLS, fragments
from deluge.dialects.openai_chat.messages import wire_messages
from deluge.dialects.openai_chat.reply import parsed
from deluge.dialects.openai_chat.stream import streamed
from deluge.models.model import Model
from deluge.prompt import Audio, Conversation, File, Image, Text
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
        return HttpCall(
            "POST", fixed.url, fixed.headers, fixed.head + made + cache_tail(ctx, CACHE_TTLS), 0.0, ctx.stream,
            fixed.sign, fixed.sign_args, fixed.notes + notes if notes else fixed.notes,
        )

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


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What does not depend on the prompt. ``head``: the body up to its messages."""

    head: bytes
    url: str
    headers: dict[str, str]
    notes: tuple[Note, ...]
    sign: str | None
    sign_args: Any


def _fixed(ctx: RequestContext) -> _Fixed:
    body, notes = fragments(ctx)
    sign, sign_args = signer(ctx.template, "bedrock")
    return _Fixed(
        head=json_bytes(body, "the body of the request")[:-1] + b',"messages":',
        url=address(ctx.template, "/chat/completions"),
        headers=headers(ctx.template), notes=notes, sign=sign, sign_args=sign_args,
    )


def _messages(ctx: RequestContext) -> tuple[bytes, tuple[Note, ...]]:
    messages = ctx.prompt.messages
    if len(messages) == 1 and ctx.template.options.cache is None:
        (message,) = messages
        if message.role == "user" and len(message.parts) == 1 and message.name is None:
            (part,) = message.parts
            if type(part) is Text:
                return b'[{"role":"user","content":' + json_bytes(part.text, "the prompt") + b"}]", ()
    made, notes = wire_messages(ctx)
    return json_bytes(made, "the prompt"), notes
