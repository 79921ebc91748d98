"""A description of an MCP server: where it is or how it is started, what it is told, which of its tools may be used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import TypedDict

from deluge import _env, _json
from deluge.errors import ToolError

_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE = re.compile(r"[\r\n\0]|[^\x00-\xff]")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SHORTEST_SECRET = 4  # what is shorter would blot out words
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")


class ServerSettings(TypedDict, total=False):
    """What an ``MCPServer`` takes beside its name and url."""

    token: str | None
    headers: Mapping[str, str] | None
    command: str | None
    args: Sequence[str]
    env: Mapping[str, str] | None
    allowed_tools: Sequence[str] | None
    cwd: str | None
    timeout: float
    protocol_version: str | None


@dataclass(frozen=True, slots=True, repr=False)
class MCPServer:
    """A Model Context Protocol server: at a ``url``, or as a ``command`` that is started with ``args``.

    ``token`` (sent as ``Authorization: Bearer``) and ``headers`` go with every request to the url; ``env`` (added to the
    few variables that every program needs) and ``cwd`` are for the command. None of token, headers and env is ever shown,
    logged or pickled. ``allowed_tools``: None means all. ``timeout``: seconds for a start and for every request.
    ``protocol_version``: one revision of the protocol instead of the newest that both sides speak.
    """

    name: str
    url: str | None = None
    token: str | None = None
    headers: Mapping[str, str] | None = None
    command: str | None = None
    args: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    allowed_tools: Sequence[str] | None = None
    _: KW_ONLY
    cwd: str | None = None
    timeout: float = 60.0
    protocol_version: str | None = None
    withheld: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ToolError(f"an MCP server needs a name: {self.name!r}")
        if (self.url is None) == (self.command is None):
            raise ToolError(f"{self} needs a url or a command, and not both")
        self._check_address()
        for name in ("args", "allowed_tools"):
            object.__setattr__(self, name, self._words(name))
        for name in ("headers", "env"):
            object.__setattr__(self, name, self._pairs(name))
        if self.cwd is not None:
            object.__setattr__(self, "cwd", str(self.cwd))
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)) or not 0 < self.timeout < 1e9:
            raise ToolError(f"{self}: timeout is a number of seconds above 0, not {self.timeout!r}")
        if self.protocol_version not in (None, *VERSIONS):
            raise ToolError(f"{self}: protocol_version is one of {', '.join(VERSIONS)}, not {self.protocol_version!r}")
        self._check_secrets()

    def _check_address(self) -> None:
        if self.url is None:
            if not isinstance(self.command, str) or not self.command or "\0" in self.command:
                raise ToolError(f"{self}: command is the name or path of a program (its arguments go into args)")
            return
        try:
            parts = urlsplit(self.url)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except (ValueError, AttributeError, TypeError):
            known = False
        if not known:
            raise ToolError(f"{self}: the url must begin with http:// or https:// and name a host")
        if parts.username is not None or parts.password is not None:
            raise ToolError(f"{self}: a url with a name or password in it would be shown; give token= or headers=")
        misplaced = [name for name in ("args", "env", "cwd") if getattr(self, name)]
        if misplaced:
            raise ToolError(f"{self}: {', '.join(misplaced)} belong to a command, not to a url")

    def _check_secrets(self) -> None:
        if self.command is not None and (self.token is not None or self.headers):
            raise ToolError(f"{self}: token and headers belong to a url; give a command its secrets in env")
        if self.token is not None and (not isinstance(self.token, str) or not self.token or _BAD_VALUE.search(self.token)):
            raise ToolError(f"{self}: token is a text that a header can carry")
        for name, value in (self.headers or {}).items():
            if not _HEADER.fullmatch(name) or _BAD_VALUE.search(value):
                raise ToolError(f"{self}: the header {name!r} has characters that cannot be sent")
            if self.token is not None and name.lower() == "authorization":
                raise ToolError(f"{self}: token and an authorization header are one too many")

    def _words(self, name: str) -> tuple[str, ...] | None:
        value = getattr(self, name)
        if value is None and name == "allowed_tools":
            return None
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise ToolError(f"{self}: {name} is a list of texts")
        words = tuple(str(word) if isinstance(word, Path) else word for word in value)
        if not all(isinstance(word, str) and "\0" not in word for word in words):
            raise ToolError(f"{self}: {name} is a list of texts")
        return words

    def _pairs(self, name: str) -> dict[str, str] | None:
        value = getattr(self, name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ToolError(f"{self}: {name} maps names to texts")
        pairs = dict(value)
        if not all(isinstance(key, str) and key and isinstance(text, str) and "\0" not in text for key, text in pairs.items()):
            raise ToolError(f"{self}: {name} maps names to texts")
        return pairs

    @classmethod
    def from_mcp_config(cls, config: str | Path | Mapping[str, Any]) -> list[MCPServer]:
        """The servers of a configuration as Claude Desktop, Claude Code, Cursor and VS Code write it.

        ``config`` is the path of a JSON file, or what is in one: ``{"mcpServers": {name: {"command": …} or {"url": …}}}``
        (VS Code's ``servers`` too). ``${NAME}`` and ``${NAME:-default}`` in it are environment variables; an entry with
        ``"disabled": true`` is left out. ``ToolError`` names the entry that cannot be used.
        """
        found = _servers_in(config)
        return [_configured(cls, name, entry) for name, entry in found.items() if not _disabled(entry)]

    @property
    def target(self) -> str:
        """Where it is, in words that hide what may be secret: no query, no arguments."""
        if self.url is None:
            return str(self.command)
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}" + ("?…" if parts.query else "")

    def redacted(self, text: str) -> str:
        """The text without the values of token, headers and env."""
        for value in self.secrets:
            text = text.replace(value, "***")
        return text

    @property
    def secrets(self) -> list[str]:
        """The values of token, headers and env, and what follows Bearer or Basic in them; the longest first."""
        values = [self.token or "", *(self.headers or {}).values(), *(self.env or {}).values()]
        values += [value.partition(" ")[2] for value in values]
        return sorted({value for value in values if len(value) >= _SHORTEST_SECRET}, key=len, reverse=True)

    def __str__(self) -> str:
        return f"MCP server {self.name!r}"

    def __repr__(self) -> str:
        words = [self.target]
        if self.command is not None and self.args:
            words[0] += f" ({len(self.args)} argument{'s' * (len(self.args) != 1)})"
        if self.allowed_tools is not None:
            words.append("tools: " + (", ".join(self.allowed_tools) or "none"))
        if self.withheld:
            words.append(f"without its {', '.join(self.withheld)}")
        return f"<MCPServer {self.name!r} | {' | '.join(words)}>"

    def __copy__(self) -> MCPServer:
        return self

    def __deepcopy__(self, memo: Any) -> MCPServer:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without token, headers and env, which stay here; ``withheld`` names those that it had."""
        withheld = tuple(name for name in ("token", "headers", "env") if getattr(self, name))
        plain = {name: getattr(self, name) for name in (
            "url", "command", "args", "allowed_tools", "cwd", "timeout", "protocol_version")}
        return _rebuild, (type(self), self.name, {**plain, "withheld": withheld or self.withheld})


def _rebuild(cls: type[MCPServer], name: str, values: dict[str, Any]) -> MCPServer:
    return cls(name, **values)


def name_of_address(url: str | None, command: str | None) -> str:
    """A name for a server that was given none: its host, or its program."""
    if isinstance(url, str) and "://" in url:
        return url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2] or "server"
    return Path(command).stem if isinstance(command, (str, Path)) and command else "server"


