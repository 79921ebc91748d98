"""requests' side of the transport: its rules for proxies and certificates, and an adapter to mount on its sessions."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import prepend_scheme_if_needed, select_proxy
from urllib3.util import parse_url

from deluge.errors import ConfigError
from deluge.transport._dial import Contexts, dial
from deluge.transport._origin import Head, Origin, Route, build_head

if TYPE_CHECKING:
    from urllib3.util import Url

    from deluge.transport._connection import Connection
    from deluge.wire import Cutoff


class LeanAdapter(BaseAdapter):
    """Connections to every server, opened by urllib3 by requests' rules and kept in a LIFO for each origin."""

    def __init__(self, *, max_idle: int = 1000) -> None:
        super().__init__()
        self.max_idle = max_idle
        self._lock = Lock()
        self._contexts = Contexts()
        self._origins: dict[Any, Origin] = {}
        self.head = lru_cache(maxsize=1024)(self.build_head)

    def build_head(self, method: str, url: str, fields: tuple[tuple[str, str], ...], has_body: bool) -> Head:
        """The head of a request by the environment's route; ``head`` is the same, remembered."""
        return build_head(self._origin, method, url, fields, has_body)

    def connect(self, origin: Origin, attempt: Cutoff) -> Connection:
        """A new connection, owned by the attempt."""
        return dial(origin.route, self._contexts, attempt)

    @property
    def origins(self) -> list[Origin]:
        """Every server that was called so far."""
        return list(self._origins.values())

    def _origin(self, target: Url) -> Origin:
        key = (target.scheme, target.host, target.port)
        origin = self._origins.get(key)
        if origin is None:
            route = environment_route(target)
            with self._lock:
                origin = self._origins.setdefault(key, Origin(route))
        return origin


def environment_route(target: Url) -> Route:
    """The route that requests would take by the environment: proxies, NO_PROXY, CA bundle; never netrc."""
    base = f"{target.scheme}://{target.netloc}/"
    with requests.Session() as session:
        settings = session.merge_environment_settings(base, {}, None, None, None)
    return route_to(target, settings["proxies"], settings["verify"], settings["cert"])


def route_to(target: Url, proxies: Any, verify: Any, cert: Any) -> Route:
    """The route with these settings of requests."""
    tls = target.scheme == "https"
    assert target.host is not None
    chosen = select_proxy(f"{target.scheme}://{target.netloc}/", proxies)
    proxy, headers = None, {}
    if chosen:
        chosen = prepend_scheme_if_needed(chosen, "http")
        proxy = parse_url(chosen)
        if not proxy.host or proxy.scheme not in ("http", "https"):
            raise ConfigError("the proxy that the environment names must be http:// or https:// with a host")
        headers = HTTPAdapter().proxy_headers(chosen)
        proxy = proxy._replace(auth=None, port=proxy.port or (443 if proxy.scheme == "https" else 80))
    verify = True if verify is None else verify
    return Route(tls, target.host, target.port or (443 if tls else 80), proxy, headers, verify, cert)
