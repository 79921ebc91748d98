"""Streamed answers: pieces as they come, then the response."""

from __future__ import annotations

import queue
import sys
from collections.abc import Generator
from typing import Any, Union

from deluge.courier import SLICE
from deluge.engine import Engine
from deluge.plan import Plan
from deluge.response import APIResponse
from deluge.showing import Showing
from deluge.tasks import Task
from deluge.wire import StreamDelta

Stream = Generator[Union[StreamDelta, APIResponse], None, None]


class _Sink:
    """Where a worker puts the pieces and the courier the response. It is the receiver of its own call."""

    __slots__ = ("queue",)

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[StreamDelta | APIResponse] = queue.SimpleQueue()

    def get(self) -> StreamDelta | APIResponse:
        """The next piece, or the response."""
        while True:
            try:
                return self.queue.get(timeout=SLICE)
            except queue.Empty:
                continue

    def put(self, delta: StreamDelta) -> None:
        """One piece, from the worker."""
        self.queue.put(delta)

    def take(self, task: Task, response: APIResponse) -> None:
        """The end, from the courier."""
        self.queue.put(response)


def open_stream(engine: Engine, plan: Plan, prompt: Any, showing: Showing) -> Stream:
    """The pieces of the answer, then the response. The prompt is sent at once; closing the generator aborts it."""
    sink = _Sink()
    plan.call.receiver = sink
    task = plan.task(0, prompt, sink)
    leave = showing.join(1, None)
    if plan.timeout is not None:
        engine.ends_at(plan.call, plan.timeout)
    engine.submit([task])
    pieces = _pieces(engine, task, sink, leave)
    next(pieces)
    return pieces


def _pieces(engine: Engine, task: Task, sink: _Sink, leave: Any) -> Stream:
    try:
        yield StreamDelta("text")  # taken by whoever opens the stream: from here on dropping it, even unread, ends the prompt
        while True:
            item = sink.get()
            yield item
            if isinstance(item, APIResponse):
                return
    finally:
        engine.cancel(task)
        leave()


def print_stream(pieces: Stream) -> APIResponse:
    """Writes the text to standard output as it comes, and gives the response."""
    response: APIResponse | None = None
    wrote = False
    for item in pieces:
        if isinstance(item, APIResponse):
            response = item
        elif item.kind == "text":
            wrote = True
            sys.stdout.write(item.text)
            sys.stdout.flush()
    if wrote:
        sys.stdout.write("\n")
    assert response is not None
    return response
