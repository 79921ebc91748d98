"""The rehearsal provider's Responses API: answers, streams, and jobs in the background, worded as OpenAI does it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from deluge import _json
from deluge.testing.answers import Answer, Ask, answered, pieces, prefixes
from deluge.testing.chat import WIRE as CHAT
from deluge.testing.chat import logprobs, tier_of
from deluge.testing.chat_request import Problem
from deluge.testing.exchange import Reply, Request
from deluge.testing.faults import latency_asked_for
from deluge.testing.limits import Decision, RateLimits
from deluge.testing.responses_request import asked, sealed
from deluge.testing.schemas import SchemaError
from deluge.testing.service import CACHE_FROM, Service

_MOST_JOBS = 10_000
_MOST_EVENTS = 2_000  # of one streamed text
_JOB_FAILS = "[[job fails "  # in a prompt, with the code: the job ends with that error, inside a 200

Wire = dict[str, Any]


@dataclass(slots=True)
class _Job:
    """A job in the background. ``done_at`` is a time of the monotonic clock."""

    whole: Wire
    started_at: float
    done_at: float
    cancelled: bool = False

    def told(self, now: float) -> Wire:
        """What a poll sees."""
        if self.cancelled:
            return {**self.whole, "status": "cancelled", "output": [], "usage": None}
        if now >= self.done_at:
            return self.whole
        waits = now - self.started_at < (self.done_at - self.started_at) / 4
        return {**self.whole, "status": "queued" if waits else "in_progress", "output": [], "usage": None, "error": None}


class Responses:
    """``POST …/responses``, ``GET`` and ``DELETE …/responses/{id}``, ``POST …/responses/{id}/cancel``, under any prefix.

    A job in the background takes as long as its prompt says (``[[latency 60]]``), and ends as its prompt says
    (``[[job fails server_error]]``).
    """

    name = "responses"

    def __init__(self) -> None:
        self._jobs: WeakKeyDictionary[Service, OrderedDict[str, _Job]] = WeakKeyDictionary()

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of the Responses API."""
        return path.endswith("/responses") if method == "POST" and "/responses/" not in path else "/responses/" in path

    def reply(self, request: Request, service: Service) -> Reply:
        """The answer, a job's state, or the error that the request deserves."""
        rest = request.path.rpartition("/responses")[2].strip("/")
        if rest:
            return self._of_job(request, service, rest)
        body = request.json
        try:
            ask = asked(body, service.knows)
            cached = service.cached(ask.model, prefixes(ask)) if ask.input_tokens >= CACHE_FROM else 0
            answer = answered(ask, cached)
        except Problem as problem:
            return Reply(problem.status, self.error(problem.status, str(problem), problem.code, problem.param))
        except SchemaError as error:
            return Reply(400, self.error(400, f"Invalid schema: {error}", param="text.format"))
        return self._answer(request, service, ask, answer)

    def _answer(self, request: Request, service: Service, ask: Ask, answer: Answer) -> Reply:
        body = request.json
        whole = _whole(f"resp_{request.number}", ask, answer, body)
        usage = answer.usage
        reply = Reply(model=ask.model, prompt=ask.prompt, identity=str(hash(ask.turns)),
                      charge=(usage.total_input_tokens, usage.output_tokens, ask.max_tokens or usage.output_tokens))
        if body.get("stream"):
            reply.content_type = "text/event-stream; charset=utf-8"
            reply.chunks = tuple(_numbered(_events(whole)))
            reply.mid_error = _event("error", {"code": "server_error", "param": None, "sequence_number": 0,
                                               "message": "The server had an error during your request."})
        elif body.get("background"):
            reply.body = _json.dumps(self._started(service, whole, ask))
            reply.prompt = ask.prompt.replace("[[latency", "[[job")  # the job takes that long, not the reply
        else:
            reply.body = _json.dumps(whole)
        return reply

    def _started(self, service: Service, whole: Wire, ask: Ask) -> Wire:
        now = time.monotonic()
        jobs = self._jobs.setdefault(service, OrderedDict())
        if _JOB_FAILS in ask.text:
            code = ask.text.partition(_JOB_FAILS)[2].partition("]]")[0]
            whole = {**whole, "status": "failed", "output": [], "usage": None,
                     "error": {"code": code, "message": "The job failed as it was told to."}}
        jobs[whole["id"]] = job = _Job(whole, now, now + (latency_asked_for(ask.text) or 0.0))
        while len(jobs) > _MOST_JOBS:
            jobs.popitem(last=False)
        return {**job.whole, "status": "queued", "output": [], "usage": None, "error": None}

    def _of_job(self, request: Request, service: Service, rest: str) -> Reply:
        id, _, verb = rest.partition("/")
        jobs = self._jobs.get(service, OrderedDict())
        job = jobs.get(id)
        if job is None or verb not in ("", "cancel") or (verb == "cancel") != (request.method == "POST"):
            return Reply(404, self.error(404, f"Response with id '{id}' not found."))
        if request.method == "DELETE":
            del jobs[id]
            return Reply(body=_json.dumps({"id": id, "object": "response", "deleted": True}))
        now = time.monotonic()
        if verb == "cancel" and now < job.done_at:
            job.cancelled = True
        return Reply(body=_json.dumps(job.told(now)))

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
        """OpenAI's error object."""
        return CHAT.error(status, message, code, param)

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """The same as for chat completions."""
        return CHAT.limit_headers(state)

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """The same 429 as for chat completions."""
        return CHAT.refusal(reply, decision, limits)


# -- answers --------------------------------------------------------------------------------------------------------

