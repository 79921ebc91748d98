"""A tool as the model sees it: a name, a description and a JSON schema of its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deluge.errors import ToolError

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model may call. ``parameters`` is the JSON schema (an object) of the arguments.

    ``run`` is your function, called with the arguments by keyword; None for a tool that is only described.
    ``strict``: None follows ``SamplingParams.strict_tools``.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    run: Callable[..., Any] | None = field(default=None, compare=False)
    strict: bool | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ToolError(f"a tool's name has 1 to 64 letters, digits, '_' or '-': {self.name!r}")
        if self.parameters.get("type", "object") != "object":
            raise ToolError(f"tool {self.name!r}: its parameters must be a schema of type object")


@dataclass(frozen=True, slots=True)
class MCPServer:
    """A Model Context Protocol server: by ``url``, or as a ``command`` that is started.

    ``token`` and ``headers`` are sent to the server and never shown. ``allowed_tools``: None means all.
    """

    name: str
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] | None = field(default=None, repr=False)
    allowed_tools: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.url is None) == (self.command is None):
            raise ToolError(f"MCP server {self.name!r} needs a url or a command, and not both")
