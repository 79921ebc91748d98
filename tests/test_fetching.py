"""Media by URL: fetched by the worker where the provider takes bytes only, and passed on where it fetches them itself."""

from __future__ import annotations

import base64
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from transport.scripted_server import Peer, Server

from deluge import Audio, Conversation, File, Image, LLMClient, Message, ToolCall, ToolResult
from deluge.errors import ConfigError
from deluge.fetching import ROOM, Fetching, shown
from deluge.testing import RehearsalServer
from deluge.transport import Attempt, LeanTransport
from deluge.transport._addresses import check_public, is_public

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + (2).to_bytes(4, "big") * 2 + b"\0" * 40
PDF = b"%PDF-1.7 a few words"
Pages = dict[str, Any]


def site(pages: Pages) -> Callable[[Peer], None]:
    """A script for a server with these pages: bytes, or (status, body, more header lines), or a list of them in turn."""

    def script(peer: Peer) -> None:
        while (head := peer.head()) is not None:
            path = head.split()[1].partition("?")[0]
            server_log.append(path)
            page = pages.get(path, ("404 Not Found", b"no"))
            if isinstance(page, list):
                page = page.pop(0) if len(page) > 1 else page[0]
            status, body, *more = page if isinstance(page, tuple) else ("200 OK", page)
            peer.reply(body, status, *more)

    server_log: list[str] = []
    script.log = server_log  # type: ignore[attr-defined]
    return script


def bedrock(server: RehearsalServer, **more: Any) -> LLMClient:
    settings = {"progress": None, "allow_private_urls": True, "request_timeout": 10, **more}
    return LLMClient("claude-4.6-sonnet-bedrock", base_url=server.url, api_key="k", **settings)


def asked(url: str, text: str = "What is 6 * 7?") -> Conversation:
    return Conversation().user(text, image=Image(url=url))


def test_a_provider_that_takes_bytes_only_gets_them() -> None:
    script = site({"/a.png": PNG, "/report": PDF})
    with Server(script) as web, RehearsalServer() as provider, bedrock(provider) as client:
        prompt = asked(f"{web.url}/a.png").user("And?", file=File(url=f"{web.url}/report", name="r.pdf"))
        prompt.ai("").add(Message("assistant", (ToolCall("t1", "look", {}),)))
        prompt.add(Message("tool", (ToolResult("t1", (Image(url=f"{web.url}/a.png"),)),)))
        response = client.ask(prompt).raise_for_error()
        assert response.prompt == prompt  # as it was given
        sent = str(provider.requests[0].body)
        assert sent.count(base64.b64encode(PNG).decode()) == 2 and base64.b64encode(PDF).decode() in sent
        assert web.url not in sent
        assert sorted(script.log) == ["/a.png", "/report"]  # type: ignore[attr-defined]
        *_, last = client.stream_chat(asked(f"{web.url}/a.png"))
        assert last.completion == "42"  # type: ignore[union-attr]


def test_a_provider_that_takes_urls_gets_them() -> None:
    with Server(site({"/a.wav": b"RIFF\0\0\0\0WAVEfmt "})) as web, RehearsalServer() as provider:
        with LLMClient("m", base_url=provider.base_url, progress=None, allow_private_urls=True) as client:
            client.ask(asked("http://203.0.113.7/a.png")).raise_for_error()
            assert "http://203.0.113.7/a.png" in str(provider.requests[-1].body)
            client.ask(Conversation().user("What is 6 * 7?", audio=Audio(url=f"{web.url}/a.wav"))).raise_for_error()
            assert "input_audio" in str(provider.requests[-1].body)  # chat completions take sound with its bytes only


def test_private_addresses_are_not_fetched_unless_allowed() -> None:
    script = site({"/a.png": PNG, "/away": ("302 Found", b"", "Location: /a.png")})
    with Server(script) as web, RehearsalServer() as provider, bedrock(provider, allow_private_urls=False) as client:
        port = web.port
        bad = [f"http://{host}:{port}/a.png" for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]")]
        *refused, good = client.process_prompts([*map(asked, bad), "What is 6 * 7?"])
        for response in refused:
            assert response.error_kind == "input" and "private address" in response.error_message
            assert len(response.attempts) == 1 and not response.possibly_billed
        assert good.completion == "42" and len(provider.requests) == 1
        assert web.connections == 0


def test_a_proxy_is_asked_for_public_hosts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    script = site({"http://10.0.0.1/a.png": PNG})
    with Server(script) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        transport = LeanTransport()
        refused = transport.fetch("http://10.0.0.1/a.png", Attempt(), 1000)
        assert refused.failure == "config" and "10.0.0.1 is at a private address" in refused.message
        assert proxy.connections == 0
        assert transport.fetch("http://10.0.0.1/a.png", Attempt(), 1000, private=True).body == PNG
        transport.close()


def test_redirects_are_followed_and_dead_connections_replaced() -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):  # the connection is kept, and closed when it is used again
            head = peer.head()
            if head is None:
                return
            if peer.number == 1 and "/b" in head and "/x" not in head:
                return
            peer.reply(PNG) if "/b" in head else peer.reply(b"", "301 Moved", "Location: b?x=1")

    transport = LeanTransport()
    with Server(script) as web:
        for _ in range(3):
            reply = transport.fetch(f"{web.url}/a", Attempt(), 1000, private=True)
            assert reply.body == PNG and not reply.sent
        transport.close()
    assert web.connections > 1


