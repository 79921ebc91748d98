"""Told stories for the scheduler: a float for a clock, switches that only remember, and answers made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from deluge.models.model import Limits, Model, Provider
from deluge.params import SamplingParams
from deluge.prompt import Conversation
from deluge.request import RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.retry import RetryPolicy, wait_retry_after
from deluge.router import Router
from deluge.scheduler import Scheduler
from deluge.tasks import Call, Flight, Outcome, Task
from deluge.tracker import StatusTracker
from deluge.usage import NO_USAGE, Usage
from deluge.wire import HttpCall, Verdict
from deluge.worker import rule

PROVIDER = Provider("hall", "http://hall.invalid")
PROMPT = Conversation().user("hello")
STATUS = {"rate_limit": 429, "server": 500, "overloaded": 503, "bad_request": 400, "auth": 401, "not_found": 404,
          "quota_exhausted": 429, "parse": 200, "connection": None, "timeout": None, "cancelled": None}
RETRIED = {"rate_limit", "server", "overloaded", "parse", "connection", "timeout"}


class Switch:
    """Remembers how it was stopped."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.fresh = False
        self.sent_at = 0.0
        self.stopped: list[str] = []

    def abort(self, reason: str) -> None:
        self.stopped.append(reason)


class Story:
    """A scheduler, its clock, and what has come out of it so far."""

    def __init__(
        self, *, slots: int = 10, rpm: Any = None, tpm: Any = None, seed: int = 0, **scheduler: Any,
    ) -> None:
        self.now = 1_000.0
        self.tracker = StatusTracker(clock=lambda: self.now)
        self.scheduler = Scheduler(self.tracker, requests_per_minute=rpm, tokens_per_minute=tpm, slots=slots,
                                   switch=Switch, rng=Random(seed), **scheduler)
        self.flying: list[Flight] = []
        self.started: list[tuple[float, int, str]] = []
        self.responses: dict[int, APIResponse] = {}
        self._ids = iter(range(1, 10 ** 9))
        self._calls = iter(range(1, 10 ** 9))

    def call(
        self, models: Sequence[str | Model] = ("a",), *, weights: Sequence[float] | None = None, fallbacks: Iterable[str] = (),
        most: int = 512, timeout: float = 30.0, background: float | None = None, backoff: float = 1.0, **policy: Any,
    ) -> Call:
        """A call of the client; its backoffs last ``backoff`` seconds unless Retry-After says more."""
        rows = [Model(model, model, PROVIDER) if isinstance(model, str) else model for model in models]
        params = SamplingParams(max_new_tokens=most)
        policy.setdefault("retry", {"wait": wait_retry_after(lambda state: backoff, jitter=0.0)})
        return Call(
            next(self._calls), templates={row.id: _template(row, params) for row in rows},
            router=Router([row.id for row in rows], weights or [1.0] * len(rows)), policy=RetryPolicy(**policy),
            receiver=None, request_timeout=timeout, fallbacks=tuple(fallbacks), background_timeout=background,
        )

    @staticmethod
    def prompt() -> Conversation:
        """What everybody asks here."""
        return PROMPT

    def submit(self, call: Call, count: int = 1, *, size: int = 40, **task: Any) -> list[Task]:
        """New prompts of a call, and what starts because of them."""
        tasks = [Task(next(self._ids), at, call, PROMPT, size, **task) for at in range(count)]
        self.scheduler.submit(tasks, self.now)
        self.step()
        return tasks

    def step(self) -> list[int]:
        """Lets the scheduler decide; the ids of the tasks that start."""
        self.scheduler.advance(self.now)
        started, self.scheduler.starts = self.scheduler.starts, []
        for flight in started:
            flight.switch.sent_at = self.now
            self.started.append((self.now, flight.task.id, flight.task.model))
        self.flying += started
        for task, response in self.scheduler.ended:
            assert task.id not in self.responses, "a task ends once"
            self.responses[task.id] = response
        self.scheduler.ended = []
        return [flight.task.id for flight in started]

    def wait(self, seconds: float) -> list[int]:
        """Time passes, with every wake-up that the scheduler asks for; the ids of the tasks that start meanwhile."""
        end, started = self.now + seconds, []
        for _ in range(100_000):
            if self.scheduler.wake_at > end:
                break
            self.now = max(self.now + 1e-6, self.scheduler.wake_at)
            started += self.step()
        else:
            raise AssertionError(f"it spins: {self.scheduler!r}")
        self.now = end
        return started + self.step()

    def flight(self, task: Task | None = None) -> Flight:
        """The flight of a task, or the oldest one."""
        return next(flight for flight in self.flying if task is None or flight.task is task)

    def land(self, outcome: Outcome, task: Task | None = None) -> list[int]:
        """A worker comes back; the ids of the tasks that start because of it."""
        flight = self.flight(task)
        self.flying.remove(flight)
        response = outcome.response
        if response is not None:
            response.model_internal = flight.task.model
            if response.is_error:
                outcome.ruling = rule(flight.task, outcome, self.now)
        self.scheduler.finished(flight, outcome, self.now)
        return self.step()

    def answer(self, task: Task | None = None, *, usage: Usage = Usage(10, 5), **outcome: Any) -> list[int]:
        """An answer to a task, or to the oldest flight."""
        response = APIResponse(status_code=200, usage=usage, cost=0.001, finish_reason="stop")
        return self.land(Outcome(response, **{"sent": True, **outcome}), task)

    def fail(
        self, kind: str, task: Task | None = None, *, after: float | None = None, usage: Usage = NO_USAGE,
        verdict: dict[str, Any] | None = None, **outcome: Any,
    ) -> list[int]:
        """A failure of that kind."""
        words: dict[str, Any] = {"retry": kind in RETRIED, "retry_after": after, "switch_model": True, "message": kind}
        judged = Verdict(kind, **{**words, **(verdict or {})})
        response = APIResponse(status_code=STATUS[kind], is_error=True, error_kind=kind, error_message=kind,
                               finish_reason="error", usage=usage, _verdict=judged)
        return self.land(Outcome(response, **{"sent": True, **outcome}), task)

    def refuse(self, task: Task | None = None, kind: str = "auth") -> list[int]:
        """The key or the model itself is refused."""
        return self.fail(kind, task, verdict={"blocklist": True, "retry": False})

    def poll_later(self, delay: float, task: Task | None = None, exchange: Any = None) -> list[int]:
        """The job is not done: ask again in ``delay`` seconds."""
        call = HttpCall("GET", "http://hall.invalid/job", {}, delay=delay)
        return self.land(Outcome(next_call=call, exchange=exchange or iter(()), sent=True), task)

    def run(self, latency: float = 1.0) -> None:
        """Answers everything, each ``latency`` seconds after its start, until nothing is left."""
        while self.flying or self.scheduler.wake_at < float("inf"):
            due = min((flight.started_at + latency for flight in self.flying), default=float("inf"))
            self.now = max(self.now, min(due, self.scheduler.wake_at))
            self.step()
            for flight in [flight for flight in self.flying if flight.started_at + latency <= self.now]:
                self.answer(flight.task)

    def kind(self, task: Task) -> str | None:
        """How a task ended: None for an answer."""
        return self.responses[task.id].error_kind

    def tried(self, task: Task) -> list[tuple[str, str | None]]:
        """Model and kind of each attempt of a task that has ended."""
        return [(attempt.model, attempt.kind) for attempt in self.responses[task.id].attempts]

    def __repr__(self) -> str:
        return repr(self.scheduler)


def model(id: str, **limits: Any) -> Model:
    """A model with limits of its own."""
    return Model(id, id, PROVIDER, limits=Limits(**limits))


def _template(row: Model, params: SamplingParams) -> RequestTemplate:
    return RequestTemplate(row, params, RequestOptions(), PROVIDER.base_url, "a key")
