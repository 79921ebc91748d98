"""Where a model is served: the base URL with its fields filled in."""

from __future__ import annotations

import string
from collections.abc import Callable
from urllib.parse import quote

from deluge.errors import ConfigError
from deluge.models.model import Model


def base_url(model: Model, lookup: Callable[..., str | None], *, given: str | None = None) -> str:
    """The URL before the dialect's own path, without a slash at its end.

    ``lookup(*names)`` gives the first of these environment variables that is set; ``given`` replaces the template.
    ``ConfigError`` names the variable that is missing.
    """
    template = given or model.base_url or model.provider.base_url
    values = {
        field: _value(model, field, lookup) for _, field, _, _ in string.Formatter().parse(template) if field
    }
    return template.format_map(values).rstrip("/")


def _value(model: Model, field: str, lookup: Callable[..., str | None]) -> str:
    if field == "model":
        return quote(model.name, safe="")
    who = model.provider
    names = who.url_env.get(field, "").split()
    value = (lookup(*names) if names else None) or who.url_defaults.get(field)
    if field == "region" and model.regions and value == who.url_defaults.get(field) and value not in model.regions:
        value = model.regions[0]  # it is not served where the others are
    if value is None:
        how = f"set {' or '.join(names)}" if names else "give base_url whole"
        raise ConfigError(f"the address of {who.name} needs {field}: {how}, or pass base_url")
    return value.rstrip("/")
