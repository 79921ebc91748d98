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
    fields = _Fields()
    rest, start = "", True
    for chunk in chunks:
        text = decoder.decode(chunk)
        if start and text:
            text, start = text.removeprefix("\ufeff"), False
        rest += text
        if len(rest) + fields.size > MAX_EVENT:
            raise ValueError("an event of the stream is larger than 64 MiB")
        lines, rest = _lines(rest)
        for line in lines:
            event = fields.take(line)
            if event is not None:
                yield event


def _lines(text: str) -> tuple[list[str], str]:
    """Whole lines, and the rest. A CR at the very end may be half of a CR LF, so it waits."""
    held = ""
    if text.endswith("\r"):
        text, held = text[:-1], "\r"
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    *lines, last = text.split("\n")
    return lines, last + held


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
