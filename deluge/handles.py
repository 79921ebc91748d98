"""Handles of prompts on their way, and the book that knows them by their numbers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures import as_completed as futures_as_completed
from typing import Any, Generic, TypeVar, Union

from deluge.courier import SLICE, on_courier, wait_in_slices
from deluge.response import APIResponse
from deluge.tasks import Task

T = TypeVar("T")

KEPT = 10_000  # resolved handles that the book still knows by number
_CANCELLED = "CANCELLED_AND_NOTIFIED"


class NumberedFuture(Future[T]):
    """A future that stands for its number and is awaitable. A cancelled one has a result too, and raises nothing."""

    task_id: int
    owner: dict[int, NumberedFuture[T]] | None
    _result: T | None
    _book: HandleBook[T]

    def __init__(self, task_id: int, book: HandleBook[T], condition: threading.Condition) -> None:
        # Not super().__init__: one condition is shared by all handles of a thread, which saves a kilobyte for each.
        self._condition = condition
        self._state = "PENDING"
        self._result = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Callable[[Future[T]], object]] = []
        self._book = book
        self.owner = None
        self.task_id = task_id

    def result(self, timeout: float | None = None) -> T:
        """The result, waiting for it up to ``timeout`` seconds (``TimeoutError`` after that)."""
        self._wait(timeout)
        assert self._result is not None
        self._book.collect(self)
        return self._result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """None, once the result is there: failures are in the response."""
        self._wait(timeout)
        return None

    def settle(self, result: T, cancelled: bool) -> bool:
        """Sets the result, once; False when there is one."""
        with self._condition:
            if self._result is not None:
                return False
            self._result = result
            self._state = _CANCELLED if cancelled else "FINISHED"
            for waiter in self._waiters:
                (waiter.add_cancelled if cancelled else waiter.add_result)(self)
            self._condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]
        return True

    def orphan(self, result: T) -> None:
        """In a forked child: ends without callbacks, under a new lock."""
        self._condition = threading.Condition()
        self._done_callbacks = []
        self._waiters = []
        self._result, self._state = result, _CANCELLED

    def _wait(self, timeout: float | None) -> None:
        if self._result is not None:
            return
        if on_courier():
            raise RuntimeError("called from a deluge hook: waiting here for a response would wait for ever")
        with self._condition:
            if not wait_in_slices(self._condition, lambda: self._result is not None, timeout):
                raise FutureTimeout()

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio

        return asyncio.wrap_future(self).__await__()

    def __int__(self) -> int:
        return self.task_id

    __index__ = __int__

    def __hash__(self) -> int:
        return hash(self.task_id)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is int and other == self.task_id)

    def __repr__(self) -> str:
        state = "cancelled" if self._state == _CANCELLED else self._state.lower()
        return f"<{type(self).__name__} {self.task_id} {state}>"


class ResponseFuture(NumberedFuture[APIResponse]):
    """The handle of one prompt: a ``concurrent.futures.Future`` that is awaitable and stands for its ``task_id``.

    ``result()`` gives the response **even when it is an error response**; ``result().raise_for_error()`` raises. A cancelled
    handle says so (``cancelled()``) and its ``result()`` is a response of kind ``cancelled``.
    """

    def __init__(self, task_id: int, book: HandleBook[APIResponse], condition: threading.Condition,
                 cancel: Callable[[], APIResponse | None]) -> None:
        super().__init__(task_id, book, condition)
        self._cancel = cancel

    def cancel(self) -> bool:
        """Ends the prompt, queued or in flight, at once; False when it has its response. In flight it may still be billed."""
        response = self._cancel()
        if response is not None and self.resolve(response):
            self._book.resolved(self)
        return self.cancelled()

    def resolve(self, response: APIResponse) -> bool:
        """Sets the response, once; False when there is one. ``cancelled()`` is True for a response of kind cancelled."""
        return self.settle(response, response.error_kind == "cancelled")


Handle = Union[ResponseFuture, int]


class HandleReceiver:
    """Resolves the handles of one thread. They share its condition."""

    __slots__ = ("condition", "book")

    def __init__(self, book: HandleBook[APIResponse]) -> None:
        self.condition = threading.Condition()
        self.book = book

    def take(self, task: Task, response: APIResponse) -> None:
        """Resolves the task's handle."""
        if task.handle.resolve(response):
            self.book.resolved(task.handle)

    def orphan(self, task: Task, response: APIResponse) -> None:
        """Ends the task's handle in a forked child."""
        task.handle.orphan(response)


