"""Which way to a server, by requests' rules: proxies, NO_PROXY and CA bundles; never netrc."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import prepend_scheme_if_needed, select_proxy
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from deluge.errors import ConfigError
from deluge.transport._origin import Origin, Route

if TYPE_CHECKING:
    from urllib3.util import Url


MANY = 256  # servers from which on those that are not in use are looked for
UNUSED = 300.0  # seconds


class Origins:
    """Every server by every route that was asked for; the environment is asked once for each."""

    def __init__(self, public_only: bool = False) -> None:
        self._lock = threading.Lock()
        self._public_only = public_only
        self._known: dict[Any, Origin] = {}
        self.dropped: Callable[[], object] = _nothing  # called when servers have left the table

    def by_environment(self, target: Url) -> Origin:
        """The server of this URL, by the route that the environment names."""
        key = (target.scheme, target.host, target.port)
        origin = self._known.get(key)
        if origin is None:
            origin = self._add(key, replace(environment_route(target), public_only=self._public_only))
        return origin

    def with_settings(self, target: Url, *, proxies: Any, verify: Any, cert: Any) -> Origin:
        """The server of this URL, by the route that these settings of requests name."""
        cert = tuple(cert) if isinstance(cert, (list, tuple)) else cert
        route = route_to(target, proxies, verify, cert)
        key = (target.scheme, target.host, target.port, route.proxy, tuple(route.proxy_headers.items()),
               type(verify), verify, cert)
        return self._known.get(key) or self._add(key, route)

    def all(self) -> list[Origin]:
        """All of them."""
        return list(self._known.values())

    def renew_lock(self) -> None:
        """In a forked child: another thread may have held the lock."""
        self._lock = threading.Lock()

    def _add(self, key: Any, route: Route) -> Origin:
        with self._lock:
            if len(self._known) >= MANY:
                self._drop_unused(monotonic())
            return self._known.setdefault(key, Origin(route))

    def _drop_unused(self, now: float) -> None:
        """Media come from hosts without end: those that were not asked for in a while go, with their connections."""
        for key, origin in list(self._known.items()):
            if now - origin.used_at > UNUSED:
                origin.gone = True
                del self._known[key]
                origin.drop()
        self.dropped()


def _nothing() -> None:
    """Nobody wants to know."""


def environment_route(target: Url) -> Route:
    """The route that a session of requests would take here."""
    base = f"{target.scheme}://{target.netloc}/"
    with requests.Session() as session:
        settings = session.merge_environment_settings(base, {}, None, None, None)
    return route_to(target, settings["proxies"], settings["verify"], settings["cert"])


def route_to(target: Url, proxies: Any, verify: Any, cert: Any) -> Route:
    """The route with these settings; ``ConfigError`` for a proxy that cannot be used."""
    tls = target.scheme == "https"
    assert target.host is not None
    chosen = select_proxy(f"{target.scheme}://{target.netloc}/", proxies)
    proxy, headers = None, {}
    if chosen:
        chosen = prepend_scheme_if_needed(chosen, "http")  # type: ignore[no-untyped-call]
        proxy = _proxy(chosen)
        headers = HTTPAdapter().proxy_headers(chosen)
    verify = True if verify is None else verify
    return Route(tls, target.host, target.port or (443 if tls else 80), proxy, headers, verify, cert)


def _proxy(address: str) -> Url:
    try:
        proxy = parse_url(address)
    except LocationParseError:
        raise ConfigError("the address of the proxy cannot be parsed") from None
    if not proxy.host or proxy.scheme not in ("http", "https"):
        raise ConfigError(f"the proxy must be given as http://host:port or https://host:port, not as {proxy.scheme!r}")
    return proxy._replace(auth=None, port=proxy.port or (443 if proxy.scheme == "https" else 80))
