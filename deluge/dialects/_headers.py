"""Addresses and headers: the same rules for every dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from deluge.request import RequestTemplate, joined_headers

# Headers that speak to one family of providers. In a mixed pool the user gives one set for all of them.
_OWNED = {"anthropic-": "anthropic", "openai-": "openai", "x-goog-": "gemini", "x-amz": "bedrock"}


def address(template: RequestTemplate, path: str) -> str:
    """``base_url`` with the path, the provider's query and the query that ``base_url`` had (Azure's api-version)."""
    base, _, query = template.base_url.partition("?")
    parts = [query] if query else []
    if template.model.provider.query:
        parts.append(urlencode(template.model.provider.query))
    url = base.rstrip("/") + path
    return f"{url}?{'&'.join(parts)}" if parts else url


def headers(template: RequestTemplate, family: str, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Content type, key, the provider's own headers, the dialect's, then the user's over them."""
    base = {"content-type": "application/json", "accept": "application/json"}
    provider = template.model.provider
    if template.api_key:
        plain = provider.key_header.lower() != "authorization"
        base[provider.key_header.lower()] = template.api_key if plain else f"Bearer {template.api_key}"
    base.update((name.lower(), value) for name, value in provider.headers.items())
    base.update(own or {})
    families = (family, "bedrock") if template.model.has("sigv4") else (family,)
    return joined_headers(base, _meant_for(template.options.extra_headers, families))


def signer(template: RequestTemplate, service: str) -> tuple[str | None, Mapping[str, Any] | None]:
    """Who signs the request when there is no key for it."""
    if template.api_key:
        return None, None
    if template.model.has("sigv4"):
        return "aws", {"service": service}
    if template.model.has("google_auth"):
        return "google", {}
    return None, None


def _meant_for(extra: Mapping[str, str | None], families: tuple[str, ...]) -> Mapping[str, str | None]:
    return {
        name: value for name, value in extra.items()
        if all(owner in families or not name.lower().startswith(prefix) for prefix, owner in _OWNED.items())
    }
