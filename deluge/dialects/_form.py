"""How a model is held to an ``output_schema``: by its own structured output, by a tool that it has to call, or in words.

This is the one place that decides. It works on any dialect: the request goes out with another template, and what comes
back is made to look as if the model had answered by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from deluge.dialects import _settings
from deluge.dialects._parts import json_text
from deluge.prompt import Conversation, Message, Part, Text, ToolCall
from deluge.request import Dialect, RequestContext, RequestTemplate, in_one_call
from deluge.response import APIResponse
from deluge.tools import Tool
from deluge.wire import Cancelled, HttpCall, HttpReply, Note, ServerEvent, StreamDelta

Form = Literal["native", "tool", "prompt"]
Exchange = Generator[HttpCall, "tuple[HttpReply, RequestContext]", APIResponse]
Pieces = Generator[StreamDelta, None, APIResponse]

_NAMES = ("answer", "final_answer", "answer_in_form")
_ABOUT = "Gives the answer. Call it once, with the whole answer, instead of writing text."
_WORDS = "Answer with JSON only, without any words or marks around it. The JSON has to fit this JSON schema:\n"
_TOLD = Note("output_schema", "the model cannot be held to a schema: it is told in the prompt, and the answer is checked")
_WORDLESS = (None, "auto", "required")


def form_of(dialect: Dialect, template: RequestTemplate) -> Form | None:
    """How this model is held to the schema; None where there is none.

    A dialect may have ``takes_schema(template)``: False where its subset of JSON schema cannot say this one.
    """
    options, model = template.options, template.model
    if options.output_schema is None:
        return None
    takes = getattr(dialect, "takes_schema", None)
    if model.has("supports_json_schema") and not (options.tools and model.has("no_json_with_tools")):
        if takes is None or takes(template):
            return "native"
    return "tool" if _can_be_forced(template) else "prompt"


def _can_be_forced(template: RequestTemplate) -> bool:
    model, options = template.model, template.options
    if not model.has("supports_tools") or model.has("no_forced_tools") or options.tool_choice not in _WORDLESS:
        return False
    if (options.output_schema or {}).get("type", "object") != "object":
        return False
    if model.has("no_forced_tools_when_thinking") and _settings.reasons(template, None):
        return False
    alone = model.has("no_json_with_tools")  # Gemini 2: its own tools and functions do not go together
    return not (alone and any(isinstance(tool, Mapping) and "functionDeclarations" not in tool for tool in options.tools))


def formed(dialect: Dialect, template: RequestTemplate) -> Dialect:
    """The dialect as it speaks for this template: itself, or one that holds the model to the schema by other means."""
    form = form_of(dialect, template)
    if form == "tool":
        return _ByTool(dialect, template)
    return _InWords(dialect, template) if form == "prompt" else dialect


class _Formed:
    """A dialect that sends another template than it was given."""

    def __init__(self, dialect: Dialect, inner: RequestTemplate) -> None:
        self.name = dialect.name
        self.framing = dialect.framing
        self._dialect = dialect
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._dialect, name)  # what else it may be asked

    def _said(self, ctx: RequestContext) -> RequestContext:
        return ctx._replace(template=self._inner)

    def _heard(self, ctx: RequestContext, response: APIResponse) -> APIResponse:
        response.prompt, response.sampling_params = ctx.prompt, ctx.params
        return response

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request."""
        return self._dialect.build(self._said(ctx))

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The answer as JSON text, or the error with its verdict."""
        return self._heard(ctx, self._dialect.parse(self._said(ctx), reply))

    def events(self, ctx: RequestContext, events: Iterable[ServerEvent]) -> Pieces:
        """The pieces of a streamed answer, then the response."""
        return self._heard(ctx, (yield from self._pieces(self._dialect.events(self._said(ctx), events))))

    def _pieces(self, pieces: Pieces) -> Pieces:
        return pieces

    def in_one_call(self, template: RequestTemplate) -> bool:
        """Whether no exchange has to be run."""
        return in_one_call(self._dialect, self._inner)

    def exchange(self, ctx: RequestContext) -> Exchange:
        """The calls of one attempt."""
        inner = self._dialect.exchange(self._said(ctx))
        call = next(inner)
        while True:
            try:
                reply, ctx = yield call
            except Cancelled as over:
                call = inner.throw(over)
                continue
            try:
                call = inner.send((reply, self._said(ctx)))
            except StopIteration as end:
                return self._heard(ctx, end.value)


class _InWords(_Formed):
    """The schema stands in the prompt, with JSON mode where the model has it."""

    def __init__(self, dialect: Dialect, template: RequestTemplate) -> None:
        options, model = template.options, template.model
        mode = model.has("supports_json") and not (options.tools and model.has("no_json_with_tools"))
        params = template.params if template.params.json_mode == mode else template.params.replace(json_mode=mode)
        self._words = Message.system(_WORDS + json_text(dict(options.output_schema or {}), "output_schema"))
        super().__init__(dialect, replace(template, params=params, options=replace(options, output_schema=None), memo={}))

    def _said(self, ctx: RequestContext) -> RequestContext:
        messages = tuple(ctx.prompt.messages)
        first = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
        told = Conversation((*messages[:first], self._words, *messages[first:]), model_used=ctx.prompt.model_used).freeze()
        return ctx._replace(template=self._inner, prompt=told)

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request, with a note that the model is only told."""
        call = super().build(ctx)
        return call._replace(notes=(*call.notes, _TOLD))


