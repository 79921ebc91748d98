"""What a test may want to be true of a rehearsal server when the work is done."""

from __future__ import annotations

from collections.abc import Iterable

from deluge.testing.server import RehearsalServer


def assert_all_answered(server: RehearsalServer, prompts: Iterable[str]) -> None:
    """Each of these prompts got a good answer."""
    missing = [prompt for prompt in prompts if not server.answered[prompt]]
    assert not missing, f"{len(missing)} prompts were never answered: {missing[:5]}"


def assert_nothing_sent_again(server: RehearsalServer) -> None:
    """No input was sent once more after it had been answered."""
    assert not server.sent_again, f"sent again after a good answer: {server.sent_again.most_common(5)}"


def assert_within_limit(server: RehearsalServer, requests: int, seconds: float = 60.0) -> None:
    """In no stretch of so many seconds did more requests arrive (as far as the log goes back)."""
    times = sorted(seen.at for seen in server.requests)
    for first, last in zip(times, times[requests:]):
        assert last - first >= seconds, f"{requests + 1} requests arrived within {last - first:.3f} s"
