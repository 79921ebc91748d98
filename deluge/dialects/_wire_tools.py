"""One tool in a provider's words, as the dialect sends it."""

from __future__ import annotations

import json
from typing import Any

from deluge import _plugins
from deluge.models.model import Model, Provider
from deluge.params import SamplingParams
from deluge.prompt import Conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.tools import Tool

_FLAGS = frozenset({"supports_tools", "supports_strict_tools"})
_HI = Conversation.of_text("Hi")


def wire_tool(tool: Tool, dialect: str, strict: bool) -> dict[str, Any]:
    """The tool's entry in a request; ``strict``: with its schema in the strict form, where it has one."""
    row = Model("any", "any", Provider("any", "https://any.invalid", dialect), flags=_FLAGS)
    template = RequestTemplate(
        row, SamplingParams(strict_tools=strict), RequestOptions(tools=(tool,)), "https://any.invalid", dialect=dialect,
    )
    body = json.loads(_plugins.load("dialects", dialect).build(RequestContext(_HI, template)).body)
    if dialect == "bedrock":
        (made,) = body["toolConfig"]["tools"]
    elif dialect == "gemini":
        (made,) = body["tools"][0]["functionDeclarations"]
    else:
        (made,) = body["tools"]
    return dict(made)
