"""What nobody may see of a request, wherever it comes back: keys, private headers, tokens of servers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from deluge._urls import public_url
from deluge.request import RequestTemplate
from deluge.tools import MCPServer

SHORTEST = 8  # characters: what is shorter would blot out words
SHORTEST_KEY = 4  # where it is called a secret
# Headers whose values everybody may see.
_PUBLIC = frozenset({
    "accept", "content-type", "user-agent", "anthropic-beta", "anthropic-version", "openai-beta", "http-referer", "x-title",
})
# A name that has one of these in it is that of a secret.
_PRIVATE = re.compile("key|token|secret|passw|auth|credential|cookie|signature|^sig$|^code$", re.IGNORECASE)


def secrets_of(template: RequestTemplate) -> tuple[str, ...]:
    """All that a request of this template sends and nobody may see, the longest first."""
    found: tuple[str, ...] | None = template.memo.get("secrets")
    if found is None:
        values = {value for value in _values(template) if len(value) >= SHORTEST_KEY}
        found = template.memo["secrets"] = tuple(sorted(values, key=len, reverse=True))
    return found


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with ``***`` for each of them."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, "***")
    return text


def shown_url(url: str) -> str:
    """The address without its password, and with ``***`` for what its query calls a key or a token."""
    parts = urlsplit(public_url(url))
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if not any(_PRIVATE.search(name) for name, _ in pairs):
        return parts.geturl()
    kept = [(name, "***" if _PRIVATE.search(name) else value) for name, value in pairs]
    return parts._replace(query=urlencode(kept, safe="*")).geturl()


def shown_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same with ``***`` for what is called a key or a token in it, and for private headers."""
    secrets = set(_of_data(data))

    def shown(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: shown(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [shown(item) for item in value]
        return "***" if isinstance(value, str) and value in secrets else value

    return {name: shown(value) for name, value in data.items()}


def _values(template: RequestTemplate) -> Iterator[str]:
    options = template.options
    if template.api_key:
        yield template.api_key
    yield from _of_headers(options.extra_headers)
    yield from _of_data(options.extra_body)
    yield from _of_url(template.base_url)
    for tool in options.tools:
        if isinstance(tool, MCPServer):
            yield from tool.secrets
        elif isinstance(tool, Mapping):
            yield from _of_data(tool)


def _of_headers(headers: Mapping[str, str | None]) -> Iterator[str]:
    for name, value in headers.items():
        if value is None or name.lower() in _PUBLIC:
            continue
        if len(value) >= SHORTEST or _PRIVATE.search(name):
            yield value
        scheme, _, rest = value.partition(" ")
        if scheme.lower() in ("bearer", "basic", "token"):
            yield rest.strip()


def _of_data(data: Mapping[str, Any]) -> Iterator[str]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _of_headers(_texts(value)) if name == "headers" else _of_data(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                if isinstance(item, Mapping):
                    yield from _of_data(item)
        elif isinstance(value, str) and len(value) >= SHORTEST and _PRIVATE.search(str(name)):
            yield value


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): value for name, value in data.items() if isinstance(value, str)}


def _of_url(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    if password:
        yield from (password, unquote(password))
    for name, value in parse_qsl(parts.query):
        if _PRIVATE.search(name):
            yield value
