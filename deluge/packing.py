"""How texts are packed into requests, and what a request's tokens and dollars are for each of its texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from deluge.prompt.size import LEAST_BYTES_PER_TOKEN


def tokens_at_most(text: str) -> int:
    """About the most tokens that a text has: ordinary prose has far fewer."""
    return int(bytes_of(text) / LEAST_BYTES_PER_TOKEN) + 1


def bytes_of(text: str) -> int:
    """The text's length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def packed(items: Iterable[tuple[int, int]], most: int, tokens: float) -> Iterator[list[int]]:
    """Packs of numbers, in order; each item is (number, its tokens).

    No pack has more than ``most`` of them, nor more ``tokens`` unless it holds one alone.
    """
    pack: list[int] = []
    full = 0
    for number, size in items:
        if pack and (len(pack) == most or full + size > tokens):
            yield pack
            pack, full = [], 0
        pack.append(number)
        full += size
    if pack:
        yield pack


def divided(total: int, sizes: Sequence[int]) -> list[int]:
    """A count in shares that are to each other as the sizes are; they add up to it."""
    whole, so_far, given = max(1, sum(sizes)), 0, 0
    shares = []
    for size in sizes:
        so_far += size
        upto = total * so_far // whole
        shares.append(upto - given)
        given = upto
    if shares:
        shares[-1] += total - given
    return shares
