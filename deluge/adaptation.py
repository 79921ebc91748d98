"""The constants of everything that learns, as arguments."""

from __future__ import annotations

from dataclasses import dataclass, field

from deluge.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CooldownRules:
    """What counts as evidence, and what follows from it. Times in seconds.

    A cooldown starts on ``in_a_row`` 429s, on ``of_last`` of the ``last`` replies, or when nothing remains. It lasts as
    long as the provider asked, else ``first`` (``first_scattered`` when good replies came between), doubled on each
    repetition up to ``longest_default``; ``calm_after`` good replies end the series. Up to ``spread`` of it, but at
    most ``spread_most``, is added by chance, so that lanes and processes do not wake up together. Then
    ``recovery_start`` may be in flight, doubled every ``recovery_doubling``.
    """

    __pydantic_config__ = {"extra": "forbid"}

    in_a_row: int = 3
    of_last: int = 5
    last: int = 25
    first: float = 2.0
    first_scattered: float = 0.25
    longest_default: float = 60.0
    longest: float = 86_400.0
    calm_after: int = 25
    spread: float = 0.1
    spread_most: float = 5.0
    recovery_start: int = 4
    recovery_doubling: float = 0.5


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How fast a client grows towards a provider's limits and how it gives way. Times in seconds, shares of 1.

    Headers: read every ``listen_every``. A limit that falls is followed at once, one that rises by ``grow`` per second.

    ``"auto"``: ``auto_start`` requests may be in flight before the first reply, doubled every ``auto_doubling``.

    Pace, for a provider that slices its minute: starts are spread evenly at ``headroom`` of the limit. It begins when
    headers say so, or with ``pace_evidence`` 429s within ``pace_memory`` that are ``pace_share`` of what was sent in
    between. After 429s it falls to what passed and stays there for ``pace_plateau``; then it grows again, doubled
    ``pace_doubling`` later. ``pace_credit``: starts that came late are made up for as far as that.

    Slots: cut to ``slots_cut`` of what is in flight by what cools a lane; then one more for each round of good
    replies. With ``max_concurrent_requests="auto"`` they begin at ``slots_start``, double each round up to
    ``slots_most``, and fall to ``slots_ease`` when the time per output token is above ``slow`` times its usual one.

    ``cooldown``: when a lane pauses, and how it comes back.
    """

    __pydantic_config__ = {"extra": "forbid"}

    listen_every: float = 0.05
    grow: float = 0.05
    auto_start: int = 10
    auto_doubling: float = 2.0
    headroom: float = 0.99
    pace_evidence: int = 4
    pace_memory: float = 1.0
    pace_share: float = 0.5
    pace_plateau: float = 8.0
    pace_doubling: float = 18.0
    pace_credit: float = 0.03
    slots_cut: float = 0.5
    slots_start: int = 10
    slots_most: int = 1_000
    slots_ease: float = 0.9
    slow: float = 2.0
    cooldown: CooldownRules = field(default_factory=CooldownRules)

    def __post_init__(self) -> None:
        for name in ("listen_every", "grow", "auto_start", "auto_doubling", "headroom", "pace_evidence", "pace_memory",
                     "pace_share", "pace_plateau", "pace_doubling", "pace_credit", "slots_cut", "slots_start", "slots_most",
                     "slots_ease", "slow"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"Adaptation: {name} must be above 0")
        for name in ("headroom", "pace_share", "slots_cut", "slots_ease"):
            if getattr(self, name) > 1:
                raise ConfigError(f"Adaptation: {name} is a share of 1")
