"""Batches as OpenAI serves them (https://platform.openai.com/docs/api-reference/batch), and Mistral, who differs little.

OpenAI: a file of requests, then ``POST /batches``; two files with what came of them. Mistral: ``POST /batch/jobs``, the
model beside the file and not inside it.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from deluge import _json
from deluge.batches.api import BatchApi, Calls, Desk, Look, Result, Ticket, http_reply, id_of, number_of, quoted, told
from deluge.wire import HttpCall

_SKEW = 3_600.0  # seconds that the clocks of two hosts may differ
_PAGE = 100
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_MISTRAL_ENDED = frozenset({"SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"})
_FRAME = 300  # bytes around a request's body


class OpenAI:
    """``/files`` and ``/batches``."""

    name = "openai"
    most_lines = 50_000
    most_bytes = 199_000_000  # of 200 MB
    dialects: tuple[str, ...] = ("openai_chat", "openai_responses")
    _place = "/batches"

    def endpoint(self, dialect: str) -> str:
        """Where its requests would have gone alone."""
        return "/v1/responses" if dialect == "openai_responses" else "/v1/chat/completions"

    def size(self, body: bytes) -> int:
        """A line of the file."""
        return len(body) + _FRAME

    def _line(self, desk: Desk, custom_id: str, body: bytes) -> bytes:
        head = f'{{"custom_id":"{custom_id}","method":"POST","url":"{desk.endpoint}","body":'
        return head.encode() + body + b"}\n"

    def upload(self, desk: Desk, ticket: Ticket, requests: Iterable[tuple[str, bytes]], size: int) -> Calls[str]:
        """One form with the file."""
        lines = [self._line(desk, custom_id, body) for custom_id, body in requests]
        mark = f"deluge-{secrets.token_hex(16)}"
        head = (
            f'--{mark}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{mark}\r\ncontent-disposition: '
            f'form-data; name="file"; filename="{ticket.name}.jsonl"\r\ncontent-type: application/jsonl\r\n\r\n'
        )
        body = b"".join((head.encode(), *lines, f"\r\n--{mark}--\r\n".encode()))
        del lines
        reply = yield desk.call("POST", "/files", body, kind=f"multipart/form-data; boundary={mark}")
        return id_of(told(reply))

    def _wish(self, desk: Desk, ticket: Ticket) -> dict[str, Any]:
        return {"input_file_id": ticket.file, "endpoint": desk.endpoint, "completion_window": "24h",
                "metadata": _marks(ticket)}

    def create(self, desk: Desk, ticket: Ticket, requests: Iterable[tuple[str, bytes]]) -> Calls[str]:
        """One call, with the job's name in the metadata."""
        reply = yield desk.posted(self._place, self._wish(desk, ticket))
        return id_of(told(reply))

    def find(self, desk: Desk, ticket: Ticket) -> Calls[str | None]:
        """By its metadata, page by page back to when it was tried."""
        after = ""
        while True:
            query = urlencode({"limit": _PAGE, **({"after": after} if after else {})})
            data = told((yield desk.call("GET", f"{self._place}?{query}")))
            rows = [row for row in data.get("data") or () if isinstance(row, dict)]
            for row in rows:
                if row.get("metadata") == _marks(ticket):
                    return id_of(row)
            old = bool(rows) and number_of(rows[-1].get("created_at")) < ticket.since - _SKEW
            if not rows or old or not data.get("has_more"):
                return None
            after = id_of(rows[-1])

    def look(self, desk: Desk, batch: str) -> Calls[Look]:
        """Its state and counts, and its two files once they are there."""
        return self._seen(told((yield desk.call("GET", f"{self._place}/{quoted(batch)}"))))

    def _seen(self, data: Mapping[str, Any]) -> Look:
        counts = data.get("request_counts") or {}
        status = str(data.get("status"))
        total, done, failed = (number_of(counts.get(word)) for word in ("total", "completed", "failed"))
        rest = max(0, total - done - failed) if status in _ENDED else 0
        return Look(
            status, status in _ENDED, done, failed, rest if status != "cancelled" else 0,
            rest if status == "cancelled" else 0,
            tuple(file for file in (data.get("output_file_id"), data.get("error_file_id")) if isinstance(file, str) and file),
            problem=_problem((data.get("errors") or {}).get("data")), created_at=number_of(data.get("created_at")) or None,
        )

    def cancel(self, desk: Desk, batch: str) -> Calls[None]:
        """What was answered by then is kept."""
        yield desk.posted(f"{self._place}/{quoted(batch)}/cancel", {})

    def results(self, desk: Desk, batch: str, output: str) -> HttpCall:
        """A file."""
        return desk.call("GET", f"/files/{quoted(output)}/content")

    def read(self, row: Any) -> Result:
        """A line of either file."""
        custom_id, response, error = row["custom_id"], row.get("response"), row.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        if not response:
            if code in ("batch_expired", "batch_cancelled"):
                return Result(custom_id, "expired" if code == "batch_expired" else "cancelled")
            return Result(custom_id, "answered", http_reply(500, {"error": error}))
        status, body = number_of(response.get("status_code")), response.get("body")
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        return Result(custom_id, "answered", http_reply(status, body, response.get("request_id")))


