"""What may start now: quotas, estimates, ramps and cooldowns, all pure. The time is always an argument.

    QuotaBucket      requests and tokens per minute, together or not at all
    TokenEstimator   how many tokens to reserve for a prompt
    Ramp             how many may be in flight while a burst grows
    Pace             an even pace for a provider that slices its minute
    LaneHealth       when a lane cools down, and how it comes back
    Slots            how many of a lane may be in flight
    LaneQuota        all limits of one lane: its own, and what the provider's headers say
    Adaptation       the constants of all that
"""

from deluge.limits.bucket import Bucket, BucketMaker, BucketSnapshot, QuotaBucket
from deluge.limits.estimate import TokenEstimator
from deluge.limits.health import LaneHealth
from deluge.limits.ledger import MIN_WAIT, Mode, Reservation
from deluge.limits.notices import LaneNotice
from deluge.limits.pace import Pace, Ramp
from deluge.limits.claims import Claim
from deluge.limits.quota import Counting, LaneQuota
from deluge.adaptation import Adaptation, CooldownRules
from deluge.limits.slots import Slots

__all__ = [
    "MIN_WAIT", "Adaptation", "Bucket", "BucketMaker", "BucketSnapshot", "Claim", "CooldownRules", "Counting",
    "LaneHealth", "LaneNotice", "LaneQuota", "Mode", "Pace", "QuotaBucket", "Ramp", "Reservation", "Slots", "TokenEstimator",
]
