"""What may start now: quotas, estimates, ramps and cooldowns, all pure. The time is always an argument.

    QuotaBucket      requests and tokens per minute, together or not at all
    TokenEstimator   how many tokens to reserve for a prompt
    Ramp             how many may be in flight while a burst grows
    Pace             small bursts for a provider that slices its minute
    LaneHealth       when a lane cools down, and how it comes back
"""

from deluge.limits.bucket import Bucket, BucketSnapshot, QuotaBucket
from deluge.limits.estimate import TokenEstimator
from deluge.limits.health import CooldownRules, LaneHealth
from deluge.limits.ledger import MIN_WAIT, Mode, Reservation
from deluge.limits.notices import LaneNotice
from deluge.limits.pace import Pace, Ramp

__all__ = [
    "MIN_WAIT", "Bucket", "BucketSnapshot", "CooldownRules", "LaneHealth", "LaneNotice", "Mode", "Pace",
    "QuotaBucket", "Ramp", "Reservation", "TokenEstimator",
]