@pytest.mark.parametrize("address, wanted", [
    ("8.8.8.8", True), ("2606:4700::1111", True), ("64:ff9b::808:808", True), ("127.0.0.1", False), ("10.1.2.3", False),
    ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False),
    ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("fe80::1%eth0", False), ("fd00:ec2::254", False),
    ("fec0::2", False),
    ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("2002:7f00:1::", False), ("::7f00:1", False), ("x", False),
])
def test_public_addresses(address: str, wanted: bool) -> None:
    assert is_public(address) is wanted


def test_one_private_address_among_public_ones_is_enough() -> None:
    def found(*addresses: str) -> list[Any]:
        return [(0, 0, 0, "", (address, 80)) for address in addresses]

    check_public("h", found("8.8.8.8", "1.1.1.1"))
    with pytest.raises(ConfigError, match="h is at a private address"):
        check_public("h", found("8.8.8.8", "10.0.0.1"))


@pytest.mark.parametrize("page, words", [
    (("404 Not Found", b"no"), "its server answers 404"), (b"<html>hello", "is of type application/json"), (b"", "is empty"),
    (("302 Found", b"", "Location: /a"), "more than 5 redirects"),
    (("302 Found", b"", "Location: file:///etc/passwd"), "must begin with http"),
])
def test_what_cannot_be_had_fails_its_own_prompt_at_once(page: Any, words: str) -> None:
    script = site({"/a": page, "/good.png": PNG})
    with Server(script) as web, RehearsalServer() as provider:
        with bedrock(provider) as client:
            bad, good = client.process_prompts([asked(f"{web.url}/a?sig=secret"), asked(f"{web.url}/good.png")])
    assert bad.error_kind == "input" and words in bad.error_message and "secret" not in bad.error_message
    assert len(bad.attempts) == 1 and good.completion == "42"


def test_what_may_come_later_is_tried_again() -> None:
    script = site({"/a.png": [("503 Busy", b""), PNG]})
    with Server(script) as web, RehearsalServer() as provider, bedrock(provider) as client:
        response = client.ask(asked(f"{web.url}/a.png")).raise_for_error()
        assert [attempt.kind for attempt in response.attempts] == ["connection", None] and response.completion == "42"
        assert not response.possibly_billed and len(provider.requests) == 1


def test_what_was_fetched_is_kept_for_the_next_attempt() -> None:
    script = site({"/a.png": PNG})
    with Server(script) as web, RehearsalServer(script=["500", None]) as provider, bedrock(provider) as client:
        response = client.ask(asked(f"{web.url}/a.png")).raise_for_error()
        assert len(response.attempts) == 2 and len(script.log) == 1  # type: ignore[attr-defined]


def test_no_more_is_kept_than_there_is_room_for() -> None:
    class Owner:
        """Stands for a task: what is kept for it goes with it."""

    keeper = Fetching(LeanTransport())
    owners: list[Any] = [Owner() for _ in range(4)]
    half = {Image(url="http://h/a"): Image(bytes(ROOM // 2), media_type="image/png")}
    for owner in owners:
        keeper._keep(owner, half)  # type: ignore[arg-type]
    assert list(keeper._kept) == owners[:2]
    keeper.forget(owners[0])
    del owner, owners[0]
    assert len(keeper._kept) == 1
    owners.clear()
    gc.collect()
    assert keeper.empty


def test_the_deadline_holds_while_fetching() -> None:
    with Server(lambda peer: peer.until_closed()) as web, RehearsalServer() as provider:
        with bedrock(provider, request_timeout=0.3, max_attempts=1) as client:
            response = client.ask(asked(f"{web.url}/a.png"))
    assert response.error_kind == "timeout" and "request_timeout" in response.error_message
    assert not response.possibly_billed and not provider.requests


def test_a_fetch_can_be_cancelled() -> None:
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        arrived.set()
        peer.until_closed()

    with Server(script) as web, RehearsalServer() as provider, bedrock(provider, request_timeout=60) as client:
        handle = client.start_nowait(asked(f"{web.url}/a.png"))
        assert arrived.wait(10) and handle.cancel()
        assert handle.result(10).error_kind == "cancelled"


def test_many_prompts_with_images() -> None:
    script = site({f"/{n}.png": PNG for n in range(120)})
    with Server(script) as web, RehearsalServer() as provider, bedrock(provider) as client:
        prompts = [asked(f"{web.url}/{n}.png", f"What is {n} * 2?") for n in range(120)]
        found = [response.completion for response in client.process_prompts(prompts)]
    assert found == [str(2 * n) for n in range(120)]


@pytest.mark.parametrize("page, most, words", [
    (("200 OK", b"x" * 5000), 4999, "5,000 bytes"), (("200 OK", b"x" * 5000), 5000, ""),
])
def test_the_size_cap(page: Any, most: int, words: str) -> None:
    transport = LeanTransport()
    with Server(site({"/a": page})) as web:
        reply = transport.fetch(f"{web.url}/a", Attempt(), most, private=True)
        transport.close()
    assert (reply.failure, words in reply.message) == (("too_large", True) if words else (None, True))


def test_a_body_without_a_length_is_cut_at_the_cap() -> None:
    transport, gone = LeanTransport(), threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                peer.send(b"x" * 65_536)
        except OSError:
            gone.set()

    with Server(script) as web:
        reply = transport.fetch(f"{web.url}/a", Attempt(), 300_000, private=True)
        assert reply.failure == "too_large" and not reply.body and gone.wait(10)
        transport.close()


def test_urls_are_shown_without_their_secrets() -> None:
    assert shown("https://user:pass@h.example:8443/a/b.png?X-Amz-Signature=1#f") == "https://h.example:8443/a/b.png"
