"""Awaiting a call in an event loop. Only who awaits has one, so that nobody else loads asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deluge.calls import CHUNK, FAR, Feed, ResultList
from deluge.response import APIResponse

if TYPE_CHECKING:
    from asyncio import Event


async def gather_async(feed: Feed, gathered: ResultList) -> list[APIResponse]:
    """All responses in input order. The loop is never blocked for longer than a few hundred prompts take to submit."""
    import asyncio

    loop, event = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(event.set)

    gathered.wake = wake
    try:
        while not feed.over:
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
    except BaseException:
        feed.engine.cancel_call(feed.call)
        raise
    return [response for response in gathered.results if response is not None]


async def _reach(gathered: ResultList, event: Event, goal: int) -> None:
    gathered.goal = goal
    while gathered.done < goal:
        await event.wait()
        event.clear()
    gathered.goal = FAR
