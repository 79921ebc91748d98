"""The rehearsal provider's batches and files as Google serves them."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import parse_qs

from deluge import _json
from deluge.testing.batch_store import Batch, BatchStore, Line, StoredFile, json_lines
from deluge.testing.batches import OpenAIBatches, stamp
from deluge.testing.exchange import Reply, Request
from deluge.testing.gemini import WIRE as GEMINI
from deluge.testing.gemini import Gemini
from deluge.testing.service import Service

Body = dict[str, Any]
_VERSION = r"/v1(?:(?:beta|alpha)\d?)?"
_OWN = re.compile(r"/v1(?:beta|alpha)|^/upload/|^/download/|:")  # no path of OpenAI's
_NOT_DONE = {"expired": (4, "The batch expired before this request was processed."),
             "cancelled": (1, "The batch was cancelled before this request was processed.")}


class GeminiBatches(Gemini):
    """``models/{model}:batchGenerateContent``, ``batches``, ``files`` with resumable uploads, and downloads."""

    name = "gemini_batches"
    takes_any_body = True
    _create = re.compile(rf"{_VERSION}/models/(?P<model>[^/:]+):batchGenerateContent$")
    _batches = re.compile(rf"{_VERSION}/batches(?:/(?P<id>[^/:]+)(?P<verb>:cancel)?)?$")
    _files = re.compile(rf"(?P<room>/upload|/download)?{_VERSION}/files(?:/(?P<id>[^/:]+)(?P<verb>:download)?)?$")

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of these."""
        mine = any(places.search(path) for places in (self._create, self._batches, self._files))
        return mine and _OWN.search(path) is not None

    def reply(self, request: Request, service: Service) -> Reply:
        """The operation, the file, the list of them, or the error that the request deserves."""
        store = service.batches
        found = self._create.search(request.path)
        if found is not None:
            return self._created(request, found["model"], service)
        found = self._files.search(request.path)
        if found is not None:
            if found["room"] == "/upload":
                return self._upload(request, store)
            return self._file(request, store, found["id"] or "", bool(found["verb"]))
        found = self._batches.search(request.path)
        assert found is not None
        if not found["id"]:
            return _listed(request, store)
        batch = store.batches.get(found["id"])
        if batch is None or batch.api != "gemini":
            return Reply(404, self.error(404, f"Batch {found['id']} not found."))
        if found["verb"]:
            if batch.ended_at(time.time()) is None:
                batch.cancelled_at = time.time()
            return Reply(body=b"{}")
        return Reply(body=_json.dumps(_operation(batch, store)))

    def _created(self, request: Request, model: str, service: Service) -> Reply:
        body, store = request.json, service.batches
        batch = body.get("batch") if isinstance(body, dict) else None
        given = (batch or {}).get("inputConfig") or (batch or {}).get("input_config") or {}
        try:
            pairs, inline = _pairs(given, store)
        except ValueError as problem:
            return Reply(400, self.error(400, str(problem)))
        if inline and len(request.body) > 20_000_000:
            return Reply(400, self.error(400, "Request payload size exceeds the limit: 20971520 bytes."))
        facts = {"name": (batch or {}).get("displayName") or (batch or {}).get("display_name"), "model": f"models/{model}",
                 "inline": inline}
        made = store.create("gemini", pairs, lambda _: f"/v1beta/models/{model}:generateContent", request.headers, GEMINI,
                            service, time.time(), facts)
        return Reply(body=_json.dumps(_operation(made, store)))

    def _upload(self, request: Request, store: BatchStore) -> Reply:
        command = request.headers.get("x-goog-upload-command", "")
        if command == "start":
            file = store.keep("upload", "batch", b"", time.time())
            file.wanted = int(request.headers.get("x-goog-upload-header-content-length") or 0)
            file.kind = request.headers.get("x-goog-upload-header-content-type") or "application/jsonl"
            said = ((request.json or {}).get("file") or {}) if isinstance(request.json, dict) else {}
            file.name = said.get("displayName") or said.get("display_name") or file.name
            place = f"http://{request.headers.get('host', '')}{request.path}?upload_id={file.id}"
            return Reply(body=b"{}", headers=(("x-goog-upload-url", place), ("x-goog-upload-status", "active")))
        found = store.files.get(parse_qs(request.target.partition("?")[2]).get("upload_id", [""])[0])
        if found is None:
            return Reply(404, self.error(404, "no such upload"))
        if int(request.headers.get("x-goog-upload-offset") or 0) != len(found.data):
            return Reply(400, self.error(400, "the offset is not where this upload stopped"))
        found.data += request.body
        if "finalize" not in command:
            return Reply(body=b"", headers=(("x-goog-upload-status", "active"),))
        return Reply(body=_json.dumps({"file": _file(found)}), headers=(("x-goog-upload-status", "final"),))

    def _file(self, request: Request, store: BatchStore, id: str, download: bool) -> Reply:
        if not id:
            return Reply(body=_json.dumps({"files": [_file(file) for file in store.files.values()]}))
        file = store.files.get(id)
        if file is None:
            return Reply(404, self.error(404, f"File {id} not found."))
        if request.method == "DELETE":
            del store.files[id]
            return Reply(body=b"{}")
        if download:
            return Reply(body=file.data, content_type="application/octet-stream")
        return Reply(body=_json.dumps(_file(file)))


