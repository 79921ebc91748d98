"""The dialect itself: prompt to request, reply to response, and jobs that run in the background."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from deluge.dialects._export import export_context, plain
from deluge.dialects._headers import address, headers, signer
from deluge.dialects._parts import json_bytes
from deluge.dialects._prompt_cache import cache_tail
from deluge.dialects.openai_responses.background import followed
from deluge.dialects.openai_responses.body import CACHE_TTLS, fragments
from deluge.dialects.openai_responses.items import Items
from deluge.dialects.openai_responses.history import messages_of
from deluge.dialects.openai_responses.reply import parsed
from deluge.dialects.openai_responses.stream import streamed
from deluge.dialects.openai_responses.tools import calls_server
from deluge.models.model import Model
from deluge.prompt import Audio, Conversation, File, Image, Message, Text
from deluge.request import RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.tools import MCPServer
from deluge.wire import Framing, HttpCall, HttpReply, Note, ServerEvent, StreamDelta


class OpenAIResponses:
    """``POST {base_url}/responses``; in the background, ``GET {base_url}/responses/{id}`` until the job is done."""

    name = "openai_responses"
    framing: Framing = "sse"

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request: the part that all prompts of a call share is made once."""
        fixed = _fixed_of(ctx)
        made, notes = _input(ctx)
        return HttpCall(
            "POST", fixed.url, fixed.headers, fixed.head + made + cache_tail(ctx, CACHE_TTLS), 0.0, ctx.stream,
            fixed.sign, fixed.sign_args, fixed.notes + notes if notes else fixed.notes,
        )

    def exported(self, prompt: Conversation, model: str | None = None) -> Any:
        """The conversation as a list of input items."""
        return plain(Items(export_context(self.name, prompt, model)).of_prompt())

    def imported(self, items: Iterable[Any], instructions: Any = None) -> list[Message]:
        """The messages that input and output items describe."""
        return messages_of(items, instructions)

    def takes_url(self, model: Model, part: Image | File | Audio) -> bool:
        """Whether the provider fetches this itself: images and files."""
        return not model.has("no_media_urls")

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

    def in_one_call(self, template: RequestTemplate) -> bool:
        """Whether nothing runs in the background."""
        options = template.options
        asked = options.background or "background" in options.extra_body or "background" in (template.params.extra or ())
        return not asked

    def exchange(
        self, ctx: RequestContext
    ) -> Generator[HttpCall, tuple[HttpReply, RequestContext], APIResponse]:
        """One call; in the background the start, then polls until the job is done."""
        reply, ctx = yield self.build(ctx)
        fixed = _fixed_of(ctx)
        if fixed.background:
            return (yield from followed(ctx, reply, fixed.headers, fixed.include))
        return parsed(ctx, reply)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What does not depend on the prompt. ``head``: the body up to its input."""

    head: bytes
    url: str
    headers: dict[str, str]
    notes: tuple[Note, ...]
    sign: str | None
    sign_args: Any
    background: bool
    include: tuple[str, ...]


def _fixed_of(ctx: RequestContext) -> _Fixed:
    memo = ctx.template.memo
    fixed: _Fixed | None = memo.get(("openai_responses", ctx.stream))
    if fixed is None:
        fixed = memo["openai_responses", ctx.stream] = _fixed(ctx)
    return fixed


def _fixed(ctx: RequestContext) -> _Fixed:
    body, notes = fragments(ctx)
    sign, sign_args = signer(ctx.template, "bedrock")
    include = body.get("include")
    return _Fixed(
        head=json_bytes(body, "the body of the request")[:-1] + b',"input":',
        url=address(ctx.template, "/responses"), headers=headers(ctx.template), notes=notes,
        sign=sign, sign_args=sign_args, background=body.get("background") is True,
        include=tuple(map(str, include)) if isinstance(include, list) else (),
    )


def _input(ctx: RequestContext) -> tuple[bytes, tuple[Note, ...]]:
    messages = ctx.prompt.messages
    if len(messages) == 1 and ctx.template.options.cache is None:
        (message,) = messages
        if message.role == "user" and len(message.parts) == 1 and message.name is None:
            (part,) = message.parts
            if type(part) is Text:
                return json_bytes(part.text, "the prompt"), ()
    items = Items(ctx)
    return json_bytes(items.of_prompt(), "the prompt"), tuple(items.notes)
