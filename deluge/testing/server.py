"""An HTTP server on loopback that speaks the providers' protocols and misbehaves on request.

One thread with an event loop, standard library only: a thousand connections that wait for their latency cost no thread.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from types import TracebackType

from deluge.testing import faults as faults_room
from deluge.testing.batch_store import BatchStore
from deluge.testing.batches import ANTHROPIC_BATCHES
from deluge.testing.chat import WIRE as CHAT
from deluge.testing.cohere import WIRE as COHERE
from deluge.testing.connection import Connection
from deluge.testing.converse import WIRE as CONVERSE
from deluge.testing.embeddings import WIRES as EMBEDDINGS
from deluge.testing.exchange import SECRET_HEADERS, Plan, Reply, Request, Seen, Step, Wire, share, short
from deluge.testing.faults import Fault, Script
from deluge.testing.gemini import WIRE as GEMINI
from deluge.testing.gemini_batches import GEMINI_BATCHES, OPENAI_BATCHES
from deluge.testing.limits import Limiter, RateLimits
from deluge.testing.loop import EventLoop
from deluge.testing.messages import WIRE as MESSAGES
from deluge.testing.profiles import ECHO, PROFILES, Profile
from deluge.testing.responses import WIRE as RESPONSES
from deluge.testing.service import Service

WIRES: tuple[Wire, ...] = (
    GEMINI, CHAT, RESPONSES, MESSAGES, CONVERSE, COHERE, *EMBEDDINGS, GEMINI_BATCHES, ANTHROPIC_BATCHES, OPENAI_BATCHES,
)

logger = logging.getLogger("deluge.testing")


class RehearsalServer:
    """A provider to rehearse with: ``with RehearsalServer() as server: LLMClient(..., base_url=server.base_url)``.

    ``profile``: how models behave that are no rehearsal model (those have a profile of their own); ``latency``
    (seconds) replaces the latency of all profiles, ``every`` lets replies go out only at multiples of so many seconds.
    ``script``: a list of faults (one per request; None is none), a callable ``(number, request) -> Fault | None``,
    or shares by kind, ``{"500": .05, "reset": .01}``, drawn from ``seed`` and the request's number.
    ``limits``: rate limits over all models together. ``models``: the names that are known; None knows every name.
    ``api_key``: the only key that is let in; None asks for none. ``remember``: how many requests the log keeps.
    ``batch_seconds``: how long a provider batch takes; what came of them is in ``batches``.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, profile: str | Profile = ECHO, latency: float | None = None,
        every: float = 0.0, script: Script = None, limits: RateLimits | None = None, seed: int = 0,
        models: Collection[str] | None = None, api_key: str | None = None, remember: int = 10_000,
        certfile: str | None = None, keyfile: str | None = None, max_body: int = 256 * 1024 * 1024,
        batch_seconds: float = 0.2,
    ) -> None:
        self.host, self.port, self.seed, self.latency, self.every = host, port, seed, latency, every
        self.errors: list[BaseException] = []
        self.requests: deque[Seen] = deque(maxlen=remember)
        self.count = 0
        self.outcomes: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.sent_again: Counter[str] = Counter()
        self._profile = PROFILES[profile] if isinstance(profile, str) else profile
        self._choose = faults_room.chooser(script, seed)
        self._service = Service(models, api_key, batch_seconds)
        self._limiter: Limiter | None = None
        self._limiters: dict[str, Limiter] = {}
        self._limits = limits
        self._spoilt: dict[str, int] = {}
        self._open: dict[int, tuple[Seen, str]] = {}
        self._good: set[str] = set()
        self._holding = False
        self._remember = remember > 0
        self._changed = threading.Condition()
        self._waiting = 0
        self._certificate = (certfile, keyfile)
        self._max_body = max_body
        self._loop: EventLoop | None = None

    def __repr__(self) -> str:
        state = self.base_url if self._loop is not None else "stopped"
        return f"<RehearsalServer {state} | {self.count} requests | {self.outcomes['answered']} answered>"

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> RehearsalServer:
        """Listens, and serves from a thread of its own; gives itself back."""
        if self._loop is not None:
            return self
        tls = _tls(*self._certificate)
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
            listener.listen(4096)
        except OSError:
            listener.close()
            raise
        self.port = int(listener.getsockname()[1])
        if self._limits is not None and self._limiter is None:
            self._limiter = Limiter(self._limits, time.monotonic())
        self._loop = EventLoop(listener, self._arrived, self._gone, tls, self._max_body)
        self._loop.every = self.every
        return self

    def stop(self) -> None:
        """Closes the port and all connections at once; a second call does nothing. It can be started again."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def __enter__(self) -> RehearsalServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's root, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._certificate[0] else 'http'}://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client takes as ``base_url`` for the protocols of OpenAI."""
        return self.url + "/v1"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._loop.connections) if self._loop is not None else 0

    @property
    def accepted(self) -> int:
        """How many connections were ever opened."""
        return self._loop.accepted if self._loop is not None else 0

    @property
    def batches(self) -> BatchStore:
        """The provider batches and their files."""
        return self._service.batches

    # -- control, from any thread -------------------------------------------------------------------------------

    def set_limits(self, limits: RateLimits | None) -> None:
        """From the next request on these limits hold for all models together."""
        self._limits = limits
        now = time.monotonic()
        if limits is None:
            self._limiter = None
        elif self._limiter is None:
            self._limiter = Limiter(limits, now)
        else:
            self._limiter.change(limits, now)

    def set_script(self, script: Script) -> None:
        """From the next request on this script decides what goes wrong; a list begins with its first fault."""
        self._choose = faults_room.chooser(script, self.seed, self.count)

    def hold(self) -> None:
        """Replies wait from now on until they are released."""
        self._holding = True
        if self._loop is not None:
            self._loop.hold()

    def release(self, count: int | None = None) -> None:
        """Lets all held replies go and ends the hold, or lets the oldest ``count`` of them go."""
        if count is None:
            self._holding = False
        if self._loop is not None:
            self._loop.release(count)

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> None:
        """Returns when so many requests have arrived; ``TimeoutError`` when they do not."""
        self.wait_for(lambda: self.count >= count, timeout, f"{count} requests")

    def wait_for_outcomes(self, outcome: str, count: int, timeout: float = 10.0) -> None:
        """Returns when so many requests have ended so (see ``Seen.outcome``)."""
        self.wait_for(lambda: self.outcomes[outcome] >= count, timeout, f"{count} requests {outcome}")

    def wait_for(self, true: Callable[[], bool], timeout: float = 10.0, what: str = "it") -> None:
        """Returns as soon as ``true()`` holds; looked at whenever a request arrives or ends, or a connection closes."""
        with self._changed:
            self._waiting += 1
            try:
                if not self._changed.wait_for(true, timeout):
                    raise TimeoutError(f"waited {timeout:g} s for {what}: {self!r}")
            finally:
                self._waiting -= 1

    # -- on the loop's thread -----------------------------------------------------------------------------------

    def _arrived(self, connection: Connection, request: Request) -> None:
        self.count += 1
        request.number, request.at = self.count, time.monotonic()
        try:
            reply, fault, wire, latency = self._decide(request)
        except Exception as error:  # a script that raises, or our own bug: it must show, and not end the server
            self.errors.append(error)
            logger.exception("the rehearsal server failed")
            reply, fault, wire, latency = Reply(500, CHAT.error(500, f"rehearsal server: {error!r}")), None, CHAT, 0.0
        seen = self._note(request, reply, fault)
        plan = faults_room.plan(reply, fault, latency, wire)
        self._open[connection.id] = seen, reply.identity
        self._tell()
        connection.play(_held(plan) if self._holding else plan, lambda: self._ended(connection.id))

    def _decide(self, request: Request) -> tuple[Reply, Fault | None, Wire, float]:
        wire = next((wire for wire in WIRES if wire.serves(request.method, request.path)), None)
        if wire is None:
            return self._service.other(request, CHAT), self._choose(request), CHAT, 0.0
        reply = self._service.checked(request, wire)
        reply.headers += (("x-request-id", f"req_{request.number}"),)
        profile = PROFILES.get(reply.model, self._profile)
        if reply.model:
            refusal = self._limited(reply, profile, wire, request.at)
            if refusal is not None:
                return refusal, None, wire, 0.0
        fault = self._choose(request) or faults_room.asked_for(reply.prompt, self._spoilt)
        fault = fault or self._profiled(reply, profile)
        return reply, fault, wire, self._seconds(reply, profile)

    def _seconds(self, reply: Reply, profile: Profile) -> float:
        if not reply.model:
            return 0.0
        asked = faults_room.latency_asked_for(reply.prompt)
        if asked is not None or self.latency is not None:
            return asked if asked is not None else self.latency or 0.0
        return profile.latency.seconds(share(self.seed, profile.name, reply.prompt))

    def _profiled(self, reply: Reply, profile: Profile) -> Fault | None:
        """The fault that the profile has for this prompt; a prompt is not spoilt for ever."""
        if not profile.faults or not reply.prompt:
            return None
        prompt = short(reply.prompt)
        before = self._spoilt.get(prompt, 0)
        fault = None
        if before < profile.max_faults:
            fault = faults_room.drawn(profile.faults, share(self.seed, prompt, before))
        if fault is None:
            self._spoilt.pop(prompt, None)
        else:
            self._spoilt[prompt] = before + 1
        return fault

    def _limited(self, reply: Reply, profile: Profile, wire: Wire, now: float) -> Reply | None:
        """The 429 of the first limiter without room; otherwise None, and the reply tells what is left."""
        limiters = [self._limiter] if self._limiter is not None else []
        if profile.limits is not None:
            limiters.append(self._limiters.setdefault(profile.name, Limiter(profile.limits, now)))
        for limiter in limiters:
            decision = limiter.take(*reply.charge, now)
            reply.headers += wire.limit_headers(decision.state)
            if decision.refused:
                return wire.refusal(reply, decision, limiter.limits)
        return None

    def _note(self, request: Request, reply: Reply, fault: Fault | None) -> Seen:
        headers = {name: value for name, value in request.headers.items() if name not in SECRET_HEADERS}
        seen = Seen(request.number, request.at, request.method, request.path, headers, request.json, request.connection,
                    reply.model, short(reply.prompt), fault=fault.kind if fault else "")
        seen.status = faults_room.status(reply, fault)
        if self._remember:
            self.requests.append(seen)
            if reply.identity in self._good:
                self.sent_again[seen.prompt] += 1
        return seen

    def _ended(self, connection: int) -> None:
        seen, identity = self._open[connection]
        if seen.fault and not faults_room.harmless(seen.fault):
            seen.outcome = "faulted"
        else:
            seen.outcome = "refused" if seen.status >= 400 else "answered"
        self.outcomes[seen.outcome] += 1
        if self._remember and identity and seen.outcome == "answered":
            self.answered[seen.prompt] += 1
            self._good.add(identity)
        self._tell()

    def _gone(self, connection: Connection) -> None:
        seen, identity = self._open.pop(connection.id, (None, ""))
        if seen is not None and (seen.outcome == "open" or connection.unsent):
            if seen.outcome != "open":  # it was counted right before its last bytes got lost
                self.outcomes[seen.outcome] -= 1
                self.answered[seen.prompt] -= seen.outcome == "answered" and self._remember
                self._good.discard(identity)
            seen.outcome = "aborted"
            self.outcomes["aborted"] += 1
        self._tell()

    def _tell(self) -> None:
        if self._waiting:
            with self._changed:
                self._changed.notify_all()


def _held(plan: Plan) -> Plan:
    """The plan, with a first step that has to wait: where replies are held, they are held there."""
    yield Step(wait=1e-9)
    yield from plan


def _tls(certfile: str | None, keyfile: str | None) -> ssl.SSLContext | None:
    if certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    context.set_alpn_protocols(["http/1.1"])
    return context
