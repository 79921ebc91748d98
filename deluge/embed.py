"""Embeddings: vectors of texts, as many in a request as the provider takes, under the client's limits."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, cast

from typing_extensions import Unpack

from deluge.apart import CacheOfTexts, JournalOfTexts, Place, may_be_split, taken_apart
from deluge.asking import Asking
from deluge.calls import Feed, ResultList, gather, refuse_on_courier
from deluge.config import ClientConfig, PoolEntry, resolved
from deluge.dialects._vectors import floats_in
from deluge.errors import ConfigError, EmbeddingError, Interrupted, JournalError, ResponseParseError
from deluge.journal import Recorder
from deluge.journal.answers import response_of
from deluge.limits.estimate import LOWER_BOUND_RATIO
from deluge.models.model import Model, PerRequest
from deluge.models.registry import is_listed, models
from deluge.options import CallOptions
from deluge.packing import bytes_of, packed, tokens_at_most
from deluge.params import SamplingParams
from deluge.plan import Plan
from deluge.prompt import Conversation, Message, Text
from deluge.request import Purpose
from deluge.response import APIResponse
from deluge.router import Router

DEFAULT_MODEL = "text-embedding-3-small"
UNKNOWN = PerRequest(32, 100_000)  # for servers of which nothing is known: what the most cautious of them take
SHARE = 4  # a request is at most this part of a minute's tokens
_CANNOT = {"embedding": "gives no embeddings", "reranking": "ranks no documents"}
PARAMS = SamplingParams(temperature=0.0, max_new_tokens=1)  # nothing is written: the least that can be reserved


class PackedOptions(TypedDict, total=False):
    """What ``embed`` and ``rerank`` take of the options of a call."""

    timeout: float | None
    journal: str | os.PathLike[str] | Recorder | None
    durable: str | None
    retry_failed: bool | None
    max_cost: float | None
    unknown_cost: float | None


class Packing(Asking):
    """The calls whose requests hold many texts."""

    def _packing_plan(self, model: Model, purpose: Purpose, options: Mapping[str, Any]) -> Plan:
        """The plan of a call to this model that is no chat: the client's limits and retries, no parameters, no hooks."""
        unknown = sorted(set(options) - set(PackedOptions.__annotations__))
        if unknown:
            raise TypeError(f"unknown argument {unknown[0]!r}; there are {', '.join(PackedOptions.__annotations__)}")
        self._check_open()
        config = self._config.model_copy(update={"use_responses_api": False, "background": False, "postprocess": None})
        pool, router = (PoolEntry(model, PARAMS, 1.0, model.id),), Router([model.id], [1.0])
        plan = Plan(
            self._engine, config, pool, router, cast(CallOptions, {**options, "dedupe": False}), ResultList(),
            self._cache_lock, self._warned, None, purpose,
        )
        self._calls.add(plan.call)
        self._bulk.add(plan.call)
        self._check_open()  # it may have begun to drain since
        return plan

    def _model_for(self, name: str | None, flag: str, default: str) -> Model:
        """The model of this name; without one the client's own, if it is of this kind as far as anybody knows."""
        own = [entry.model for entry in self._pool]
        if name is None:
            fits = [model for model in own if model.has(flag)]
            if fits or (len(own) == 1 and not is_listed(own[0])):
                return (fits or own)[0]
        model, _ = resolved(name or default, self._config)
        if self._config.base_url is None and is_listed(model) and not model.has(flag):
            others = [other.id for other in models() if other.has(flag)]
            raise ConfigError(f"{model.id} {_CANNOT[flag]}; models that do: {', '.join(others)}, or provider:anything")
        return model


