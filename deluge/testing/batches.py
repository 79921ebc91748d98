"""The rehearsal provider's batch APIs: files and batches as OpenAI, Mistral, Anthropic and Google serve them."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from deluge import _json
from deluge.testing.batch_store import Batch, BatchStore, Line, StoredFile, json_lines, multipart
from deluge.testing.chat import WIRE as CHAT
from deluge.testing.chat import Chat
from deluge.testing.exchange import Reply, Request, Wire
from deluge.testing.messages import WIRE as MESSAGES
from deluge.testing.messages import Messages
from deluge.testing.responses import WIRE as RESPONSES
from deluge.testing.service import Service

Body = dict[str, Any]

_ENDPOINTS: Mapping[str, Wire] = {"/v1/chat/completions": CHAT, "/v1/responses": RESPONSES}
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OPENAI_CODES = {"expired": ("batch_expired", "This request could not be executed before the completion window expired."),
                 "cancelled": ("batch_cancelled", "This batch was cancelled before this request was executed.")}


class OpenAIBatches(Chat):
    """``/files`` and ``/batches`` as OpenAI serves them, and ``/batch/jobs`` as Mistral does."""

    name = "openai_batches"
    takes_any_body = True
    _places = re.compile(r"/v1/(?P<room>files|batches|batch/jobs)(?:/(?P<id>[^/]+))?(?:/(?P<verb>content|cancel))?$")

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of these."""
        return self._places.search(path) is not None

    def reply(self, request: Request, service: Service) -> Reply:
        """The file, the batch, the list of them, or the error that the request deserves."""
        found = self._places.search(request.path)
        assert found is not None
        room, id, verb = found["room"], found["id"] or "", found["verb"] or ""
        store = service.batches
        if room == "files":
            return self._files(request, store, id, verb)
        if request.method == "POST" and not id:
            return self._create(request, service, room == "batch/jobs")
        if not id:
            return _listed(request, store, room == "batch/jobs")
        batch = store.batches.get(id.removeprefix("batch_"))
        if batch is None or batch.api != ("mistral" if room == "batch/jobs" else "openai"):
            return Reply(404, self.error(404, f"No batch found with id '{id}'."))
        if verb == "cancel" and batch.ended_at(time.time()) is None:
            batch.cancelled_at = time.time()
        return Reply(body=_json.dumps(_shown(batch, store)))

    def _files(self, request: Request, store: BatchStore, id: str, verb: str) -> Reply:
        if request.method == "POST":
            form = multipart(request.body, request.headers.get("content-type", ""))
            if "file" not in form or "purpose" not in form:
                return Reply(400, self.error(400, "'file' and 'purpose' are required properties"))
            name, data = form["file"]
            kept = store.keep(name, form["purpose"][1].decode(), data, time.time())
            return Reply(body=_json.dumps(_file(kept)))
        if not id:
            rows = [_file(file) for file in store.files.values()]
            return Reply(body=_json.dumps({"object": "list", "data": rows, "has_more": False, "total": len(rows)}))
        file = store.files.get(id.removeprefix("file-"))
        if file is None:
            return Reply(404, self.error(404, f"No such File object: {id}"))
        if request.method == "DELETE":
            del store.files[file.id]
            return Reply(body=_json.dumps({"id": id, "object": "file", "deleted": True}))
        if verb == "content":
            return Reply(body=file.data, content_type="application/octet-stream")
        return Reply(body=_json.dumps(_file(file)))

    def _create(self, request: Request, service: Service, mistral: bool) -> Reply:
        body, store, now = request.json, service.batches, time.time()
        api = "mistral" if mistral else "openai"
        if not isinstance(body, dict) or body.get("endpoint") not in _ENDPOINTS:
            return Reply(400, self.error(400, f"Invalid endpoint; there are: {', '.join(_ENDPOINTS)}"))
        names = body.get("input_files") or [] if mistral else [body.get("input_file_id")]
        files = [store.files.get(str(name).removeprefix("file-")) for name in names]
        if not files or None in files or any(file is not None and file.purpose != "batch" for file in files):
            return Reply(400, self.error(400, f"Invalid input file: {names}"))
        facts = {"endpoint": body["endpoint"], "metadata": body.get("metadata"), "files": names,
                 "model": body.get("model"), "window": body.get("completion_window") or "24h"}
        try:
            rows = [row for file in files if file is not None for row in json_lines(file.data)]
            pairs = _pairs(rows, body, store.most[api][0], mistral)
        except ValueError as problem:
            return Reply(body=_json.dumps(_shown(store.failed(api, str(problem), now, facts), store)))
        made = store.create(api, pairs, lambda _: body["endpoint"], request.headers, _ENDPOINTS[body["endpoint"]], service,
                            now, facts)
        return Reply(body=_json.dumps(_shown(made, store)))


