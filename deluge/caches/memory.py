"""A response cache in memory: bounded, the answer that was used longest ago goes first."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from deluge.errors import ConfigError
from deluge.prompt import Conversation
from deluge.response import APIResponse

DEFAULT_ENTRIES = 10_000


def answer_of(response: APIResponse) -> APIResponse:
    """What of a response is worth keeping: the answer, not the story of its prompt."""
    return response.replaced(prompt=None, metadata=None, raw_response=None, attempts=(), trajectory=None)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache holds and has done. ``bytes`` is None where nobody counts them."""

    entries: int
    hits: int
    misses: int
    bytes: int | None = None


class MemoryCache:
    """Keeps up to ``max_entries`` answers, each for ``ttl`` seconds (None: for ever). Safe to share between clients.

    ``clock`` gives the seconds that ``ttl`` is counted in.
    """

    thread_safe = True

    def __init__(self, max_entries: int = DEFAULT_ENTRIES, *, ttl: float | None = None,
                 clock: Callable[[], float] = time.monotonic) -> None:
        if max_entries < 1 or (ttl is not None and not ttl > 0):
            raise ConfigError("a cache needs room for one answer at least, and a ttl above 0 seconds or None")
        self.max_entries = max_entries
        self.ttl = ttl
        self._clock = clock
        self._lock, self._process = threading.Lock(), os.getpid()
        self._answers: OrderedDict[str, tuple[float, APIResponse]] = OrderedDict()
        self._hits = self._misses = 0

    def get(self, prompt: Conversation) -> APIResponse | None:
        """The answer to this request, or None."""
        key = prompt.fingerprint
        with self._held():
            found = self._answers.get(key)
            if found is None or (self.ttl is not None and self._clock() - found[0] >= self.ttl):
                self._answers.pop(key, None)
                self._misses += 1
                return None
            self._answers.move_to_end(key)
            self._hits += 1
            return found[1]

    def put(self, prompt: Conversation, response: APIResponse) -> None:
        """Keeps an answer; its prompt is not kept."""
        kept = answer_of(response)
        with self._held():
            self._answers[prompt.fingerprint] = (self._clock(), kept)
            self._answers.move_to_end(prompt.fingerprint)
            while len(self._answers) > self.max_entries:
                self._answers.popitem(last=False)

    def stats(self) -> CacheStats:
        """Entries, hits and misses so far."""
        with self._held():
            return CacheStats(len(self._answers), self._hits, self._misses)

    def clear(self) -> int:
        """Forgets everything; how many answers that were."""
        with self._held():
            count = len(self._answers)
            self._answers.clear()
            return count

    def _held(self) -> threading.Lock:
        """The lock; another one in a forked child, where the thread that may have held it is not."""
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock

    def __len__(self) -> int:
        return len(self._answers)

    def __bool__(self) -> bool:
        return True  # an empty cache is a cache

    def __repr__(self) -> str:
        return f"<MemoryCache {len(self._answers):,}/{self.max_entries:,} answers | {self._hits:,} hits>"


CACHE = MemoryCache