class Embedding(Packing):
    """The embeddings of a client."""

    def embed(
        self, texts: str | Iterable[str], model: str | None = None, *, dimensions: int | None = None,
        input_type: str | None = None, batch_size: int | None = None, as_numpy: bool | None = None, on_error: str = "raise",
        show_progress: bool = False, **options: Unpack[PackedOptions],
    ) -> Any:
        """The vectors of texts in their order: a numpy array of float32, (texts, dimensions), where numpy is installed.

        Without it, or with ``as_numpy=False``, lists of floats. One str gives one vector. Blocks. ``model``: else the
        client's own if it embeds, else text-embedding-3-small. ``dimensions`` shortens the vectors, where the model can.
        ``input_type``: what the texts are, ``"query"`` or ``"document"``, for models that are told. ``batch_size``: texts
        in one request at most, instead of what the provider takes. Equal texts are embedded once. ``EmbeddingError`` when
        some have no vector, after the others are finished; ``on_error="none"`` leaves NaN (in lists None) instead.
        ``timeout``, ``max_cost``, ``journal``, ``durable``, ``retry_failed`` as for ``process_prompts``, with a record for
        each text.
        """
        refuse_on_courier()
        checked(batch_size=batch_size, dimensions=dimensions)
        if on_error not in ("raise", "none"):
            raise ConfigError(f"on_error is 'raise' or 'none', not {on_error!r}")
        numpy = _numpy(as_numpy)
        given = [texts] if isinstance(texts, str) else as_texts(texts, "texts")
        asked = self._model_for(model, "embedding", DEFAULT_MODEL)
        if dimensions is not None and asked.has("fixed_dimension") and dimensions != asked.dimensions:
            raise ConfigError(f"the vectors of {asked.id} have {asked.dimensions} dimensions, and no other number of them")
        job = Job(given, asked)
        if given:
            plan = self._packing_plan(asked, Purpose("embed", dimensions, input_type), options)
            self._embed(job, plan, limits_of(asked, self._config, batch_size), show_progress)
        vectors = job.as_array(numpy, dimensions) if numpy is not None else job.as_lists()
        if isinstance(texts, str):
            vectors = vectors[0]
        if on_error == "raise":
            job.raise_for_errors(vectors)
        return vectors

    def _embed(self, job: Job, plan: Plan, most: PerRequest, show_progress: bool) -> None:
        own = plan.open_journal()
        journal, leave, clean = plan.call.journal, None, False
        try:
            job.look_up(plan)
            packs = job.packs(most)
            leave = self._showing.join(len(packs), self._config.progress if show_progress else None)
            while packs:
                packs = self._ask(job, plan, packs)
            clean = True
        finally:
            if leave is not None:
                leave()
            if own and journal is not None:
                journal.close(clean)

    def _ask(self, job: Job, plan: Plan, packs: list[list[int]]) -> list[list[int]]:
        """Sends the packs, and waits; the packs that have to be asked again, in halves."""
        results = plan.call.receiver = ResultList()
        feed = Feed(self._engine, plan.call, map(job.prompt, packs), plan.task, plan.timeout)
        try:
            return job.take(packs, gather(feed, results))
        except (Interrupted, JournalError) as stop:
            job.take(packs, stop.responses)
            stop.responses = job.responses()
            raise


