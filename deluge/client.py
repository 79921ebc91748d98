"""The client: any number of prompts to any provider, from blocking code."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from typing_extensions import Self, Unpack

from deluge import lifecycle
from deluge.calls import Arrivals, Feed, ResultList, gather, iterate, refuse_on_courier
from deluge.config import ClientConfig, make_pool, params_for, read_yaml, settings_of, signature
from deluge.courier import on_courier
from deluge.engine import Engine
from deluge.errors import ClosedError, ConfigError
from deluge.handles import Handle, HandleBook, HandleReceiver, ResponseFuture
from deluge.params import SamplingParams
from deluge.plan import LIMITS, CallOptions, Plan, engine_of
from deluge.prompt.coerce import as_prompts
from deluge.response import APIResponse
from deluge.router import Router
from deluge.showing import Showing
from deluge.status import StatusSnapshot
from deluge.streaming import Stream, open_stream, print_stream
from deluge.tasks import Call, Receiver
from deluge.tracker import StatusTracker


class LLMClient:
    """Sends prompts to a model, or to a pool of models, as fast as the limits allow. Safe to share between threads.

    ``LLMClient("gpt-4.1-mini", max_requests_per_minute=5_000)``. All arguments but the first are by keyword; what they mean
    and their defaults stand in the fields of ``ClientConfig`` and in the manual. ``ConfigError`` for whatever cannot be
    right. No key is needed, and no thread started, before the first prompt.
    """

    def __init__(self, model_names: str | Sequence[str] = "gpt-4.1-mini", **settings: Any) -> None:
        self._set(ClientConfig.checked({"model_names": model_names, **settings}))
        self._start(engine_of(self._config, self._pool))

    def _set(self, config: ClientConfig) -> None:
        pool = make_pool(config)
        self._config = config
        self._pool = pool
        self._router = Router([entry.key for entry in pool], [entry.weight for entry in pool])

    def _start(self, engine: Engine, book: HandleBook | None = None, showing: Showing | None = None) -> None:
        self._engine = engine
        self._book = book or HandleBook()
        self._showing = showing or Showing(engine, self.name)
        self._calls: weakref.WeakSet[Call] = weakref.WeakSet()
        self._cache_lock = threading.Lock()
        self._warned: set[str] = set()
        self._closed = False
        self._local = threading.local()
        lifecycle.clients.add(self)
        if showing is None:
            weakref.finalize(self, Engine.close, engine)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """A client of these settings: the constructor's arguments, as ``to_dict`` writes them. The mapping is not changed."""
        return cls(**settings_of(settings))

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """A client of the settings in a YAML file."""
        return cls.from_dict(read_yaml(path))

    def to_dict(self) -> dict[str, Any]:
        """What was set, as plain data for ``from_dict``; keys, callables and caches are left out."""
        data = self._config.saved()
        data["model_names"] = list(self._config.model_names)
        return data

    model_dump = to_dict

    def copy(self, **changes: Any) -> Self:
        """A client with other settings that shares this one's engine: its limits, connections and threads."""
        limits = sorted(LIMITS & set(changes))
        if limits:
            raise ConfigError(f"{limits[0]} belongs to all copies of a client: use with_limits()")
        made = type(self).__new__(type(self))
        made._set(self._config.changed(**changes))
        made._start(self._engine, self._book, self._showing)
        made._source = self  # type: ignore[attr-defined]  # keeps the engine's owner alive
        return made

    def with_model(self, model: str) -> Self:
        """Asks this model from now on; gives this client back."""
        return self.with_models([model])

    def with_models(self, models: str | Sequence[str]) -> Self:
        """Asks these models from now on; gives this client back. Parameters follow their model, new ones get the first's."""
        names = (models,) if isinstance(models, str) else tuple(models)
        config = self._config
        changes: dict[str, Any] = {"model_names": names}
        weights = config.model_weights
        if not isinstance(weights, str) and len(weights) != len(names):
            changes["model_weights"] = "uniform"
        if config.sampling_params:
            changes["sampling_params"] = params_for(config, names)
        self._set(config.changed(**changes))
        return self

    def with_limits(
        self, max_requests_per_minute: float | None = None, max_tokens_per_minute: float | None = None,
        max_concurrent_requests: int | None = None,
    ) -> Self:
        """Changes the limits, also of what is under way; None leaves one as it is. Gives this client back."""
        given = {
            "max_requests_per_minute": max_requests_per_minute, "max_tokens_per_minute": max_tokens_per_minute,
            "max_concurrent_requests": max_concurrent_requests,
        }
        self._config = self._config.changed(**{name: value for name, value in given.items() if value is not None})
        config = self._config
        self._engine.set_limits(
            requests_per_minute=config.max_requests_per_minute, tokens_per_minute=config.max_tokens_per_minute,
            slots=config.max_concurrent_requests,
        )
        return self

    @property
    def name(self) -> str:
        """The client's name in displays and logs: yours, or that of its only model."""
        if self._config.name is not None:
            return self._config.name
        weighted = [entry.model.id for entry in self._pool if entry.weight > 0]
        return weighted[0] if len(weighted) == 1 else "LLMClient"

    @property
    def models(self) -> list[str]:
        """The ids of the pool (where a model stands there with several efforts: the names that you gave)."""
        return [entry.key for entry in self._pool]

    @property
    def config(self) -> ClientConfig:
        """The settings, frozen."""
        return self._config

    @property
    def sampling_params(self) -> list[SamplingParams]:
        """The parameters, one entry per model."""
        return [entry.params for entry in self._pool]

    def _select_model(self) -> tuple[str, SamplingParams]:
        """The model whose turn it is by weight, blocklisted ones left out, and its parameters."""
        def pick(scheduler: Any) -> str:
            open_models = [entry.key for entry in self._pool if not scheduler.blocklisted(entry.model.id)]
            if not open_models:
                raise RuntimeError(f"all models are blocklisted: {', '.join(self.models)}")
            if len(open_models) == len(self.models):
                return self._router.pick()
            left = self._router.only(open_models)
            return open_models[0] if left is None else left.pick()

        name = self._engine.reading(pick)
        return name, next(entry.params for entry in self._pool if entry.key == name)

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
        return [response.completion for response in responses] if return_completions_only else responses

    process_prompts_sync = process_prompts

    async def process_prompts_async(
        self, prompts: Any, *, return_completions_only: bool = False, show_progress: bool = True,
        **options: Unpack[CallOptions],
    ) -> list[APIResponse] | list[str | None]:
        """The same for the one async view: awaits, in any event loop. Cancelling the coroutine cancels its prompts."""
        from deluge.waiting import gather_async

        items, count = as_prompts(prompts), _length(prompts)
        results = ResultList()
        leave = self._showing.join(count, self._config.progress if show_progress else None)
        try:
            feed = self._feed(items, options, results)
            responses = await gather_async(feed, results) if feed is not None else []
        finally:
            leave()
        return [response.completion for response in responses] if return_completions_only else responses

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
        hit = plan.cached(task)
        self._showing.join(1, None, batch=False)()
        if hit is not None:
            self._engine.deliver([(task, hit)])
        else:
            self._engine.submit([task])
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
        return open_stream(self._engine, self._plan(options, None), prompt, self._showing)

    def stream(self, prompt: Any, **options: Unpack[CallOptions]) -> APIResponse:
        """Prints the answer as it comes, and gives the response."""
        return print_stream(self.stream_chat(prompt, **options))

    @property
    def tracker(self) -> StatusTracker:
        """The counters: of the tracker that is open, else of the latest batch."""
        return self._showing.tracker

    def status(self) -> StatusSnapshot:
        """The counters and the limits in force, frozen."""
        return self._engine.snapshot()

    def open(self, total: int | None = None, show_progress: bool = True) -> Self:
        """Starts a tracker, and its display, that later calls share until ``close``."""
        self._check_open()
        self._showing.open(total, self._config.progress if show_progress else None)
        return self

    def reset_tracker(self) -> None:
        """Zeroes the counters and keeps the display; what is under way counts in the new totals."""
        self._showing.reset()

    def close(self) -> None:
        """Ends the tracker's display, cancels what this client has queued or running, and ends the threads.

        The next call starts them again.
        """
        self._engine.close(list(self._calls))
        self._showing.close()

    def drain(self, timeout: float | None = None) -> bool:
        """Waits until nothing of this client is under way; False when that took longer than ``timeout`` seconds."""
        refuse_on_courier()
        return self._engine.wait_until_done(list(self._calls), timeout)

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        self._closed = True

    def __repr__(self) -> str:
        return f"<LLMClient {self.name} | {len(self._pool)} models | {self._engine.reading(repr)}>"

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

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
        look_up = plan.cached if self._config.cache is not None else None
        return Feed(self._engine, plan.call, items, plan.task, plan.timeout, look_up)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this client was closed when its with block ended")

    def after_fork(self) -> None:
        """In a forked child: new locks; the parent keeps its display."""
        self._book.after_fork()
        self._showing.after_fork()
        self._cache_lock = threading.Lock()
        self._local = threading.local()


def _length(prompts: Any) -> int | None:
    try:
        return len(prompts)
    except TypeError:
        return None


LLMClient.__signature__ = signature()  # type: ignore[attr-defined]
