"""A call as a snapshot: which models, parameters, tools and hooks hold for all of its prompts."""

from __future__ import annotations

import contextvars
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypedDict, cast

from deluge import _log
from deluge._rowform import Row
from deluge.config import ClientConfig, PoolEntry, resolved, shares_of
from deluge.dialects._headers import meant_for
from deluge.endpoints import base_url_of, dialect_of, key_of, today
from deluge.engine import Engine
from deluge.errors import ConfigError
from deluge.journal import Recorder
from deluge.journal.lines import PREFIX
from deluge.journaling import JournalOptions, recorded
from deluge.models.model import Model
from deluge.models.registry import retirement_notice
from deluge.params import CACHE_PATTERNS, SERVICE_TIERS, SamplingParams
from deluge.prompt import Conversation
from deluge.prompt.coerce import as_conversation
from deluge.prompt.fingerprint import canonical
from deluge.prompt.size import size_of
from deluge.request import RequestOptions, RequestTemplate
from deluge.quota import open_quota
from deluge.response import APIResponse
from deluge.retry import RetryPolicy
from deluge.router import Router
from deluge.rowplan import RowTemplates
from deluge.tasks import Call, Receiver, Task
from deluge.tools import MCPServer, Tool
from deluge.tools.output import output_reader
from deluge.tracker import StatusTracker
from deluge.usage import NO_USAGE

_said = _log.logger("client")


class CallOptions(TypedDict, total=False):
    """What every call takes.

    ``tools``: Tools, MCPServers, functions or the provider's own dicts. ``output_schema``: a JSON schema, or a type: then
    ``response.parsed`` is the typed object; an answer that does not fit is asked for again ``max_repairs`` times.
    ``cache``: a CachePattern, kept for ``cache_ttl`` (5m, 1h; OpenAI: 30m, 12h). ``service_tier``: auto, flex …
    ``prefer_model``: a name of the pool, or ``"last"``. ``model`` and ``sampling_params`` replace the client's for this
    call. ``timeout``: seconds for the whole call.
    ``dedupe``: whether equal prompts are sent once ("auto": at temperature 0 and where there is a response cache).
    ``journal``: a file that keeps every finished prompt; the same call with the same file goes on where it stopped.
    ``durable="each"`` brings every batch of records to the disk before it is handed over ("second": within a second);
    ``retry_failed=True`` asks again what failed. These three are for ``process_prompts``, ``map`` and ``ask``.
    """

    tools: Any
    output_schema: Any
    max_repairs: int | None
    cache: str | None
    cache_ttl: str | None
    service_tier: str | None
    prefer_model: str | None
    model: str | None
    sampling_params: SamplingParams | Mapping[str, Any] | None
    timeout: float | None
    journal: str | os.PathLike[str] | Recorder | None
    durable: str | None
    retry_failed: bool | None
    dedupe: bool | Literal["auto"] | None


# Settings of the engine, which all copies of a client share.
LIMITS = frozenset({
    "max_requests_per_minute", "max_tokens_per_minute", "max_concurrent_requests", "model_limits", "limit_mode", "max_queued",
    "quota",
})
OPTION_NAMES = frozenset(CallOptions.__annotations__)