class HandleBook(Generic[T]):
    """The handles that were started and not collected, by number and by the thread that started them.

    Whoever takes a response (``result``, ``wait_for``, ``as_completed`` …) collects its handle.
    """

    def __init__(self, of: str = "prompt") -> None:
        self._of = of
        self._lock = threading.Lock()
        self._open: dict[int, NumberedFuture[T]] = {}
        self._resolved: OrderedDict[int, NumberedFuture[T]] = OrderedDict()
        self._mine = threading.local()

    def add(self, handle: NumberedFuture[T]) -> None:
        """Remembers a handle of this thread."""
        handle.owner = self._of_thread()
        handle.owner[handle.task_id] = handle
        with self._lock:
            self._open[handle.task_id] = handle

    def resolved(self, handle: NumberedFuture[T]) -> None:
        """Keeps at most 10,000 handles that have their response and nobody has collected."""
        with self._lock:
            if handle.task_id in self._open:
                self._resolved[handle.task_id] = handle
            oldest = self._resolved.popitem(last=False)[1] if len(self._resolved) > KEPT else None
        if oldest is not None:
            self.collect(oldest)

    def find(self, handle: NumberedFuture[T] | int) -> NumberedFuture[T]:
        """The handle itself; ``KeyError`` for a number that is not known (any more)."""
        if isinstance(handle, NumberedFuture):
            return handle
        found = self._open.get(handle)
        if found is None:
            raise KeyError(f"no {self._of} with the number {handle} is waiting to be collected")
        return found

    def mine(self) -> list[NumberedFuture[T]]:
        """What this thread started and has not collected, in order."""
        return list(self._of_thread().values())

    def collect(self, handle: NumberedFuture[T]) -> None:
        """Forgets a handle whose response has been taken."""
        with self._lock:
            self._open.pop(handle.task_id, None)
            self._resolved.pop(handle.task_id, None)
            if handle.owner is not None:
                handle.owner.pop(handle.task_id, None)

    def wait(self, handle: NumberedFuture[T] | int, timeout: float | None = None) -> T:
        """The response of a handle or number."""
        return self.find(handle).result(timeout)

    def wait_for_all(self, handles: Iterable[NumberedFuture[T] | int] | None, timeout: float | None = None) -> list[T]:
        """The responses, in the order of the handles. None is collected before all have come, so that a timeout loses none."""
        wanted = self.mine() if handles is None else [self.find(handle) for handle in handles]
        end = None if timeout is None else time.monotonic() + timeout
        for handle in wanted:
            handle.exception(None if end is None else max(0.0, end - time.monotonic()))
        return [handle.result() for handle in wanted]

    def as_completed(
        self, handles: Iterable[NumberedFuture[T] | int] | None, timeout: float | None = None
    ) -> Iterator[tuple[int, T]]:
        """Numbers and responses as they come; ``KeyError`` at once for an unknown number."""
        wanted = self.mine() if handles is None else [self.find(handle) for handle in handles]
        return _as_completed(wanted, timeout)

    def after_fork(self) -> None:
        """In a forked child: a new lock. What this thread started is still its own."""
        mine = self._of_thread()
        self._lock, self._mine = threading.Lock(), threading.local()
        self._mine.handles = mine

    def _of_thread(self) -> dict[int, NumberedFuture[T]]:
        mine: dict[int, NumberedFuture[T]] | None = getattr(self._mine, "handles", None)
        if mine is None:
            mine = self._mine.handles = {}
        return mine


def _as_completed(handles: list[NumberedFuture[T]], timeout: float | None) -> Iterator[tuple[int, T]]:
    end = None if timeout is None else time.monotonic() + timeout
    waiting = {id(handle): handle for handle in handles}
    while waiting:
        left = SLICE if end is None else max(0.0, min(SLICE, end - time.monotonic()))
        try:
            for future in futures_as_completed(list(waiting.values()), left):
                assert isinstance(future, NumberedFuture)
                del waiting[id(future)]
                yield future.task_id, future.result()
        except FutureTimeout:
            if end is not None and time.monotonic() >= end:
                raise