def _servers_in(config: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(config, Mapping):
        try:
            config = _json.loads(Path(config).read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise ToolError(f"the MCP configuration cannot be read: {error}") from None
    for key in ("mcpServers", "servers"):
        found = config.get(key) if isinstance(config, Mapping) else None
        if isinstance(found, Mapping):
            return found
    raise ToolError('an MCP configuration looks like {"mcpServers": {"name": {"command": "…"}}}')


def _disabled(entry: Any) -> bool:
    return isinstance(entry, Mapping) and bool(entry.get("disabled"))


def _configured(cls: type[MCPServer], name: str, entry: Any) -> MCPServer:
    if not isinstance(entry, Mapping):
        raise ToolError(f"MCP server {name!r}: its entry is an object with a command or a url")
    kind = entry.get("type") or entry.get("transport")
    if kind == "sse":
        raise ToolError(f"MCP server {name!r}: the old transport 'sse' is not spoken; use the server's streamable HTTP url")
    entry = {key: _expanded(name, value) for key, value in entry.items()}
    known = {"url": entry.get("url") or entry.get("serverUrl"), "allowed_tools": entry.get("allowedTools")}
    known |= {key: entry.get(key) for key in ("command", "args", "env", "cwd", "headers", "token", "timeout")}
    return cls(name, **{key: value for key, value in known.items() if value is not None})


def _expanded(server: str, value: Any) -> Any:
    """The value with environment variables put in."""
    if isinstance(value, Mapping):
        return {key: _expanded(server, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_expanded(server, item) for item in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        found = _env.get(match[1]) or match[2]
        if found is None:
            raise ToolError(f"MCP server {server!r}: its configuration wants the environment variable {match[1]}")
        return found

    return _VARIABLE.sub(variable, value)
