"""The pytest fixture ``rehearsal``: import it where it is used, ``from deluge.testing import rehearsal``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deluge.testing.server import RehearsalServer


@pytest.fixture
def rehearsal() -> Iterator[RehearsalServer]:
    """A started rehearsal server without latency; every name is a model of it, every key is let in."""
    with RehearsalServer(latency=0.0) as server:
        yield server
