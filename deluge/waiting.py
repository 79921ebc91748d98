"""Awaiting a call in an event loop. Only who awaits has one, so that nobody else loads asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from deluge.calls import CHUNK, FAR, Feed, ResultList
from deluge.response import APIResponse

if TYPE_CHECKING:
    from asyncio import Event

Result = TypeVar("Result")


async def in_thread(function: Callable[..., Result], *arguments: Any) -> Result:
    """What the function gives, from another thread, while the loop goes on."""
    import asyncio

    return await asyncio.to_thread(function, *arguments)


async def gather_async(feed: Feed, gathered: ResultList) -> list[APIResponse]:
    """All responses in input order. The loop is never blocked for longer than a few hundred prompts take to submit."""
    import asyncio

    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(event.set)

    gathered.wake = wake
    clean = False
    try:
        while not feed.over and not feed.halted:
            window = feed.window()
            room = window - (feed.added - gathered.done)
            if room > 0:
                tasks = feed.pull(min(room, CHUNK))
                gathered.results.extend([None] * len(tasks))
                feed.send(tasks)
                await asyncio.sleep(0)
            else:
                await _reach(gathered, event, feed.added - window // 2)
        await _reach(gathered, event, feed.added)
        clean = True
    except BaseException:
        feed.engine.cancel_call(feed.call)
        raise
    finally:
        if feed.call.journal is not None:  # which may take its time to be closed
            await asyncio.shield(asyncio.to_thread(feed.leave, clean))
    feed.check(gathered.results)
    return [response for response in gathered.results if response is not None]


async def _reach(gathered: ResultList, event: Event, goal: int) -> None:
    gathered.goal = goal
    while gathered.done < goal:
        await event.wait()
        event.clear()
    gathered.goal = FAR