class _ByTool(_Formed):
    """The model has to call a tool whose arguments are the answer. Beside tools of the user's it has to call any of them."""

    def __init__(self, dialect: Dialect, template: RequestTemplate) -> None:
        options = template.options
        taken = {getattr(tool, "name", None) or _name_in(tool) for tool in options.tools}
        self._tool = next((name for name in _NAMES if name not in taken), "answer_" + "_".join(sorted(map(str, taken)))[:50])
        tool = Tool(self._tool, _ABOUT, dict(options.output_schema or {}))
        params = template.params.replace(json_mode=False) if template.params.json_mode else template.params
        super().__init__(dialect, replace(template, params=params, memo={}, options=replace(
            options, output_schema=None, tools=(*options.tools, tool), tool_choice="required" if options.tools else self._tool,
        )))

    def _heard(self, ctx: RequestContext, response: APIResponse) -> APIResponse:
        response = super()._heard(ctx, response)
        if response.content is None or not any(self._is_answer(part) for part in response.content.parts):
            return response
        parts = tuple(self._unfolded(response.content))
        response.content = Message(response.content.role, parts, response.content.name)
        if response.finish_reason == "tool_calls" and not any(
            isinstance(part, ToolCall) and not part.built_in for part in parts
        ):
            response.finish_reason = "stop"
        return response

    def _is_answer(self, part: Part) -> bool:
        return isinstance(part, ToolCall) and part.name == self._tool and not part.built_in

    def _unfolded(self, content: Message) -> Iterable[Part]:
        """The first call as text; what was written beside it, and calls after it, say nothing more."""
        found = False
        for part in content.parts:
            if isinstance(part, ToolCall) and self._is_answer(part):
                if not found:
                    text = part.text or json_text(dict(part.arguments), "the answer")
                    yield Text(text, part.signature, part.provider if part.signature is not None else None)
                found = True
            elif type(part) is not Text:
                yield part

    def _pieces(self, pieces: Pieces) -> Pieces:
        answering: set[int] = set()
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                response: APIResponse = end.value
                return response
            if piece.kind == "tool_call" and piece.name == self._tool:
                answering.add(piece.index)
            if piece.kind != "tool_call" or piece.index not in answering:
                yield piece
            elif piece.text or piece.usage is not None:
                yield StreamDelta("text", piece.text, usage=piece.usage)


def _name_in(tool: Any) -> Any:
    """The name of a tool that is a dict of the provider's words."""
    inner = tool.get("function") if isinstance(tool, Mapping) else None
    return inner.get("name") if isinstance(inner, Mapping) else tool.get("name") if isinstance(tool, Mapping) else None
