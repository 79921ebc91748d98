"""Why nothing usable came: exceptions of sockets, TLS, proxies and framing as values."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from deluge.errors import ConfigError
from deluge.transport._reply import ReplyError

if TYPE_CHECKING:
    from deluge.wire import Cutoff, FailureKind

TOO_MANY_FILES = "too many open files"
CERTIFICATE = "certificate verify failed"


def describe(error: BaseException, attempt: Cutoff) -> tuple[FailureKind, str]:
    """The kind of failure and a message that says what happened, without any secret."""
    if attempt.aborted:
        kind: FailureKind = getattr(attempt, "reason", "cancelled")
        return kind, "the attempt's deadline has passed" if kind == "timeout" else "the attempt was cancelled"
    if isinstance(error, ReplyError):
        return error.kind, str(error)
    if isinstance(error, ConfigError):
        return "config", str(error)
    if isinstance(error, (TimeoutError, BlockingIOError)):
        return "timeout", "the attempt's deadline has passed"
    if isinstance(error, OSError):
        return _describe_os(error)
    return "connection", f"{type(error).__name__}: {error}"


def _describe_os(error: OSError) -> tuple[FailureKind, str]:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "connection", TOO_MANY_FILES
    if isinstance(error, socket.gaierror):
        return "connection", f"the host name cannot be resolved: {error.strerror or error}"
    if type(error).__name__ == "SSLCertVerificationError":  # by name, so as not to import ssl for plain HTTP
        return "config", f"{CERTIFICATE}: {getattr(error, 'verify_message', None) or error}"
    text = str(error)
    if "Tunnel connection failed: 407" in text:
        return "config", "the proxy refuses the credentials: 407"
    return "connection", f"{type(error).__name__}: {text}" if text else type(error).__name__
