"""``deluge models``: the catalog as a table."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable
from typing import Any

from deluge import _json
from deluge.cli.signals import Signals
from deluge.cli.terminal import say
from deluge.config import read_yaml, settings_of
from deluge.models.find import find_models
from deluge.models.flags import FLAGS
from deluge.models.model import Model

_HEADER = ("id", "provider", "$/M in", "$/M out", "context", "flags")


def list_models(options: argparse.Namespace, signals: Signals) -> int:
    """Prints the models that all words fit; 1 when there is none."""
    if options.config:
        settings_of(read_yaml(options.config))
    words = [word.lower() for word in options.filter]
    flags: dict[str, Any] = {_flag(word): True for word in options.flag}
    flags |= {_flag(word): False for word in options.without}
    found = [model for model in find_models(
        options.provider, max_input_price=options.max_input, max_output_price=options.max_output,
        min_context_window=options.min_context, has_api_key=True if options.with_key else None, sort_by=options.sort, **flags,
    ) if all(word in _searched(model) for word in words)][:options.limit]
    if not found:
        return say(f"no model fits {' '.join(options.filter) or 'that'!r}; any other is named as provider:model", code=1)
    lines = _json_lines(found) if options.json else _cut(_table(found))
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return 0


def _flag(word: str) -> str:
    """A flag as it is written in docs/models.md; ``supports_`` may be left out, as the table does."""
    return word if word in FLAGS or f"supports_{word}" not in FLAGS else f"supports_{word}"


def _searched(model: Model) -> str:
    return " ".join((model.id, model.name, *model.aliases, model.provider.name, *_flags(model))).lower()


def _flags(model: Model) -> list[str]:
    return sorted(model.flags | model.provider.flags)


def _table(found: Iterable[Model]) -> Iterable[str]:
    rows = [_HEADER, *map(_cells, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER) - 1)]
    for row in rows:
        left = row[0].ljust(widths[0]) + "  " + row[1].ljust(widths[1])
        numbers = "  ".join(row[column].rjust(widths[column]) for column in (2, 3, 4))
        yield f"{left}  {numbers}  {row[5]}"


def _cut(lines: Iterable[str]) -> Iterable[str]:
    """As wide as the terminal; whole where nobody looks."""
    if not sys.stdout.isatty():
        return lines
    width = shutil.get_terminal_size().columns
    return (line if len(line) <= width else line[:width - 1] + "…" for line in lines)


def _cells(model: Model) -> tuple[str, ...]:
    flags = " ".join(flag.removeprefix("supports_") for flag in _flags(model))
    retires = f"retires {model.retires} " if model.retires else ""
    context = "?" if model.context_window is None else f"{model.context_window:,}"
    prices = _dollars(model.price.input), _dollars(model.price.output)
    return model.id, model.provider.name, *prices, context, retires + flags


def _dollars(price: float | None) -> str:
    return "?" if price is None else f"{price:.2f}" if round(price, 2) == price else f"{price:.4g}"


def _json_lines(found: Iterable[Model]) -> Iterable[str]:
    for model in found:
        row = {
            "id": model.id, "name": model.name, "provider": model.provider.name,
            "dialect": model.dialect or model.provider.dialect, "input_price": model.price.input,
            "output_price": model.price.output, "cache_read_price": model.price.cache_read,
            "prices_at": str(model.prices_at) if model.prices_at else None, "context_window": model.context_window,
            "max_output_tokens": model.max_output_tokens, "flags": _flags(model), "efforts": list(model.efforts),
            "aliases": list(model.aliases), "retires": str(model.retires) if model.retires else None,
        }
        yield _json.dumps(row).decode()
