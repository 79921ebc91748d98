"""Batches as Anthropic serves them: https://docs.anthropic.com/en/api/creating-message-batches

All requests are in the create call. A batch has no name and no metadata: one that a lost reply has left behind is known by
its size and time, and proved by the ids in its results.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from deluge import _json
from deluge.batches.api import (
    UNDECIDED, BatchApi, Calls, Desk, Look, Result, Ticket, http_reply, id_of, number_of, quoted, told,
)
from deluge.wire import HttpCall

_SKEW = 300.0  # seconds that the clocks of two hosts may differ
_FRAME = 120
_STATUSES = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504,
    "overloaded_error": 529,
}
_COUNTS = ("succeeded", "errored", "expired", "canceled")


class Anthropic:
    """``/messages/batches``."""

    name = "anthropic"
    most_lines = 100_000
    most_bytes = 255_000_000  # of 256 MB
    dialects: tuple[str, ...] = ("anthropic",)

    def endpoint(self, dialect: str) -> str:
        """It names none."""
        return ""

    def size(self, body: bytes) -> int:
        """An item of the list."""
        return len(body) + _FRAME

    def upload(self, desk: Desk, ticket: Ticket, requests: Iterable[tuple[str, bytes]], size: int) -> Calls[str]:
        """There is no file."""
        return ""
        yield  # a generator all the same

    def create(self, desk: Desk, ticket: Ticket, requests: Iterable[tuple[str, bytes]]) -> Calls[str]:
        """One call with all requests."""
        items = [b'{"custom_id":"%s","params":%s}' % (custom_id.encode(), body) for custom_id, body in requests]
        body = b'{"requests":[' + b",".join(items) + b"]}"
        del items
        reply = yield desk.call("POST", "/messages/batches", body)
        return id_of(told(reply))

    def find(self, desk: Desk, ticket: Ticket) -> Calls[str | None]:
        """Among those of its size that were made since, the one whose results have its ids. Undecided while one runs."""
        undecided, after = False, ""
        while True:
            query = urlencode({"limit": 100, **({"after_id": after} if after else {})})
            data = told((yield desk.call("GET", f"/messages/batches?{query}")))
            rows = [row for row in data.get("data") or () if isinstance(row, dict)]
            for row in rows:
                if not _may_be(row, ticket):
                    continue
                if row.get("processing_status") != "ended":
                    undecided = True
                elif (yield from self._proved(desk, id_of(row), ticket)):
                    return id_of(row)
            old = bool(rows) and _seconds(rows[-1].get("created_at")) < ticket.since - _SKEW
            if not rows or old or not data.get("has_more"):
                return UNDECIDED if undecided else None
            after = id_of(rows[-1])

    def _proved(self, desk: Desk, batch: str, ticket: Ticket) -> Calls[bool]:
        reply = yield self.results(desk, batch, "")
        first = _json.loads(reply.body.partition(b"\n")[0] or b"{}")
        return str(first.get("custom_id")).startswith(ticket.custom_id(0)[:-1])

    def look(self, desk: Desk, batch: str) -> Calls[Look]:
        """Its state; counts come at the end."""
        data = told((yield desk.call("GET", f"/messages/batches/{quoted(batch)}")))
        counts, status = data.get("request_counts") or {}, str(data.get("processing_status"))
        done, failed, expired, cancelled = (number_of(counts.get(word)) for word in _COUNTS)
        ended = status == "ended"
        return Look(status, ended, done, failed, expired, cancelled, ("results",) if ended else (),
                    created_at=_seconds(data.get("created_at")) or None)

    def cancel(self, desk: Desk, batch: str) -> Calls[None]:
        """What was answered by then is kept."""
        yield desk.posted(f"/messages/batches/{quoted(batch)}/cancel", {})

    def results(self, desk: Desk, batch: str, output: str) -> HttpCall:
        """The results, at an address of our own making: keys go nowhere else."""
        return desk.call("GET", f"/messages/batches/{quoted(batch)}/results")

    def read(self, row: Any) -> Result:
        """A line of the results."""
        custom_id, result = row["custom_id"], row["result"]
        kind = result["type"]
        if kind == "succeeded":
            return Result(custom_id, "answered", http_reply(200, result["message"]))
        if kind in ("expired", "canceled"):
            return Result(custom_id, "expired" if kind == "expired" else "cancelled")
        error = result.get("error") or {}
        said = (error.get("error") or {}).get("type") or error.get("type")
        return Result(custom_id, "answered", http_reply(_STATUSES.get(str(said), 500), error))


def _may_be(row: Any, ticket: Ticket) -> bool:
    total = sum(number_of(count) for count in (row.get("request_counts") or {}).values())
    made = _seconds(row.get("created_at"))
    return total == ticket.count and made >= ticket.since - _SKEW and row.get("id") not in ticket.known


def _seconds(text: Any) -> float:
    try:
        return dt.datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


ANTHROPIC: BatchApi = Anthropic()
