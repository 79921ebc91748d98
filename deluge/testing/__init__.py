"""A provider to rehearse with, on loopback: for your tests, for trying the library without a key, for its own tests.

``RehearsalServer`` is an HTTP server that speaks the providers' protocols, keeps their limits and fails on a script;
``rehearsal`` is a pytest fixture that yields one. ``python -m deluge.testing`` runs one as a process of its own.
"""

from typing import TYPE_CHECKING, Any

from deluge import _plugins
from deluge.testing.checks import assert_all_answered, assert_nothing_sent_again, assert_within_limit
from deluge.testing.embedded import embedded_server, embedded_url
from deluge.testing.exchange import Request, Seen
from deluge.testing.faults import Fault
from deluge.testing.limits import RateLimits
from deluge.testing.profiles import PROFILES, Latency, Profile
from deluge.testing.server import RehearsalServer

if TYPE_CHECKING:
    from deluge.testing.fixture import rehearsal

__all__ = [
    "PROFILES", "Fault", "Latency", "Profile", "RateLimits", "RehearsalServer", "Request", "Seen",
    "assert_all_answered", "assert_nothing_sent_again", "assert_within_limit", "embedded_server", "embedded_url",
    "rehearsal",
]


def __getattr__(name: str) -> Any:
    if name == "rehearsal":  # only this one needs pytest
        return _plugins.load("testing", "fixture").rehearsal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
