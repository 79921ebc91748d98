"""The client that a command's flags describe."""

from __future__ import annotations

import argparse
from typing import Any

from deluge import LLMClient
from deluge.caches import SQLiteCache
from deluge.cli.terminal import on_terminal
from deluge.config import read_yaml
from deluge.errors import ConfigError

# Flag -> the client's argument, or the sampling parameter.
_SETTINGS = {
    "model": "model_names", "base_url": "base_url", "rpm": "max_requests_per_minute", "tpm": "max_tokens_per_minute",
    "concurrency": "max_concurrent_requests", "timeout": "request_timeout",
}
_PARAMS = {"temperature": "temperature", "max_tokens": "max_new_tokens"}


def client_from(options: argparse.Namespace, *, any_model: bool = False, **more: Any) -> LLMClient:
    """A client with the settings of ``--config`` and the flags over them. ``ConfigError`` says what is wrong.

    ``any_model``: the client's own default will do when none is named (a whole work list is nobody's default).
    """
    settings = read_yaml(options.config) if options.config else {}
    given = {name: getattr(options, flag) for flag, name in _SETTINGS.items() if getattr(options, flag) is not None}
    if "model_names" in given:
        settings.pop("model_weights", None)  # they were for other models
    settings.update(given)
    if not settings.get("model_names") and not any_model:
        raise ConfigError("which model? -m MODEL ('deluge models' lists them; rehearsal-echo needs no key)")
    params = {name: getattr(options, flag) for flag, name in _PARAMS.items() if getattr(options, flag) is not None}
    settings["sampling_params"] = _overlaid(settings.pop("sampling_params", None), params)
    for name in ("max_cost", "unknown_cost"):
        if getattr(options, name, None) is not None:
            settings[name] = getattr(options, name)
    if options.cache is not None:
        settings["cache"] = options.answers = SQLiteCache(options.cache)  # closed when the command ends
    settings["progress"] = settings.get("progress", "rich") if on_terminal() and not options.quiet else None
    return LLMClient.from_dict({**settings, **params, **more})


def _overlaid(entries: Any, params: dict[str, Any]) -> Any:
    """The sampling parameters of a configuration with the flags over them, in the shape in which they came."""
    if isinstance(entries, dict):
        return {**entries, **params}
    if isinstance(entries, list):
        return [{**entry, **params} if isinstance(entry, dict) else entry for entry in entries]
    return entries
