"""Nothing at all: ``progress=None``."""

from __future__ import annotations

from deluge.status import StatusSnapshot


class SilentDisplay:
    """Draws nothing; no thread is started for it."""

    interval = None

    def open(self, now: StatusSnapshot) -> None:
        """Nothing."""

    def show(self, now: StatusSnapshot) -> None:
        """Nothing."""

    def close(self, now: StatusSnapshot) -> None:
        """Nothing."""


DISPLAY = SilentDisplay