def _pairs(rows: list[Any], body: Body, most: int, mistral: bool) -> list[tuple[str, Body]]:
    """(custom id, body) of every row; ``ValueError`` says what is wrong with one."""
    if len(rows) > most:
        raise ValueError(f"the file has {len(rows)} requests; the most are {most}")
    pairs: dict[str, Body] = {}
    models = set()
    for number, row in enumerate(rows, 1):
        id = row.get("custom_id")
        if not isinstance(id, str) or id in pairs:
            raise ValueError(f"line {number}: a missing or duplicate custom_id")
        if not mistral and (row.get("method") != "POST" or row.get("url") != body["endpoint"]):
            raise ValueError(f"line {number}: the URL or method does not match the batch")
        asked = dict(row["body"], **({"model": body["model"]} if mistral else {}))
        models.add(asked.get("model"))
        pairs[id] = asked
    if len(models) > 1:
        raise ValueError("the file has requests for several models")
    return list(pairs.items())


def _file(file: StoredFile) -> Body:
    return {
        "id": f"file-{file.id}", "object": "file", "bytes": len(file.data), "created_at": int(file.created_at),
        "filename": file.name, "purpose": file.purpose, "status": "processed", "sample_type": "batch_request",
        "source": "upload", "num_lines": file.data.count(b"\n"), "mimetype": file.kind, "signature": None, "deleted": False,
    }


def _shown(batch: Batch, store: BatchStore) -> Body:
    return _mistral(batch, store) if batch.api == "mistral" else _openai(batch, store)


def _openai(batch: Batch, store: BatchStore) -> Body:
    now = time.time()
    counts, ended = batch.counts(now), batch.ended_at(now)
    status = "failed" if batch.problem else "in_progress"
    if ended is not None and not batch.problem:
        status = "expired" if counts["expired"] else "completed"
        status = status if batch.cancelled_at is None else "cancelled"
    output, errors = _outputs(batch, store, ended)
    problems = {"object": "list", "data": [{"code": "invalid_request", "message": batch.problem, "param": None, "line": None}]}
    return {
        "id": f"batch_{batch.id}", "object": "batch", "endpoint": batch.facts["endpoint"],
        "errors": problems if batch.problem else None, "input_file_id": batch.facts["files"][0],
        "completion_window": batch.facts["window"], "status": status, "output_file_id": output, "error_file_id": errors,
        "created_at": int(batch.created_at), "expires_at": int(batch.created_at) + 86_400,
        "completed_at": int(ended) if ended is not None and status == "completed" else None,
        "request_counts": {"total": len(batch.lines), "completed": counts["done"], "failed": counts["failed"]},
        "metadata": batch.facts["metadata"],
    }


def _mistral(batch: Batch, store: BatchStore) -> Body:
    now = time.time()
    counts, ended = batch.counts(now), batch.ended_at(now)
    status = "FAILED" if batch.problem else "RUNNING"
    if ended is not None and not batch.problem:
        status = "TIMEOUT_EXCEEDED" if counts["expired"] else "SUCCESS"
        status = status if batch.cancelled_at is None else "CANCELLED"
    output, errors = _outputs(batch, store, ended)
    return {
        "id": batch.id, "object": "batch", "input_files": batch.facts["files"], "endpoint": batch.facts["endpoint"],
        "model": batch.facts["model"], "metadata": batch.facts["metadata"], "status": status,
        "errors": [{"message": batch.problem, "count": 1}] if batch.problem else [],
        "created_at": int(batch.created_at), "started_at": int(batch.created_at),
        "completed_at": None if ended is None else int(ended), "output_file": output, "error_file": errors,
        "total_requests": len(batch.lines), "completed_requests": counts["done"] + counts["failed"],
        "succeeded_requests": counts["done"], "failed_requests": counts["failed"], "outputs": None, "agent_id": None,
    }


def _outputs(batch: Batch, store: BatchStore, ended: float | None) -> tuple[str | None, str | None]:
    """The files with the answers and with the errors, made once the batch has ended."""
    if ended is None or batch.problem:
        return None, None
    if "output" not in batch.facts:
        rows = batch.results()
        if batch.api == "mistral":  # what was never executed has no line at all
            rows = [line for line in rows if line.ends in ("done", "failed")]
        for name, lines in (("output", [line for line in rows if line.ends == "done"]),
                            ("errors", [line for line in rows if line.ends != "done"])):
            data = b"".join(_json.dumps(_row(line)) + b"\n" for line in lines)
            batch.facts[name] = f"file-{store.keep(name, 'batch_output', data, ended).id}" if lines else None
            store.uploads -= bool(lines)
    return batch.facts["output"], batch.facts["errors"]


def _row(line: Line) -> Body:
    code, message = _OPENAI_CODES.get(line.ends, ("", ""))
    return {
        "id": f"batch_req_{line.custom_id}", "custom_id": line.custom_id,
        "response": None if code else {"status_code": line.status, "request_id": f"req_{line.custom_id}", "body": line.body},
        "error": {"code": code, "message": message} if code else None,
    }


