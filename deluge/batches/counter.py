"""Calls to a batch API, sent from the caller's own thread: tried again where that cannot buy anything twice."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

from deluge._plugins import load
from deluge._retry_after import parse_retry_after
from deluge.batches.api import Desk
from deluge.errors import BatchError
from deluge.prompt import Conversation
from deluge.request import RequestContext
from deluge.transport import Attempt, LeanTransport, StreamCut
from deluge.wire import HttpCall, HttpReply, Verdict

T = TypeVar("T")

TRIES = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds
CALL = 60.0  # seconds for a call, and the time that its body takes at
LEAST = 1.0  # of them that a call gets even where less is left
SLOWEST = 250_000.0  # bytes per second
GAP = 120.0  # seconds between two pieces of a download
LONGEST_LINE = 256 << 20  # bytes of one result
_REFUSED = (429, 503, 529)  # nothing was created
_ASKED = Conversation.of_text("")


class Unclear(Exception):
    """A call that creates something was lost: it may have been made or not."""


class Counter:
    """Sends the calls of one lane's API. ``BatchError`` says what a provider has refused, or that it cannot be reached."""

    def __init__(self, transport: LeanTransport, desk: Desk, state: str) -> None:
        self.desk = desk
        self._transport = transport
        self._state = state
        self._dialect = load("dialects", desk.template.dialect)

    def run(
        self, calls: Generator[HttpCall, HttpReply, T], what: str, tries: int = TRIES, until: float | None = None,
    ) -> T:
        """The end of an exchange of calls that may each be sent again; ``until``: when (monotonic) nobody waits any more."""
        reply = None
        try:
            call = next(calls)
            while True:
                reply = self._sent(call, what, tries, until)
                call = calls.send(reply)
        except StopIteration as end:
            value: T = end.value
            return value
        except BatchError as error:
            error.state = error.state or self._state
            raise

    def once(self, calls: Generator[HttpCall, HttpReply, T], what: str) -> T:
        """The end of an exchange whose calls are not sent again once they may have worked: ``Unclear`` then."""
        try:
            call = next(calls)
            while True:
                call = calls.send(self._made(call, what))
        except StopIteration as end:
            value: T = end.value
            return value
        except BatchError as error:
            if error.kind == "parse":
                raise Unclear(str(error)) from None
            raise

    def _made(self, call: HttpCall, what: str) -> HttpReply:
        for number in range(TRIES):
            reply = self._send(call)
            if reply.ok:
                return reply
            verdict = self._verdict(reply)
            untouched = not reply.sent if reply.failure is not None else reply.status in _REFUSED
            if not untouched:
                if reply.failure is None and 400 <= reply.status < 500 and reply.status not in (408, 409):
                    raise self._error(verdict, what)
                raise Unclear(f"{what}: {verdict.kind}: {verdict.message}")
            if number + 1 < TRIES and verdict.retry:
                time.sleep(pause_before(number, verdict))
        raise self._error(verdict, what)

    def _sent(self, call: HttpCall, what: str, tries: int, until: float | None) -> HttpReply:
        for number in range(tries):
            reply = self._send(call, until)
            if reply.ok:
                return reply
            verdict = self._verdict(reply)
            if not verdict.retry or number + 1 >= tries:
                raise self._error(verdict, what)
            time.sleep(pause_before(number, verdict))
        raise self._error(verdict, what)

    def _send(self, call: HttpCall, until: float | None = None) -> HttpReply:
        now = time.monotonic()
        end = now + CALL + len(call.body) / SLOWEST
        return self._transport.send(call, Attempt(end if until is None else min(end, max(until, now + LEAST))))

    def lines(self, call: HttpCall, what: str) -> Iterator[bytes]:
        """The lines of a download, as they come. ``BatchError`` with ``retry`` when it is cut: it begins anew then."""
        reply = self._transport.stream(call, Attempt(gap=GAP))
        if not reply.ok or reply.chunks is None:
            raise self._error(self._verdict(reply), what)
        rest: list[bytes] = []
        size = 0
        try:
            for chunk in reply.chunks:
                *whole, last = chunk.split(b"\n")
                if whole:
                    whole[0] = b"".join((*rest, whole[0]))
                    rest, size = [], 0
                    yield from whole
                rest.append(last)
                size += len(last)
                if size > LONGEST_LINE:
                    raise BatchError(f"{what}: a line without end", state=self._state, kind="parse")
        except StreamCut as cut:
            raise BatchError(f"{what}: {cut.kind}: {cut}", state=self._state, kind=cut.kind, retry=True) from None
        finally:
            getattr(reply.chunks, "close", lambda: None)()
        if size:
            yield b"".join(rest)

    def _verdict(self, reply: HttpReply) -> Verdict:
        """What the provider's reply means, by the rules of its dialect."""
        if reply.failure == "connection" and not reply.message:
            reply.message = "no connection"
        response = self._dialect.parse(RequestContext(_ASKED, self.desk.template, time.time()), reply)
        verdict: Verdict | None = response._verdict
        if verdict is None:
            return Verdict("parse", retry=True, message="the reply is none of the provider's batch API")
        after = parse_retry_after(reply.headers, time.time())
        if after is not None and verdict.retry_after is None and verdict.retry:
            return Verdict(verdict.kind, True, after, message=response.error_message or "")
        return Verdict(verdict.kind, verdict.retry, verdict.retry_after, message=response.error_message or "")

    def _error(self, verdict: Verdict, what: str) -> BatchError:
        return BatchError(f"{what}: {verdict.kind}: {verdict.message}", state=self._state, kind=verdict.kind,
                          retry=verdict.retry, retry_after=verdict.retry_after)


def pause_before(number: int, verdict: Verdict) -> float:
    """Seconds to wait before the next try: what the provider asked for, else by chance up to twice as long as before."""
    if verdict.retry_after is not None:
        return min(verdict.retry_after, 10 * LONGEST_PAUSE)
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** number)
