"""Finds models by name, in the catalog and among those that the user registered.

A generated index says which catalog module knows a name, so that looking up one model imports one module. Rows get
their generated prices when they are loaded. All state is in dicts, changed by single insertions: these are atomic, so
that any thread may look up and register at any time without a lock, and a forked child finds them whole.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from deluge import _plugins
from deluge.errors import UnknownModelError
from deluge.models import families
from deluge.models.catalog._index import CATALOGS, MODELS, PROVIDERS
from deluge.models.catalog._prices import PRICES, READ_ON, SEARCHES
from deluge.models.model import Model, Price, Provider
from deluge.models.rows import Family
from deluge.params import EFFORTS

_KIND = "models.catalog"
PriceTable = tuple[int | None, dict[str, tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Catalog:
    """One provider with its rows, and what is assumed of its models that have none."""

    provider: Provider
    models: tuple[Model, ...] = ()
    unlisted: Family = families.UNLISTED


_catalogs: dict[str, Catalog] = {}
_rows: dict[str, Model] = {}
_own_models: dict[str, Model] = {}
_own_providers: dict[str, Catalog] = {}


def get_model(name: str) -> Model:
    """The model of this id or alias, or of ``provider:anything``; ``UnknownModelError`` names the nearest ones."""
    model = _known(name) or _indexed_late(name)
    if model is None:
        raise UnknownModelError(_unknown(name))
    return model


def resolve(name: str) -> tuple[Model, str | None]:
    """The model, and the reasoning effort that the end of the name asks for (``gpt-5-high``), if it does."""
    if name not in _own_models and (listed := _split_listed(name)):
        return listed
    model = _known(name) or _newly_added(name)
    if model is not None:
        return model, None
    trimmed, effort = _split(name)
    model = (_known(trimmed) or _newly_added(trimmed)) if effort else None
    return (model, effort) if model else (get_model(name), None)


def custom_model(name: str, base_url: str, dialect: str = "openai_chat") -> Model:
    """A model of this name at an address of the user's own, of which nothing else is known."""
    provider = Provider("custom", base_url.rstrip("/"), dialect, key_optional=True, batches="openai")
    return _unlisted(Catalog(provider), name, name)


def is_listed(model: Model) -> bool:
    """Whether the catalog knows what this model is: it is a row of it."""
    return _rows.get(model.id) is model


def models() -> tuple[Model, ...]:
    """Every model of every catalog, then those that were registered; one that replaces a row stands in its place."""
    listed = {model.id: model for module in _modules() for model in _catalog(module).models}
    return tuple((listed | {model.id: model for model in _own_models.values()}).values())


def providers() -> tuple[Provider, ...]:
    """Every provider, by name; all of their models can be named as ``provider:model``."""
    found = {catalog.provider.name: catalog.provider for catalog in map(_catalog, _modules())}
    found |= {catalog.provider.name: catalog.provider for catalog in _own_providers.values()}
    return tuple(found[name] for name in sorted(found))


def get_provider(name: str) -> Provider | None:
    """The provider of this name or alias, or None."""
    catalog = catalog_of(name)
    return catalog.provider if catalog else None


def catalog_of(provider: str) -> Catalog | None:
    """The catalog of the provider of this name or alias, or None."""
    if provider in _own_providers:
        return _own_providers[provider]
    if provider in PROVIDERS:
        return _catalog(PROVIDERS[provider])
    for module in _plugins.names(_KIND):
        if module not in CATALOGS:
            catalog = _catalog(module)
            if provider in (catalog.provider.name, *catalog.provider.aliases):
                return catalog
    return None


def dialects() -> tuple[str, ...]:
    """The wire formats that there are."""
    return _plugins.names("dialects")


def retirement_notice(model: Model, today: dt.date) -> str | None:
    """What the user should hear about a model that was or soon will be shut down; None until 60 days before."""
    if model.retires is None:
        return f"{model.id} was shut down by {model.provider.name}" if model.has("retired") else None
    days = (model.retires - today).days
    if days > 60:
        return None
    if days > 0:
        return f"{model.id} will be shut down by {model.provider.name} on {model.retires} (in {days} days)"
    return f"{model.id} was shut down by {model.provider.name} on {model.retires}"


def add_model(model: Model) -> Model:
    """Makes a model findable by its id and aliases; a later one of the same name replaces it."""
    for name in (model.id, *model.aliases):
        _own_models[name] = model
    return model


def add_provider(catalog: Catalog) -> Provider:
    """Makes ``provider:anything`` work for this provider, under its name and aliases."""
    for name in (catalog.provider.name, *catalog.provider.aliases):
        _own_providers[name] = catalog
    return catalog.provider


def forget(*names: str) -> None:
    """Takes registered models and providers of these names out again; rows of the catalog stay."""
    for name in names:
        _own_models.pop(name, None)
        _own_providers.pop(name, None)


def forget_catalog(module: str) -> None:
    """Takes a loaded catalog out again; asking for one of its models reads it anew, if it is still there."""
    catalog = _catalogs.pop(module, None)
    for model in catalog.models if catalog else ():
        for name in (model.id, *model.aliases):
            _rows.pop(name, None)


