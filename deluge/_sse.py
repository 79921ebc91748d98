"""Server-sent events, parsed as they arrive: whatever the chunks, the events are the same."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from deluge.wire import ServerEvent

MAX_EVENT = 64 * 1024 * 1024
_LONGEST_PAUSE = 9  # digits of milliseconds: eleven days; a server's word must not become a number that no clock takes


def server_events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a byte stream. Comments are skipped; an event that the stream cuts off is dropped.

    ``ValueError`` when one event grows beyond 64 MiB.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    fields, lines, start = _Fields(), Lines(), True
    for chunk in chunks:
        text = decoder.decode(chunk)
        if start and text:
            text, start = text.removeprefix("\ufeff"), False
        for line in lines.feed(text):
            event = fields.take(line)
            if event is not None:
                yield event
        if lines.size + fields.size > MAX_EVENT:
            raise ValueError("an event of the stream is larger than 64 MiB")


class Lines:
    """Puts lines together from pieces of text; each piece is looked at once, however long a line grows.

    A CR at the very end of a piece may be half of a CR LF, so it waits. ``size``: what there is of a line without its end.
    """

    __slots__ = ("size", "_pieces", "_cr")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[str] = []
        self._cr = False

    def feed(self, text: str) -> list[str]:
        """The lines that this piece ends."""
        if not text:
            return []
        if self._cr:
            text = "\r" + text
        self._cr = text.endswith("\r")
        if self._cr:
            text = text[:-1]
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        first, *others = text.split("\n")
        self._pieces.append(first)
        self.size += len(first)
        if not others:
            return []
        whole = "".join(self._pieces)
        self._pieces, self.size = [others[-1]], len(others[-1])
        return [whole, *others[:-1]]


class _Fields:
    """The fields of the event that is being read."""

    __slots__ = ("data", "event", "id", "retry", "size")

    def __init__(self) -> None:
        self.data: list[str] = []
        self.event = ""
        self.id = ""
        self.retry: int | None = None
        self.size = 0

    def take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        if line[0] == ":":
            return None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self.data.append(value)
            self.size += len(value)
        elif name == "event":
            self.event = value
        elif name == "id" and "\0" not in value:
            self.id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) <= _LONGEST_PAUSE:
            self.retry = int(value)
        return None

    def _dispatch(self) -> ServerEvent | None:
        if not self.data:
            self.event = ""
            return None
        event = ServerEvent("\n".join(self.data), self.event, self.id, self.retry)
        self.data, self.event, self.retry, self.size = [], "", None, 0
        return event
