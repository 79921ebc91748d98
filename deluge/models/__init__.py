"""The catalog of models: look one up, search it, add to it. Each name is loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deluge import _plugins

if TYPE_CHECKING:
    from deluge.config import load_models
    from deluge.models.find import find_models
    from deluge.models.model import Limits, Model, Price, Provider
    from deluge.models.register import register_model, register_provider
    from deluge.models.registry import get_model

_HOMES = {
    "find_models": "find", "Limits": "model", "Model": "model", "Price": "model", "Provider": "model",
    "register_model": "register", "register_provider": "register", "get_model": "registry",
    "load_models": "config",
}
__all__ = [
    "Limits", "Model", "Price", "Provider", "find_models", "get_model", "load_models", "register_model", "register_provider",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        home = _HOMES[name]
        return getattr(_plugins.room(home if home == "config" else f"models.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
