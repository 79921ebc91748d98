"""Opens connections with urllib3's classes: sockets, proxy tunnels and TLS are theirs."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH, extract_zipped_paths
from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util.ssl_ import create_urllib3_context

from deluge.errors import ConfigError
from deluge.transport._addresses import check_public
from deluge.transport._connection import Aborted, Connection

if TYPE_CHECKING:
    import ssl

    from deluge.transport._origin import Route
    from deluge.wire import Cutoff

_OPTIONS = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
if hasattr(socket, "TCP_KEEPIDLE"):
    _OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60))


class _Owned:
    """Makes the socket known to the attempt before it connects, so that even that can be aborted."""

    attempt: Cutoff
    public_only = False
    watched: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        host, port = self._dns_host, self.port  # type: ignore[attr-defined]
        addresses = _resolve(host, port)
        if self.public_only:
            check_public(host, addresses)
        failure: OSError = OSError("the name has no address")
        for i, (family, kind, protocol, _, address) in enumerate(addresses):
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:
                failure = error
                continue
            try:
                return self._connect(sock, address, len(addresses) - i)
            except OSError as error:
                failure = error
                self._let_go(sock)
            except BaseException:
                self._let_go(sock)
                raise
        raise failure

    def _connect(self, sock: socket.socket, address: Any, choices: int) -> socket.socket:
        for option in _OPTIONS:
            with suppress(OSError):
                sock.setsockopt(*option)
        # TLS takes the descriptor away from this object: the attempt watches a duplicate until the handshake is over.
        self.watched = sock.dup()
        if not self.attempt.own(self.watched):
            raise Aborted
        left = self.attempt.deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        sock.settimeout(min(left / choices, 1e6))
        sock.connect(address)
        sock.settimeout(min(max(self.attempt.deadline - monotonic(), 0.001), 1e6))
        return sock

    def _let_go(self, sock: socket.socket) -> None:
        sock.close()
        self.unwatch()

    def unwatch(self) -> None:
        """Forgets the duplicate."""
        self.attempt.disown()
        if self.watched is not None:
            self.watched.close()
            self.watched = None


def _resolve(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except socket.gaierror:
        socket.socket().close()  # raises the true reason when the resolver only lacked a file descriptor
        raise
    except UnicodeError:
        raise ConfigError("the host of the URL is no name that could be looked up") from None


class _Plain(_Owned, HTTPConnection):
    pass


class _Secure(_Owned, HTTPSConnection):
    pass


class Contexts:
    """One TLS context for each CA bundle and client certificate, loaded when it is first needed (it takes 40 ms)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[tuple[Any, Any], ssl.SSLContext] = {}

    def get(self, verify: bool | str, cert: str | tuple[str, str] | None) -> ssl.SSLContext:
        """The context; ``ConfigError`` when a file cannot be read."""
        with self._lock:
            context = self._made.get((verify, cert))
            if context is None:
                context = self._made[verify, cert] = _context(verify, cert)
            return context

    def renew_lock(self) -> None:
        """In a forked child: another thread may have held the lock."""
        self._lock = threading.Lock()


def _context(verify: bool | str, cert: str | tuple[str, str] | None) -> ssl.SSLContext:
    import ssl

    context = create_urllib3_context()
    bundle: str = extract_zipped_paths(DEFAULT_CA_BUNDLE_PATH)  # type: ignore[no-untyped-call]
    path = verify if isinstance(verify, str) else bundle
    try:
        if verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
        if cert is not None:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    except OSError as error:  # an SSLError is one
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        raise ConfigError(f"the certificates in {path if cert is None else cert!r} cannot be loaded: {error}") from None
    return context


def dial(route: Route, contexts: Contexts, attempt: Cutoff) -> Connection:
    """A new connection, owned by the attempt; raises what sockets, TLS and proxies raise."""
    conn = _prepare(route, contexts)
    conn.attempt = attempt
    if route.public_only and route.proxy is not None:  # the proxy connects: the name can be checked, but not held to it
        check_public(route.host, _resolve(route.host.strip("[]"), route.port))
    conn.public_only = route.public_only and route.proxy is None
    try:
        conn.connect()
    except BaseException:
        conn.unwatch()
        conn.close()
        raise
    conn.unwatch()
    sock, conn.sock = conn.sock, None
    assert sock is not None
    connection = Connection(sock)
    if not attempt.own(connection.raw):
        connection.close()
        raise Aborted
    return connection


def _prepare(route: Route, contexts: Contexts) -> _Plain | _Secure:
    proxy = route.proxy
    given: dict[str, Any] = {}
    if proxy is not None:
        given = {"proxy": proxy, "proxy_config": ProxyConfig(None, False, None, None)}
    host, port = (proxy.host, proxy.port) if proxy is not None else (route.host, route.port)
    assert host is not None
    if not route.tls and (proxy is None or proxy.scheme != "https"):
        return _Plain(host.strip("[]"), port, **given)
    context = contexts.get(route.verify, route.cert)
    if proxy is not None:
        given["proxy_config"] = ProxyConfig(context, False, None, None)
    conn = _Secure(host.strip("[]"), port, ssl_context=context, **given)
    if route.tls and proxy is not None:
        conn.set_tunnel(route.host.strip("[]"), route.port, dict(route.proxy_headers), proxy.scheme or "http")
    return conn
