"""A row of the catalog: the facts about one model, and about the provider that serves it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, Union

from deluge.errors import ConfigError
from deluge.usage import Usage

AUTO: Literal["auto"] = "auto"
Auto = Literal["auto"]
Limit = Union[float, int, Auto]
_NOTHING: Mapping[str, Any] = MappingProxyType({})
# Tiers that never cost the list price by default: without a price of their own their cost is not known.
_PRICED_APART = frozenset({"flex", "priority", "fast", "batch"})
_WRITES_NOTHING = frozenset({"embedding", "reranking"})  # no output has a price here


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens; None where it is not known (unknown is never 0).

    ``above`` tokens of input in one request the ``tier`` price holds for the whole request.
    """

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    above: int | None = None
    tier: Price | None = None

    def times(self, factor: float) -> Price:
        """This price multiplied, what is not known staying so."""
        flat = (self.input, self.output, self.cache_read, self.cache_write, self.cache_write_1h)
        new = [None if value is None else round(value * factor, 9) for value in flat]
        return Price(new[0], new[1], new[2], new[3], new[4], self.above, self.tier.times(factor) if self.tier else None)

    def cost(self, usage: Usage) -> float | None:
        """Dollars for this usage, or None when a counter that is not zero has no price."""
        if self.tier is not None and self.above is not None and usage.total_input_tokens > self.above:
            return self.tier.cost(usage)
        short_writes = usage.cache_write_tokens - usage.cache_write_1h_tokens
        read = self.cache_read if self.cache_read is not None else self.input
        write = self.cache_write if self.cache_write is not None else self.input
        long_write = self.cache_write_1h if self.cache_write_1h is not None else write
        total = 0.0
        for count, price in (
            (usage.input_tokens, self.input), (usage.output_tokens, self.output), (usage.cache_read_tokens, read),
            (short_writes, write), (usage.cache_write_1h_tokens, long_write),
        ):
            if count:
                if price is None:
                    return None
                total += count * price
        return total / 1e6


@dataclass(frozen=True, slots=True)
class Limits:
    """What an account or a model may use; None = no limit of its own, ``math.inf`` = none at all.

    A model's own limits replace the client's defaults: None leaves the default, ``math.inf`` lifts it. ``"auto"`` is
    whatever the provider turns out to allow.
    """

    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    input_tokens_per_minute: Limit | None = None
    output_tokens_per_minute: Limit | None = None
    concurrent_requests: int | Auto | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute",
                     "concurrent_requests"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and value != AUTO and not (number and value > 0):
                raise ConfigError(f"Limits: {name} is a number above 0, \"auto\" or None, not {value!r}")


UNLIMITED = Limits(math.inf, math.inf, math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class PerRequest:
    """How much one request for embeddings or a ranking may hold: texts, and tokens of all of them; None: not known."""

    texts: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """Whom to talk to: address, key and wire format, shared by all of its models.

    ``base_url`` may hold ``{region}``-like fields, filled from the environment variables in ``url_env`` (several, best
    first, with blanks between), else from ``url_defaults``; ``{model}`` is the model's name. ``query`` ends the URL.
    ``key_env``: the variables that may hold the key, best first; empty means that none is needed.
    ``flags`` hold for each of its models (see ``docs/models.md`` for the words).
    ``service_tiers``: the words that its ``service_tier`` takes; empty where it has none.
    ``per_request``: what a request to one of its embedding models may hold.
    ``batches``: whose batch API it has (``openai``, ``mistral``, ``anthropic``, ``gemini``); empty where it has none.
    """

    name: str
    base_url: str
    dialect: str = "openai_chat"
    key_env: tuple[str, ...] = ()
    key_header: str = "authorization"
    flags: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    url_env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    url_defaults: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    key_optional: bool = False
    service_tiers: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    per_request: PerRequest = PerRequest()
    batches: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """One model: our ``id``, the provider's ``name`` on the wire, prices, windows and flags.

    ``efforts``: the reasoning levels that it accepts, lowest first; empty when it takes none.
    ``default_effort``: the level that it uses when none is sent, where that is known.
    ``prices_at``: the day the prices were read. ``retires``: the day the provider shuts it down.
    ``service_prices``: price by service tier (``flex``, ``priority``, ``batch`` …) where it differs.
    ``search_price``: dollars for a thousand web searches by the provider's own tool, where that is known.
    ``dimensions``: how long its vectors are by default. ``per_request``: what one request may hold, where that is not as
    with the provider's other models.
    """

    id: str
    name: str
    provider: Provider
    dialect: str = ""
    base_url: str = ""
    price: Price = Price()
    service_prices: Mapping[str, Price] = field(default_factory=lambda: _NOTHING)
    prices_at: dt.date | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    flags: frozenset[str] = frozenset()
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    aliases: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    retires: dt.date | None = None
    limits: Limits = Limits()
    search_price: float | None = None
    dimensions: int | None = None
    per_request: PerRequest = PerRequest()

    def has(self, flag: str) -> bool:
        """Whether the model, or its provider for all of its models, has this flag."""
        return flag in self.flags or flag in self.provider.flags

    def cost(self, usage: Usage, service_tier: str | None = None) -> float | None:
        """Dollars for this usage at the tier that was billed; None where the price is not known.

        Tiers that no one prices apart (``auto``, ``default``, ``standard`` …) cost the list price.
        """
        price = self.service_prices.get(service_tier or "")
        if price is None and service_tier in _PRICED_APART:
            price = Price()
        total = (price or self.price).cost(usage)
        if total is None and usage.output_tokens and not self.flags.isdisjoint(_WRITES_NOTHING):
            return (price or self.price).cost(replace(usage, output_tokens=0))
        return total
