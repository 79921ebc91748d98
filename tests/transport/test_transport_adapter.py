"""The adapter as requests uses it: mounted on a session."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator

import pytest
import requests
from scripted_server import CA, OTHER_CA, Peer, Server, echo

from deluge.transport import LeanAdapter


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", LeanAdapter())
        session.mount("https://", session.adapters["http://"])
        yield session


def test_a_session_gets_its_responses(session: requests.Session) -> None:
    with Server(echo) as server:
        response = session.post(server.url + "/v1?a=b", json={"a": [1]}, timeout=20)
        assert response.json() == {"a": [1]} and response.ok and response.reason == "OK"
        assert response.headers["Content-Type"] == "application/json" and response.url.endswith("/v1?a=b")
        assert session.post(server.url, data=io.BytesIO(b"file"), timeout=(1, 20)).content == b"file"
        assert session.post(server.url, data=iter([b"pie", b"ces"]), timeout=20).content == b"pieces"
        assert session.post(server.url, data="text").text == "text"
        assert server.connections == 1 and repr(session.adapters["http://"]) == "<LeanAdapter 1 idle>"


def test_streams_and_codings(session: requests.Session) -> None:
    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.reply(gzip.compress(b"one\ntwo\n", mtime=0), "200 OK", "Content-Encoding: gzip")

    with Server(script) as server:
        assert session.get(server.url, timeout=20).text == "one\ntwo\n"
        with session.get(server.url, stream=True, timeout=20) as response:
            assert list(response.iter_lines()) == [b"one", b"two"]


def test_failures_are_exceptions_of_requests(session: requests.Session) -> None:
    def script(peer: Peer) -> None:
        head = peer.head() or ""
        if "/silent" in head:
            peer.until_closed()

    with Server(script) as server:
        with pytest.raises(requests.ConnectionError):
            session.get(server.url, timeout=20)
        with pytest.raises(requests.Timeout):
            session.get(server.url + "/silent", timeout=0.2)
        with pytest.raises(requests.exceptions.InvalidHeader):
            session.get(server.url, headers={"X": "\u2026"}, timeout=20)


def test_what_the_session_says_about_certificates_counts(session: requests.Session) -> None:
    with Server(echo, tls=True) as server:
        assert session.get(server.url, verify=CA, timeout=20).ok
        assert session.get(server.url, verify=False, timeout=20).ok
        with pytest.raises(requests.exceptions.SSLError):
            session.get(server.url, verify=OTHER_CA, timeout=20)
        assert server.connections == 3


def test_the_proxy_of_the_session_is_used(session: requests.Session) -> None:
    def script(peer: Peer) -> None:
        while (request := peer.request()) is not None:
            peer.reply(request[0].encode())

    with Server(script) as proxy:
        response = session.get("http://example.invalid/x", proxies={"http": proxy.url}, timeout=20)
        assert response.text.startswith("GET http://example.invalid/x HTTP/1.1")
