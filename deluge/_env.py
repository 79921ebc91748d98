"""The only place that reads environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping


def get(*names: str) -> str | None:
    """The first of these variables that is set to something other than blanks."""
    for name in names:
        value = os.environ.get(name, "").strip()
        if value:
            return value
    return None


def mapping() -> Mapping[str, str]:
    """All variables, read only."""
    return os.environ
