"""What a client is for: prompts in, responses out. Blocking, by handle, as a stream, or awaited."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast, overload

from typing_extensions import Unpack

from deluge.calls import (
    DRAINED, MOST_BUFFERED, Arrivals, Feed, ResultList, gather, iterate, refuse_on_courier, send,
)
from deluge.config import ClientConfig, PoolEntry
from deluge.courier import on_courier
from deluge.engine import Engine
from deluge.errors import ClosedError
from deluge.estimates import Estimate, Estimator, sample_of
from deluge.handles import Handle, HandleBook, HandleReceiver, ResponseFuture
from deluge.journaling import without_journal
from deluge.lifecycle import fit_in
from deluge.options import CallOptions
from deluge.plan import Plan
from deluge.prompt.coerce import as_prompts
from deluge.response import APIResponse
from deluge.router import Router
from deluge.showing import Showing
from deluge.streaming import Stream, open_stream, print_stream
from deluge.tasks import Call, Receiver
from deluge.waiting import gather_async, in_thread


class Asking:
    """The calls of a client. ``LLMClient`` brings the settings, and the life of what the attributes hold."""

    _config: ClientConfig
    _pool: tuple[PoolEntry, ...]
    _router: Router
    _engine: Engine
    _book: HandleBook[APIResponse]
    _showing: Showing
    _calls: weakref.WeakSet[Call]
    _cache_lock: threading.Lock
    _warned: set[Any]
    _closed: bool
    _bulk: weakref.WeakSet[Call]  # calls with an input of their own, which drain() ends
    _drains: set[object]
    _local: threading.local

    @overload
    def process_prompts(self, prompts: Any, *, return_completions_only: Literal[False] = False, show_progress: bool = True,
                        **options: Unpack[CallOptions]) -> list[APIResponse]: ...

    @overload
    def process_prompts(self, prompts: Any, *, return_completions_only: Literal[True], show_progress: bool = True,
                        **options: Unpack[CallOptions]) -> list[str | None]: ...

    def process_prompts(
        self, prompts: Any, *, return_completions_only: bool = False, show_progress: bool = True,
        **options: Unpack[CallOptions],
    ) -> list[APIResponse] | list[str | None]:
        """Responses in input order, one per prompt, errors included; or their texts (None for an error).

        Any iterable counts as many prompts; one str, Message, Conversation or list of message dicts counts as one. Blocks.
        ``timeout=`` seconds: what is not answered by then comes back as errors of kind ``cancelled``. Ctrl-C raises
        ``Interrupted`` with what is finished.
        """
        refuse_on_courier()
        items, count = as_prompts(prompts), _length(prompts)
        results = ResultList()
        leave = self._showing.join(count, self._config.progress if show_progress else None)
        try:
            feed = self._feed(items, options, results)
            responses = gather(feed, results) if feed is not None else []
        finally:
            leave()
        return [_text_of(response) for response in responses] if return_completions_only else responses

    process_prompts_sync = process_prompts

    async def process_prompts_async(
        self, prompts: Any, *, return_completions_only: bool = False, show_progress: bool = True,
        **options: Unpack[CallOptions],
    ) -> list[APIResponse] | list[str | None]:
        """The same for the one async view: awaits, in any event loop. Cancelling the coroutine cancels its prompts."""
        items, count = as_prompts(prompts), _length(prompts)
        results = ResultList()
        leave = self._showing.join(count, self._config.progress if show_progress else None)
        try:
            if options.get("journal") is None:
                feed = self._feed(items, options, results)
            else:  # a large one takes seconds to be opened
                feed = await in_thread(self._feed, items, options, results)
            responses = await gather_async(feed, results) if feed is not None else []
        finally:
            leave()
        return [_text_of(response) for response in responses] if return_completions_only else responses

    def map(
        self, prompts: Any, *, ordered: bool = True, show_progress: bool = False, **options: Unpack[CallOptions]
    ) -> Iterator[APIResponse]:
        """An iterator over responses that pulls its input as room comes, for inputs larger than memory.

        ``ordered=False`` gives them as they finish. Leaving the loop cancels what is under way of this call.
        """
        refuse_on_courier()
        arrivals = Arrivals()
        items, count = as_prompts(prompts), _length(prompts)
        feed = self._feed(items, options, arrivals)
        return self._mapped(feed, arrivals, ordered, count, self._config.progress if show_progress else None)

    def _mapped(
        self, feed: Feed | None, arrivals: Arrivals, ordered: bool, count: int | None, style: str | None
    ) -> Iterator[APIResponse]:
        if feed is None:
            return
        leave = self._showing.join(count, style)
        try:
            yield from iterate(feed, arrivals, ordered)
        finally:
            leave()

    def ask(self, prompt: Any, **options: Unpack[CallOptions]) -> APIResponse:
        """The response to one prompt."""
        return self.process_prompts([prompt], show_progress=False, **options)[0]

    def start(self, prompt: Any, **options: Unpack[CallOptions]) -> ResponseFuture:
        """A handle of one prompt. Waits for room while more than ``max_queued`` are queued (never on a hook's thread)."""
        if not on_courier():
            self._engine.wait_for_room()
        return self.start_nowait(prompt, **options)

    def start_nowait(self, prompt: Any, **options: Unpack[CallOptions]) -> ResponseFuture:
        """A handle of one prompt, at once; the queue is as long as it gets."""
        plan = self._own_plan(options)
        task = plan.task(0, prompt)
        receiver = plan.call.receiver
        assert isinstance(receiver, HandleReceiver)
        handle = ResponseFuture(task.id, self._book, receiver.condition, lambda: self._engine.cancel(task))
        task.handle = handle
        self._book.add(handle)
        self._showing.join(1, None, batch=False)()
        send(self._engine, [task], None if self._config.cache is None else plan.cached)
        return handle

    def wait_for(self, handle: Handle, timeout: float | None = None) -> APIResponse:
        """The response of a handle or of its number; ``KeyError`` for an unknown number."""
        return self._book.wait(handle, timeout)

    def wait_for_all(self, handles: Iterable[Handle] | None = None, timeout: float | None = None) -> list[APIResponse]:
        """Responses in the order of the handles; without any: of all that this thread started and has not collected."""
        return self._book.wait_for_all(handles, timeout)

    def as_completed(
        self, handles: Iterable[Handle] | None = None, timeout: float | None = None
    ) -> Iterator[tuple[int, APIResponse]]:
        """Pairs of number and response as they finish; without handles: of all that this thread started."""
        refuse_on_courier()
        return self._book.as_completed(handles, timeout)

    def stream_chat(self, prompt: Any, **options: Unpack[CallOptions]) -> Stream:
        """A generator of the answer's pieces (``StreamDelta``); its last item is the ``APIResponse``."""
        refuse_on_courier()
        without_journal(options)
        return open_stream(self._engine, self._plan(options, None), prompt, self._showing)

    def stream(self, prompt: Any, **options: Unpack[CallOptions]) -> APIResponse:
        """Prints the answer as it comes, and gives the response."""
        return print_stream(self.stream_chat(prompt, **options))

    def estimate(self, prompts: Any, *, sample: int | None = None, **options: Unpack[CallOptions]) -> Estimate:
        """What ``process_prompts`` with the same arguments will take: an ``Estimate`` of tokens, dollars and seconds.

        Nothing is sent, and no key is needed. ``sample``: look at so many of the prompts only. An iterator is used up.
        """
        items, total = sample_of(as_prompts(prompts), sample)
        return self._estimated(items, total, options)

    def _estimated(self, items: Iterable[Any], total: int | None, options: CallOptions) -> Estimate:
        without = {name: value for name, value in options.items() if name not in ("journal", "durable", "retry_failed")}
        config = self._config.changed(api_key="none is needed")
        router = Router([entry.key for entry in self._pool], [entry.weight for entry in self._pool])
        plan = Plan(self._engine, config, self._pool, router, cast(CallOptions, without), HandleReceiver(self._book),
                    self._cache_lock, self._warned)
        estimator = Estimator(plan, self._engine.scheduler)
        estimator.add(items)
        self._engine.reading(lambda _: estimator.look_at_limits(time.monotonic(), total))
        return estimator.result(total)

    def _plan(self, options: CallOptions, receiver: Receiver | None) -> Plan:
        self._check_open()
        plan = Plan(
            self._engine, self._config, self._pool, self._router, options, receiver or HandleReceiver(self._book),
            self._cache_lock, self._warned,
        )
        self._calls.add(plan.call)
        return plan

    def _own_plan(self, options: CallOptions) -> Plan:
        """The plan of this thread's handles: one call, so that a thread with many handles is one among the others."""
        without_journal(options)
        key = (self._config, self._pool)
        kept = getattr(self._local, "plan", None)
        if not options and kept is not None and kept[0] == key and kept[1].lasts():
            self._check_open()
            plan: Plan = kept[1]
            return plan
        plan = self._plan(options, None)
        if not options:
            self._local.plan = (key, plan)
        if plan.timeout is not None:
            self._engine.ends_at(plan.call, plan.timeout)
        return plan

    def _feed(self, items: Iterable[Any], options: CallOptions, receiver: Any) -> Feed | None:
        """The feed of one call; None when there is nothing to send, so that no key is asked for."""
        self._check_open()
        if _length(items) == 0:
            return None
        plan = self._plan(options, receiver)
        self._bulk.add(plan.call)
        self._check_open()  # it may have begun to drain since
        own = plan.open_journal()
        plan.call.answers = {} if plan.shares else None
        plan.call.most_answers = MOST_BUFFERED if isinstance(receiver, Arrivals) else sys.maxsize
        plan.call.seen_early = isinstance(receiver, Arrivals) or self._config.postprocess is not None
        recorded = plan.recorded if plan.call.journal is not None else None
        look_up = plan.cached if self._config.cache is not None else None
        try:
            return Feed(self._engine, plan.call, items, plan.task, plan.timeout, look_up, recorded, own)
        except BaseException:
            if own and plan.call.journal is not None:
                plan.call.journal.close()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this client was closed when its with block ended")
        if self._drains:
            raise ClosedError(f"{DRAINED}: it takes no prompts until drain() returns")
        fit_in()


def _text_of(response: APIResponse) -> str | None:
    return None if response.is_error else response.completion


def _length(prompts: Any) -> int | None:
    try:
        return len(prompts)
    except TypeError:
        return None
