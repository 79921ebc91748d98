"""The response cache as a call sees it: under a lock where it needs one, its hits as responses of their prompts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from deluge.prompt import Conversation
from deluge.response import APIResponse
from deluge.tasks import Call, Task
from deluge.usage import NO_USAGE

FOLD = 10.0  # seconds in which a cache that fails again in the same way is not said again
_said: WeakKeyDictionary[Call, dict[tuple[str, str], float]] = WeakKeyDictionary()


def say_failed(logger: logging.Logger, call: Call, error: BaseException) -> None:
    """That the call's cache has failed: a line in the log, not one for each of a million prompts."""
    kind, now = (logger.name, type(error).__name__), time.monotonic()
    said = _said.setdefault(call, {})
    if now - said.get(kind, -FOLD) >= FOLD:
        said[kind] = now
        logger.warning("the response cache failed: %s", kind[1], exc_info=error)


def hit(task: Task, found: Any) -> APIResponse | None:
    """A cached answer as the response of this prompt: it cost nothing. None for one that fits no longer."""
    if not isinstance(found, APIResponse):
        raise TypeError(f"the cache returned {type(found).__name__}, not an APIResponse")
    reading = None if task.call.reader is None else task.call.reader.reading(found)
    if reading is not None and reading.problem is not None:
        return None  # the schema is the same, but a validator of the type's is not
    return unpaid(
        found, parsed=found.parsed if reading is None else reading.value, id=task.id, index=task.index, prompt=task.prompt,
        metadata=task.metadata,
    )


def unpaid(found: APIResponse, **own: Any) -> APIResponse:
    """A cached answer as one that cost nothing; ``own``: fields of the prompt that it is for."""
    return found.replaced(
        source="cache", local_cache_hit=True, usage=NO_USAGE, cost=0.0, attempts=(), latency=0.0, queued=0.0, trajectory=None,
        **own,
    )


class Locked:
    """A user's cache under the client's lock, unless it says that it is ``thread_safe``."""

    __slots__ = ("get", "put")

    def __init__(self, cache: Any, lock: threading.Lock | None) -> None:
        free = lock is None or getattr(cache, "thread_safe", False)
        self.get: Callable[[Conversation], Any] = cache.get if free else _under(lock, cache.get)
        self.put: Callable[[Conversation, APIResponse], Any] = cache.put if free else _under(lock, cache.put)


def _under(lock: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    def locked(*arguments: Any) -> Any:
        with lock:
            return function(*arguments)

    return locked
