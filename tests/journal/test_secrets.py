"""What is secret of a request stays out of errors, records and whatever is made of them, whoever repeats it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deluge import LLMClient, MCPServer
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.private import secrets_of, without_secrets
from deluge.request import RequestOptions, RequestTemplate

KEYS = {"openai": "first-private-key", "anthropic": "second-private-key"}
HEADERS = {"x-gateway": "Bearer gateway-private-key", "x-title": "a public title"}
SECRETS = (*KEYS.values(), "gateway-private-key", "private-in-the-body")


class Gossip(BaseHTTPRequestHandler):
    """Refuses everything, and repeats all that it knows and was told."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        told = self.rfile.read(int(self.headers["content-length"])).decode()
        message = f"no: {' '.join(SECRETS)} a public title {dict(self.headers)} {told}"
        body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
        self.send_response(400)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def gossip() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gossip)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1?api-version=2026-01-01"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_no_secret_of_a_mixed_pool_is_in_an_error_or_a_record(gossip: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with LLMClient(["gpt-4.1-mini", "claude-haiku-4.5"], base_url=gossip, api_key=KEYS, extra_headers=HEADERS,
                   extra_body={"gateway": {"token": "private-in-the-body"}}, progress=None, max_attempts=1) as client:
        responses = client.process_prompts(["a", "b"], journal=path)
    assert {response.provider for response in responses} == set(KEYS)
    written = path.read_text("utf-8")
    assert len(written.splitlines()) == 2 and "a public title" in written
    assert not [secret for secret in SECRETS if secret in written]
    for response in responses:
        own = (KEYS[response.provider or ""], *SECRETS[2:])
        shown = f"{response!r} {response.error_message} {response._verdict} {response.error}"
        assert "no: " in shown and "***" in shown
        assert not [secret for secret in own if secret in shown]


def test_what_is_secret_of_a_request() -> None:
    tool = {"type": "mcp", "authorization": "mcp-private-token", "headers": {"x-a": "another-private"}, "server_url": "u"}
    options = RequestOptions(
        tools=(MCPServer("notes", url="https://h/mcp", token="notes-private-token"), tool),
        extra_headers={"X-Key": "abcd", "x-short": "abcd1", "accept": "application/json", "x-gone": None,
                       "x-long": "somewhat-long"},
        extra_body={"api_key": "body-private", "list": [{"secret": "listed-private"}], "name": "no secret here"},
    )
    template = RequestTemplate(get_model("gpt-4.1-mini"), SamplingParams(), options,
                               "https://me:p%40ssword@h/v1?api-version=2&sig=signature-private", "the-private-key")
    assert set(secrets_of(template)) == {
        "the-private-key", "abcd", "somewhat-long", "body-private", "listed-private", "mcp-private-token", "another-private",
        "notes-private-token", "p%40ssword", "p@ssword", "signature-private",
    }
    lengths = [len(secret) for secret in secrets_of(template)]
    assert lengths == sorted(lengths, reverse=True), "one that holds another goes first"
    assert not [secret for secret in secrets_of(template) if secret in repr(template)]
    assert without_secrets("at the-private-key, abcd", secrets_of(template)) == "at ***, ***"
