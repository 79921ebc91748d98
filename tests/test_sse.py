"""Server-sent events: the same whatever the chunks, and each byte looked at a few times, not once for each chunk behind it."""

from __future__ import annotations

from random import Random

import pytest

from deluge._sse import Lines, server_events
from deluge.wire import ServerEvent

STREAM = (
    "\ufeff: hello\r\nevent: first\r\ndata: one\r\ndata:two\r\r\n\n"
    "id: 7\ndata: größe 👩‍👩‍👧\nretry: 10\n\n\r\n\revent: lost\n\ndata\n\ndata: cut off"
).encode()
EVENTS = [
    ServerEvent("one\ntwo", "first", "", None), ServerEvent("größe 👩‍👩‍👧", "", "7", 10), ServerEvent("", "", "7", None),
]


def test_the_events_of_a_stream_whatever_its_chunks():
    assert list(server_events([STREAM])) == EVENTS
    assert list(server_events([STREAM[at:at + 1] for at in range(len(STREAM))])) == EVENTS
    for seed in range(50):
        dice, chunks, at = Random(seed), [], 0
        while at < len(STREAM):
            size = dice.randint(0, 12)
            chunks.append(STREAM[at:at + size])
            at += size
        assert list(server_events(chunks)) == EVENTS, chunks


def test_an_event_without_end_is_refused():
    def chunks():
        yield b"data: "
        while True:
            yield b"x" * (1 << 20)

    with pytest.raises(ValueError, match="larger than 64 MiB"):
        list(server_events(chunks()))


class Counted(str):
    """A text that counts how many characters are looked at by whatever is made of it."""

    work = 0

    def _of(self, text: str) -> Counted:
        Counted.work += len(text)
        return Counted(text)

    def __add__(self, other: str) -> Counted:
        return self._of(str(self) + str(other))

    def __radd__(self, other: str) -> Counted:
        return self._of(str(other) + str(self))

    def __getitem__(self, at) -> Counted:
        return self._of(str(self)[at])

    def __contains__(self, part: object) -> bool:
        return str(part) in str(self._of(str(self)))

    def replace(self, old: str, new: str) -> Counted:  # type: ignore[override]
        return self._of(str(self).replace(old, new))

    def split(self, separator: str) -> list[str]:  # type: ignore[override]
        return [self._of(part) for part in str(self).split(separator)]


@pytest.mark.parametrize("piece", ["x" * 10, "x" * 9 + "\r"])
def test_the_work_grows_with_the_bytes_and_not_with_their_square(piece):
    work = []
    for count in (1_000, 4_000):
        Counted.work, lines = 0, Lines()
        for _ in range(count):
            lines.feed(Counted(piece))
        lines.feed(Counted("\n"))
        work.append(Counted.work)
    assert 10 * 1_000 <= work[0] <= 8 * 10 * 1_000 and work[1] <= 4.1 * work[0]
