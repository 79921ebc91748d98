"""How a row of the catalog is written: what a family of models has in common, and what one model adds to it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from deluge.models.model import Limits, Model, PerRequest, Price, Provider

# The day on which the prices written in the rows themselves were read; generated prices have a day of their own.
ROWS_READ_AT = dt.date(2026, 11, 22)


@dataclass(frozen=True, slots=True)
class Family:
    """What a generation of models has in common, wherever it is served."""

    flags: frozenset[str] = frozenset()
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None

    def but(
        self, flags: str = "", *, efforts: str | None = None, default_effort: str | None = None,
        context: int | None = None, max_output: int | None = None,
    ) -> Family:
        """This family with some facts changed; ``flags`` are added, those that begin with ``-`` taken away."""
        return replace(
            self, flags=changed(self.flags, flags),
            efforts=self.efforts if efforts is None else tuple(efforts.split()),
            default_effort=default_effort or (self.default_effort if efforts is None else None),
            context_window=context or self.context_window, max_output_tokens=max_output or self.max_output_tokens,
        )


PLAIN = Family()
_NO_TIERS: Mapping[str, float] = {}


def changed(flags: frozenset[str], words: str) -> frozenset[str]:
    """``flags`` with these words added, and those that begin with ``-`` taken away."""
    less = {word[1:] for word in words.split() if word.startswith("-")}
    return (flags | {word for word in words.split() if not word.startswith("-")}) - less


def rows_of(provider: Provider, *, names_are_aliases: bool = False) -> Callable[..., Model]:
    """A function that makes the rows of one provider.

    ``names_are_aliases``: the provider's own name of a model finds it too. A row's ``tiers`` are its service tiers
    with the factor on its price.
    """

    def row(
        id: str, name: str = "", family: Family = PLAIN,
        input: float | None = None, output: float | None = None, cached: float | None = None,
        write: float | None = None,
        *, flags: str = "", efforts: str | None = None, default_effort: str | None = None,
        context: int | None = None, max_output: int | None = None, aliases: str = "", retires: str = "",
        dialect: str = "", base_url: str = "", regions: tuple[str, ...] = (), limits: Limits = Limits(),
        tiers: Mapping[str, float] = _NO_TIERS, dimensions: int | None = None, per_request: PerRequest = PerRequest(),
    ) -> Model:
        traits = family.but(
            flags, efforts=efforts, default_effort=default_effort, context=context, max_output=max_output,
        )
        price = Price(input, output, cached, write)
        own_name = (name,) if names_are_aliases and name and name != id else ()
        return Model(
            id=id, name=name or id, provider=provider, dialect=dialect, base_url=base_url,
            price=price, service_prices={tier: price.times(factor) for tier, factor in tiers.items()},
            prices_at=ROWS_READ_AT if input is not None else None,
            context_window=traits.context_window, max_output_tokens=traits.max_output_tokens,
            flags=traits.flags, efforts=traits.efforts, default_effort=traits.default_effort,
            aliases=(*aliases.split(), *own_name), regions=regions, limits=limits,
            retires=dt.date.fromisoformat(retires) if retires else None,
            dimensions=dimensions, per_request=per_request,
        )

    return row