def _pairs(given: Body, store: BatchStore) -> tuple[list[tuple[str, Body]], bool]:
    """(key, body) of every request, and whether they were inside the call. ``ValueError`` when there are none."""
    name = given.get("fileName") or given.get("file_name")
    if name:
        file = store.files.get(str(name).removeprefix("files/"))
        if file is None:
            raise ValueError(f"the file {name} does not exist")
        return [(str(row.get("key", at)), row["request"]) for at, row in enumerate(json_lines(file.data))], False
    rows = (given.get("requests") or {}).get("requests") or []
    if not rows:
        raise ValueError("batch.input_config: no requests")
    return [(str((row.get("metadata") or {}).get("key", at)), row["request"]) for at, row in enumerate(rows)], True


def _file(file: StoredFile) -> Body:
    return {
        "name": f"files/{file.id}", "displayName": file.name, "mimeType": file.kind, "sizeBytes": str(len(file.data)),
        "createTime": stamp(file.created_at), "updateTime": stamp(file.created_at), "state": "ACTIVE",
        "uri": f"https://generativelanguage.googleapis.com/v1beta/files/{file.id}", "source": "UPLOADED",
    }


def _operation(batch: Batch, store: BatchStore) -> Body:
    now = time.time()
    counts, ended = batch.counts(now), batch.ended_at(now)
    state = "BATCH_STATE_RUNNING"
    if ended is not None:
        state = "BATCH_STATE_SUCCEEDED" if len(batch.lines) > counts["expired"] else "BATCH_STATE_EXPIRED"
        state = state if batch.cancelled_at is None else "BATCH_STATE_CANCELLED"
    failed = counts["failed"] + counts["expired"] + counts["cancelled"]
    name = f"batches/{batch.id}"
    told: Body = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch", "name": name,
        "model": batch.facts["model"], "displayName": batch.facts["name"], "state": state,
        "createTime": stamp(batch.created_at), "updateTime": stamp(now),
        "batchStats": {"requestCount": str(len(batch.lines)), "successfulRequestCount": str(counts["done"]),
                       "failedRequestCount": str(failed), "pendingRequestCount": str(counts["running"])},
    }
    if ended is None:
        return {"name": name, "metadata": told}
    told |= {"endTime": stamp(ended), "output": _output(batch, store, ended)}
    return {"name": name, "metadata": told, "done": True, "response": told["output"]}


def _output(batch: Batch, store: BatchStore, ended: float) -> Body:
    rows = batch.results()
    if batch.facts["inline"]:
        return {"inlinedResponses": {"inlinedResponses": [
            {**_said(line), "metadata": {"key": line.custom_id}} for line in rows
        ]}}
    if "output" not in batch.facts:
        data = b"".join(_json.dumps({"key": line.custom_id, **_said(line)}) + b"\n" for line in rows)
        batch.facts["output"] = f"files/{store.keep('results', 'batch_output', data, ended).id}"
        store.uploads -= 1
    return {"responsesFile": batch.facts["output"]}


def _said(line: Line) -> Body:
    if line.ends == "done":
        return {"response": line.body}
    if line.ends == "failed":
        return {"error": line.body["error"]}
    code, message = _NOT_DONE[line.ends]
    return {"error": {"code": code, "message": message}}


def _listed(request: Request, store: BatchStore) -> Reply:
    query = parse_qs(request.target.partition("?")[2])
    rows = [batch for batch in reversed(store.batches.values()) if batch.api == "gemini"]
    size, start = int(query.get("pageSize", ["50"])[0]), int(query.get("pageToken", ["0"])[0])
    page: Body = {"operations": [_operation(batch, store) for batch in rows[start:start + size]]}
    if start + size < len(rows):
        page["nextPageToken"] = str(start + size)
    return Reply(body=_json.dumps(page))


class SharedPaths(OpenAIBatches):
    """``/v1/files`` and ``/v1/batches``, which are OpenAI's unless a key of Google's comes with the request."""

    def reply(self, request: Request, service: Service) -> Reply:
        """What the one or the other replies."""
        if "x-goog-api-key" in request.headers:
            return GEMINI_BATCHES.reply(request, service)
        return super().reply(request, service)


GEMINI_BATCHES = GeminiBatches()
OPENAI_BATCHES = SharedPaths()
