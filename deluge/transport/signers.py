"""Who signs requests that carry no key, each loaded when it first signs: a signer's library is an extra."""

from __future__ import annotations

import os
from collections.abc import Mapping
from threading import Lock
from typing import Any

from deluge.errors import ConfigError
from deluge.transport._aws import AwsSigner
from deluge.transport._lean import Signer
from deluge.wire import HttpCall

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def signers() -> Mapping[str, Signer]:
    """The signers by the name that a call's ``sign`` has."""
    return {"aws": AwsSigner(), "google": GoogleSigner()}


class GoogleSigner:
    """A bearer token of Google Cloud, from the application default credentials.

    They are found once, by google-auth's own rules (https://google.aip.dev/auth/4110), and renewed shortly before they
    run out, by one thread while the others wait. ``ConfigError`` when there are none, or the extra is not installed.
    """

    def __init__(self, credentials: Any = None) -> None:
        self._credentials = credentials
        self._request: Any = None
        self._lock, self._process = Lock(), os.getpid()

    def __call__(self, call: HttpCall) -> Mapping[str, str]:
        """The headers to add."""
        if self._process != os.getpid():  # a forked child: the parent's lock may be held, its connections are its own
            self._lock, self._process, self._request = Lock(), os.getpid(), None
        credentials = self._credentials
        if credentials is None or not _fresh(credentials):
            with self._lock:
                credentials = self._renewed(call)
        fields: dict[str, str] = {}
        credentials.apply(fields)
        return {name.lower(): value for name, value in fields.items()}

    def _renewed(self, call: HttpCall) -> Any:
        auth, errors, transport = _google_auth()
        try:
            if self._credentials is None:
                self._credentials, _ = auth.default(scopes=[_SCOPE])
            if self._request is None:
                self._request = transport.Request()
            self._credentials.before_request(self._request, call.method, call.url, {})
        except errors.GoogleAuthError as error:
            raise ConfigError(f"no token from google-auth: {str(error.args[0] if error.args else error)[:300]}") from None
        return self._credentials

    def __repr__(self) -> str:
        return f"<GoogleSigner {'ready' if self._credentials is not None else 'not used yet'}>"


def _google_auth() -> tuple[Any, Any, Any]:
    try:
        import google.auth  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import google.auth.exceptions  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import google.auth.transport.requests  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise ConfigError(
            "Vertex AI without a token needs google-auth: pip install 'deluge-llm[vertex]', or set VERTEX_ACCESS_TOKEN"
        ) from None
    return google.auth, google.auth.exceptions, google.auth.transport.requests


def _fresh(credentials: Any) -> bool:
    """Whether the token is good for some minutes more."""
    state = getattr(credentials, "token_state", None)
    return bool(credentials.valid) if state is None else state.name == "FRESH"
