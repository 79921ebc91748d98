"""A provider account for the scheduler's simulations: limits that slice, refill or roll, headers, and lognormal latency."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from deluge.dialects._rate_limits import RateLimitInfo, rate_limits
from deluge.response import APIResponse
from deluge.tasks import Call, Flight, Outcome, Task
from deluge.testing.limits import Limiter, RateLimits, duration
from deluge.usage import Usage
from deluge.wire import Verdict
from deluge.worker import rule

from stories import Story

WORDS = {"requests": "requests", "tokens": "tokens", "input_tokens": "input-tokens", "output_tokens": "output-tokens"}


class Account(Story):
    """A story that tells itself: every flight reaches a limiter, and comes back with an answer or a 429.

    ``busy``: the provider is; now and then nothing comes in for so many seconds, and starts leave a little late.
    """

    def __init__(
        self, limits: RateLimits | Mapping[str, RateLimits], *, seed: int = 1, latency: float | Mapping[str, float] = 0.3,
        tokens: tuple[int, int] = (20, 60), refusal: float = 0.02, busy: float = 0.0,
        **story: Any,
    ) -> None:
        super().__init__(seed=seed, **story)
        self.rng = Random(seed)
        per_model = limits if isinstance(limits, Mapping) else {"a": limits}
        self.limiters = {name: Limiter(given, self.now) for name, given in per_model.items()}
        self.latency, self.usage, self.refusal, self.busy = latency, Usage(*tokens), refusal, busy
        self.began = self.now
        self.accepted: list[tuple[float, str]] = []
        self.refused: list[float] = []
        self.arrived: list[float] = []
        self.answered: list[float] = []
        self.parsed = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def later(self, delay: float, event: Callable[[], None]) -> None:
        """Something happens after that many seconds."""
        self._number += 1
        heapq.heappush(self._events, (self.now + delay, self._number, event))

    def feed(self, call: Call, count: int, window: int = 900, *, size: int = 80, **task: Any) -> None:
        """Keeps a window of the call's prompts under way, as ``process_prompts`` does."""
        left = [count]

        def pull() -> None:
            room = window - len(call.unfinished)
            if room > window // 4 or left[0] <= room:
                tasks = [Task(next(self._ids), 0, call, Story.prompt(), size, **task) for _ in range(min(room, left[0]))]
                left[0] -= len(tasks)
                call.more = left[0] > 0
                self.scheduler.submit(tasks, self.now)
            if left[0]:
                self.later(0.02, pull)

        pull()
        self.step()

    def live(self, until: float = math.inf) -> None:
        """Lets everything happen that is due within so many seconds from the beginning."""
        until += self.began
        while True:
            due = self._events[0][0] if self._events else math.inf
            at = min(due, self.scheduler.wake_at)
            if at > until or at == math.inf:
                break
            self.now = max(self.now + 1e-9, at)
            if due <= self.now:
                heapq.heappop(self._events)[2]()
            self.step()
        if until < math.inf:
            self.now = until

    def step(self) -> list[int]:
        started = super().step()
        for flight in self.flying:
            self._send(flight) if not self.busy else self._send_late(flight)
        self.flying.clear()
        self.scheduler.messages = []
        return started

    def change(self, name: str = "a", **limits: Any) -> None:
        """The provider's limits change."""
        limiter = self.limiters[name]
        fields = {field: getattr(limiter.limits, field) for field in limiter.limits.__slots__}
        limiter.change(RateLimits(**{**fields, **limits}), self.now)

    # ---- figures

    def rate(self, begin: float, end: float) -> float:
        """Accepted requests per minute between two times since the beginning."""
        inside = sum(1 for at, _ in self.accepted if begin <= at - self.began < end)
        return inside * 60.0 / (end - begin)

    @property
    def share_429(self) -> float:
        """Of all requests that were sent."""
        return len(self.refused) / max(1, len(self.arrived))

    def _send(self, flight: Flight) -> None:
        self.later(self._awake(self.rng.uniform(0.0005, 0.01)), lambda: self._arrive(flight))

    def _send_late(self, flight: Flight) -> None:
        flight.switch.sent_at = 0.0

        def leave() -> None:
            flight.switch.sent_at = self.now
            self._send(flight)

        self.later(self.rng.uniform(0.0, 0.2 * self.busy), leave)

    def _awake(self, delay: float) -> float:
        """That delay, or until the machine has time again."""
        at = self.now + delay
        if self.busy and int(at / self.busy) % 8 == 0:
            at = (int(at / self.busy) + 1) * self.busy
        return at - self.now

    # ---- the provider

    def _arrive(self, flight: Flight) -> None:
        task, now = flight.task, self.now
        self.arrived.append(now)
        limiter = self.limiters[task.model]
        decision = limiter.take(self.usage.input_tokens, self.usage.output_tokens,
                                task.template_for(task.model).params.max_new_tokens, now)
        headers = headers_of(decision.state)
        if decision.refused:
            self.refused.append(now)
            after = decision.retry_after if limiter.limits.retry_after else None
            self.later(self.refusal, lambda: self._back(flight, _refusal(after), headers))
            return
        self.accepted.append((now, task.model))
        latency = self.latency if isinstance(self.latency, (int, float)) else self.latency[task.model]
        response = APIResponse(status_code=200, usage=self.usage, cost=0.0, finish_reason="stop")
        self.later(self.rng.lognormvariate(math.log(latency), 0.4), lambda: self._back(flight, response, headers))

    def _back(self, flight: Flight, response: APIResponse, headers: Mapping[str, str]) -> None:
        outcome = Outcome(response, sent=True)
        response.model_internal = flight.task.model
        if response.is_error:
            outcome.ruling = rule(flight.task, outcome, self.now)
        else:
            self.answered.append(self.now)
        if response.is_error or self.now >= flight.lane.quota.listen_at:
            outcome.limits = self._read(headers)
        self.scheduler.finished(flight, outcome, self.now)

    def _read(self, headers: Mapping[str, str]) -> RateLimitInfo:
        self.parsed += 1
        return rate_limits(headers, 0.0)


def headers_of(state: Mapping[str, tuple[float, float, float]]) -> dict[str, str]:
    """As OpenAI writes them."""
    found: dict[str, str] = {}
    for name, (limit, remaining, full_in) in state.items():
        word = WORDS[name]
        prefix = "x-ratelimit-{}-" + word if word in ("requests", "tokens") else "anthropic-ratelimit-" + word + "-{}"
        found[prefix.format("limit")] = f"{limit:.0f}"
        found[prefix.format("remaining")] = f"{math.floor(remaining + 1e-9)}"
        found[prefix.format("reset")] = duration(full_in)
    return found


def _refusal(after: float | None) -> APIResponse:
    verdict = Verdict("rate_limit", True, after, True, False, "rate_limit")
    return APIResponse(status_code=429, is_error=True, error_kind="rate_limit", finish_reason="error", _verdict=verdict)
