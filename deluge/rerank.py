"""Rankings: which documents answer a query best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from typing_extensions import Unpack

from deluge import _json
from deluge.calls import Feed, ResultList, gather, refuse_on_courier
from deluge.embed import PackedOptions, Packing, as_texts, checked, limits_of
from deluge.errors import ConfigError
from deluge.packing import packed, tokens_at_most
from deluge.plan import Plan
from deluge.prompt import Conversation, Message, Text
from deluge.request import Purpose

DEFAULT_MODEL = "rerank-v3.5"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document in its rank: where it stood in the input, and how well it answers the query (the higher the better)."""

    index: int
    score: float
    document: str


class Reranking(Packing):
    """The rankings of a client."""

    def rerank(
        self, query: str, documents: Iterable[str], model: str | None = None, *, top_n: int | None = None,
        batch_size: int | None = None, show_progress: bool = False, **options: Unpack[PackedOptions],
    ) -> list[Ranked]:
        """The documents from the best to the worst answer to ``query``, as ``Ranked``; ``top_n``: no more than so many.

        Blocks. ``model``: else the client's own if it ranks, else rerank-v3.5. More documents than one request takes (or
        than ``batch_size``) go into several, and are merged by score. A request that fails raises its error
        (``RateLimitError`` …): there is no ranking without all of them. ``timeout``, ``max_cost``, ``journal`` as elsewhere.
        """
        refuse_on_courier()
        checked(top_n=top_n, batch_size=batch_size)
        if not isinstance(query, str) or not query:
            raise ConfigError("the query is a text that is not empty")
        given = as_texts([documents] if isinstance(documents, str) else documents, "documents")
        asked = self._model_for(model, "reranking", DEFAULT_MODEL)
        if not given:
            return []
        most, head = limits_of(asked, self._config, batch_size), tokens_at_most(query)
        sizes = [(at, head + tokens_at_most(text)) for at, text in enumerate(given)]
        packs = list(packed(sizes, most.texts or 1, most.tokens or 1))
        plan = self._packing_plan(asked, Purpose("rerank", top_n=top_n), options)
        found = [
            Ranked(pack[place], score, given[pack[place]])
            for pack, pairs in zip(packs, self._rankings(query, given, packs, plan, show_progress)) for place, score in pairs
        ]
        found.sort(key=lambda ranked: (-ranked.score, ranked.index))
        return found[:top_n]

    def _rankings(self, query: str, given: list[str], packs: list[list[int]], plan: Plan, show_progress: bool) -> list[Any]:
        """Pairs of place and score for each pack."""
        prompts = (
            Conversation((Message("user", (Text(query), *(Text(given[at]) for at in pack))),)).freeze() for pack in packs
        )
        results = plan.call.receiver = ResultList()
        leave = self._showing.join(len(packs), self._config.progress if show_progress else None)
        try:
            own = plan.open_journal()
            recorded = plan.recorded if plan.call.journal is not None else None
            look_up = plan.cached if plan.call.cache is not None else None
            feed = Feed(self._engine, plan.call, prompts, plan.task, plan.timeout, look_up, recorded, own)
            responses = gather(feed, results)
        finally:
            leave()
        return [_json.loads(response.raise_for_error().completion or "[]") for response in responses]
