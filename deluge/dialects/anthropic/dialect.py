"""The dialect itself: prompt to request, reply to response."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

from deluge.dialects._headers import address, headers
from deluge.dialects._parts import json_bytes
from deluge.dialects.anthropic.body import fragments
from deluge.dialects.anthropic.messages import wire_prompt
from deluge.dialects.anthropic.reply import parsed
from deluge.dialects.anthropic.stream import streamed
from deluge.prompt import Text
from deluge.request import OneCall, RequestContext
from deluge.response import APIResponse
from deluge.wire import Framing, HttpCall, HttpReply, Note, ServerEvent, StreamDelta

# The first version takes sampling parameters, and documents in the model's own words; the second refuses both.
_OLD, _NEW = "2023-06-01", "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")


class AnthropicMessages(OneCall):
    """``POST {base_url}/messages``."""

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
            body = fixed.head + b',"messages":[{"role":"user","content":' + json_bytes(text, "the prompt") + b"}]}"
            return HttpCall("POST", fixed.url, fixed.headers, body, 0.0, ctx.stream, None, None, fixed.notes)
        prompt = wire_prompt(ctx, fixed.marks)
        body = fixed.head + b"," + json_bytes(prompt.body, "the prompt")[1:]
        return HttpCall(
            "POST", fixed.url, fixed.old_headers if prompt.old else fixed.headers, body, 0.0, ctx.stream, None, None,
            fixed.notes + prompt.notes,
        )

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
    """What does not depend on the prompt. ``head``: the body up to system and messages; ``marks``: how many cache
    breakpoints it has."""

    head: bytes
    url: str
    headers: dict[str, str]
    old_headers: dict[str, str]
    notes: tuple[Note, ...]
    marks: int


def _fixed(ctx: RequestContext) -> _Fixed:
    template = ctx.template
    made = fragments(ctx)
    new = template.model.has("dated_api") and not any(name in made.body for name in _SAMPLING)
    own = {"anthropic-beta": ",".join(made.betas)} if made.betas else {}
    return _Fixed(
        head=json_bytes(made.body, "the body of the request")[:-1], url=address(template, "/messages"),
        headers=headers(template, "anthropic", {"anthropic-version": _NEW if new else _OLD, **own}),
        old_headers=headers(template, "anthropic", {"anthropic-version": _OLD, **own}),
        notes=made.notes, marks=made.marks,
    )


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
