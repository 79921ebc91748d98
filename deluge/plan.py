"""A call as a snapshot: which models, parameters, tools and hooks hold for all of its prompts."""

from __future__ import annotations

import contextvars
import hashlib
import threading
from dataclasses import asdict, replace
from typing import Any, cast

from deluge import _log
from deluge._rowform import Row
from deluge.budget import Budget, check_priced
from deluge.config import ClientConfig, PoolEntry, shares_of, rates_of
from deluge.dialects._headers import meant_for
from deluge.endpoints import base_url_of, dialect_of, key_of, today
from deluge.engine import Engine
from deluge.journal.lines import PREFIX
from deluge.journaling import JournalOptions, recorded
from deluge.lookup import Locked, hit, say_failed, unpaid
from deluge.models.model import Model
from deluge.models.registry import retirement_notice
from deluge.options import (
    OPTION_NAMES, CallOptions, dollars_of, end_of, pool_of, preferred, repairs_of, request_options, tool_facts, tools_size,
)
from deluge.prompt import Conversation
from deluge.prompt.coerce import as_conversation
from deluge.prompt.fingerprint import canonical
from deluge.prompt.size import size_of
from deluge.quota import open_quota
from deluge.request import Purpose, RequestTemplate
from deluge.response import APIResponse
from deluge.retry import RetryPolicy
from deluge.router import Router
from deluge.rowplan import RowTemplates
from deluge.tasks import Call, Receiver, Task
from deluge.tools.output import OutputReader, output_reader
from deluge.tracker import StatusTracker

_said = _log.logger("client")


