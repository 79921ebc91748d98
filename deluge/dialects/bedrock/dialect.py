"""The dialect itself: prompt to request, reply to response."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from deluge.dialects._export import export_context, plain
from deluge.dialects._calls import Fixed, fixed_call, plain_text
from deluge.dialects._headers import address, headers
from deluge.dialects._parts import json_bytes
from deluge.dialects.anthropic.schema import takes_schema
from deluge.dialects.bedrock.body import Fragment, fragments
from deluge.dialects.bedrock.messages import said, wire_prompt
from deluge.dialects.bedrock.reply import parsed
from deluge.dialects.bedrock.stream import streamed
from deluge.dialects.bedrock.tools import tools_by_name
from deluge.models.model import Model
from deluge.prompt import Audio, Conversation, File, Image
from deluge.request import OneCall, RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.wire import Framing, HttpCall, HttpReply, Note, ServerEvent, StreamDelta

_BY_NAME = Note("tools", "the conversation has tool calls, and this call has no tools: they are described by name only")
_MAY_CALL = Note("tool_choice", "a conversation with tool calls needs its tools: the model may call them")


class BedrockConverse(OneCall):
    """``POST {base_url}/model/{model}/converse``, or ``/converse-stream``."""

    name = "bedrock"
    framing: Framing = "eventstream"

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request: the part that all prompts of a call share is made once."""
        memo = ctx.template.memo
        made: _Template | None = memo.get(("bedrock", ctx.stream))
        if made is None:
            made = memo["bedrock", ctx.stream] = _template(ctx)
        return made.fixed.call(ctx, *_prompt(ctx, made))

    def exported(self, prompt: Conversation, model: str | None = None, cache: str | None = None) -> tuple[Any, Any]:
        """``system`` (blocks, or None) and ``messages``."""
        body = plain(said(export_context(self.name, prompt, model, cache), 0).body)
        return body.get("system"), body["messages"]

    def takes_url(self, model: Model, part: Image | File | Audio) -> bool:
        """Whether the provider fetches this itself: nothing but what lies in S3."""
        return False

    def takes_schema(self, template: RequestTemplate) -> bool:
        """Whether structured output can say the whole of the call's schema."""
        return takes_schema(template)

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The answer, or the error with its verdict."""
        return parsed(ctx, reply)

    def events(
        self, ctx: RequestContext, events: Iterable[ServerEvent]
    ) -> Generator[StreamDelta, None, APIResponse]:
        """The pieces of a streamed answer, then the response."""
        return streamed(ctx, events)


@dataclass(frozen=True, slots=True)
class _Template:
    """The fixed part of a request; system and messages are added to it.

    ``tools``: whether tools are in it; ``spare_tools`` go in where a conversation cannot be without; ``marks``: how
    many cache points it has.
    """

    fixed: Fixed
    tools: bool
    spare_tools: Fragment | None
    marks: int


def _template(ctx: RequestContext) -> _Template:
    template = ctx.template
    made = fragments(ctx)
    what = "converse-stream" if ctx.stream else "converse"
    accept = {"accept": "application/vnd.amazon.eventstream"} if ctx.stream else {}
    url = address(template, f"/model/{quote(template.model.name, safe='')}/{what}")
    fixed = fixed_call(template, made.body, made.notes, url, _headers(template, accept))
    return _Template(fixed, "toolConfig" in made.body, made.spare_tools, made.marks)


def _headers(template: RequestTemplate, accept: dict[str, str]) -> dict[str, str]:
    """Anthropic's own headers are in the body of its models: see ``anthropic_beta``."""
    fields = headers(template, accept)
    if not template.model.has("anthropic_fields"):
        return fields
    return {name: value for name, value in fields.items() if not name.startswith("anthropic-")}


def _prompt(ctx: RequestContext, made: _Template) -> tuple[bytes, tuple[Note, ...]]:
    text = plain_text(ctx)
    if text is not None:
        return b'"messages":[{"role":"user","content":[{"text":' + json_bytes(text, "the prompt") + b"}]}]}", ()
    prompt = wire_prompt(ctx, made.marks)
    body, notes = prompt.body, prompt.notes
    if prompt.called and not made.tools:
        body = {"toolConfig": made.spare_tools or tools_by_name(prompt.called), **body}
        notes = (*notes, _MAY_CALL if made.spare_tools else _BY_NAME)
    return json_bytes(body, "the prompt")[1:], notes
