"""Adds models and providers at run time, from plain keywords (or a row of the user's YAML)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from deluge.errors import ConfigError
from deluge.models import families, registry
from deluge.models.flags import FLAGS, checked
from deluge.models.model import Limits, Model, PerRequest, Price, Provider
from deluge.models.registry import Catalog
from deluge.models.rows import PLAIN, Family

# In the order of the fields of Price and Limits.
_PRICES = ("input_price", "output_price", "cached_input_price", "cache_write_price", "cache_write_1h_price")
_LIMITS = {
    "requests_per_minute": "requests_per_minute", "tokens_per_minute": "tokens_per_minute",
    "max_concurrent_requests": "concurrent_requests",
}
_PER_REQUEST = {"texts_per_request": "texts", "tokens_per_request": "tokens"}
_FACTS = ("name", "dialect", "base_url", "context_window", "max_output_tokens", "default_effort", "dimensions")


def register_model(
    id: str, *, provider: str | Provider | None = None, api_key_env: str | Iterable[str] = (),
    headers: Mapping[str, str] | None = None, flags: Iterable[str] = (), efforts: Iterable[str] = (),
    aliases: str | Iterable[str] = (), retires: str | dt.date | None = None, **facts: Any,
) -> Model:
    """Adds a model, or replaces the one of this id, and returns it; it can be used by name from then on.

    ``provider``: one that is known, by name; leave it out and give ``base_url`` for a server of your own.
    ``facts``: ``name`` (on the wire, when it is not the id), ``dialect``, ``base_url``, ``context_window``,
    ``max_output_tokens``, ``default_effort``; prices in $/M tokens: ``input_price``, ``output_price``,
    ``cached_input_price``, ``cache_write_price``, ``cache_write_1h_price``; ``requests_per_minute``,
    ``tokens_per_minute``, ``max_concurrent_requests``; ``dimensions``, ``texts_per_request``, ``tokens_per_request`` of one
    that embeds; and any flag of docs/models.md as ``flag=True``.
    Without any flag it gets those of a model that the provider does not list: all that the user asks for is sent.
    """
    _check_id(id)
    said = _flags(flags, facts)
    _refuse_unknown(id, facts)
    who, unlisted = _provider(id, provider, facts, _words(api_key_env), headers)
    default = unlisted if said is None else PLAIN
    base = "" if facts.get("base_url", who.base_url) == who.base_url else str(facts["base_url"])
    return registry.add_model(Model(
        id=id, name=str(facts.get("name") or id), provider=who, dialect=_dialect(facts), base_url=base,
        price=_price(facts),
        prices_at=dt.date.today() if any(facts.get(key) is not None for key in _PRICES) else None,
        context_window=_count(facts, "context_window") or default.context_window,
        max_output_tokens=_count(facts, "max_output_tokens") or default.max_output_tokens,
        flags=default.flags if said is None else said, efforts=_words(efforts) or default.efforts,
        default_effort=facts.get("default_effort") or default.default_effort, aliases=_words(aliases),
        retires=_day(retires), limits=Limits(**{ours: _count(facts, key) for key, ours in _LIMITS.items()}),
        dimensions=_count(facts, "dimensions"),
        per_request=PerRequest(**{ours: _count(facts, key) for key, ours in _PER_REQUEST.items()}),
    ))


def register_provider(
    name: str, base_url: str, *, dialect: str = "openai_chat", api_key_env: str | Iterable[str] = (),
    key_header: str = "authorization", headers: Mapping[str, str] | None = None, flags: Iterable[str] = (),
    url_env: Mapping[str, str] | None = None, aliases: str | Iterable[str] = (),
) -> Provider:
    """Adds a provider, so that ``name:anything`` is a model of it; no variable with a key means that it needs none."""
    if not name or ":" in name or name != name.strip():
        raise ConfigError(f"a provider's name is a word without a colon, not {name!r}")
    keys = _words(api_key_env)
    return registry.add_provider(Catalog(Provider(
        name=name, base_url=_url(base_url), dialect=_dialect({"dialect": dialect}), key_env=keys, key_header=key_header,
        flags=checked(_words(flags)), headers=MappingProxyType(dict(headers or {})), key_optional=not keys,
        url_env=MappingProxyType(dict(url_env or {})), aliases=_words(aliases),
    )))


def _check_id(id: str) -> None:
    if not isinstance(id, str) or not id or id != id.strip():
        raise ConfigError(f"a model's id is a name without blanks around it, not {id!r}")


def _flags(flags: Iterable[str], facts: dict[str, Any]) -> frozenset[str] | None:
    """The flags that were said, taken out of ``facts``; None when nothing was said about any."""
    words = set(_words(flags))
    said = [key for key in facts if key in FLAGS]
    for key in said:
        value = facts.pop(key)
        if not isinstance(value, bool):
            raise ConfigError(f"{key} is a flag: true or false, not {value!r}")
        words = words | {key} if value else words - {key}
    return checked(words) if words or said else None


def _refuse_unknown(id: str, facts: Mapping[str, Any]) -> None:
    known = [*_FACTS, *_PRICES, *_LIMITS, *_PER_REQUEST, *FLAGS]
    for key in facts:
        if key not in known:
            near = get_close_matches(key, known, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(f"model {id!r}: unknown argument {key!r}{hint}")


def _provider(
    id: str, provider: str | Provider | None, facts: Mapping[str, Any], keys: tuple[str, ...],
    headers: Mapping[str, str] | None,
) -> tuple[Provider, Family]:
    if isinstance(provider, Provider):
        return provider, families.UNLISTED
    catalog = registry.catalog_of(provider) if provider else None
    if catalog is not None and not keys and not headers:
        return catalog.provider, catalog.unlisted
    if "base_url" not in facts and catalog is None:
        known = f"; {provider!r} is no provider that is known" if provider else ""
        raise ConfigError(f"model {id!r} needs a known provider or a base_url{known}")
    theirs = catalog.provider if catalog else Provider(provider or "custom", "", key_optional=not keys, batches="openai")
    own = Provider(
        theirs.name, _url(str(facts.get("base_url") or theirs.base_url)), _dialect(facts) or theirs.dialect,
        key_env=keys or theirs.key_env, key_header=theirs.key_header, flags=theirs.flags,
        headers=MappingProxyType({**theirs.headers, **(headers or {})}), url_env=theirs.url_env,
        url_defaults=theirs.url_defaults, query=theirs.query, key_optional=theirs.key_optional,
        service_tiers=theirs.service_tiers, per_request=theirs.per_request, batches=theirs.batches,
    )
    return own, catalog.unlisted if catalog else families.UNLISTED


def _dialect(facts: Mapping[str, Any]) -> str:
    word = str(facts.get("dialect") or "")
    if word and word not in registry.dialects():
        raise ConfigError(f"unknown dialect {word!r}; there are: {', '.join(registry.dialects())}")
    return word


def _url(url: str) -> str:
    if not url.startswith(("https://", "http://", "{")):
        raise ConfigError(f"a base_url begins with https:// or http://, not like {url!r}")
    return url.rstrip("/")


def _words(value: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(value.split()) if isinstance(value, str) else tuple(value)


def _price(facts: Mapping[str, Any]) -> Price:
    found = [_number(facts, key) for key in _PRICES]
    return Price(found[0], found[1], found[2], found[3], found[4])


def _number(facts: Mapping[str, Any], key: str) -> float | None:
    value = facts.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(f"{key} is a number of dollars, 0 or more, not {value!r}")
    return float(value)


def _count(facts: Mapping[str, Any], key: str) -> Any:
    value = facts.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
        raise ConfigError(f"{key} is a number above 0, not {value!r}")
    return value


def _day(value: str | dt.date | None) -> dt.date | None:
    if value is None or isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise ConfigError(f"retires is a day like 2027-01-14, not {value!r}") from None
