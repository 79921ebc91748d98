"""Searches the catalog by provider, name, price, key and flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deluge import _env
from deluge.errors import ConfigError
from deluge.models import registry
from deluge.models.flags import checked
from deluge.models.model import Model

_SORT_KEYS: dict[str, Callable[[Model], Any]] = {
    "id": lambda model: model.id,
    "provider": lambda model: model.provider.name,
    "input_price": lambda model: model.price.input,
    "output_price": lambda model: model.price.output,
    "context_window": lambda model: model.context_window,
    "max_output_tokens": lambda model: model.max_output_tokens,
}


def find_models(
    provider: str | None = None, *, name_contains: str | None = None, max_input_price: float | None = None,
    max_output_price: float | None = None, min_context_window: int | None = None, has_api_key: bool | None = None,
    sort_by: str | None = None, limit: int | None = None, **flags: bool,
) -> list[Model]:
    """The models for which all of this holds; ``flags`` as ``supports_images=True`` or ``retired=False``.

    Prices are $/M tokens; a model whose price is not known passes no price limit. ``has_api_key``: its key is in
    the environment, or it needs none. ``sort_by``: id, provider, input_price, output_price, context_window or
    max_output_tokens, with ``-`` in front for the largest first; what is not known comes last.
    """
    checked(flags, what="filter")
    word = (name_contains or "").lower()
    owner = _provider_name(provider) if provider else None
    found = [
        model for model in registry.models()
        if (owner is None or model.provider.name == owner)
        and _named(model, word)
        and _at_most(model.price.input, max_input_price)
        and _at_most(model.price.output, max_output_price)
        and (min_context_window is None or (model.context_window or 0) >= min_context_window)
        and (has_api_key is None or has_key(model) == has_api_key)
        and all(model.has(flag) == wanted for flag, wanted in flags.items())
    ]
    return _sorted(found, sort_by)[:limit]


def has_key(model: Model) -> bool:
    """Whether a request to this model could be signed: its key is in the environment, or it needs none."""
    who = model.provider
    return who.key_optional or not who.key_env or _env.get(*who.key_env) is not None


def _provider_name(provider: str) -> str:
    found = registry.get_provider(provider)
    if found is None:
        known = ", ".join(who.name for who in registry.providers())
        raise ConfigError(f"unknown provider {provider!r}; there are: {known}")
    return found.name


def _named(model: Model, word: str) -> bool:
    return any(word in name.lower() for name in (model.id, model.name, *model.aliases))


def _at_most(price: float | None, most: float | None) -> bool:
    return most is None or (price is not None and price <= most)


def _sorted(models: list[Model], sort_by: str | None) -> list[Model]:
    if sort_by is None:
        return models
    name = sort_by.removeprefix("-")
    if name not in _SORT_KEYS:
        raise ConfigError(f"models are sorted by {', '.join(_SORT_KEYS)} (with - for descending), not by {sort_by!r}")
    key = _SORT_KEYS[name]
    known = sorted((model for model in models if key(model) is not None), key=key, reverse=sort_by != name)
    return known + [model for model in models if key(model) is None]