def _whole(id: str, ask: Ask, answer: Answer, body: Mapping[str, Any]) -> Wire:
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    usage, text = answer.usage, body.get("text") or {}
    return {
        "id": id, "object": "response", "created_at": int(time.time()), "status": "incomplete" if cut else "completed",
        "background": bool(body.get("background")), "error": None,
        "incomplete_details": {"reason": cut} if cut else None, "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"), "model": ask.model, "output": _output(id, answer, body),
        "parallel_tool_calls": ask.parallel, "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": ask.effort or None, "summary": (body.get("reasoning") or {}).get("summary")},
        "service_tier": tier_of(body.get("service_tier")), "store": body.get("store") is not False,
        "temperature": body.get("temperature"), "text": {"format": {"type": "text"}, **text},
        "tool_choice": body.get("tool_choice") or "auto", "tools": body.get("tools") or [],
        "top_p": body.get("top_p"), "truncation": body.get("truncation") or "disabled",
        "metadata": body.get("metadata") or {},
        "usage": {
            "input_tokens": usage.total_input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": 0},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.total_input_tokens + usage.output_tokens,
        },
    }


def _output(id: str, answer: Answer, body: Mapping[str, Any]) -> list[Wire]:
    include = body.get("include") or ()
    items: list[Wire] = []
    if answer.thinking:
        items.append(_thought(f"rs_{id}", answer.thinking, body))
    items += _built_in(id, body)
    status = "incomplete" if answer.finish == "length" else "completed"
    content: list[Wire] = []
    if answer.refusal:
        content.append({"type": "refusal", "refusal": answer.refusal})
    elif answer.text or not answer.calls and answer.finish == "stop":
        part: Wire = {"type": "output_text", "text": answer.text, "annotations": []}
        if "message.output_text.logprobs" in include:
            part["logprobs"] = logprobs(pieces(answer.text), body)
        content.append(part)
    if content:
        items.append({"id": f"msg_{id}", "type": "message", "role": "assistant", "status": status, "content": content})
    kinds = {row.get("name"): row.get("type") for row in body.get("tools") or ()}
    for at, call in enumerate(answer.calls):
        custom = kinds.get(call.name) == "custom"
        words = {"input": call.arguments} if custom else {"arguments": call.arguments}
        items.append({"id": f"fc_{id}_{at}", "type": "custom_tool_call" if custom else "function_call",
                      "status": "completed", "call_id": call.id, "name": call.name, **words})
    return items


def _thought(id: str, text: str, body: Mapping[str, Any]) -> Wire:
    shown = (body.get("reasoning") or {}).get("summary") is not None
    item: Wire = {"id": id, "type": "reasoning",
                  "summary": [{"type": "summary_text", "text": text}] if shown else []}
    if "reasoning.encrypted_content" in (body.get("include") or ()):
        item["encrypted_content"] = sealed(id)
    return item


def _built_in(id: str, body: Mapping[str, Any]) -> Iterator[Wire]:
    """What the provider's own tools leave in the output: a search where it may search, a list for each MCP server."""
    for at, row in enumerate(body.get("tools") or ()):
        kind = row.get("type")
        if kind == "mcp":
            yield {"id": f"mcpl_{id}_{at}", "type": "mcp_list_tools", "server_label": row.get("server_label"),
                   "tools": []}
        elif kind == "web_search":
            yield {"id": f"ws_{id}_{at}", "type": "web_search_call", "status": "completed",
                   "action": {"type": "search", "query": "rehearsal"}}


# -- streams --------------------------------------------------------------------------------------------------------

def _event(kind: str, data: Mapping[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + _json.dumps({"type": kind, **data}) + b"\n\n"


def _numbered(events: Iterator[tuple[str, Wire]]) -> Iterator[bytes]:
    for number, (kind, data) in enumerate(events):
        yield _event(kind, {**data, "sequence_number": number})


def _events(whole: Wire) -> Iterator[tuple[str, Wire]]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(whole["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        yield "response.output_item.added", {"output_index": index, "item": _empty(item)}
        yield from _inside(item, place)
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield f"response.{whole['status']}", {"response": whole}


def _empty(item: Wire) -> Wire:
    """The item as it begins."""
    blank: Wire = {name: "" for name in ("arguments", "input") if name in item}
    blank.update({name: [] for name in ("content", "summary") if name in item})
    return {**item, **blank, **({"status": "in_progress"} if "status" in item else {})}


def _inside(item: Wire, place: Wire) -> Iterator[tuple[str, Wire]]:
    kind = item["type"]
    for at, part in enumerate(item.get("summary", ())):
        here = {**place, "summary_index": at}
        yield "response.reasoning_summary_part.added", {**here, "part": {"type": "summary_text", "text": ""}}
        yield from _pieces("response.reasoning_summary_text", "text", part["text"], here)
        yield "response.reasoning_summary_part.done", {**here, "part": part}
    for at, part in enumerate(item.get("content", ())):
        here = {**place, "content_index": at}
        name = "refusal" if part["type"] == "refusal" else "text"
        more: Wire = {} if name == "refusal" else {"logprobs": []}
        yield "response.content_part.added", {**here, "part": {**part, name: ""}}
        yield from _pieces("response.refusal" if name == "refusal" else "response.output_text", name, part[name],
                           {**here, **more})
        yield "response.content_part.done", {**here, "part": part}
    if kind == "function_call":
        yield from _pieces("response.function_call_arguments", "arguments", item["arguments"],
                           {**place, "name": item["name"]})
    elif kind == "custom_tool_call":
        yield from _pieces("response.custom_tool_call_input", "input", item["input"], place)


def _pieces(kind: str, name: str, text: str, place: Wire) -> Iterator[tuple[str, Wire]]:
    for piece in pieces(text, max(12, len(text) // _MOST_EVENTS)):
        yield f"{kind}.delta", {**place, "delta": piece}
    yield f"{kind}.done", {**place, name: text}


WIRE = Responses()
