"""Signatures of Amazon's (Signature Version 4), made by botocore.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from deluge import _env
from deluge.errors import ConfigError
from deluge.wire import HttpCall

_HOST = re.compile(r"(?:^|\.)(bedrock(?:-[a-z]+)*)\.([a-z]{2}(?:-[a-z]+)+-\d+)\.", re.ASCII)
# Hosts that are a service of their own to the signature; the others of Bedrock are all "bedrock".
_SERVICES = frozenset({"bedrock-mantle"})
_ADDED = frozenset({"authorization", "x-amz-date", "x-amz-security-token"})
_PAUSE = 10.0  # seconds between two searches for credentials
_DEFAULT_REGION = "us-east-1"


class _Chain(NamedTuple):
    """What botocore found in one process: a forked child looks for its own, the parent's has locks."""

    process: int
    credentials: Any
    region: str


class AwsSigner:
    """Signs with AWS credentials, found once by botocore's own rules and renewed by it before they run out.

    The region is the one that the address names, else that of botocore's configuration. ``ConfigError`` when there are
    no credentials, or the extra is not installed. A request that has an ``authorization`` of the user's is left alone.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._process = os.getpid()
        self._chain: _Chain | None = None
        self._failure = (0.0, "")  # until when nobody looks again, and why

    def __call__(self, call: HttpCall) -> Mapping[str, str]:
        """The headers to add."""
        if any(name.lower() == "authorization" for name in call.headers):
            return {}
        auth, awsrequest = _botocore()
        chain = self._found()
        try:
            credentials = chain.credentials.get_frozen_credentials()
        except Exception as error:  # an expired login, a metadata service that is silent
            raise ConfigError(f"AWS credentials cannot be renewed: {type(error).__name__}: {str(error)[:300]}") from None
        service, region = scope(call, chain.region)
        request = awsrequest.AWSRequest(call.method, call.url, dict(call.headers), call.body)
        auth.SigV4Auth(credentials, service, region).add_auth(request)
        return {name.lower(): value for name, value in request.headers.items() if name.lower() in _ADDED}

    def _found(self) -> _Chain:
        chain, process = self._chain, os.getpid()
        if chain is not None and chain.process == process:
            return chain
        if self._process != process:  # forked while another thread may have held the lock
            self._process, self._lock = process, Lock()
        with self._lock:
            if self._chain is None or self._chain.process != process:
                self._chain = self._looked_for(process)
            return self._chain

    def _looked_for(self, process: int) -> _Chain:
        """A search that found nothing took seconds (it may have asked the network): not every prompt repeats it."""
        until, why = self._failure
        if monotonic() < until:
            raise ConfigError(why)
        try:
            return _look(process)
        except ConfigError as error:
            self._failure = (monotonic() + _PAUSE, str(error))
            raise

    def __repr__(self) -> str:
        return f"<AwsSigner {'ready' if self._chain is not None else 'not used yet'}>"


def scope(call: HttpCall, region: str) -> tuple[str, str]:
    """The service and the region that a signature is for; ``region`` where the address names none."""
    service = str((call.sign_args or {}).get("service") or "bedrock")
    found = _HOST.search((urlsplit(call.url).hostname or "").lower())
    if found is None:
        return service, region
    return found.group(1) if found.group(1) in _SERVICES else service, found.group(2)


def _look(process: int) -> _Chain:
    import botocore.session  # type: ignore[import-not-found,import-untyped,unused-ignore]

    try:
        session = botocore.session.Session()
        credentials = session.get_credentials()
        region = _env.get("AWS_REGION", "AWS_DEFAULT_REGION") or session.get_config_variable("region")
    except Exception as error:  # a profile that does not exist, a file that cannot be read
        raise ConfigError(f"no AWS credentials: {type(error).__name__}: {str(error)[:300]}") from None
    if credentials is None:
        raise ConfigError("no AWS credentials: set AWS_BEARER_TOKEN_BEDROCK, or configure them as for the AWS CLI")
    return _Chain(process, credentials, region or _DEFAULT_REGION)


def _botocore() -> tuple[Any, Any]:
    try:
        import botocore.auth  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import botocore.awsrequest  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise ConfigError(
            "requests to Bedrock without a token are signed with botocore: pip install 'deluge-llm[aws]', "
            "or set AWS_BEARER_TOKEN_BEDROCK"
        ) from None
    return botocore.auth, botocore.awsrequest
