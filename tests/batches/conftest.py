"""What the tests of batch jobs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deluge.testing import RehearsalServer


@pytest.fixture
def server() -> Iterator[RehearsalServer]:
    """A provider whose batches end at once, and that was never asked what it does not understand."""
    with RehearsalServer(latency=0.0, batch_seconds=0.0) as made:
        yield made
        assert made.errors == []