class Plan:
    """Makes the tasks of one call."""

    def __init__(
        self, engine: Engine, config: ClientConfig, pool: tuple[PoolEntry, ...], router: Router, options: CallOptions,
        receiver: Receiver, cache_lock: threading.Lock | None, warned: set[Any], tool_choice: str | None = None,
    ) -> None:
        self._made_from = (engine, config, pool, router, options, receiver, cache_lock, warned)
        unknown = sorted(set(options) - OPTION_NAMES)
        if unknown:
            raise TypeError(
                f"unknown argument {unknown[0]!r}; a call takes {', '.join(sorted(OPTION_NAMES))}; "
                "temperature and the like go into sampling_params"
            )
        self.engine = engine
        self.config = config
        self.dedupe = options.get("dedupe")
        schema = options.get("output_schema")
        reader = None if schema is None else output_reader(schema)
        self.options = request_options(config, options, None if reader is None else reader.schema, tool_choice)
        self._warned = warned
        self.timeout = _end_of(options.get("timeout"))
        self._models = tuple(entry.model for entry in pool)
        self._journal = JournalOptions.of(options)
        pool, router = _pool_of(config, pool, router, options)
        self.prefer = _preferred(options.get("prefer_model"), pool, config)
        self._sized = _tools_size(self.options)
        self._json = "json" not in warned and any(entry.params.json_mode for entry in pool)
        self._cache_lock = cache_lock
        self._key: str | None = None
        self._rows = RowTemplates()
        self.shares = shares_of(config, options.get("dedupe"), [entry.params for entry in pool])
        self.call = Call(
            next(engine.call_ids), templates={entry.key: self.template(entry) for entry in pool}, router=router,
            policy=RetryPolicy(
                config.max_attempts, config.retry, retry_timeouts=config.retry_timeouts,
                retry_possibly_billed=config.retry_possibly_billed, rate_limit_patience=config.rate_limit_patience,
            ),
            receiver=receiver, request_timeout=config.request_timeout, stream_timeout=config.stream_timeout,
            background_timeout=config.background_timeout, postprocess=config.postprocess,
            fallbacks=tuple(entry.key for entry in pool if entry.weight == 0),
            cache=None if config.cache is None else _Locked(config.cache, cache_lock), name=config.name or pool[0].model.id,
            reader=reader, max_repairs=_repairs_of(config, options.get("max_repairs")),
            context=contextvars.copy_context() if config.postprocess is not None or config.cache is not None else None,
        )

        # Whose keys pay: prompts of different keys are never one.
        self._payers = tuple(template.api_key for template in self.call.templates.values())

    def again(self, tool_choice: str | None = None, **changes: Any) -> Plan:
        """The plan of the same call with other options (those of ``CallOptions``)."""
        engine, config, pool, router, options, receiver, cache_lock, warned = self._made_from
        changed = cast(CallOptions, {**options, "tools": self.options.tools, **changes})  # an iterator is read once
        return Plan(engine, config, pool, router, changed, receiver, cache_lock, warned, tool_choice)

    def task(self, index: int, prompt: Any, sink: Any = None) -> Task:
        """The task of one prompt. ``ConfigError`` names the index of a prompt of the wrong type.

        A row of a work list that cannot be sent is a task that ends with an error of kind ``input``.
        """
        if type(prompt) is Row:
            return self._rows.task(self, index, prompt)
        conversation = as_conversation(prompt, index)
        size = size_of(conversation) + self._sized
        if self._json:
            self._check_json(conversation)
        prefer = self.prefer
        if prefer == "last":
            prefer = conversation.model_used
        made = Task(next(self.engine.ids), index, self.call, conversation, size, sink=sink, prefer=prefer)
        if self.call.cache is not None or self.call.journal is not None or self.shares:
            made.key = self.key_of(conversation)
            if self.shares and sink is None:
                made.share = (made.key, self._payers)
        return made

    def open_journal(self) -> bool:
        """Opens the journal that the call asks for; whether the call has to close it. ``ConfigError``: it cannot be used."""
        if self._journal is None:
            return False
        self.call.journal, own = self._journal.begun(self.engine, self.call, self.config, self._of_call())
        return own

    def recorded(self, task: Task) -> APIResponse | None:
        """What the call's journal has of this prompt."""
        return None if self.call.journal is None else recorded(self.call.journal, task)

    def lasts(self) -> bool:
        """Whether the next handle of this thread may go with it: nothing that it was made from can have changed."""
        context = self.call.context
        same = context is None or context == contextvars.copy_context()
        return same and self.call.closed is None and not callable(self.config.api_key)

    def cached(self, task: Task) -> APIResponse | None:
        """The answer that the response cache has for this prompt. A cache that fails is a cache that has nothing."""
        cache = self.call.cache
        if cache is None or task.key is None:
            return None
        try:
            found = cache.get(task.prompt.keyed(task.key))
        except Exception as error:
            _said.warning("the response cache failed: %s", type(error).__name__, exc_info=error)
            return None
        return None if found is None else _hit(task, found)

    def key_of(self, conversation: Conversation) -> str:
        """The request key: content, pool, parameters, tools, schema, address and body; stable across processes.

        Its first 16 digits are the same for all prompts of a call: they stand for everything but the prompt.
        """
        return self.key_with(conversation.fingerprint)

    def key_with(self, fingerprint: str) -> str:
        """The key of whatever has this fingerprint."""
        key = self._of_call()
        return key[:PREFIX] + hashlib.sha256(f"{key}:{fingerprint}".encode("ascii")).hexdigest()[PREFIX:]

    def _of_call(self) -> str:
        if self._key is None:
            self._key = hashlib.sha256(canonical(self._request_facts())).hexdigest()
        return self._key

    def _request_facts(self) -> list[Any]:
        options = self.options
        pool = sorted(
            [name, template.params.model_dump(mode="json"), "" if template.model.has("embedded") else template.base_url]
            for name, template in self.call.templates.items()
        )
        tools = [_tool_facts(tool) for tool in options.tools]
        return [1, pool, tools, options.output_schema, options.extra_body, options.use_responses_api, options.tool_choice]

    def next_model(self) -> str:
        """The model whose turn it is by weight."""
        return str(self.engine.reading(lambda scheduler: self.call.router.pick()))

    def template(self, entry: PoolEntry) -> RequestTemplate:
        """How prompts of this call are asked of one model."""
        model, config = entry.model, self.config
        self._warn_of_retirement(model)
        dialect, why = dialect_of(model, self.options, entry.params)
        if why is not None and (model.id, why) not in self._warned:
            self._warned.add((model.id, why))
            _log.event(_said, 20, why, model=model.id)
        key, options = key_of(model, config.api_key, config.base_url), self.options
        if options.extra_headers and any(other is not model for other in self._models):
            options = replace(options, extra_headers=meant_for(model, self._models, options.extra_headers))
        return RequestTemplate(
            model, entry.params, options, base_url_of(model, config.base_url), key, dialect=dialect
        )

    def _check_json(self, conversation: Conversation) -> None:
        """OpenAI refuses json_mode when the word is nowhere in the prompt; said once per client."""
        texts = (getattr(part, "text", None) for message in conversation for part in message.parts)
        if not any("json" in text.lower() for text in texts if isinstance(text, str)):
            self._json = False
            self._warned.add("json")
            _log.event(_said, 30, "json_mode is on, but a prompt does not say JSON: some providers refuse that",
                       client=self.config.name)

    def _warn_of_retirement(self, model: Model) -> None:
        if model.id not in self._warned:
            self._warned.add(model.id)
            notice = retirement_notice(model, today())
            if notice is not None:
                _log.event(_said, 30, notice, model=model.id)


