"""A response cache in anything that has items by key: a dict, a shared dict, a disk store."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from deluge import _json
from deluge.caches.memory import answer_of
from deluge.prompt import Conversation
from deluge.response import APIResponse


class MappingCache:
    """Keeps answers in ``store`` as JSON bytes under ``prefix`` and key. The store decides what it drops.

    Calls come one at a time for each client, unless ``thread_safe`` says that the store can take more.
    """

    def __init__(self, store: MutableMapping[str, Any], *, prefix: str = "deluge:", thread_safe: bool = False) -> None:
        self.store = store
        self.prefix = prefix
        self.thread_safe = thread_safe

    def get(self, prompt: Conversation) -> APIResponse | None:
        """The answer to this request, or None; what cannot be read is not there."""
        try:
            data = self.store[self.prefix + prompt.fingerprint]
        except KeyError:
            return None
        return None if data is None else APIResponse.from_log(_json.loads(data))

    def put(self, prompt: Conversation, response: APIResponse) -> None:
        """Keeps an answer; its prompt is not kept."""
        self.store[self.prefix + prompt.fingerprint] = _json.dumps(answer_of(response).to_log())

    def __repr__(self) -> str:
        return f"<MappingCache in {type(self.store).__name__}>"


CACHE = MappingCache
