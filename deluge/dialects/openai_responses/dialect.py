"""The dialect itself: prompt to request, reply to response, and jobs that run in the background."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from deluge.dialects._export import export_context, plain
from deluge.dialects._calls import Fixed, fixed_call, plain_text
from deluge.dialects._headers import address, headers
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
from deluge.prompt import Audio, Conversation, File, Image, Message
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
        made, notes = _input(ctx)
        return _job(ctx).fixed.call(ctx, made + cache_tail(ctx, CACHE_TTLS), notes)

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
        job = _job(ctx)
        if job.background:
            return (yield from followed(ctx, reply, job.fixed.headers, job.include))
        return parsed(ctx, reply)


@dataclass(frozen=True, slots=True)
class _Job:
    """The fixed part of a request. ``background``: whether it starts a job; ``include``: what its polls ask for too."""

    fixed: Fixed
    background: bool
    include: tuple[str, ...]


def _job(ctx: RequestContext) -> _Job:
    memo = ctx.template.memo
    job: _Job | None = memo.get(("openai_responses", ctx.stream))
    if job is None:
        body, notes = fragments(ctx)
        fixed = fixed_call(ctx.template, body, notes, address(ctx.template, "/responses"), headers(ctx.template))
        include = body.get("include")
        job = memo["openai_responses", ctx.stream] = _Job(
            fixed, body.get("background") is True, tuple(map(str, include)) if isinstance(include, list) else (),
        )
    return job


def _input(ctx: RequestContext) -> tuple[bytes, tuple[Note, ...]]:
    text = plain_text(ctx)
    if text is not None:
        return b'"input":' + json_bytes(text, "the prompt"), ()
    items = Items(ctx)
    return b'"input":' + json_bytes(items.of_prompt(), "the prompt"), tuple(items.notes)