class Job:
    """The texts of one call, each of them once, and what became of them.

    ``answers``: by text the response that has its vector, and which of its parts that is.
    """

    def __init__(self, given: list[str], model: Model) -> None:
        self.given = given
        self.model = model
        self.indexes: dict[str, int] = {}
        for at, text in enumerate(given):
            self.indexes.setdefault(text, at)
        self.texts = list(self.indexes)
        self.answers: list[tuple[APIResponse, int] | None] = [None] * len(self.texts)
        self._number = {text: number for number, text in enumerate(self.texts)}
        self._answered = False
        self._first = True

    def look_up(self, plan: Plan) -> None:
        """Finds what the journal and the response cache have, and makes both keep texts instead of requests from now on."""
        call = plan.call
        journal = None if call.journal is None else JournalOfTexts(call.journal, {}, self.indexes)
        call.cache = None if call.cache is None else CacheOfTexts(call.cache, plan.key_of)
        call.journal = cast("Recorder | None", journal)
        hits: list[tuple[Any, APIResponse]] = []
        for number, text in enumerate(self.texts):
            known = self._refused(text)
            prompt = Conversation.of_text(text)
            if known is None and journal is not None:
                place = journal.places[text] = Place(plan.key_of(prompt))
                journal.place(place)
                known = self._recorded(journal.journal, place, text)
            if known is None and call.cache is not None:
                known = self._cached(plan, prompt, text)
                if known is not None and journal is not None:
                    hits.append((journal.places[text], known))
            if known is not None:
                self.answers[number] = known, 0
        if hits and journal is not None:
            journal.journal.keep(hits)

    def _refused(self, text: str) -> APIResponse | None:
        """The error of a text that no request has to be wasted on."""
        window = self.model.context_window
        if not text:
            return self._error(text, "input", "an empty text has no vector")
        if window is not None and bytes_of(text) * LOWER_BOUND_RATIO > window:
            return self._error(text, "context_length", f"the text is longer than the {window:,} tokens of {self.model.id}")
        return None

    def _error(self, text: str, kind: str, message: str) -> APIResponse:
        return APIResponse(
            model_internal=self.model.id, provider=self.model.provider.name, prompt=Conversation.of_text(text), is_error=True,
            index=self.indexes[text], error_kind=kind, error_message=message, finish_reason="error",
        )

    def _recorded(self, journal: Recorder, place: Place, text: str) -> APIResponse | None:
        known = journal.find(place, self.indexes[text], None)
        if known is None:
            return None
        try:
            found = response_of(known, index=self.indexes[text], prompt=Conversation.of_text(text))
        except ValueError:  # somebody has changed the file
            return None
        return found if found.is_error or floats_in(found.completion) is not None else None

    def _cached(self, plan: Plan, prompt: Conversation, text: str) -> APIResponse | None:
        found = plan.cached_text(prompt)
        if found is None or floats_in(found.completion) is None:
            return None
        return found.replaced(index=self.indexes[text], prompt=prompt)

    def packs(self, most: PerRequest) -> list[list[int]]:
        """What is left, in requests."""
        left = [(number, tokens_at_most(text)) for number, text in enumerate(self.texts) if self.answers[number] is None]
        return list(packed(left, most.texts or 1, most.tokens or 1))

    def prompt(self, pack: list[int]) -> Conversation:
        """The request for these texts: one message, one part for each."""
        return Conversation((Message("user", tuple(Text(self.texts[number]) for number in pack)),)).freeze()

    def take(self, packs: list[list[int]], responses: list[APIResponse | None] | list[APIResponse]) -> list[list[int]]:
        """Notes the responses; gives the packs that have to be asked again.

        A request that was refused for what may be one of its texts is halved. A bad request may be so for other reasons:
        it is halved once something was answered, or to see whether anything is.
        """
        self._answered |= any(response is not None and not response.is_error for response in responses)
        may_be_one = self._answered or (self._first and len(packs) == 1)
        self._first = False
        again: list[list[int]] = []
        for pack, response in zip(packs, responses):
            if response is None:
                continue
            if may_be_split(response, len(pack)) and (may_be_one or response.error_kind != "bad_request"):
                middle = len(pack) // 2
                again += [pack[:middle], pack[middle:]]
                continue
            for at, number in enumerate(pack):
                self.answers[number] = response, at
        return again

    # -- the result -------------------------------------------------------------------------------------------------

    def vector(self, number: int) -> array[float] | None:
        """The vector of a text, by its number; None for one that failed."""
        answer = self.answers[number]
        if answer is None or answer[0].is_error or answer[0].content is None:
            return None
        part = answer[0].content.parts[answer[1]]
        return floats_in(part.text) if type(part) is Text else None

    def vectors(self) -> list[array[float] | None]:
        """Those of all texts that differ; ``ResponseParseError`` when they are not all of one length."""
        found = [self.vector(number) for number in range(len(self.texts))]
        if len({len(vector) for vector in found if vector is not None}) > 1:
            raise ResponseParseError(f"the vectors of {self.model.id} have different lengths")
        return found

    def as_array(self, numpy: Any, dimensions: int | None) -> Any:
        """An array with a row for each text that was given; NaN where there is no vector."""
        found = self.vectors()
        length = next((len(vector) for vector in found if vector is not None), dimensions or self.model.dimensions or 0)
        rows = numpy.full((len(found), length), numpy.nan, dtype=numpy.float32)
        for at, vector in enumerate(found):
            if vector is not None:
                rows[at] = vector
        return rows if len(self.given) == len(found) else rows[[self._number[text] for text in self.given]]

    def as_lists(self) -> list[list[float] | None]:
        """A list of floats for each text that was given; None where there is no vector."""
        found = self.vectors()
        each = (found[self._number[text]] for text in self.given)
        return [None if vector is None else vector.tolist() for vector in each]

    def responses(self) -> list[APIResponse | None]:
        """A response for each text that was given; None for what was not finished."""
        apart: dict[int, list[APIResponse]] = {}
        found: list[APIResponse | None] = []
        for number, text in enumerate(self.texts):
            answer = self.answers[number]
            if answer is None:
                found.append(None)
                continue
            response, at = answer
            if id(response) not in apart:
                prompt = response.prompt
                texts = [text] if prompt is None else [getattr(part, "text", "") for part in prompt.messages[0].parts]
                apart[id(response)] = taken_apart(response, texts, self.indexes)
            found.append(apart[id(response)][at])
        return [found[self._number[text]] for text in self.given]

    def raise_for_errors(self, vectors: Any) -> None:
        """``EmbeddingError`` when a text has no vector."""
        failed = [answer[0] for answer in self.answers if answer is not None and answer[0].is_error]
        if not failed:
            return
        count = sum(self.answers[self._number[text]][0].is_error for text in self.given)  # type: ignore[index]
        first = failed[0]
        raise EmbeddingError(
            f"{count:,} of {len(self.given):,} texts have no vector: {first.error_kind}: {first.error_message}",
            vectors=vectors, responses=self.responses(), response=first,
        ) from first.error


