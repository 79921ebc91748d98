"""Media that a prompt gives by URL, fetched by the worker where the provider does not fetch them itself.

Inside the attempt's deadline, with a size cap, and from public addresses only unless the client allows others. What was
fetched is kept for the further attempts of the same prompt, as far as there is room, and is forgotten with it.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from weakref import WeakKeyDictionary

from deluge.dialects._media import Medium, limits_of, media_of, most_bytes, on_the_web
from deluge.prompt import Conversation, Image, Message, Text, ToolResult
from deluge.prompt.sources import fetched_type
from deluge.wire import HttpReply, Verdict

if TYPE_CHECKING:
    from deluge.request import Dialect, RequestContext
    from deluge.tasks import Flight, Task
    from deluge.transport import LeanTransport

MOST = 50_000_000  # bytes of one medium
MOST_OF_PROMPT = 100_000_000  # bytes of all that is fetched for one prompt
ROOM = 256_000_000  # bytes that are kept for further attempts, over all prompts
_AGAIN = frozenset({408, 425, 429})  # as any 5xx: the server may have it later
_SHOWN = 100

Made = dict[Medium, Medium]


class Fetching:
    """Fetches what prompts give by URL. ``filled`` never raises for what the network does."""

    def __init__(self, transport: LeanTransport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._kept: WeakKeyDictionary[Task, Made] = WeakKeyDictionary()

    def needed(self, dialect: Dialect, ctx: RequestContext) -> tuple[Medium, ...]:
        """The media that have to be here before this prompt can be said in this format."""
        for message in ctx.prompt.messages:
            for part in message.parts:
                if type(part) is not Text:
                    return self._needed(dialect, ctx)
        return ()

    def _needed(self, dialect: Dialect, ctx: RequestContext) -> tuple[Medium, ...]:
        takes = getattr(dialect, "takes_url", None)
        if takes is None:
            return ()
        found = (part for part in media_of(ctx.prompt) if part.data is None and on_the_web(part))
        return tuple(dict.fromkeys(part for part in found if not takes(ctx.model, part)))

    def filled(self, flight: Flight, ctx: RequestContext, needed: tuple[Medium, ...]) -> RequestContext | Verdict:
        """The context with these media in it; or what it means that one of them cannot be had."""
        task = flight.task
        with self._lock:
            made = dict(self._kept.get(task, ()))
        room = MOST_OF_PROMPT - sum(part.size or 0 for part in made.values())
        for part in needed:
            if part not in made:
                got = self._fetched(flight, ctx, part, room)
                if isinstance(got, Verdict):
                    self._keep(task, made)
                    return got
                made[part] = got
                room -= got.size or 0
        self._keep(task, made)
        return ctx._replace(prompt=with_media(ctx.prompt, made))

    def forget(self, task: Task) -> None:
        """The prompt has its answer."""
        with self._lock:
            self._kept.pop(task, None)

    def renew_lock(self) -> None:
        """In a forked child: another thread may have held the lock."""
        self._lock = threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._kept

    def _keep(self, task: Task, made: Made) -> None:
        """For the next attempts, if there is room: what is not kept is fetched again."""
        with self._lock:
            used = sum(_bytes(other) for owner, other in self._kept.items() if owner is not task)
            if made and used + _bytes(made) <= ROOM:
                self._kept[task] = made

    def _fetched(self, flight: Flight, ctx: RequestContext, part: Medium, room: int) -> Medium | Verdict:
        url, what = str(part.url), f"the {type(part).__name__.lower()} at {shown(str(part.url))}"
        most = min(MOST, room, most_bytes(part, limits_of(ctx.model)) or MOST)
        private = ctx.options.allow_private_urls
        reply = self._transport.fetch(url, flight.switch, most, private)  # type: ignore[arg-type]
        if not reply.ok:
            return _verdict(reply, what, most)
        if not reply.body:
            return Verdict("input", message=f"{what} is empty")
        kind = fetched_type(reply.body, reply.headers.get("content-type", ""), part.media_type, url)
        group = {"Image": "image/", "Audio": "audio/"}.get(type(part).__name__, "")
        if not kind.startswith(group):
            return Verdict("input", message=f"{what} is none: it is of type {kind}")
        name = part.name or (None if isinstance(part, Image) else _name(url))
        return replace(part, data=reply.body, url=None, media_type=kind, name=name)


def with_media(prompt: Conversation, made: Made) -> Conversation:
    """The prompt with parts exchanged for others."""
    messages = [Message(message.role, tuple(_exchanged(part, made) for part in message.parts), message.name)
                for message in prompt.messages]
    return Conversation(messages, model_used=prompt.model_used).freeze()


def shown(url: str) -> str:
    """A URL for people: without the query and the password, which may be secrets."""
    parts = urlsplit(url)
    text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return text if len(text) <= _SHOWN else text[:_SHOWN - 1] + "…"


def _exchanged(part: Any, made: Made) -> Any:
    if type(part) is ToolResult:
        content: Any = part.content
        if isinstance(content, (tuple, list)):
            return replace(part, content=tuple(_exchanged(item, made) for item in content))
        return replace(part, content=_exchanged(content, made)) if _is_medium(content) else part
    return made.get(part, part) if _is_medium(part) else part


def _is_medium(part: Any) -> bool:
    return getattr(part, "url", None) is not None and getattr(part, "data", b"") is None


def _bytes(made: Made) -> int:
    return sum(part.size or 0 for part in made.values())


def _name(url: str) -> str | None:
    return unquote(urlsplit(url).path).rpartition("/")[2] or None


def _verdict(reply: HttpReply, what: str, most: int) -> Verdict:
    """What it means for the prompt. Another model could not fetch it either, and none of them is to blame."""
    failure, status = reply.failure, reply.status
    if failure == "cancelled":
        return Verdict("cancelled", message=reply.message)
    if failure == "timeout":
        return Verdict("timeout", retry=True, message=f"{what} did not come within the request's time (request_timeout)")
    if failure == "connection":
        return Verdict("connection", retry=True, message=f"{what} cannot be fetched: {reply.message}")
    if failure == "too_large":
        return Verdict("input", message=f"{what} is too large: {reply.message}, and {most:,} bytes are taken")
    if failure is not None:
        return Verdict("input", message=f"{what} is not fetched: {reply.message}")
    if status in _AGAIN or status >= 500:
        return Verdict("connection", retry=True, message=f"{what} cannot be fetched: its server answers {status}")
    return Verdict("input", message=f"{what} cannot be fetched: its server answers {status}")
