"""Signers: a token of Google Cloud at send time, found once and renewed in time."""

from __future__ import annotations

import builtins
import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from deluge.dialects.gemini import DIALECT
from deluge.errors import ConfigError
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.testing import RehearsalServer
from deluge.transport import Attempt, LeanTransport
from deluge.transport.signers import GoogleSigner, signers
from deluge.wire import HttpCall

CALL = HttpCall("POST", "https://aiplatform.example/v1/x", {}, b"{}", sign="google")


class Credentials:
    """Stands for google-auth's: ``left`` is what the token is worth."""

    class State:
        def __init__(self, name: str) -> None:
            self.name = name

    def __init__(self, left: str = "INVALID") -> None:
        self.token_state = self.State(left)
        self.valid = left == "FRESH"
        self.token = "old"
        self.renewed = 0

    def before_request(self, request: Any, method: str, url: str, headers: dict[str, str]) -> None:
        if self.token_state.name != "FRESH":
            self.renewed += 1
            self.token, self.token_state = f"token-{self.renewed}", self.State("FRESH")

    def apply(self, headers: dict[str, str]) -> None:
        headers["Authorization"] = f"Bearer {self.token}"
        headers["x-goog-user-project"] = "p"


def test_the_table_of_signers() -> None:
    table = signers()
    assert set(table) >= {"google"} and "not used yet" in repr(table["google"])


def test_without_google_auth_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any, **also: Any) -> Any:
        if name.startswith("google"):
            raise ImportError(name)
        return real(name, *more, **also)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"deluge-llm\[vertex\]"):
        GoogleSigner()(CALL)
    reply = LeanTransport(signers=signers()).send(CALL, Attempt(1e12))
    assert reply.failure == "config" and "deluge-llm[vertex]" in reply.message and not reply.sent


def test_a_fresh_token_is_used_as_it_is() -> None:
    credentials = Credentials("FRESH")
    fields = GoogleSigner(credentials)(CALL)
    assert fields == {"authorization": "Bearer old", "x-goog-user-project": "p"} and credentials.renewed == 0


@pytest.mark.parametrize("left", ["INVALID", "STALE"])
def test_a_token_is_renewed_once_however_many_ask(left: str) -> None:
    pytest.importorskip("google.auth")
    credentials = Credentials(left)
    signer = GoogleSigner(credentials)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(signer(CALL)["authorization"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["Bearer token-1"] * 8 and credentials.renewed == 1
    assert "token-1" not in repr(signer)


def test_credentials_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("google.auth")
    path = tmp_path / "adc.json"
    path.write_text(json.dumps({"type": "nonsense"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(ConfigError, match="no token from google-auth"):
        GoogleSigner()(CALL)


def test_google_auths_own_credentials_are_understood() -> None:
    pytest.importorskip("google.auth")
    credentials = pytest.importorskip("google.oauth2.credentials")
    later = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None) + dt.timedelta(hours=1)
    token = credentials.Credentials("ya29.x", expiry=later, quota_project_id="mine")
    assert GoogleSigner(token)(CALL) == {"authorization": "Bearer ya29.x", "x-goog-user-project": "mine"}


def test_a_signed_call_of_vertex_ai_is_answered() -> None:
    row = get_model("gemini-3.8-flash-vertex")
    with RehearsalServer(latency=0.0, api_key="old") as server:
        place = server.url + "/v1beta1/projects/p/locations/global/publishers/google"
        template = RequestTemplate(row, SamplingParams(), RequestOptions(), place, None, "gemini")
        ctx = RequestContext(as_conversation("What is 6 * 7?"), template)
        with_token = LeanTransport(signers={"google": GoogleSigner(Credentials("FRESH"))})
        reply = with_token.send(DIALECT.build(ctx), Attempt(time.monotonic() + 10))
        assert DIALECT.parse(ctx, reply).completion == "42"
        with_token.close()


@pytest.fixture
def token_server() -> Iterator[str]:
    class Tokens(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            data = json.dumps({"access_token": "ya29.fresh", "expires_in": 3600, "token_type": "Bearer"}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Tokens) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


def test_a_service_account_gets_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token_server: str) -> None:
    pytest.importorskip("google.auth")
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    from cryptography.hazmat.primitives import serialization as forms

    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()).decode()
    path = tmp_path / "account.json"
    path.write_text(json.dumps({
        "type": "service_account", "project_id": "p", "client_email": "a@p.example", "private_key": pem,
        "private_key_id": "1", "token_uri": token_server, "universe_domain": "googleapis.com",
    }))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    signer = GoogleSigner()
    assert signer(CALL) == signer(CALL) == {"authorization": "Bearer ya29.fresh"} and "ready" in repr(signer)
