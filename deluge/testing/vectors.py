"""The vectors and scores of the rehearsal provider: the same text always has the same, and similar texts are near."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from zlib import crc32

DIMENSIONS = 256
MOST_DIMENSIONS = 4_096
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=4_096)
def vector(text: str, dimensions: int = DIMENSIONS) -> tuple[float, ...]:
    """A vector of length 1: words, and pieces of words, each push into a direction of their own."""
    found = [0.0] * dimensions
    for feature in _features(text):
        code = crc32(feature.encode("utf-8", "surrogatepass"))
        found[code % dimensions] += 1.0 if code & 0x8000_0000 else -1.0
    length = math.sqrt(sum(number * number for number in found))
    if not length:
        found[crc32(text.encode("utf-8", "surrogatepass")) % dimensions] = length = 1.0
    return tuple(number / length for number in found)


def score(query: str, document: str) -> float:
    """How near the two are: 0 to 1."""
    near = sum(one * other for one, other in zip(vector(query), vector(document)))
    return round(min(1.0, max(0.0, (near + 1.0) / 2.0)), 6)


def _features(text: str) -> Iterable[str]:
    for word in _WORD.findall(text.lower()):
        yield word
        yield word  # a whole word weighs more than a piece
        marked = f"<{word}>"
        yield from (marked[at:at + 3] for at in range(len(marked) - 2))