def request_options(
    config: ClientConfig, options: CallOptions, schema: Mapping[str, Any] | None, tool_choice: str | None = None
) -> RequestOptions:
    """What the client and the call ask for beside parameters; checked."""
    cache, tier = options.get("cache"), options.get("service_tier")
    if cache is not None and cache not in CACHE_PATTERNS:
        raise ConfigError(
            f"cache= on a call is a CachePattern ({', '.join(CACHE_PATTERNS)}); a cache object belongs into the constructor"
        )
    if tier is not None and tier not in SERVICE_TIERS:
        raise ConfigError(f"unknown service_tier {tier!r}; there are: {', '.join(SERVICE_TIERS)}")
    return RequestOptions(
        tools=_tools(options.get("tools")), output_schema=schema, cache=cache,
        cache_ttl=_ttl(options.get("cache_ttl")), service_tier=tier, tool_choice=tool_choice,
        extra_headers=config.extra_headers, extra_body=config.extra_body, use_responses_api=config.use_responses_api,
        background=config.background, force_local_mcp=config.force_local_mcp, keep_raw=config.keep_raw,
        allow_private_urls=config.allow_private_urls,
    )


def _ttl(value: str | None) -> str | None:
    if value not in (None, "5m", "30m", "1h", "12h"):
        raise ConfigError(f"cache_ttl is 5m or 1h (Anthropic, Bedrock), 30m or 12h (OpenAI), not {value!r}")
    return value


def _repairs_of(config: ClientConfig, wanted: int | None) -> int:
    if wanted is None:
        return config.max_repairs
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0:
        raise ConfigError(f"max_repairs is a number of times, 0 or more, not {wanted!r}")
    return wanted


