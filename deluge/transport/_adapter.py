"""requests' side of the transport: its rules for proxies and certificates, and an adapter to mount on its sessions."""

from __future__ import annotations

from functools import lru_cache, partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter

from deluge.transport._attempt import Attempt
from deluge.transport._dial import Contexts, dial
from deluge.transport._exchange import Exchanger
from deluge.transport._failure import describe
from deluge.transport._origin import Origin, build_head
from deluge.transport._requests import body_of, exception_for, no_op, response_of, text
from deluge.transport._routes import Origins
from deluge.wire import HttpReply

if TYPE_CHECKING:
    from deluge.transport._connection import Connection
    from deluge.wire import Cutoff


class LeanAdapter(BaseAdapter):
    """Connections to every server, opened by urllib3 by requests' rules, and exchanges over them.

    ``deluge`` calls ``run`` and ``open``. Mounted on a ``requests.Session`` it serves that as well (``send``), with the
    proxies and certificates that the session resolved. ``public_only``: it connects to no private address.
    """

    def __init__(
        self, *, max_idle: int = 1000, max_wire: int = 64 << 20, max_body: int = 256 << 20, public_only: bool = False,
    ) -> None:
        super().__init__()
        self._contexts = Contexts()
        self._origins = Origins(public_only)
        connect = partial(_connect, self._contexts)
        exchanger = Exchanger(connect, max_idle=max_idle, max_wire=max_wire, max_body=max_body)
        self._exchanger = exchanger
        self.run = exchanger.run
        self.begin = exchanger.begin
        self.open = exchanger.open
        self.build_head = partial(build_head, self._origins.by_environment)
        self.head = lru_cache(maxsize=1024)(self.build_head)
        self._origins.dropped = self.head.cache_clear

    def send(
        self, request: requests.PreparedRequest, stream: bool = False, timeout: Any = None, verify: Any = True,
        cert: Any = None, proxies: Any = None,
    ) -> requests.Response:
        """The response, as requests wants it; ``timeout`` (the larger of a pair) is the total for everything."""
        body = body_of(request)
        seconds = max((part for part in timeout if part is not None), default=None) if isinstance(
            timeout, tuple) else getattr(timeout, "total", timeout)
        attempt = Attempt(float("inf") if seconds is None else monotonic() + seconds)
        reply = HttpReply()
        try:
            find = partial(self._origins.with_settings, proxies=proxies, verify=verify, cert=cert)
            fields = tuple((text(name), text(value)) for name, value in request.headers.items())
            head = build_head(find, text(request.method or "GET"), request.url or "", fields, bool(body))
            if stream:
                self.open(head, body, attempt, reply, no_op)
            else:
                self.run(head, body, attempt, reply)
        except Exception as error:
            kind, message = describe(error, attempt)
            raise exception_for(kind, message, request) from error
        return response_of(request, reply, self)

    def close(self) -> None:
        """Closes the idle connections; the next request opens new ones."""
        self._exchanger.resting = True
        for origin in self.origins:
            origin.drop()

    def forget(self) -> None:
        """In a forked child: gives up the parent's idle connections, which are still in use there."""
        self._contexts.renew_lock()
        self._origins.renew_lock()
        self.close()

    @property
    def origins(self) -> list[Origin]:
        """Every server that was called so far."""
        return self._origins.all()

    def __repr__(self) -> str:
        return f"<LeanAdapter {sum(len(origin.idle) for origin in self.origins)} idle>"


def _connect(contexts: Contexts, origin: Origin, attempt: Cutoff) -> Connection:
    return dial(origin.route, contexts, attempt)
