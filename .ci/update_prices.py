"""Writes deluge/models/catalog/_prices.py from the data of the package genai-prices. Run it, look at the diff, commit.

    python3.12 -m venv build/prices && build/prices/bin/pip install genai-prices
    build/prices/bin/python .ci/update_prices.py

genai-prices needs Python >= 3.11. What it does not know keeps the price of its row. A price change that is already
announced is written with its day, and the catalog takes the price that holds on the day on which it is loaded.
"""

from __future__ import annotations

import datetime as dt
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

from genai_prices import __version__, data
from genai_prices.types import StartDateConstraint, TieredPrices, TimeOfDateConstraint

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "deluge" / "models" / "catalog" / "_prices.py"
sys.path.insert(0, str(ROOT))

# Our provider -> theirs, where the names differ. Azure lists no prices of its own there.
THEIRS = {
    "bedrock": "aws", "vertex": "google", "xai": "x-ai", "moonshot": "moonshotai", "voyage": "voyageai", "rehearsal": "",
    "azure": "", "moondream": "", "perceptron": "", "foundry": "anthropic",
}
# Where every search of the provider's own tool is billed, whatever was used before.
SEARCHED = ("anthropic", "foundry", "openai")
# Tier name -> what genai-prices calls it.
TIERS = {
    "flex": {"service_tier": "flex"}, "priority": {"service_tier": "priority"}, "fast": {"service_tier": "fast"},
    "batch": {"processing": "batch"},
}
FAST = {"speed": "fast"}
FIELDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
# Where the source says it in words only: flex is half of standard, priority 1.8 of it.
FACTORS = {"google": {"flex": 0.5, "priority": 1.8}, "vertex": {"flex": 0.5, "priority": 1.8}}
# Flex costs what on-demand costs.
SAME = {"groq": ("flex", "performance")}

Row = tuple[Any, ...]


def numbers(prices: Any) -> Row:
    """``(input, output, cache read, cache write, 1 h cache write[, above, (the same for longer inputs)])``."""
    values = [getattr(prices, field, None) for field in FIELDS]
    starts = sorted({tier.start for value in values if isinstance(value, TieredPrices) for tier in value.tiers})
    row: Row = ()
    for start in [*reversed(starts), 0]:
        flat = tuple(_at(value, start) for value in values)
        row = (*flat, following, row) if row else _cut(flat)
        following = start
    return row


def _at(value: Any, start: int) -> float | None:
    if isinstance(value, TieredPrices):
        price = value.base
        for tier in value.tiers:
            price = tier.price if tier.start <= start and start else price
        value = price
    return None if value is None else round(float(value), 6)


def _cut(row: Row) -> Row:
    while row and row[-1] is None:
        row = row[:-1]
    return row


def table(info: Any, provider: str, today: dt.date, tiers: set[str]) -> dict[str, Row]:
    """The prices of one model: ``tier`` or ``tier@day from which it holds`` -> numbers."""
    result: dict[str, Row] = {}
    for day in [today, *_changes(info, today)]:
        mark = f"@{day}" if day > today else ""
        base = _prices(info, day, None)
        if not base or base[0] is None and len(base) < 2:
            continue
        _note(result, "", mark, base)
        for tier, words in TIERS.items():
            found = _prices(info, day, words)
            if tier == "fast" and found == base:
                found = _prices(info, day, FAST)
            if found != base:
                _note(result, tier, mark, found)
            elif tier in tiers and tier in FACTORS.get(provider, {}):
                _note(result, tier, mark, _scaled(base, FACTORS[provider][tier]))
        for tier in SAME.get(provider, ()):
            _note(result, tier, mark, base)
    if peak := _peak(info):
        result["peak"] = peak
    return result


def _note(result: dict[str, Row], tier: str, mark: str, row: Row) -> None:
    if result.get(tier) != row:
        result[tier + mark] = row


def _scaled(row: Row, factor: float) -> Row:
    scaled = [None if value is None else round(value * factor, 6) for value in row[:5]]
    return (*scaled, row[5], _scaled(row[6], factor)) if len(row) == 7 else tuple(scaled)


def _prices(info: Any, day: dt.date, context: dict[str, str] | None) -> Row:
    hours = [dt.datetime.combine(day, dt.time(hour, 45), dt.timezone.utc) for hour in range(24)]
    peaks = [price.constraint for price in _timed(info)]
    moment = next(hour for hour in hours if not any(peak.active(hour) for peak in peaks))
    return numbers(info.get_prices(moment, context))


def _changes(info: Any, today: dt.date) -> list[dt.date]:
    conditions = [price.constraint for price in info.prices] if isinstance(info.prices, list) else []
    conditions += [variant.constraint for variant in info.price_variants or ()]
    days = {found.start_date for found in conditions if isinstance(found, StartDateConstraint)}
    return sorted(day for day in days if day > today)


def _peak(info: Any) -> Row | None:
    rows = [numbers(price.prices) for price in _timed(info)]
    return max(rows, key=lambda row: row[0] or 0) if rows else None


def _timed(info: Any) -> list[Any]:
    listed = info.prices if isinstance(info.prices, list) else []
    return [price for price in listed if isinstance(price.constraint, TimeOfDateConstraint)]


def searches(info: Any, day: dt.date) -> float | None:
    """Dollars for a thousand web searches by the provider's own tool."""
    price = getattr(info.get_prices(dt.datetime.combine(day, dt.time(12), dt.timezone.utc), None), "web_searches_kcount", None)
    return None if price is None else float(price)


def find(provider: Any, model: Any) -> Any:
    """The source's entry for one of our models, by the name on the wire, else by our id."""
    for name in (model.name, model.name.rpartition("/")[2], model.id):
        for info in provider.models:
            if info.is_match(name):
                return info
    return None


def main() -> int:
    today = dt.date.today()
    theirs = {provider.id: provider for provider in data.providers}
    package = importlib.import_module("deluge.models.catalog")
    lines, searched, known, total = [], [], 0, 0
    for item in sorted(pkgutil.iter_modules(package.__path__), key=lambda item: item.name):
        if item.name.startswith("_"):
            continue
        catalog = importlib.import_module(f"deluge.models.catalog.{item.name}")
        name = catalog.PROVIDER.name
        source = theirs.get(THEIRS.get(name, name))
        for model in catalog.MODELS:
            total += 1
            info = find(source, model) if source else None
            tiers = {flag.removeprefix("supports_") for flag in model.flags}
            prices = table(info, name, today, tiers) if info else {}
            if prices:
                known += 1
                lines.append(f'    "{model.id}": ({info.context_window}, {prices!r}),\n')
            search = searches(info, today) if info and name in SEARCHED else None
            if search is not None:
                searched.append(f'    "{model.id}": {search!r},\n')
    text = HEAD.format(version=__version__, day=today) + "".join(lines) + "}\n" + SEARCH_HEAD + "".join(searched) + "}\n"
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {known} of {total} models")
    return 0


HEAD = '''"""Prices and context windows. Generated by .ci/update_prices.py from genai-prices {version}: do not edit.

id -> (context window, {{tier or tier@first day: (input, output, cache read, cache write, 1 h cache write, above, (...))}})
in dollars per million tokens; the last pair holds for requests with more input than ``above``.
"""

# flake8: noqa: E501
from typing import Any

READ_ON = "{day}"
PRICES: dict[str, tuple[int | None, dict[str, tuple[Any, ...]]]] = {{
'''
SEARCH_HEAD = """# Dollars for a thousand web searches by the provider's own tool.
SEARCHES: dict[str, float] = {
"""

if __name__ == "__main__":
    raise SystemExit(main())
