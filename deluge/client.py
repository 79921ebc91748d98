"""The client: any number of prompts to any provider, from blocking code."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Self

from deluge import lifecycle
from deluge.agent.agents import Agents
from deluge.agent.future import Roster
from deluge.budget import check_priced
from deluge.batches.client import Batches
from deluge.calls import DRAINED, refuse_on_courier
from deluge.config import ClientConfig, PoolEntry, make_pool, params_for, rates_of, read_yaml, settings_of, signature
from deluge.embed import Embedding
from deluge.engine import Engine
from deluge.errors import ConfigError
from deluge.handles import HandleBook
from deluge.models.model import Auto, Limit
from deluge.params import SamplingParams
from deluge.options import LIMITS
from deluge.plan import engine_of
from deluge.rerank import Reranking
from deluge.response import APIResponse
from deluge.router import Router
from deluge.showing import Showing
from deluge.status import LaneLimits, StatusSnapshot
from deluge.tasks import Call
from deluge.tracker import StatusTracker


class LLMClient(Agents, Batches, Embedding, Reranking):
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
        _check_cap(config, pool)
        self._config = config
        self._pool = pool
        dynamic = config.model_weights == "dynamic"
        self._router = Router([entry.key for entry in pool], [entry.weight for entry in pool], dynamic)

    def _start(self, engine: Engine, book: HandleBook[APIResponse] | None = None, showing: Showing | None = None) -> None:
        self._engine = engine
        self._book = book or HandleBook()
        self._showing = showing or Showing(engine, self.name)
        self._calls: weakref.WeakSet[Call] = weakref.WeakSet()
        self._roster = Roster()
        self._cache_lock = threading.Lock()
        self._warned: set[str] = set()
        self._closed = False
        self._bulk: weakref.WeakSet[Call] = weakref.WeakSet()
        self._drains: set[object] = set()
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
        self, max_requests_per_minute: Limit | None = None, max_tokens_per_minute: Limit | None = None,
        max_concurrent_requests: int | Auto | None = None, max_cost: float | None = None,
    ) -> Self:
        """Changes the limits, also of what is under way; None leaves one as it is. Gives this client back.

        A number is a promise: no minute sees more than that. ``"auto"`` is whatever the provider turns out to allow.
        ``max_cost``: what was spent stays spent; ``math.inf`` takes the cap away.
        """
        given = {
            "max_requests_per_minute": max_requests_per_minute, "max_tokens_per_minute": max_tokens_per_minute,
            "max_concurrent_requests": max_concurrent_requests, "max_cost": max_cost,
        }
        config = self._config.changed(**{name: value for name, value in given.items() if value is not None})
        _check_cap(config, self._pool)
        self._config = config
        requests, tokens = rates_of(config)
        if max_cost is not None:
            self._engine.set_max_cost(config.max_cost)
        self._engine.set_limits(
            requests_per_minute=requests, tokens_per_minute=tokens,
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
        """The model whose turn it is by weight, blocklisted ones left out, and its parameters.

        With ``model_weights="dynamic"`` it is among those that a prompt would wait least for.
        """
        def pick(scheduler: Any) -> str:
            open_models = [entry.key for entry in self._pool if not scheduler.blocklisted(entry.model.id)]
            if not open_models:
                raise RuntimeError(f"all models are blocklisted: {', '.join(self.models)}")
            if self._router.dynamic:
                ids = {entry.key: entry.model.id for entry in self._pool if entry.key in open_models}
                open_models = scheduler.soonest(ids, time.monotonic())
            return self._router.pick_among(open_models) or open_models[0]

        name = self._engine.reading(pick)
        return name, next(entry.params for entry in self._pool if entry.key == name)

    @property
    def tracker(self) -> StatusTracker:
        """The counters: of the tracker that is open, else of the latest batch."""
        return self._showing.tracker

    def status(self) -> StatusSnapshot:
        """The counters and the limits in force, frozen."""
        return self._engine.snapshot()

    def limits(self) -> tuple[LaneLimits, ...]:
        """The limits of every model that was asked so far: given, learned from its provider, in force, and what is left."""
        return self._engine.limits()

    def open(self, total: int | None = None, show_progress: bool = True) -> Self:
        """Starts a tracker, and its display, that later calls share until ``close``."""
        self._check_open()
        self._showing.open(total, self._config.progress if show_progress else None)
        return self

    def reset_tracker(self) -> None:
        """Zeroes the counters and keeps the display; what is under way counts in the new totals."""
        self._showing.reset()

    def close(self) -> None:
        """Ends the tracker's display, cancels what this client has queued or running, agents too, and ends the threads.

        The next call starts them again.
        """
        self._roster.cancel_all("the client was closed")
        self._engine.close(list(self._calls))
        self._showing.close()

    def drain(self, timeout: float | None = None) -> bool:
        """Stops taking work and waits until what was taken is done; False when that took longer than ``timeout`` seconds.

        Meanwhile new calls raise ``ClosedError``, and calls under way take no more of their input: ``process_prompts`` gives
        the rest back as errors of kind ``cancelled``, ``map`` ends with ``ClosedError``. Afterwards the client works again.
        """
        refuse_on_courier()
        end = None if timeout is None else time.monotonic() + timeout
        mine = object()
        self._drains.add(mine)
        try:
            self._engine.take_no_more(list(self._bulk), DRAINED)
            ended = self._roster.wait(timeout)
            left = None if end is None else max(0.0, end - time.monotonic())
            return ended and self._engine.wait_until_done(list(self._calls), left)
        finally:
            self._drains.discard(mine)

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

    def after_fork(self) -> None:
        """In a forked child: new locks; the parent keeps its display."""
        self._book.after_fork()
        self._roster.after_fork()
        self._showing.after_fork()
        self._cache_lock = threading.Lock()
        self._local = threading.local()


def _check_cap(config: ClientConfig, pool: tuple[PoolEntry, ...]) -> None:
    """``ConfigError`` when there is a cap that the cost of one of the models cannot be held against."""
    if config.max_cost is not None:
        for entry in pool:
            check_priced(entry.model, None, config.unknown_cost)


LLMClient.__signature__ = signature()  # type: ignore[attr-defined]
