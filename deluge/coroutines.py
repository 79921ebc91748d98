"""Coroutines run to their end from ordinary code, on a thread and an event loop of their own."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any


def finished(awaitable: Awaitable[Any]) -> Any:
    """What the awaitable gives, or its exception. It sees the caller's context variables.

    Works inside a running event loop too (which waits meanwhile). Ctrl-C while waiting cancels it.
    """
    run = _Run(awaitable)
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="deluge-coroutine", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        run.cancel()
        raise
    if run.error is not None:
        raise run.error
    return run.value


async def awaited(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What the function gives: an async one in this event loop, any other on a thread, which sees the context variables."""
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    value = await asyncio.to_thread(function, **arguments)
    return await value if inspect.isawaitable(value) else value


class _Run:
    """One awaitable on its loop, and what came of it."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable
        self.value: Any = None
        self.error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def __call__(self) -> None:
        try:
            self.value = asyncio.run(self._main())
        except BaseException as error:
            self.error = error

    async def _main(self) -> Any:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        return await self.awaitable

    def cancel(self) -> None:
        """Cancels it if it runs."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
