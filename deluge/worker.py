"""One attempt: build, send, parse. Workers run it; they share nothing but the transport."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deluge._eventstream import stream_events
from deluge._plugins import load
from deluge._sse import server_events
from deluge.dialects._form import formed
from deluge.dialects._rate_limits import rate_limits
from deluge.errors import DelugeError
from deluge.fetching import Fetching
from deluge.private import secrets_of, without_secrets
from deluge.prompt import Conversation, Message
from deluge.prompt.size import size_of
from deluge.request import Dialect, RequestContext, RequestTemplate, in_one_call
from deluge.response import APIResponse
from deluge.retry import Failure, Ruling
from deluge.tasks import Flight, Misfit, Outcome, Task, exception_of, failed
from deluge.tools.output import OutputReader, asked_again
from deluge.transport import TOO_MANY_FILES, Attempt, LeanTransport
from deluge.wire import Cancelled, HttpCall, HttpReply, ServerEvent, StreamDelta, Verdict

if TYPE_CHECKING:
    from deluge.dialects._media import Medium
    from deluge.transport import Pending

logger = logging.getLogger("deluge.worker")
_warned = logging.getLogger("deluge.params")

_FRAMINGS: dict[str, Callable[[Iterable[bytes]], Iterator[ServerEvent]]] = {
    "sse": server_events, "eventstream": stream_events,
}
GOODBYE = 10.0  # seconds for the last call of an exchange
SMALL = 60_000  # bytes of a prompt that the lobby may send
_SIGNED = "signed"  # in a template's memo: its requests are sent by workers
_STREAMED = Ruling(None, "streamed")


class Parked:
    """An attempt that was sent and waits for its reply."""

    __slots__ = ("flight", "pending", "dialect", "ctx")

    def __init__(self, flight: Flight, pending: Pending, dialect: Dialect, ctx: RequestContext) -> None:
        self.flight = flight
        self.pending = pending
        self.dialect = dialect
        self.ctx = ctx


class Pilot:
    """Flies attempts. ``fly`` never raises: whatever goes wrong is in the outcome."""

    def __init__(self, transport: LeanTransport, wall: float) -> None:
        self.transport = transport
        self.wall = wall
        self._noted: set[tuple[str, str, str]] = set()
        self._fetching = Fetching(transport)

    def fly(self, flight: Flight) -> Outcome:
        """One attempt, or one poll of a job, and what the retry policy says of a failure."""
        task = flight.task
        template = task.template_for(task.model)
        try:
            dialect = _dialect_of(template)
            ctx = RequestContext(task.asked, template, self.wall + time.monotonic(), task.sink is not None)
            needed = () if task.exchange is not None else self._fetching.needed(dialect, ctx)
            filled = self._filled(flight, ctx, needed) if needed else ctx
            if isinstance(filled, Outcome):
                return self.judged(flight, filled)
            ctx = filled
            if task.sink is not None:
                outcome = self._stream(flight, dialect, ctx)
            elif in_one_call(dialect, template):
                call = dialect.build(ctx)
                outcome = self._outcome(flight, self._send(flight, call), dialect, ctx)
            else:
                outcome = self._exchange(flight, dialect, ctx)
        except Exception as error:
            outcome = broken(flight, error)
        return self.judged(flight, outcome)

    def launch(self, flight: Flight, connect: bool) -> Parked | Outcome | None:
        """Sends the request and leaves the reply to ``land``; an outcome when there is nothing to wait for.

        None when this attempt has to be flown: a stream, a job, and while ``connect`` is False also a request that is
        large or signed, takes a connection, or has media that must be fetched first.
        """
        task = flight.task
        template = task.template_for(task.model)
        try:
            dialect = _dialect_of(template)
            if task.sink is not None or not in_one_call(dialect, template):
                return None
            if not connect and (task.size > SMALL or _SIGNED in template.memo):
                return None  # known before it is built
            ctx = RequestContext(task.asked, template, self.wall + time.monotonic())
            needed = self._fetching.needed(dialect, ctx)
            if needed and not connect:
                return None
            filled = self._filled(flight, ctx, needed) if needed else ctx
            if isinstance(filled, Outcome):
                return filled
            return self._launched(flight, dialect, ctx, dialect.build(filled), connect)
        except Exception as error:
            return broken(flight, error)

    def _launched(
        self, flight: Flight, dialect: Dialect, ctx: RequestContext, call: HttpCall, connect: bool
    ) -> Parked | Outcome | None:
        if call.sign is not None:
            ctx.template.memo[_SIGNED] = True
        if call.notes:
            self._note(flight, call)
        pending = self.transport.begin(call, flight.switch, connect)  # type: ignore[arg-type]
        if pending is None:
            if not connect:
                return None
            pending = self.transport.send(call, flight.switch)  # type: ignore[arg-type]
        if isinstance(pending, HttpReply):
            return self._outcome(flight, pending, dialect, ctx)
        return Parked(flight, pending, dialect, ctx)

    def forget(self) -> None:
        """In a forked child: the threads that may have held locks are not here."""
        self._fetching.renew_lock()

    def _filled(self, flight: Flight, ctx: RequestContext, needed: tuple[Medium, ...]) -> RequestContext | Outcome:
        """The context with what has to be fetched for it, or the outcome when that fails."""
        filled = self._fetching.filled(flight, ctx, needed)
        return Outcome(failed(flight.task, filled)) if isinstance(filled, Verdict) else filled

    def land(self, parked: Parked) -> Outcome | None:
        """What a parked attempt has come to; None while its reply is not whole. A failure still has to be ``judged``."""
        reply = self.transport.proceed(parked.pending)
        if reply is None:
            return None
        try:
            return self._outcome(parked.flight, reply, parked.dialect, parked.ctx)
        except Exception as error:
            return broken(parked.flight, error)

    def lost(self, parked: Parked, error: OSError) -> Outcome:
        """The outcome of an attempt whose reply nobody can wait for."""
        reply = self.transport.drop(parked.pending, error)
        try:
            return self._outcome(parked.flight, reply, parked.dialect, parked.ctx)
        except Exception as failure:
            return broken(parked.flight, failure)

    def judged(self, flight: Flight, outcome: Outcome) -> Outcome:
        """The outcome with what the retry policy says of a failure."""
        response = outcome.response
        if response is not None and response.is_error and outcome.ruling is None:
            outcome.ruling = rule(flight.task, outcome, time.monotonic())
        return outcome

    def _send(self, flight: Flight, call: HttpCall) -> HttpReply:
        if call.notes:
            self._note(flight, call)
        return self.transport.send(call, flight.switch)  # type: ignore[arg-type]

    def _outcome(self, flight: Flight, reply: HttpReply, dialect: Dialect, ctx: RequestContext) -> Outcome:
        if reply.failure == "connection" and not reply.sent:
            reply.message = f"{reply.message} ({_server_of(ctx.template.base_url)})"
        elif reply.failure == "timeout":
            reply.message = f"no whole answer within {flight.task.call.request_timeout:g} s (request_timeout)"
        response = dialect.parse(ctx, reply)
        if not (self._fetching.empty or response.is_error):
            self._fetching.forget(flight.task)
        return _landed(flight, response, reply, ctx.now)

    def _exchange(self, flight: Flight, dialect: Dialect, ctx: RequestContext) -> Outcome:
        """Runs the exchange until it ends or asks for a pause."""
        task = flight.task
        exchange, call = task.exchange, task.next_call
        if exchange is None or call is None:
            exchange = dialect.exchange(ctx)
            call = next(exchange)
        while True:
            reply = self._send(flight, call)
            try:
                call = exchange.send((reply, RequestContext(ctx.prompt, ctx.template, self.wall + time.monotonic())))
            except StopIteration as end:
                return _landed(flight, end.value, reply, ctx.now)
            if call.delay > 0.0:
                return Outcome(next_call=call, exchange=exchange, sent=reply.sent)

    def _stream(self, flight: Flight, dialect: Dialect, ctx: RequestContext) -> Outcome:
        task, switch = flight.task, flight.switch
        timeout = task.call.request_timeout
        switch.gap = timeout  # type: ignore[attr-defined]
        call = dialect.build(ctx)
        if call.notes:
            self._note(flight, call)
        reply = self.transport.stream(call, switch)  # type: ignore[arg-type]
        if reply.failure is not None or reply.chunks is None or reply.status >= 300:
            _read_all(reply)
            return self._outcome(flight, reply, dialect, ctx)
        limit = task.call.stream_timeout
        switch.deadline = flight.started_at + limit if limit else float("inf")
        events = _FRAMINGS[dialect.framing](reply.chunks)
        try:
            response = self._drain(flight, dialect.events(ctx, events))
        except Exception as error:  # the stream was cut, or stopped from outside
            reply.failure, reply.message = _cut(switch, error)
            response = dialect.parse(ctx, reply)
        finally:
            getattr(reply.chunks, "close", lambda: None)()
        outcome = _landed(flight, response, reply, ctx.now)
        outcome.streamed = task.streamed
        return outcome

    def _drain(self, flight: Flight, deltas: Any) -> APIResponse:
        """Hands the pieces to whoever listens, at the speed of the wire."""
        task = flight.task
        first_at: float | None = None
        while True:
            try:
                delta: StreamDelta = next(deltas)
            except StopIteration as end:
                response: APIResponse = end.value
                break
            if first_at is None:
                first_at = time.monotonic() - flight.started_at
                task.streamed = True
            task.sink.put(delta)
        response.time_to_first_token = first_at
        return response

    def clean_up(self, task: Task) -> None:
        """Tells an exchange that its task has ended, and sends its last call (the provider's cancel), if it has one."""
        exchange, task.exchange = task.exchange, None
        if exchange is None:
            return
        try:
            call = exchange.throw(Cancelled())
            self.transport.send(call, Attempt(time.monotonic() + GOODBYE))
            exchange.close()
        except (Cancelled, StopIteration):
            pass
        except Exception as error:
            logger.error("a job could not be cancelled: %s", type(error).__name__, extra={"deluge": {"task": task.id}})

    def _note(self, flight: Flight, call: HttpCall) -> None:
        """Says once per model and parameter what the user asked for and does not get."""
        task = flight.task
        for note in call.notes:
            key = (task.call.name, task.model, note.parameter)
            if key not in self._noted:
                self._noted.add(key)
                values = {"client": task.call.name, "model": task.model, "parameter": note.parameter}
                _warned.warning("%s: %s %s", task.model, note.parameter, note.reason, extra={"deluge": values})


def _dialect_of(template: RequestTemplate) -> Dialect:
    """Loaded once per call and model, in the form in which the model can be held to a schema."""
    dialect: Dialect | None = template.memo.get("dialect")
    if dialect is None:
        dialect = template.memo["dialect"] = formed(load("dialects", template.dialect), template)
    return dialect


def _server_of(base_url: str) -> str:
    """Host and port, without whatever else an address may hold."""
    parts = urlsplit(base_url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def broken(flight: Flight, error: Exception) -> Outcome:
    """The outcome of an attempt that raised: the user's prompt cannot be sent, or a dialect of ours is wrong."""
    message = str(error)
    if not isinstance(error, DelugeError):
        logger.error("an attempt ended in %s", type(error).__name__, exc_info=error,
                     extra={"deluge": {"task": flight.task.id}})
        message = f"{type(error).__name__}: {error}"
    message = without_secrets(message, secrets_of(flight.task.template_for(flight.task.model)))
    return Outcome(failed(flight.task, Verdict("input", message=message)), sent=flight.switch.sent_at > 0.0)


def rule(task: Task, outcome: Outcome, now: float) -> Ruling:
    """What the call's retry policy says of this failure. Runs on the worker: a user's strategy must not stall anybody else."""
    response = outcome.response
    assert response is not None
    verdict = response._verdict
    if verdict is None or outcome.streamed:
        return _STREAMED
    limited, timeout = verdict.kind == "rate_limit", verdict.kind == "timeout"
    return task.call.policy.judge(Failure(
        attempt=task.burned + task.rate_limited + 1, first_attempt_at=task.first_at, now=now, verdict=verdict,
        error=exception_of(response), idle=task.idle, timeouts_so_far=task.timeouts + timeout,
        possibly_billed=outcome.lost, rate_limited=task.rate_limited + limited,
        limited_for=task.limited_for,
    ))


def _landed(flight: Flight, response: APIResponse, reply: HttpReply, wall_now: float) -> Outcome:
    task, failure = flight.task, reply.failure
    reader = task.call.reader
    response.prompt = task.prompt  # as it was given, without what was fetched for it
    if failure is None:
        outcome = Outcome(response, sent=reply.sent)
        if reply.status == 429 or not reply.finished_at or reply.finished_at >= flight.lane.quota.listen_at:
            outcome.limits = rate_limits(reply.headers, wall_now)
        if reader is not None:
            outcome.misfit = _read(task, reader, response)
        return outcome
    dead = failure == "connection" and not reply.replied and reply.reused
    outcome = Outcome(response, sent=reply.sent, stale=dead, crowded=TOO_MANY_FILES in reply.message)
    outcome.cut = True
    return outcome


def _read(task: Task, reader: OutputReader, response: APIResponse) -> Misfit | None:
    """Gives the answer its typed object; what is wrong with it when it has none, and the prompt that says so."""
    response.parsed, problem = reader.reading(response)
    if problem is None:
        return None
    asked = task.asked
    turn = Message.user(asked_again(problem))
    said = response.content if (response.completion or "").strip() else None  # an empty turn is refused everywhere
    more = (turn,) if said is None else (said, turn)
    follow_up = Conversation((*asked.messages, *more), model_used=asked.model_used).freeze()
    return Misfit(problem, response.content, follow_up, size_of(follow_up) - size_of(asked))


def _read_all(reply: HttpReply) -> None:
    """The body of a stream that turned out to be a plain reply (an error)."""
    if reply.chunks is None:
        return
    try:
        reply.body = b"".join(reply.chunks)
    except Exception as error:
        reply.failure, reply.message = "connection", str(error)
    reply.chunks = None


def _cut(switch: Any, error: Exception) -> tuple[Any, str]:
    if getattr(switch, "aborted", False):
        return getattr(switch, "reason", "cancelled"), "the stream was stopped"
    return getattr(error, "kind", "connection"), f"the stream was cut: {error}"