class Plan:
    """Makes the tasks of one call."""

    def __init__(
        self, engine: Engine, config: ClientConfig, pool: tuple[PoolEntry, ...], router: Router, options: CallOptions,
        receiver: Receiver, cache_lock: threading.Lock | None, warned: set[Any], tool_choice: str | None = None,
        purpose: Purpose | None = None,
    ) -> None:
        self._made_from = (engine, config, pool, router, options, receiver, cache_lock, warned)
        strange = sorted(set(options) - OPTION_NAMES)
        if strange:
            raise TypeError(
                f"unknown argument {strange[0]!r}; a call takes {', '.join(sorted(OPTION_NAMES))}; "
                "temperature and the like go into sampling_params"
            )
        self.engine = engine
        self.config = config
        self.dedupe = options.get("dedupe")
        schema = options.get("output_schema")
        reader = None if schema is None else output_reader(schema)
        self.options = request_options(config, options, None if reader is None else reader.schema, tool_choice, purpose)
        self._warned = warned
        self.timeout = end_of(options.get("timeout"))
        self._models = tuple(entry.model for entry in pool)
        self._journal = JournalOptions.of(options)
        pool, router = pool_of(config, pool, router, options)
        self.prefer = preferred(options.get("prefer_model"), pool, config)
        self._sized = tools_size(self.options)
        self._json = "json" not in warned and any(entry.params.json_mode for entry in pool)
        self._cache_lock = cache_lock
        self._key: str | None = None
        self.keyed = False  # whether its tasks have keys whoever wants them
        self._rows = RowTemplates()
        self._pool = pool
        self._cap = dollars_of("max_cost", options.get("max_cost"))
        unknown = dollars_of("unknown_cost", options.get("unknown_cost"))
        self._unknown_cost = config.unknown_cost if unknown is None else unknown
        self.shares = shares_of(config, options.get("dedupe"), [entry.params for entry in pool])
        self.call = self._call(router, receiver, repairs_of(config, options.get("max_repairs")), reader)
        self.call.budget = None if self._cap is None else Budget(self._cap)
        self.call.unknown_cost = self._unknown_cost
        self.apart = self._what_tells_apart()

    def _call(self, router: Router, receiver: Receiver, max_repairs: int, reader: OutputReader | None) -> Call:
        config, pool = self.config, self._pool
        return Call(
            next(self.engine.call_ids), templates={entry.key: self.template(entry) for entry in pool}, router=router,
            policy=RetryPolicy(
                config.max_attempts, config.retry, retry_timeouts=config.retry_timeouts,
                retry_possibly_billed=config.retry_possibly_billed, rate_limit_patience=config.rate_limit_patience,
            ),
            receiver=receiver, request_timeout=config.request_timeout, stream_timeout=config.stream_timeout,
            background_timeout=config.background_timeout, postprocess=config.postprocess,
            fallbacks=tuple(entry.key for entry in pool if entry.weight == 0),
            cache=None if config.cache is None else Locked(config.cache, self._cache_lock),
            name=config.name or pool[0].model.id,
            reader=reader, max_repairs=max_repairs,
            context=contextvars.copy_context() if config.postprocess is not None or config.cache is not None else None,
        )

    def _what_tells_apart(self) -> tuple[Any, ...]:
        """What tells prompts of equal keys apart all the same: who pays, and what is sent along with them."""
        options = self.options
        payers = tuple(template.api_key for template in self.call.templates.values())
        headers = tuple(sorted((name.lower(), value) for name, value in options.extra_headers.items()))
        cache = None if self.config.cache is None else id(self.config.cache)
        return payers, headers, options.service_tier, options.cache, options.allow_private_urls, cache

    def again(self, tool_choice: str | None = None, **changes: Any) -> Plan:
        """The plan of the same call with other options (those of ``CallOptions``); ``tool_choice`` is not checked."""
        engine, config, pool, router, options, receiver, cache_lock, warned = self._made_from
        changed = cast(CallOptions, {**options, "tools": self.options.tools, **changes})  # an iterator is read once
        made = Plan(engine, config, pool, router, changed, receiver, cache_lock, warned, tool_choice)
        made.call.budget, made.call.learned = self.call.budget, self.call.learned
        return made

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
        if self.keyed or self.call.cache is not None or self.call.journal is not None or self.shares:
            made.key = self.key_of(conversation)
            if self.shares and sink is None:
                made.share = (made.key, made.prefer, self.apart)
        return made

    def open_journal(self, key: str | None = None) -> bool:
        """Opens the journal that the call asks for; whether the call has to close it. ``ConfigError``: it cannot be used.

        ``key``: what its keys begin with, where that is not this call's own.
        """
        if self._journal is None:
            return False
        self.call.journal, own = self._journal.begun(self.engine, self.call, self.config, key or self._of_call())
        return own

    def recorded(self, task: Task) -> APIResponse | None:
        """What the call's journal has of this prompt."""
        return None if self.call.journal is None else recorded(self.call.journal, task)

    def lasts(self) -> bool:
        """Whether the next handle of this thread may go with it: nothing that it was made from can have changed."""
        context = self.call.context
        same = context is None or context == contextvars.copy_context()
        over = self.call.closed is not None or self.call.spent is not None
        return same and not over and not callable(self.config.api_key)

    def cached(self, task: Task) -> APIResponse | None:
        """The answer that the response cache has for this prompt. A cache that fails is a cache that has nothing."""
        cache = self.call.cache
        if cache is None or task.key is None:
            return None
        try:
            found = cache.get(task.prompt.keyed(task.key))
            return None if found is None else hit(task, found)
        except Exception as error:
            say_failed(_said, self.call, error)
            return None

    def cached_text(self, prompt: Conversation) -> APIResponse | None:
        """The response that the cache has for one text of a packed request: it cost nothing. As above, for such a call."""
        try:
            found = self.call.cache.get(prompt)
            return None if found is None else unpaid(found)
        except Exception as error:
            say_failed(_said, self.call, error)
            return None

    def key_of(self, conversation: Conversation) -> str:
        """The request key: content, pool, parameters, tools, schema, address and body; stable across processes.

        Its first 16 digits are the same for all prompts of a call: they stand for everything but the prompt.
        """
        return self.key_with(conversation.fingerprint)

    def key_with(self, fingerprint: str) -> str:
        """The key of whatever has this fingerprint."""
        key = self._key or self._of_call()
        return key[:PREFIX] + hashlib.sha256(f"{key}:{fingerprint}".encode("ascii")).hexdigest()[PREFIX:]

    @property
    def prefix(self) -> str:
        """What the keys of its prompts begin with: the same for all of them."""
        return self._of_call()[:PREFIX]

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
        tools = [tool_facts(tool) for tool in options.tools]
        facts = [1, pool, tools, options.output_schema, options.extra_body, options.use_responses_api, options.tool_choice]
        return facts if options.purpose is None else [*facts, asdict(options.purpose)]

    def next_model(self) -> str:
        """The model whose turn it is by weight."""
        return str(self.engine.reading(lambda scheduler: self.call.router.pick()))

    def template(self, entry: PoolEntry) -> RequestTemplate:
        """How prompts of this call are asked of one model."""
        model, config = entry.model, self.config
        if self._cap is not None or self.engine.scheduler.budget.cap is not None:
            check_priced(model, self.options.service_tier, self._unknown_cost)
        self._warn_of_retirement(model)
        dialect, why = dialect_of(model, self.options, entry.params)
        if why is not None and (model.id, why) not in self._warned:
            self._warned.add((model.id, why))
            _log.event(_said, 20, why, model=model.id)
        key, options = key_of(model, config.api_key, config.base_url), self.options
        if options.extra_headers and any(other is not model for other in self._models):
            options = replace(options, extra_headers=meant_for(model, self._models, options.extra_headers))
        return RequestTemplate(
            model, entry.params, options, base_url_of(model, config.base_url), key, dialect=dialect,
            own_address=config.base_url is None,
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


def engine_of(config: ClientConfig, pool: tuple[PoolEntry, ...]) -> Engine:
    """The engine of a new client. Limits are the defaults' as long as neither of the two was given."""
    given = config.model_fields_set
    requests, tokens = rates_of(config)
    return Engine(
        tracker=StatusTracker(config.name or pool[0].model.id), requests_per_minute=requests, tokens_per_minute=tokens,
        slots=config.max_concurrent_requests, mode=config.limit_mode, model_limits=config.model_limits,
        budget=Budget(config.max_cost),
        default_limits="max_requests_per_minute" not in given and "max_tokens_per_minute" not in given,
        rules=config.adaptation, max_queued=config.max_queued,
        quota=None if config.quota is None else open_quota(config.quota),
    )
