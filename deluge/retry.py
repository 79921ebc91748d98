"""Whether a failed attempt is tried again, and when: tenacity's strategies, asked about failures only."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import tenacity
from tenacity import RetryCallState
from tenacity.retry import retry_base, retry_if_exception_type
from tenacity.stop import stop_base
from tenacity.wait import wait_base, wait_none

from deluge.errors import ConfigError
from deluge.wire import Verdict

logger = logging.getLogger("deluge.retry")

MULTIPLIER = 0.5  # the first backoff is up to this many seconds
LONGEST_BACKOFF = 60.0
JITTER = 0.1  # on top of what the provider asked for
MIN_WAIT = 0.001
FINAL = frozenset({"cancelled", "budget", "too_large", "input", "postprocess", "quota_exhausted"})

Strategy = Callable[[RetryCallState], Any]
RetryArgument = tenacity.Retrying | Mapping[str, Any] | tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt, as the policy sees it.

    ``attempt`` counts every attempt of the prompt so far, this one included; ``rate_limited`` how many of them ended in
    a 429, this one included: those are free as long as ``limited_for``, the seconds that the prompt has waited because
    of rate limits (its backoffs after 429s and its lane's cooldowns), stays under the policy's patience. None takes the
    time since the first attempt.
    ``timeouts_so_far`` includes this one. Times are monotonic seconds; ``idle`` is the sum of the waits so far.
    """

    attempt: int
    first_attempt_at: float
    now: float
    verdict: Verdict
    error: BaseException
    idle: float = 0.0
    timeouts_so_far: int = 0
    possibly_billed: bool = False
    rate_limited: int = 0
    limited_for: float | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """``wait`` seconds until the next attempt, or None and the ``reason``: final, disabled, verdict, timeouts, billed,
    patience, attempts (the stop strategy said so), strategy (a strategy of the user raised ``error``)."""

    wait: float | None
    reason: str = ""
    error: Exception | None = None


class wait_full_jitter(wait_base):
    """Exponential backoff with full jitter: up to ``multiplier`` seconds first, doubling up to ``max``."""

    def __init__(self, multiplier: float = MULTIPLIER, max: float = LONGEST_BACKOFF, rng: Random | None = None) -> None:
        self.multiplier, self.max, self.rng = multiplier, max, rng or Random()

    def __call__(self, retry_state: RetryCallState) -> float:
        high = self.multiplier * 2.0 ** min(60, max(0, retry_state.attempt_number - 1))
        return self.rng.uniform(0.0, min(self.max, high))


class wait_retry_after(wait_base):
    """As long as the provider asked for, plus up to a tenth; ``fallback`` when it asked for nothing.

    Composes like any tenacity wait: ``wait_retry_after(fallback=wait_fixed(3)) + wait_random(0, 1)``.
    """

    def __init__(self, fallback: Strategy | None = None, jitter: float = JITTER, rng: Random | None = None) -> None:
        self.rng = rng or Random()
        self.fallback: Strategy = fallback or wait_full_jitter(rng=self.rng)
        self.jitter = jitter

    def __call__(self, retry_state: RetryCallState) -> float:
        verdict = retry_state.kwargs.get("verdict")
        asked = getattr(verdict, "retry_after", None)
        if not asked or asked <= 0.0:  # "0" from a provider that refuses all the same would be a storm
            return float(self.fallback(retry_state))
        return float(asked) + self.rng.uniform(0.0, self.jitter * asked)


