"""Values of this transport in the words of requests, for sessions that mount the adapter."""

from __future__ import annotations

import io
from http.client import responses
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3.response import HTTPResponse

from deluge.transport._failure import CERTIFICATE
from deluge.transport._stream import StreamCut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests.adapters import BaseAdapter, HTTPAdapter

    from deluge.wire import FailureKind, HttpReply


class _Raw(io.RawIOBase):
    """A file over the pieces of a streamed body."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            try:
                self._rest = next(self._chunks, b"")
            except StreamCut as cut:
                raise OSError(str(cut)) from None
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._chunks.close()  # type: ignore[attr-defined]
        super().close()


def text(value: Any) -> str:
    """A header's name or value as a string; requests allows bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def no_op() -> None:
    """Nobody keeps a list of these streams."""


def body_of(request: requests.PreparedRequest) -> bytes:
    """The whole body: bytes, a string, a file or pieces."""
    body: Any = request.body
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8")
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    if hasattr(body, "read"):
        return body_of_pieces([body.read()])
    return body_of_pieces(body)


def body_of_pieces(pieces: Any) -> bytes:
    """Strings and bytes as one body."""
    return b"".join(piece.encode("utf-8") if isinstance(piece, str) else piece for piece in pieces)


def response_of(request: requests.PreparedRequest, reply: HttpReply, adapter: BaseAdapter) -> requests.Response:
    """The reply as requests has it; its body is decoded already, so that headers of codings are left out."""
    headers = {k: v for k, v in reply.headers.items() if k not in ("content-encoding", "transfer-encoding")}
    source = io.BytesIO(reply.body) if reply.chunks is None else _Raw(reply.chunks)
    if reply.chunks is not None or "content-encoding" in reply.headers:
        headers.pop("content-length", None)
    raw = HTTPResponse(source, headers, reply.status, reason=responses.get(reply.status, ""), preload_content=False,
                       decode_content=False, enforce_content_length=False, request_method=request.method)
    response = requests.Response()
    response.status_code = reply.status
    response.headers = CaseInsensitiveDict(headers)
    response.encoding = get_encoding_from_headers(response.headers)
    response.raw = raw
    response.reason = raw.reason or ""
    response.url = request.url or ""
    response.request = request
    response.connection = cast("HTTPAdapter", adapter)
    return response


def exception_for(kind: FailureKind, message: str, request: requests.PreparedRequest) -> requests.RequestException:
    """The exception of requests for a failure."""
    if kind == "timeout":
        return requests.Timeout(message, request=request)
    if kind == "config":
        if message.startswith(CERTIFICATE):
            return requests.exceptions.SSLError(message, request=request)
        return requests.exceptions.InvalidURL(message, request=request) if "URL" in message else (
            requests.exceptions.InvalidHeader(message, request=request) if "header" in message
            else requests.RequestException(message, request=request))
    return requests.ConnectionError(message, request=request)
