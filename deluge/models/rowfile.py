"""Models and providers as rows of plain data: what a YAML file of the user's holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deluge.errors import ConfigError
from deluge.models.model import Model
from deluge.models.register import register_model, register_provider


def register_rows(models: Any = None, providers: Any = None) -> list[Model]:
    """The models of these rows, registered; the arguments of ``register_model`` and ``register_provider`` are their keys.

    Each is a list of mappings with an ``id`` (a provider's ``name``), or a mapping from that to the rest.
    ``ConfigError`` names the row that is wrong.
    """
    for row in _rows(providers, "providers", "name"):
        _made(register_provider, row, "provider", "name")
    return [_made(register_model, row, "model", "id") for row in _rows(models, "models", "id")]


def _rows(given: Any, what: str, key: str) -> Iterator[dict[str, Any]]:
    if given is None:
        return
    if isinstance(given, Mapping):
        given = [{key: name, **(row if isinstance(row, Mapping) else {"": row})} for name, row in given.items()]
    if not isinstance(given, (list, tuple)) or not all(isinstance(row, Mapping) for row in given):
        raise ConfigError(f"{what} are a list of mappings with the key {key!r}, or a mapping by {key}")
    yield from (dict(row) for row in given)


def _made(register: Any, row: dict[str, Any], what: str, key: str) -> Any:
    name = row.pop(key, None)
    if not isinstance(name, str):
        raise ConfigError(f"a {what} needs the key {key!r}, a name: {', '.join(map(str, row)) or 'the row'} has none")
    try:
        return register(name, **row)
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if name in text else f"{what} {name!r}: {text}") from None
    except TypeError as error:
        raise ConfigError(f"{what} {name!r}: {str(error).rpartition('() ')[2]}") from None