def limits_of(model: Model, config: ClientConfig, batch_size: int | None) -> PerRequest:
    """What one request may hold: the provider's numbers, and no more than a part of what a minute may."""
    own, theirs = model.per_request, model.provider.per_request
    known = theirs.texts is not None
    tokens: float = own.tokens or theirs.tokens or (float("inf") if known else UNKNOWN.tokens or 0)
    given = (config.model_limits or {}).get(model.id) or model.limits
    minute = [given.tokens_per_minute]
    defaults = not {"max_requests_per_minute", "max_tokens_per_minute"} & config.model_fields_set
    if not (defaults and model.limits.tokens_per_minute is not None):
        minute.append(config.max_tokens_per_minute)
    tokens = min([tokens, *(limit / SHARE for limit in minute if limit is not None and not isinstance(limit, str))])
    return PerRequest(batch_size or own.texts or theirs.texts or UNKNOWN.texts, int(min(tokens, sys.maxsize)))


def checked(**counts: int | None) -> None:
    """``ConfigError`` names the first argument that is no count."""
    for name, value in counts.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ConfigError(f"{name} is a number, 1 or more, not {value!r}")


def as_texts(given: Iterable[Any], what: str) -> list[str]:
    """The texts as a list; ``ConfigError`` names the place of one that is no str."""
    if isinstance(given, (bytes, Mapping)) or not isinstance(given, Iterable):
        raise ConfigError(f"{what} are strings, not {type(given).__name__}")
    found = list(given)
    for at, text in enumerate(found):
        if not isinstance(text, str):
            raise ConfigError(f"{what}[{at}] is {type(text).__name__}, not a str")
    return found


def _numpy(wanted: bool | None) -> Any:
    """The module, where it is wanted and installed."""
    if wanted is False:
        return None
    try:
        import numpy  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        if wanted:
            raise ConfigError("as_numpy=True needs numpy: pip install 'deluge-llm[numpy]'") from None
        return None
    return numpy