def _listed(request: Request, store: BatchStore, mistral: bool) -> Reply:
    """The latest first, page by page."""
    query = parse_qs(request.target.partition("?")[2])
    api = "mistral" if mistral else "openai"
    rows = [batch for batch in reversed(store.batches.values()) if batch.api == api]
    size = int(query.get("page_size" if mistral else "limit", ["20"])[0])
    start = int(query.get("page", ["0"])[0]) * size
    if "after" in query:
        after = query["after"][0].removeprefix("batch_")
        start = next((at + 1 for at, batch in enumerate(rows) if batch.id == after), len(rows))
    page = [_shown(batch, store) for batch in rows[start:start + size]]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return Reply(body=_json.dumps({
        "object": "list", "data": page, "total": len(rows), "has_more": start + size < len(rows), **ends,
    }))


class AnthropicBatches(Messages):
    """``/messages/batches`` as Anthropic serves them."""

    name = "anthropic_batches"
    takes_any_body = True
    _places = re.compile(r"/messages/batches(?:/(?P<id>[^/]+))?(?:/(?P<verb>results|cancel))?$")

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of these."""
        return self._places.search(path) is not None

    def reply(self, request: Request, service: Service) -> Reply:
        """The batch, its results, the list of them, or the error that the request deserves."""
        found = self._places.search(request.path)
        assert found is not None
        id, verb, store = found["id"] or "", found["verb"] or "", service.batches
        if not id:
            return self._create(request, service) if request.method == "POST" else self._listed(request, store)
        batch = store.batches.get(id.removeprefix("msgbatch_"))
        if batch is None or batch.api != "anthropic":
            return Reply(404, self.error(404, f"Message batch {id} not found"))
        ended = batch.ended_at(time.time())
        if verb == "cancel" and ended is None:
            batch.cancelled_at = time.time()
        if verb == "results":
            if ended is None:
                return Reply(404, self.error(404, "the results of this batch are not available yet"))
            data = b"".join(_json.dumps(_result(line)) + b"\n" for line in batch.results())
            return Reply(body=data, content_type="application/x-jsonl")
        return Reply(body=_json.dumps(_message_batch(batch, request)))

    def _create(self, request: Request, service: Service) -> Reply:
        body, store = request.json, service.batches
        rows = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(rows, list) or not rows or len(rows) > store.most["anthropic"][0]:
            return Reply(400, self.error(400, "requests: a list of 1 to 100,000 requests is required"))
        ids = [row.get("custom_id") for row in rows]
        if len(set(ids)) < len(ids) or not all(isinstance(id, str) and _CUSTOM_ID.fullmatch(id) for id in ids):
            return Reply(400, self.error(400, "requests: custom_id must be unique and match ^[a-zA-Z0-9_-]{1,64}$"))
        made = store.create("anthropic", [(row["custom_id"], row["params"]) for row in rows], lambda _: "/v1/messages",
                            request.headers, MESSAGES, service, time.time(), {})
        return Reply(body=_json.dumps(_message_batch(made, request)))

    def _listed(self, request: Request, store: BatchStore) -> Reply:
        query = parse_qs(request.target.partition("?")[2])
        rows = [batch for batch in reversed(store.batches.values()) if batch.api == "anthropic"]
        size, start = int(query.get("limit", ["20"])[0]), 0
        if "after_id" in query:
            after = query["after_id"][0].removeprefix("msgbatch_")
            start = next((at + 1 for at, batch in enumerate(rows) if batch.id == after), len(rows))
        page = [_message_batch(batch, request) for batch in rows[start:start + size]]
        return Reply(body=_json.dumps({
            "data": page, "has_more": start + size < len(rows), "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
        }))


def _message_batch(batch: Batch, request: Request) -> Body:
    now = time.time()
    counts, ended = batch.counts(now), batch.ended_at(now)
    if ended is None:  # nothing is told before the end
        counts.clear()
        counts["running"] = len(batch.lines)
    id = f"msgbatch_{batch.id}"
    return {
        "id": id, "type": "message_batch", "processing_status": "in_progress" if ended is None else "ended",
        "request_counts": {"processing": counts["running"], "succeeded": counts["done"], "errored": counts["failed"],
                           "canceled": counts["cancelled"], "expired": counts["expired"]},
        "created_at": stamp(batch.created_at), "expires_at": stamp(batch.created_at + 86_400), "archived_at": None,
        "cancel_initiated_at": None if batch.cancelled_at is None else stamp(batch.cancelled_at),
        "ended_at": None if ended is None else stamp(ended),
        "results_url": None if ended is None else f"http://{request.headers.get('host', '')}/v1/messages/batches/{id}/results",
    }


def _result(line: Line) -> Body:
    result: Body = {"type": {"expired": "expired", "cancelled": "canceled"}.get(line.ends, "")}
    if line.ends == "done":
        result = {"type": "succeeded", "message": line.body}
    elif line.ends == "failed":
        result = {"type": "errored", "error": line.body}
    return {"custom_id": line.custom_id, "result": result}


def stamp(at: float) -> str:
    """A time as RFC 3339 writes it."""
    return dt.datetime.fromtimestamp(at, dt.timezone.utc).isoformat().replace("+00:00", "Z")


ANTHROPIC_BATCHES = AnthropicBatches()
