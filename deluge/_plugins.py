"""The one dynamic import: rooms that are found by name (dialects, caches, displays, catalogs …).

``load("dialects", "anthropic")`` imports ``deluge.dialects.anthropic`` and gives its ``DIALECT``. A new file in the
folder is all that a new one takes. Code outside the package adds its own with ``register(kind, name, object)``, which
wins over a file of the same name, or with an entry point of the group ``deluge.<kind>``, which a file wins over.

Everything here is a lookup in, or one insertion into, a plain dict: both are atomic, so that no lock is needed.
"""

from __future__ import annotations

import pkgutil
import sys
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from deluge.errors import ConfigError

# The constant with which a module of a kind ends; of other kinds the module itself is what the caller gets.
CONSTANTS = {"dialects": "DIALECT", "caches": "CACHE", "progress": "DISPLAY"}

_registered: dict[tuple[str, str], Any] = {}
_own: dict[tuple[str, ...], frozenset[str]] = {}


def register(kind: str, name: str, thing: Any) -> None:
    """From now on ``load(kind, name)`` gives ``thing``."""
    _registered[kind, _module_name(name)] = thing


def unregister(kind: str, name: str) -> None:
    """Forgets what ``register`` added; nothing happens when there is nothing."""
    _registered.pop((kind, _module_name(name)), None)


def load(kind: str, name: str) -> Any:
    """What this module of ``deluge.<kind>`` ends in, or what was registered under the name.

    ``ConfigError`` lists the names that exist when this one does not.
    """
    word = _module_name(name)
    if (kind, word) in _registered:
        return _registered[kind, word]
    module = _module(f"deluge.{kind}.{word}") if word.isidentifier() and not word.startswith("_") else None
    if module is None:
        return _external(kind, name, word)
    constant = CONSTANTS.get(kind)
    if constant is None:
        return module
    try:
        return getattr(module, constant)
    except AttributeError:
        raise ConfigError(f"{module.__name__} does not end in {constant} = …") from None


def room(name: str) -> ModuleType:
    """The module ``deluge.<name>``: for the few lazy calls that go up a floor."""
    return import_module(f"deluge.{name}")


def names(kind: str) -> tuple[str, ...]:
    """The names of this kind that ``load`` knows, sorted; none of them is imported."""
    found = set(_listed(kind))
    found |= {name for other, name in _registered if other == kind}
    found |= {_module_name(point.name) for point in _installed(kind, tuple(sys.path))}
    return tuple(sorted(found))


def _listed(kind: str) -> frozenset[str]:
    """The modules in the folders of a room, read once: a process without a free file descriptor could not look."""
    package = _module(f"deluge.{kind}")
    folders = tuple(package.__path__) if package else ()
    if folders not in _own:
        found = (info.name for info in pkgutil.iter_modules(folders))
        _own[folders] = frozenset(name for name in found if not name.startswith("_"))
    return _own[folders]


def _external(kind: str, name: str, word: str) -> Any:
    for point in _installed(kind, tuple(sys.path)):
        if _module_name(point.name) == word:
            return _registered.setdefault((kind, word), point.load())
    known = ", ".join(names(kind)) or "none"
    raise ConfigError(f"deluge.{kind} has no {name!r}; there are: {known}")


@lru_cache(maxsize=64)
def _installed(kind: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of installed packages; reading them costs milliseconds, so once per ``sys.path``."""
    return tuple(entry_points(group=f"deluge.{kind}"))


def _module(path: str) -> ModuleType | None:
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(error.name + ".")):
            return None
        raise


def _module_name(name: str) -> str:
    return name.replace("-", "_")
