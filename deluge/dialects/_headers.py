"""Addresses and headers: the same rules for every dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from deluge.models.model import Model
from deluge.request import RequestTemplate, joined_headers

# How headers begin that speak to some providers only, and to whom. In a mixed pool the user gives one set for all.
_OWNERS: tuple[tuple[str, Callable[[Model], bool]], ...] = (
    ("anthropic-", lambda model: _speaks(model, "anthropic") or model.has("anthropic_fields")),
    ("openai-", lambda model: model.provider.name.startswith(("openai", "azure")) and not _speaks(model, "anthropic")),
    ("x-goog-", lambda model: _speaks(model, "gemini")),
    ("x-amz", lambda model: model.provider.name.startswith("bedrock")),
    ("x-api-key", lambda model: model.provider.key_header == "x-api-key"),
    ("api-key", lambda model: model.provider.key_header == "api-key"),
    ("http-referer", lambda model: model.provider.name == "openrouter"),
    ("x-title", lambda model: model.provider.name == "openrouter"),
    ("x-openrouter-", lambda model: model.provider.name == "openrouter"),
)

# Hosts of AWS that are services of their own to its signatures.
_SIGNED_APART = ("bedrock-mantle", "aws-external-anthropic")


def address(template: RequestTemplate, path: str) -> str:
    """``base_url`` with the path, the provider's query and the query that ``base_url`` had (Azure's api-version)."""
    base, _, query = template.base_url.partition("?")
    parts = [query] if query else []
    if template.model.provider.query:
        parts.append(urlencode(template.model.provider.query))
    url = base.rstrip("/") + path
    return f"{url}?{'&'.join(parts)}" if parts else url


def headers(template: RequestTemplate, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Content type, key, the provider's own headers, the dialect's, then the user's over them."""
    base = {"content-type": "application/json", "accept": "application/json"}
    provider = template.model.provider
    if template.api_key:
        plain = provider.key_header.lower() != "authorization"
        base[provider.key_header.lower()] = template.api_key if plain else f"Bearer {template.api_key}"
    base.update((name.lower(), value) for name, value in provider.headers.items())
    base.update(own or {})
    return joined_headers(base, template.options.extra_headers)


def signer(template: RequestTemplate) -> tuple[str | None, Mapping[str, Any] | None]:
    """Who signs the request when there is no key for it."""
    if template.api_key:
        return None, None
    if template.model.has("sigv4"):
        label = (urlsplit(template.base_url).hostname or "").partition(".")[0]
        return "aws", {"service": label if label in _SIGNED_APART else "bedrock"}
    if template.model.has("google_auth"):
        return "google", {}
    return None, None


def meant_for(
    model: Model, pool: Iterable[Model], extra: Mapping[str, str | None]
) -> Mapping[str, str | None]:
    """The user's headers without those that speak to another provider of the pool, and not to this model's."""
    pool = tuple(pool)
    return {
        name: value for name, value in extra.items()
        if all(owns(model) or not any(map(owns, pool)) for owns in _owners(name))
    }


def _owners(name: str) -> Iterator[Callable[[Model], bool]]:
    return (owns for prefix, owns in _OWNERS if name.lower().startswith(prefix))


def _speaks(model: Model, dialect: str) -> bool:
    return (model.dialect or model.provider.dialect) == dialect
