"""What the rehearsal protocols share: who may ask for what, and which prefixes were seen before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from deluge.testing.batch_store import BatchStore
from deluge.testing.exchange import Reply, Request, Wire
from deluge.testing.profiles import PROFILES

CACHE_FROM = 1024  # tokens: shorter prefixes are not cached
CACHE_STEP = 128

_ABOUT = b"This is deluge's rehearsal provider. Point a client's base_url at /v1.\n"


class Service:
    """The provider behind the protocols: its models, its key, its prompt cache, its batches."""

    def __init__(self, models: Collection[str] | None, api_key: str | None, batch_seconds: float = 0.2) -> None:
        self.batches = BatchStore(batch_seconds)
        self.models = None if models is None else frozenset(models)
        self.api_key = api_key
        self._prefixes: OrderedDict[tuple[str, int], None] = OrderedDict()

    def knows(self, model: object) -> bool:
        """Whether there is such a model. Without a list of names all are known but misspelt rehearsal models."""
        if not isinstance(model, str) or not model:
            return False
        if self.models is not None:
            return model in self.models
        return model in PROFILES or not model.startswith("rehearsal-")

    def names(self) -> list[str]:
        """The models that can be listed."""
        return sorted(PROFILES if self.models is None else self.models)

    def checked(self, request: Request, wire: Wire) -> Reply:
        """The protocol's reply, or its error when the key is wrong or the body is no JSON object."""
        if self.api_key is not None and request.key() != self.api_key:
            return Reply(401, wire.error(401, "Incorrect API key provided.", code="invalid_api_key"))
        bare = not request.body and request.path.endswith("/cancel") or getattr(wire, "takes_any_body", False)
        if request.method == "POST" and not bare and not isinstance(request.json, dict):
            return Reply(400, wire.error(400, "We could not parse the JSON body of your request."))
        return wire.reply(request, self)

    def other(self, request: Request, wire: Wire) -> Reply:
        """The answer to a path that no protocol serves."""
        if request.path == "/" and request.method == "GET":
            return Reply(200, _ABOUT, "text/plain; charset=utf-8")
        return Reply(404, wire.error(404, f"Unknown request URL: {request.method} {request.path}.", "unknown_url"))

    def cached(self, model: str, prefixes: Iterable[tuple[int, str]]) -> int:
        """How many tokens of the input were read before; ``prefixes`` are (tokens so far, text of this part)."""
        found, path = 0, hash(model)
        for tokens, text in prefixes:
            path = hash((path, text))
            if tokens < CACHE_FROM:
                continue
            if (model, path) in self._prefixes:
                found = tokens // CACHE_STEP * CACHE_STEP
            self._prefixes[model, path] = None
            self._prefixes.move_to_end((model, path))
        while len(self._prefixes) > 4096:
            self._prefixes.popitem(last=False)
        return found