def _end_of(timeout: float | None) -> float | None:
    """The monotonic time at which the call's timeout passes."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ConfigError("timeout must be above 0 seconds")
    return time.monotonic() + timeout


def _tools(tools: Any) -> tuple[Any, ...]:
    if tools is None:
        return ()
    if not isinstance(tools, (Tool, MCPServer, Mapping, Iterable)) and not callable(tools):
        raise ConfigError(f"tools are a list of Tools, not {type(tools).__name__}")
    several = isinstance(tools, Iterable) and not isinstance(tools, (Tool, MCPServer, Mapping))
    return tuple(_tool(tool) for tool in (tools if several else (tools,)))


def _tool(tool: Any) -> Any:
    if isinstance(tool, (Tool, MCPServer, Mapping)):
        return tool
    if not callable(tool):
        raise ConfigError(f"a tool is a Tool, a function, an MCPServer or a provider's own dict, not {type(tool).__name__}")
    return Tool.from_function(tool)


def _pool_of(
    config: ClientConfig, pool: tuple[PoolEntry, ...], router: Router, options: CallOptions
) -> tuple[tuple[PoolEntry, ...], Router]:
    """The pool with what this call overrides."""
    name, given = options.get("model"), options.get("sampling_params")
    if name is not None:
        model, effort = resolved(name, config)
        own = next((entry.params for entry in pool if entry.model.id == model.id), pool[0].params)
        params = own if effort is None else own.replace(reasoning_effort=cast(Any, effort))
        pool, router = (PoolEntry(model, params, 1.0, model.id),), Router([model.id], [1.0])
    if given is not None:
        if not isinstance(given, (SamplingParams, Mapping)):
            raise ConfigError(f"sampling_params of a call are SamplingParams or a mapping, not {type(given).__name__}")
        params = given if isinstance(given, SamplingParams) else SamplingParams(**given)
        pool = tuple(PoolEntry(entry.model, params, entry.weight, entry.key) for entry in pool)
    return pool, router


def _preferred(name: str | None, pool: tuple[PoolEntry, ...], config: ClientConfig) -> str | None:
    if name is None or name == "last":
        return name
    model, _ = resolved(name, config)
    ids = [entry.key for entry in pool]
    if name in ids:
        return name
    if model.id not in ids:
        raise ConfigError(f"prefer_model {name!r} is not in the pool ({', '.join(ids)})")
    return model.id


def _tools_size(options: RequestOptions) -> int:
    if not options.tools and options.output_schema is None:
        return 0
    return len(canonical([[_tool_facts(tool) for tool in options.tools], options.output_schema]))


def _tool_facts(tool: Any) -> Any:
    if isinstance(tool, Tool):
        return [tool.name, tool.description, tool.parameters, tool.strict]
    if isinstance(tool, MCPServer):
        return ["mcp", tool.name, tool.url, tool.command, tool.args, tool.allowed_tools]
    return tool


def _hit(task: Task, found: Any) -> APIResponse | None:
    """A cached answer as the response of this prompt: it cost nothing. None for one that fits no longer."""
    if not isinstance(found, APIResponse):
        raise TypeError(f"the cache returned {type(found).__name__}, not an APIResponse")
    reading = None if task.call.reader is None else task.call.reader.reading(found)
    if reading is not None and reading.problem is not None:
        return None  # the schema is the same, but a validator of the type's is not
    return found.replaced(
        parsed=found.parsed if reading is None else reading.value,
        id=task.id, index=task.index, prompt=task.prompt, source="cache", local_cache_hit=True, usage=NO_USAGE, cost=0.0,
        attempts=(), metadata=task.metadata, latency=0.0, queued=0.0, trajectory=None,
    )


class _Locked:
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


def engine_of(config: ClientConfig, pool: tuple[PoolEntry, ...]) -> Engine:
    """The engine of a new client. Limits are the defaults' as long as neither of the two was given."""
    given = config.model_fields_set
    return Engine(
        tracker=StatusTracker(config.name or pool[0].model.id), requests_per_minute=config.max_requests_per_minute,
        tokens_per_minute=config.max_tokens_per_minute, slots=config.max_concurrent_requests, mode=config.limit_mode,
        model_limits=config.model_limits,
        default_limits="max_requests_per_minute" not in given and "max_tokens_per_minute" not in given,
        max_queued=config.max_queued, quota=None if config.quota is None else open_quota(config.quota),
    )
