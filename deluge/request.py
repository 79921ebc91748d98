"""One request as a dialect sees it: the prompt, the model, and everything that the call asks for."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from deluge.models.model import Model
from deluge.params import SamplingParams
from deluge.prompt import Conversation
from deluge.response import APIResponse
from deluge.tools import MCPServer, Tool
from deluge.wire import Framing, HttpCall, HttpReply, ServerEvent, StreamDelta

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a request is for that is no chat: vectors of texts, or a ranking of documents.

    Its prompt is one user message with a Text for each text; for a ranking the first is the query. ``dimensions``: how
    long the vectors shall be. ``input_type``: what the texts are (query, document …). ``top_n``: how many of the best
    documents are wanted. None leaves each to the provider.
    """

    kind: Literal["embed", "rerank"]
    dimensions: int | None = None
    input_type: str | None = None
    top_n: int | None = None


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What one call asks for beside its prompts: the same for all of them.

    ``tools`` are Tools, MCPServers or the provider's own tool dicts. ``output_schema`` is a JSON schema.
    ``cache`` is a CachePattern. ``extra_headers``: a value of None removes a header. ``purpose`` is None for a chat.
    """

    tools: tuple[Tool | MCPServer | Mapping[str, Any], ...] = field(default=(), repr=False)
    output_schema: Mapping[str, Any] | None = None
    cache: str | None = None
    cache_ttl: str | None = None
    service_tier: str | None = None
    tool_choice: str | None = None
    extra_headers: Mapping[str, str | None] = field(default_factory=lambda: _NOTHING, repr=False)
    extra_body: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, repr=False)
    use_responses_api: bool = False
    background: bool = False
    force_local_mcp: bool = False
    keep_raw: bool = False
    allow_private_urls: bool = False
    purpose: Purpose | None = None


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What all requests of one call to one model share.

    ``dialect`` is the name of the wire format. ``own_address``: it goes to the catalog's provider, of which the catalog's
    facts are true, not to a ``base_url`` of the user. ``memo`` is for dialects: values that are a pure function of the
    other fields, so that they are made once.
    """

    model: Model
    params: SamplingParams
    options: RequestOptions
    base_url: str = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    dialect: str = "openai_chat"
    own_address: bool = True
    memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)


class RequestContext(NamedTuple):
    """One prompt on its way to one model. ``now`` is the time of the attempt (epoch seconds)."""

    prompt: Conversation
    template: RequestTemplate
    now: float = 0.0
    stream: bool = False

    @property
    def model(self) -> Model:
        """The catalog's row."""
        return self.template.model

    @property
    def params(self) -> SamplingParams:
        """The parameters for this model."""
        return self.template.params

    @property
    def options(self) -> RequestOptions:
        """What the call asks for."""
        return self.template.options


class Dialect(Protocol):
    """A provider's wire format, pure: no socket, no clock, no environment, no thread."""

    name: str
    framing: Framing

    def build(self, ctx: RequestContext) -> HttpCall:
        """The request. ``ConfigError`` or ``InputError`` when this prompt cannot be said in this format."""

    def parse(self, ctx: RequestContext, reply: HttpReply) -> APIResponse:
        """The answer, or the error with its verdict, whatever came. Never raises."""

    def events(self, ctx: RequestContext, events: Iterable[ServerEvent]) -> Generator[StreamDelta, None, APIResponse]:
        """The pieces of a streamed answer, then (as the generator's value) the response, as ``parse`` would give it."""

    def exchange(self, ctx: RequestContext) -> Generator[HttpCall, tuple[HttpReply, RequestContext], APIResponse]:
        """The calls of one attempt. Most formats need one.

        A format with an exchange of its own may have ``in_one_call(template)`` too: where that is true the engine
        builds, sends and parses, which is cheaper. A format may have ``takes_url(model, part)``: whether the provider
        fetches this image, file or sound by its URL; where it does not, the worker fetches it before ``build``.
        ``calls_mcp(template, server)``: whether the provider calls this MCP server itself; without it, it calls none.
        ``purpose``: the kind of ``Purpose`` that a format serves which is no chat; such a format streams nothing.
        """


class OneCall:
    """The ``exchange`` of a format that needs one call."""

    def exchange(
        self: Dialect, ctx: RequestContext
    ) -> Generator[HttpCall, tuple[HttpReply, RequestContext], APIResponse]:
        """Builds, waits for the reply, parses."""
        reply, ctx = yield self.build(ctx)
        return self.parse(ctx, reply)


def purpose_of(dialect: Any) -> str:
    """What a format is for: ``chat``, ``embed`` or ``rerank``."""
    return str(getattr(dialect, "purpose", "chat"))


def in_one_call(dialect: Dialect, template: RequestTemplate) -> bool:
    """Whether no exchange has to be run: the format has the plain one, or says that this request needs one call."""
    if type(dialect).exchange is OneCall.exchange:
        return True
    says = getattr(dialect, "in_one_call", None)
    return says is not None and bool(says(template))


def joined_headers(base: Mapping[str, str], extra: Mapping[str, str | None]) -> dict[str, str]:
    """``base`` with the user's headers over it: theirs win whatever the case, None removes, ``anthropic-beta`` unites."""
    result = {name.lower(): value for name, value in base.items()}
    for name, value in extra.items():
        key = name.lower()
        if value is None:
            result.pop(key, None)
        elif key == "anthropic-beta" and result.get(key):
            ours = result[key].split(",")
            result[key] = ",".join(dict.fromkeys(item.strip() for item in (*ours, *value.split(","))))
        else:
            result[key] = value
    return result
