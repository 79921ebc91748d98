"""Batches as Google serves them: https://ai.google.dev/gemini-api/docs/batch-api

Few requests go inside the create call, many by a file, whose upload may stop and go on. The batch has a name of ours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from deluge import _json
from deluge.batches.api import BatchApi, Calls, Desk, Look, Result, Ticket, http_reply, id_of, number_of, quoted, told
from deluge.errors import BatchError
from deluge.wire import HttpCall

INLINE_LINES = 1_000  # their answers come inside a reply, as a whole
INLINE_BYTES = 19_000_000  # of 20 MB
PIECE = 8 << 20  # bytes of an upload's piece; the provider wants multiples of 256 KB
_FRAME = 120
_ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"})
# What Google's own codes are in HTTP.
_STATUSES = {1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501, 13: 500,
             14: 503, 15: 500, 16: 401}


class Gemini:
    """``models/{model}:batchGenerateContent``, ``batches`` and ``files``."""

    name = "gemini"
    most_lines = 200_000
    most_bytes = 1_990_000_000  # of 2 GB
    dialects: tuple[str, ...] = ("gemini",)

    def endpoint(self, dialect: str) -> str:
        """It names none."""
        return ""

    def size(self, body: bytes) -> int:
        """A line of the file."""
        return len(body) + _FRAME

    def upload(
        self, desk: Desk, ticket: Ticket, requests: Iterable[tuple[str, bytes]], size: int
    ) -> Calls[str]:
        """Piece by piece; nothing where the requests go inside the create call."""
        if _inline(ticket, size):
            return ""
        lines = [b'{"key":"%s","request":%s}\n' % (custom_id.encode(), body) for custom_id, body in requests]
        data = memoryview(b"".join(lines))
        del lines
        reply = yield desk.call(
            "POST", "/files", _json.dumps({"file": {"displayName": ticket.name}}), root="/upload", more={
                "x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start",
                "x-goog-upload-header-content-length": str(len(data)),
                "x-goog-upload-header-content-type": "application/jsonl",
            },
        )
        place = _same_host(desk, reply.headers.get("x-goog-upload-url", ""))
        for at in range(0, len(data), PIECE):
            piece = bytes(data[at:at + PIECE])
            command = "upload, finalize" if at + PIECE >= len(data) else "upload"
            call = desk.call("POST", "/files", piece, kind="application/jsonl", more={
                "x-goog-upload-command": command, "x-goog-upload-offset": str(at),
            })
            reply = yield call._replace(url=place)
        return id_of(told(reply).get("file") or {}, "name")

    def create(self, desk: Desk, ticket: Ticket, requests: Iterable[tuple[str, bytes]]) -> Calls[str]:
        """One call, with our name for it."""
        head = b'{"batch":{"displayName":"%s","inputConfig":' % ticket.name.encode()
        if ticket.file:
            body = head + _json.dumps({"fileName": ticket.file}) + b"}}"
        else:
            items = [b'{"request":%s,"metadata":{"key":"%s"}}' % (request, id.encode()) for id, request in requests]
            body = head + b'{"requests":{"requests":[' + b",".join(items) + b"]}}}}"
        reply = yield desk.call("POST", f"/models/{quoted(desk.template.model.name)}:batchGenerateContent", body)
        return id_of(told(reply), "name")

    def find(self, desk: Desk, ticket: Ticket) -> Calls[str | None]:
        """By its name."""
        page = ""
        while True:
            query = urlencode({"pageSize": 100, **({"pageToken": page} if page else {})})
            data = told((yield desk.call("GET", f"/batches?{query}")))
            for row in data.get("operations") or ():
                if (row.get("metadata") or {}).get("displayName") == ticket.name:
                    return id_of(row, "name")
            page = str(data.get("nextPageToken") or "")
            if not page:
                return None

    def look(self, desk: Desk, batch: str) -> Calls[Look]:
        """Its state and counts, with the answers where they are no file."""
        data = told((yield desk.call("GET", _path(batch))))
        about = data.get("metadata") or {}
        status = str(about.get("state") or "").removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")
        stats = about.get("batchStats") or {}
        output = about.get("output") or data.get("response") or {}
        file = output.get("responsesFile")
        rows = (output.get("inlinedResponses") or {}).get("inlinedResponses") or ()
        ended = status in _ENDED or data.get("done") is True
        problem = (data.get("error") or {}).get("message") or ""
        return Look(
            status, ended, number_of(stats.get("successfulRequestCount")), number_of(stats.get("failedRequestCount")),
            outputs=(file,) if isinstance(file, str) and file else (), rows=tuple(rows), problem=str(problem),
            created_at=_seconds(about.get("createTime")),
        )

    def cancel(self, desk: Desk, batch: str) -> Calls[None]:
        """What was answered by then is kept."""
        yield desk.posted(f"{_path(batch)}:cancel", {})

    def results(self, desk: Desk, batch: str, output: str) -> HttpCall:
        """A file, from where files are downloaded."""
        return desk.call("GET", f"{_path(output)}:download?alt=media", root="/download")

    def read(self, row: Any) -> Result:
        """A line of the file, or an answer that came with the batch."""
        custom_id = row.get("key") or row["metadata"]["key"]
        error = row.get("error")
        if error is None:
            return Result(custom_id, "answered", http_reply(200, row["response"]))
        code = number_of(error.get("code"))
        if code in (1, 4):
            return Result(custom_id, "expired" if code == 4 else "cancelled")
        status = _STATUSES.get(code, code if code >= 400 else 500)
        return Result(custom_id, "answered", http_reply(status, {"error": {**error, "code": status}}))


def _inline(ticket: Ticket, size: int) -> bool:
    return ticket.count <= INLINE_LINES and size <= INLINE_BYTES


def _path(name: str) -> str:
    """``batches/x`` or ``files/x`` as a path."""
    return "/" + "/".join(map(quoted, _words(name)))


def _words(name: str) -> Iterator[str]:
    for word in name.split("/"):
        if word in ("", ".", ".."):
            raise BatchError("the provider's reply has a name that is none", kind="parse")
        yield word


def _same_host(desk: Desk, place: str) -> str:
    """The upload's address, on the host that we know: the key goes nowhere else."""
    ours, theirs = urlsplit(desk.template.base_url), urlsplit(place)
    if not theirs.path:
        raise BatchError("the provider has no place for the upload", kind="parse", retry=True)
    return theirs._replace(scheme=ours.scheme, netloc=ours.netloc).geturl()


def _seconds(text: Any) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


GEMINI: BatchApi = Gemini()
