"""Token counts of one answer, with one meaning for every provider."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider billed them.

    ``input_tokens`` never includes cached ones: they are in ``cache_read_tokens`` and ``cache_write_tokens``
    (``cache_write_1h_tokens`` of which were written for an hour). ``output_tokens`` includes ``reasoning_tokens``.
    Usages add up with ``+``.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_input_tokens(self) -> int:
        """Everything that was read: fresh, read from the cache, and written to it."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """All input and all output."""
        return self.total_input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    def __radd__(self, other: int | Usage) -> Usage:
        return self if isinstance(other, int) else self + other  # sum() starts with 0

    def to_dict(self) -> dict[str, int]:
        """A plain dict of the six counters."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: dict[str, int]) -> Usage:
        """The usage that ``to_dict`` wrote; unknown keys are ignored."""
        return cls(**{name: int(data.get(name) or 0) for name in cls.__slots__})


NO_USAGE = Usage()
