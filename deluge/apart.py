"""The answer to a packed request taken apart: each text has a response, a place in the cache and a record of its own.

So a text that was embedded once is never bought again, whatever it was packed with then and is packed with now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deluge.journal import Asked, Recorder
from deluge.packing import bytes_of, divided
from deluge.prompt import Conversation, Message, Text
from deluge.response import APIResponse
from deluge.usage import Usage

# Failures that one text of a request may be the reason of: the others are asked without it.
OF_ONE_TEXT = frozenset({"context_length", "content_filter", "too_large", "input", "bad_request"})


def texts_in(prompt: Conversation | None) -> list[str]:
    """The texts of a packed request."""
    parts = () if prompt is None else prompt.messages[0].parts
    return [part.text for part in parts if type(part) is Text]


def may_be_split(response: APIResponse, count: int) -> bool:
    """Whether a failed request of so many texts is worth being asked again in halves."""
    return response.is_error and count > 1 and response.error_kind in OF_ONE_TEXT


def taken_apart(response: APIResponse, texts: list[str], places: Mapping[str, int]) -> list[APIResponse]:
    """A response for each text: its vector, its index in the input, its share of the tokens and dollars."""
    sizes = [bytes_of(text) or 1 for text in texts]
    counts = divided(response.usage.total_input_tokens, sizes)
    whole = sum(counts)
    parts = () if response.is_error or response.content is None else response.content.parts
    found = []
    for at, (text, tokens) in enumerate(zip(texts, counts)):
        cost = response.cost if response.cost is None or not whole else response.cost * tokens / whole
        found.append(response.replaced(
            index=places.get(text, response.index), prompt=Conversation.of_text(text), usage=Usage(tokens), cost=cost,
            content=Message("assistant", (parts[at],)) if at < len(parts) else None,
            raw_response=None,
        ))
    return found


class CacheOfTexts:
    """A response cache that keeps the vector of each text under a key of its own. ``key_of`` makes the keys."""

    def __init__(self, cache: Any, key_of: Callable[[Conversation], str]) -> None:
        self._cache = cache
        self._key_of = key_of

    def get(self, prompt: Conversation) -> APIResponse | None:
        """The response that holds the vector of this one text; None when there is none, or no vector in it."""
        found = self._cache.get(prompt.keyed(self._key_of(prompt)))
        return found if isinstance(found, APIResponse) and found.completion else None

    def put(self, prompt: Conversation, response: APIResponse) -> None:
        """Keeps the vectors of a packed request."""
        for piece in taken_apart(response, texts_in(prompt), {}):
            if piece.content is not None and piece.prompt is not None:
                self._cache.put(piece.prompt.keyed(self._key_of(piece.prompt)), piece)


@dataclass(slots=True)
class Place:
    """What a journal knows a text by."""

    key: str | None
    row_id: Any = None
    occurrence: int = 0
    mark: int = 0


@dataclass(eq=False)
class JournalOfTexts:
    """A journal that writes a record for each text of a packed request; whatever else it is asked, the journal does.

    ``places``: the texts of this call, as the journal knows them; ``indexes``: where they stand in the input.
    """

    journal: Recorder
    places: dict[str, Place] = field(default_factory=dict)
    indexes: Mapping[str, int] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    def keep(self, pairs: Iterable[tuple[Any, APIResponse]]) -> None:
        """Writes the records. Those of a request that will be asked again in halves are not written yet."""
        kept: list[tuple[Asked, APIResponse]] = []
        for task, response in pairs:
            texts = texts_in(task.prompt)
            if not may_be_split(response, len(texts)):
                pieces = taken_apart(response, texts, self.indexes)
                kept += [(self.places[text], piece) for text, piece in zip(texts, pieces) if text in self.places]
        self.journal.keep(kept)
