"""A tool as the model sees it, a name, a description and a JSON schema of its arguments; and the function behind it."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from typing_extensions import Unpack

from deluge import _plugins
from deluge.errors import ToolError
from deluge.prompt import ToolCall, ToolResult
from deluge.tools.arguments import Arguments, PlainArguments, arguments_of_function, arguments_of_parameters
from deluge.tools.docstring import read_docstring
from deluge.tools.result import ToolFailure, result_content
from deluge.tools.server import MCPServer, ServerSettings, name_of_address

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FROM_FUNCTION = object()


@dataclass(frozen=True, slots=True, init=False)
class Tool:
    """What a model may call. ``parameters`` is the JSON schema (an object) of the arguments.

    It may be given as a JSON schema, a pydantic model, a dataclass, a TypedDict, or a mapping of names to types, to pairs
    ``(type, description)`` or to JSON schemas; ``required`` names those of a mapping that must be given.
    ``run`` is your function, called with the arguments by keyword; None for a tool that is only described.
    ``strict``: None follows ``SamplingParams.strict_tools``. ``Tool.from_function`` reads all of this from a function.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[..., Any] | None = field(compare=False)
    strict: bool | None
    _arguments: Arguments | PlainArguments = field(compare=False, repr=False)
    _source: Any = field(compare=False, repr=False)

    def __init__(
        self, name: str, description: str = "", parameters: Mapping[str, Any] | type[Any] | None = None,
        run: Callable[..., Any] | None = None, strict: bool | None = None, *, required: Iterable[str] | None = None,
    ) -> None:
        _check_name(name)
        required = None if required is None else tuple(required)
        given = {"type": "object", "properties": {}} if parameters is None else parameters
        try:
            arguments = arguments_of_parameters(given, required)
        except ToolError as error:
            raise ToolError(f"tool {name!r}: {error}") from None
        if arguments.schema.get("type", "object") != "object":
            raise ToolError(f"tool {name!r}: its parameters must be a schema of type object")
        if run is not None and not callable(run):
            raise ToolError(f"tool {name!r}: run is a function, not {type(run).__name__}")
        self._fill(name, description, arguments, run, strict, (given, required))

    def _fill(
        self, name: str, description: str, arguments: Arguments | PlainArguments, run: Callable[..., Any] | None,
        strict: bool | None, source: Any,
    ) -> None:
        values = (name, description, arguments.schema, run, strict, arguments, source)
        for slot, value in zip(self.__slots__, values):
            object.__setattr__(self, slot, value)

    @classmethod
    def from_function(
        cls, function: Callable[..., Any], *, name: str | None = None, description: str | None = None,
        strict: bool | None = None,
    ) -> Tool:
        """The tool that a function's name, docstring, type hints and defaults describe.

        ``Annotated[T, "text"]``, ``Field`` and the docstring's section of arguments (Google, NumPy or reST) describe single
        arguments. ``ToolError`` says why a function cannot be called by a model (``*args``, a type without a schema …).
        """
        if not callable(function):
            raise ToolError(f"a tool is made from a function, not from {type(function).__name__}")
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise ToolError(f"{_name_of(function)!r} is a generator: a tool gives back one result")
        called = name or _name_of(function)
        _check_name(called)
        said, described = read_docstring(_doc_of(function))
        try:
            arguments = arguments_of_function(function, described)
        except ToolError as error:
            raise ToolError(f"tool {called!r}: {error}") from None
        made = cls.__new__(cls)
        made._fill(called, said if description is None else description, arguments, function, strict, _FROM_FUNCTION)
        return made

    @overload
    @classmethod
    def from_mcp(
        cls, name: str | None = None, url: str | None = None, *, tool_name: str, **settings: Unpack[ServerSettings],
    ) -> Tool: ...

    @overload
    @classmethod
    def from_mcp(
        cls, name: str | None = None, url: str | None = None, *, tool_name: None = None,
        **settings: Unpack[ServerSettings],
    ) -> list[Tool]: ...

    @classmethod
    def from_mcp(
        cls, name: str | None = None, url: str | None = None, *, tool_name: str | None = None,
        **settings: Unpack[ServerSettings],
    ) -> Tool | list[Tool]:
        """The tools of an MCP server, ready to be called; with ``tool_name`` that one alone.

        ``name`` is yours for the server, or comes from its address. ``settings`` are those of ``MCPServer``: ``token`` and
        ``headers`` for a url; ``command``, ``args``, ``env`` and ``cwd`` for a program; ``allowed_tools`` and ``timeout``.
        ``MCPError`` when the server cannot be reached, refuses, or has no tool of this name.
        """
        if tool_name is not None:
            settings["allowed_tools"] = (tool_name,)
        try:
            server = MCPServer(name or name_of_address(url, settings.get("command")), url, **settings)
        except TypeError as error:
            raise ToolError(f"an MCP server is not described like this: {error}") from None
        tools: list[Tool] = _plugins.room("mcp").tools_of(server)
        return tools if tool_name is None else tools[0]

    @classmethod
    def from_mcp_config(cls, config: str | Path | Mapping[str, Any], *, timeout: float | None = None) -> list[Tool]:
        """The tools of all servers in a configuration, as Claude Desktop and others write it: a path, or what is in it.

        ``{"mcpServers": {"files": {"command": "npx", "args": ["…"]}, "docs": {"url": "https://…"}}}``. Where two servers
        have a tool of the same name, both are called ``<server>_<tool>``. ``MCPError`` names a server that fails.
        """
        tools: list[Tool] = _plugins.room("mcp").tools_of_all(MCPServer.from_mcp_config(config), timeout=timeout)
        return tools

    def call(self, /, **arguments: Any) -> Any:
        """What the function gives back. The arguments are checked first: ``ToolError`` says what does not fit.

        An async function runs to its end on a thread of its own. Exceptions of the function come as they are.
        """
        return self._called(arguments, written=False)

    async def acall(self, /, **arguments: Any) -> Any:
        """The same for async code: an async function runs in your own event loop, any other on a thread."""
        return await _plugins.room("coroutines").awaited(self._function(), self._arguments.read(arguments, written=False))

    def result_for(self, call: ToolCall) -> ToolResult:
        """The result of a model's call. An exception becomes an error result (type and message) that the model sees."""
        try:
            if call.error is not None:
                raise ToolError(call.error)
            content, failed = result_content(self._called(call.arguments, written=True)), False
        except ToolFailure as failure:
            content, failed = failure.content, True
        except Exception as error:
            content, failed = error_text(error), True
        return ToolResult(call.id, content, failed, name=call.name, type=call.type)

    def _called(self, arguments: Mapping[str, Any], *, written: bool) -> Any:
        value = self._function()(**self._arguments.read(arguments, written=written))
        return _plugins.room("coroutines").finished(value) if inspect.isawaitable(value) else value

    def _function(self) -> Callable[..., Any]:
        if self.run is None:
            raise ToolError(f"tool {self.name!r} is only described: it has no function to run")
        return self.run

    def for_openai_completions(self, *, strict: bool = True) -> dict[str, Any]:
        """The tool as chat completions take it. ``strict``: held to its schema, where that has a strict form."""
        return self._in_words_of("openai_chat", strict)

    def for_openai_responses(self, *, strict: bool = True) -> dict[str, Any]:
        """The tool as the Responses API takes it."""
        return self._in_words_of("openai_responses", strict)

    def for_anthropic(self, *, strict: bool = True) -> dict[str, Any]:
        """The tool as Anthropic's Messages take it."""
        return self._in_words_of("anthropic", strict)

    def for_google(self) -> dict[str, Any]:
        """The tool as one of Gemini's ``functionDeclarations``."""
        return self._in_words_of("gemini", False)

    def for_bedrock(self, *, strict: bool = True) -> dict[str, Any]:
        """The tool as Bedrock's Converse takes it."""
        return self._in_words_of("bedrock", strict)

    def _in_words_of(self, dialect: str, strict: bool) -> dict[str, Any]:
        made: dict[str, Any] = _plugins.room("dialects._wire_tools").wire_tool(self, dialect, strict)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is _FROM_FUNCTION:
            return _from_function, (self.run, self.name, self.description, self.strict)
        return _by_hand, (self.name, self.description, self._source, self.run, self.strict)


def error_text(error: BaseException) -> str:
    """An exception as the model sees it: type and message, no traceback."""
    words = str(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _from_function(function: Callable[..., Any], name: str, description: str, strict: bool | None) -> Tool:
    return Tool.from_function(function, name=name, description=description, strict=strict)


def _by_hand(name: str, description: str, source: Any, run: Callable[..., Any] | None, strict: bool | None) -> Tool:
    return Tool(name, description, source[0], run, strict, required=source[1])


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ToolError(f"a tool's name has 1 to 64 letters, digits, '_' or '-': {name!r}")


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _doc_of(function: Any) -> str | None:
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return inspect.getdoc(function)
    return inspect.getdoc(type(function).__call__) or inspect.getdoc(type(function))