def as_of(model: Model, today: dt.date, prices: Mapping[str, PriceTable] = PRICES) -> Model:
    """The row with the generated prices and window that hold ``today``, and flagged when it was shut down by then."""
    if model.retires is not None and model.retires <= today:
        model = replace(model, flags=model.flags | {"retired"})
    if model.id not in prices:
        return model
    window, table = prices[model.id]
    current: dict[str, Price] = {}
    for key, numbers in table.items():  # a key is "tier@day from which it holds", in the order of days
        tier, _, since = key.partition("@")
        if not since or dt.date.fromisoformat(since) <= today:
            current[tier] = _price(numbers)
    price = current.pop("", model.price)
    return replace(
        model, price=price, service_prices=current or model.service_prices, prices_at=dt.date.fromisoformat(READ_ON),
        context_window=window or model.context_window, search_price=SEARCHES.get(model.id, model.search_price),
    )


def _price(numbers: tuple[Any, ...]) -> Price:
    """``(input, output, cache read, cache write, 1 h cache write, above, (the tier's …))``, cut short at the end."""
    if len(numbers) == 7:
        return Price(*numbers[:6], tier=_price(numbers[6]))
    return Price(*numbers)


def _known(name: str) -> Model | None:
    if name in _own_models:
        return _own_models[name]
    if name in MODELS:
        _catalog(MODELS[name])
        return _rows.get(name)
    return _on_the_spot(name)


def _newly_added(name: str) -> Model | None:
    """Looks through the catalogs that the generated index does not know: new files, and registered ones."""
    for module in _plugins.names(_KIND):
        if module not in CATALOGS:
            _catalog(module)
    return _rows.get(name) or _on_the_spot(name)


def _indexed_late(name: str) -> Model | None:
    """Looks through everything: a row may be newer than the index."""
    found = _newly_added(name)
    if found is None:
        for module in _modules():
            _catalog(module)
        found = _rows.get(name)
    return found


def _on_the_spot(name: str) -> Model | None:
    word, _, rest = name.partition(":")
    catalog = catalog_of(word) if rest else None
    if catalog is None:
        return None
    own = _own_models.get(rest)
    if own is not None and own.provider.name == catalog.provider.name:
        return own
    return _listed(catalog, rest) or _unlisted(catalog, name, rest)


def _unlisted(catalog: Catalog, id: str, name: str) -> Model:
    traits = catalog.unlisted
    return Model(
        id=id, name=name, provider=catalog.provider, flags=traits.flags, efforts=traits.efforts,
        default_effort=traits.default_effort, context_window=traits.context_window,
        max_output_tokens=traits.max_output_tokens,
    )


def _listed(catalog: Catalog, name: str) -> Model | None:
    for model in catalog.models:
        if name == model.name or name == model.id or name in model.aliases:
            return model
    return None


def _split(name: str) -> tuple[str, str | None]:
    trimmed, dash, word = name.rpartition("-")
    return (trimmed, word) if dash and word in EFFORTS else (name, None)


def _split_listed(name: str) -> tuple[Model, str] | None:
    """``openai:gpt-5-high``: a name that anything fits, of which the catalog knows the part before the effort."""
    word, colon, rest = name.partition(":")
    trimmed, effort = _split(rest)
    catalog = catalog_of(word) if colon else None
    if catalog is None or effort is None or _listed(catalog, rest):
        return None
    model = _listed(catalog, trimmed)
    return (model, effort) if model else None


def _modules() -> Iterator[str]:
    yield from CATALOGS
    yield from (name for name in _plugins.names(_KIND) if name not in CATALOGS)


def _catalog(module: str) -> Catalog:
    """A catalog as of today. Two threads may build it at once: the row stored first is everybody's.

    The rows are all in place before the catalog is: who sees the catalog finds its rows.
    """
    if module in _catalogs:
        return _catalogs[module]
    found = _plugins.load(_KIND, module)
    today = dt.date.today()
    rows = tuple(_rows.setdefault(model.id, as_of(model, today)) for model in found.MODELS)
    for model in rows:
        for name in model.aliases:
            _rows.setdefault(name, model)
    return _catalogs.setdefault(module, Catalog(found.PROVIDER, rows, getattr(found, "UNLISTED", families.UNLISTED)))


def _unknown(name: str) -> str:
    word, colon, rest = name.partition(":")
    if colon and "/" not in word and "." not in word:
        near = get_close_matches(word.lower(), [*PROVIDERS, *_own_providers], n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else f"; there are: {', '.join(sorted(PROVIDERS))}"
        return f"unknown provider {word!r} in model {name!r}{hint}"
    near = get_close_matches(name.lower(), [*MODELS, *_rows, *_own_models], n=5, cutoff=0.5)
    near = list(dict.fromkeys(near))
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `deluge models` lists what there is."
    return (
        f"unknown model {name!r}{hint} A model that is not in the catalog is named provider:model, "
        f"for example openrouter:{name}; with base_url any name goes"
    )
