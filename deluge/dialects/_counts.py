"""Numbers of tokens, as replies tell them."""

from __future__ import annotations

from typing import Any

_MOST = 1 << 53


def count(value: Any) -> int:
    """A count of tokens; 0 for anything else."""
    if type(value) is int:
        return value if 0 < value < _MOST else 0
    return int(value) if type(value) is float and 0 < value < _MOST else 0
