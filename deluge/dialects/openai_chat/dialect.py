"""The dialect itself: prompt to request, reply to response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deluge import _json
from deluge.dialects._headers import address, headers, signer
from deluge.dialects.openai_chat.body import fragments
from deluge.dialects.openai_chat.messages import wire_messages
from deluge.dialects.openai_chat.reply import parsed
from deluge.prompt import Text
from deluge.request import OneCall, RequestContext
from deluge.response import APIResponse
from deluge.wire import Framing, HttpCall, HttpReply, Note


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
        body = fixed.head + _messages(ctx) + b"}"
        return HttpCall(
            "POST", fixed.url, fixed.headers, body, 0.0, ctx.stream, fixed.sign, fixed.sign_args, fixed.notes,
        )

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The answer, or the error with its verdict."""
        return parsed(ctx, reply)


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
        head=_json.dumps(body)[:-1] + b',"messages":', url=address(ctx.template, "/chat/completions"),
        headers=headers(ctx.template, "openai"), notes=notes, sign=sign, sign_args=sign_args,
    )


def _messages(ctx: RequestContext) -> bytes:
    messages = ctx.prompt.messages
    if len(messages) == 1:
        (message,) = messages
        if message.role == "user" and len(message.parts) == 1 and message.name is None:
            (part,) = message.parts
            if type(part) is Text:
                return b'[{"role":"user","content":' + _json.dumps(part.text) + b"}]"
    return _json.dumps(wire_messages(ctx))