class RetryPolicy:
    """Decides about failed attempts.

    ``retry`` is None, a ``tenacity.Retrying`` (its ``sleep`` and ``retry_error_callback`` are not used), a mapping with
    ``stop``, ``wait``, ``retry``, or a tuple of tenacity strategies. What is not given, or left at tenacity's default
    in a ``Retrying``, is ours: stop after ``max_attempts``, honour Retry-After, else full-jitter backoff, and retry
    what the verdict calls retryable. A strategy finds the verdict in ``retry_state.kwargs["verdict"]``. ``stop`` sees
    an ``attempt_number`` without the attempts that ended in a 429, ``wait`` and ``retry`` see all of them.
    """

    def __init__(
        self, max_attempts: int = 5, retry: RetryArgument = None, *, retry_timeouts: int = 2,
        retry_possibly_billed: bool = True, rate_limit_patience: float = 300.0, rng: Random | None = None,
    ) -> None:
        self.max_attempts = max_attempts
        self.retry_timeouts = retry_timeouts
        self.retry_possibly_billed = retry_possibly_billed
        self.rate_limit_patience = rate_limit_patience
        given = _strategies(retry)
        self._source = retry if isinstance(retry, tenacity.Retrying) else tenacity.Retrying()
        self._enabled = getattr(self._source, "enabled", True)
        self._retry: Strategy = given.get("retry") or _by_verdict
        self._wait: Strategy = given.get("wait") or wait_retry_after(rng=rng)
        self._stop: Strategy = given.get("stop") or tenacity.stop_after_attempt(max_attempts)

    def __repr__(self) -> str:
        return f"<RetryPolicy {self.max_attempts} attempts, {self.rate_limit_patience:g} s of patience>"

    def decide(self, failure: Failure) -> float | None:
        """Seconds to wait before the next attempt (at least 0.001); None means: give up."""
        return self.judge(failure).wait

    def judge(self, failure: Failure) -> Ruling:
        """The same with the reason. Never raises: a strategy that does ends its prompt, with a line in the log."""
        reason = self._refusal(failure)
        if reason:
            return Ruling(None, reason)
        try:
            return self._ask(failure)
        except Exception as error:
            logger.error("a retry strategy raised %s; the prompt is given up", type(error).__name__, exc_info=error,
                         extra={"deluge": {"kind": failure.verdict.kind, "attempt": failure.attempt}})
            return Ruling(None, "strategy", error.with_traceback(None))

    def _refusal(self, failure: Failure) -> str:
        verdict = failure.verdict
        if not self._enabled:
            return "disabled"
        if verdict.kind in FINAL:
            return "final"
        if failure.possibly_billed and not self.retry_possibly_billed:
            return "billed"
        if verdict.kind == "timeout" and failure.timeouts_so_far > self.retry_timeouts:
            return "timeouts"
        if (verdict.retry_after or 0.0) > self.rate_limit_patience:
            return "patience"
        return ""

    def _ask(self, failure: Failure) -> Ruling:
        """In tenacity's own order: retry, after, wait, stop, before_sleep."""
        state = self._state(failure)
        if not isinstance(failure.error, tenacity.TryAgain) and not self._retry(state):
            return Ruling(None, "verdict")
        if self._source.after is not None:
            self._source.after(state)
        wait = float(self._wait(state))
        if not math.isfinite(wait):
            raise ValueError(f"a wait strategy returned {wait!r}")
        wait = state.upcoming_sleep = max(MIN_WAIT, wait)
        if failure.verdict.kind == "rate_limit" and _limited_for(failure) + wait > self.rate_limit_patience:
            return Ruling(None, "patience")
        state.attempt_number = failure.attempt - failure.rate_limited
        if self._stop(state):
            return Ruling(None, "attempts")
        state.attempt_number = failure.attempt
        if self._source.before_sleep is not None:
            self._source.before_sleep(state)
        return Ruling(wait)

    def _state(self, failure: Failure) -> RetryCallState:
        state = RetryCallState(self._source, None, (), {"verdict": failure.verdict})
        state.start_time = failure.first_attempt_at
        state.attempt_number = failure.attempt
        state.idle_for = failure.idle
        error = failure.error.with_traceback(None)  # frames would keep the attempt's memory alive
        state.set_exception((type(error), error, None))
        state.outcome_timestamp = failure.now
        return state


def _limited_for(failure: Failure) -> float:
    return failure.now - failure.first_attempt_at if failure.limited_for is None else failure.limited_for


def _by_verdict(retry_state: RetryCallState) -> bool:
    return bool(retry_state.kwargs["verdict"].retry)


def _strategies(retry: RetryArgument) -> dict[str, Strategy]:
    if retry is None:
        return {}
    if isinstance(retry, tenacity.Retrying):
        return _of_retrying(retry)
    if isinstance(retry, Mapping):
        unknown = set(retry) - {"stop", "wait", "retry"}
        if unknown:
            raise ConfigError(f"retry takes stop, wait and retry, not {', '.join(sorted(map(str, unknown)))}")
        return {name: _checked(name, strategy) for name, strategy in retry.items() if strategy is not None}
    if isinstance(retry, tuple):
        return dict(_named(strategy) for strategy in retry)
    raise ConfigError(f"retry must be a tenacity.Retrying, a mapping or a tuple of strategies, not {retry!r}")


def _of_retrying(retrying: tenacity.Retrying) -> dict[str, Strategy]:
    given: dict[str, Strategy] = {}
    if retrying.stop is not tenacity.stop_never:
        given["stop"] = _checked("stop", retrying.stop)
    if type(retrying.wait) is not wait_none:
        given["wait"] = _checked("wait", retrying.wait)
    retry = retrying.retry
    if not (type(retry) is retry_if_exception_type and retry.exception_types is Exception):
        given["retry"] = _checked("retry", retry)
    return given


def _named(strategy: Any) -> tuple[str, Strategy]:
    for name, base in (("stop", stop_base), ("wait", wait_base), ("retry", retry_base)):
        if isinstance(strategy, base):
            return name, _checked(name, strategy)
    raise ConfigError(f"retry: {strategy!r} is no tenacity strategy; name a plain function, as in {{'wait': …}}")


def _checked(name: str, strategy: Any) -> Strategy:
    if strategy == 0 and name == "wait":
        return wait_none()
    if not callable(strategy) or inspect.iscoroutinefunction(strategy):
        raise ConfigError(f"retry: {name} must be a plain function of a RetryCallState, not {strategy!r}")
    checked: Strategy = strategy
    return checked
