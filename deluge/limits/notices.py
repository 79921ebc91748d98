"""What one process tells another about a lane that both of them use."""

from __future__ import annotations

from dataclasses import dataclass, field

from deluge.models.model import Limits


@dataclass(frozen=True, slots=True)
class LaneNotice:
    """News of a lane, on its way out of a scheduler or into one.

    ``cooling_until``: monotonic seconds of this process; None when the lane does not cool down. ``limits``: what the
    provider's replies say that the account may use; None when nothing new was learned.
    """

    model: str
    api_key: str | None = field(default=None, repr=False)
    cooling_until: float | None = None
    limits: Limits | None = None
