"""A provider to rehearse with, on loopback: for tests, for trying the library without a key, for its own test suite."""

from deluge.testing.faults import Fault
from deluge.testing.limits import RateLimits
from deluge.testing.server import RehearsalServer

__all__ = ["Fault", "RateLimits", "RehearsalServer"]
