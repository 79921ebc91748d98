"""Response caches: what was answered once is not bought again, in this process or in any other.

``LLMClient(cache=MemoryCache())`` keeps answers in memory, ``SQLiteCache("answers.db")`` in a file that threads and
processes share, ``MappingCache(store)`` in whatever has items by key. Whoever has ``get(prompt)`` and
``put(prompt, response)`` is a cache too; ``prompt.fingerprint`` is the key of the whole request.
"""

from deluge.caches.mapping import MappingCache
from deluge.caches.memory import CacheStats, MemoryCache
from deluge.caches.sqlite import SQLiteCache

__all__ = ["CacheStats", "MappingCache", "MemoryCache", "SQLiteCache"]