class Mistral(OpenAI):
    """``/files`` and ``/batch/jobs`` (https://docs.mistral.ai/capabilities/batch)."""

    name = "mistral"
    most_lines = 100_000
    most_bytes = 511_000_000  # of 512 MB
    dialects: tuple[str, ...] = ("openai_chat",)
    _place = "/batch/jobs"

    def _line(self, desk: Desk, custom_id: str, body: bytes) -> bytes:
        asked = _json.loads(body)
        asked.pop("model", None)
        return _json.dumps({"custom_id": custom_id, "body": asked}) + b"\n"

    def _wish(self, desk: Desk, ticket: Ticket) -> dict[str, Any]:
        return {"input_files": [ticket.file], "endpoint": desk.endpoint, "model": desk.template.model.name,
                "timeout_hours": 24, "metadata": _marks(ticket)}

    def find(self, desk: Desk, ticket: Ticket) -> Calls[str | None]:
        """By its metadata, among those that were made since."""
        since = dt.datetime.fromtimestamp(max(0.0, ticket.since - _SKEW), dt.timezone.utc)
        page = 0
        while True:
            query = urlencode({"page": page, "page_size": _PAGE, "created_after": since.isoformat()})
            data = told((yield desk.call("GET", f"{self._place}?{query}")))
            rows = [row for row in data.get("data") or () if isinstance(row, dict)]
            for row in rows:
                about = row.get("metadata") or {}
                if all(about.get(name) == value for name, value in _marks(ticket).items()):
                    return id_of(row)
            page += 1
            if len(rows) < _PAGE:
                return None

    def _seen(self, data: Mapping[str, Any]) -> Look:
        status = str(data.get("status"))
        total, done, failed = (
            number_of(data.get(word)) for word in ("total_requests", "succeeded_requests", "failed_requests"))
        ended = status in _MISTRAL_ENDED
        rest = max(0, total - done - failed) if ended else 0
        return Look(
            status, ended, done, failed, rest if status != "CANCELLED" else 0, rest if status == "CANCELLED" else 0,
            tuple(file for file in (data.get("output_file"), data.get("error_file")) if isinstance(file, str) and file),
            problem=_problem(data.get("errors")), created_at=number_of(data.get("created_at")) or None,
        )


def _marks(ticket: Ticket) -> dict[str, str]:
    """The metadata by which a batch is found again."""
    return {"deluge_job": ticket.job, "deluge_part": str(ticket.part)}


def _problem(rows: Any) -> str:
    messages = [str(row.get("message")) for row in rows or () if isinstance(row, dict) and row.get("message")]
    return "; ".join(dict.fromkeys(messages))[:1_000]


OPENAI: BatchApi = OpenAI()
MISTRAL: BatchApi = Mistral()
