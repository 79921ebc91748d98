"""Which messages a ``CachePattern`` marks: the same for every provider that caches up to marks in the prompt."""

from __future__ import annotations

from collections.abc import Sequence

_LAST_USERS = {"last_user_message": 1, "last_2_user_messages": 2, "last_3_user_messages": 3}


def marked(pattern: str | None, roles: Sequence[str]) -> tuple[int, ...]:
    """The places of the messages that end a cached beginning, in order; ``roles`` are user, system …

    ``system_and_tools`` marks the last system message of those at the beginning; tools are marked by the dialect.
    """
    if pattern == "system_and_tools":
        first_other = next((place for place, role in enumerate(roles) if role != "system"), len(roles))
        return (first_other - 1,) if first_other else ()
    count = _LAST_USERS.get(pattern or "", 0)
    users = [place for place, role in enumerate(roles) if role == "user"]
    return tuple(users[-count:]) if count else ()
