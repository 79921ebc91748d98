"""Signers: a token of Google Cloud at send time, found once and renewed in time."""

from __future__ import annotations

import builtins
import datetime as dt
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from deluge.errors import ConfigError
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
