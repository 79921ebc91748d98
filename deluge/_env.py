"""The only place that reads environment variables."""

from __future__ import annotations

import os


def get(*names: str) -> str | None:
    """The first of these variables that is set to something other than blanks."""
    for name in names:
        value = os.environ.get(name, "").strip()
        if value:
            return value
    return None
