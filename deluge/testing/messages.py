"""The rehearsal provider's Messages API, with requests checked and replies worded as Anthropic does it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from deluge import _json
from deluge.testing.answers import Answer, Ask, answered, pieces, prefixes
from deluge.testing.exchange import Reply, Request
from deluge.testing.limits import Decision, RateLimits
from deluge.testing.messages_request import Problem, asked, marks, signature
from deluge.testing.schemas import SchemaError
from deluge.testing.service import CACHE_FROM, Service

_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error", 500: "api_error",
    504: "timeout_error", 529: "overloaded_error",
}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_HEADERS = {"requests": "requests", "tokens": "tokens", "input_tokens": "input-tokens", "output_tokens": "output-tokens"}
_WHY = "The rehearsal provider does not answer this."
_SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}}
_MAX_EVENTS = 2000  # of one streamed text
_ON_VERTEX = (":rawPredict", ":streamRawPredict")
_OLD = "2023-06-01"

Wire = dict[str, Any]


class Messages:
    """``POST …/messages`` and ``POST …/messages/count_tokens``, under any prefix; ``…/models/NAME:rawPredict`` as Vertex."""

    name = "messages"

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of the Messages API's."""
        return method == "POST" and path.endswith(("/messages", "/messages/count_tokens", *_ON_VERTEX))

    def reply(self, request: Request, service: Service) -> Reply:
        """The message, or the error that the request deserves."""
        body, counts, headers = request.json, request.path.endswith("/count_tokens"), request.headers
        if request.path.endswith(_ON_VERTEX):
            body, headers = _from_vertex(request)
        try:
            ask = asked({"max_tokens": 1, **body} if counts else body, headers, service.knows)
            if counts:
                return Reply(body=_json.dumps({"input_tokens": ask.input_tokens}), headers=_id(request))
            caches = marks(body) > 0 and ask.input_tokens >= CACHE_FROM
            answer = answered(ask, service.cached(ask.model, prefixes(ask)) if caches else 0)
        except Problem as problem:
            return Reply(problem.status, self.error(problem.status, str(problem)), headers=_id(request))
        except (AttributeError, TypeError) as error:
            return Reply(400, self.error(400, f"the request is not well formed: {error}"), headers=_id(request))
        except SchemaError as error:
            return Reply(400, self.error(400, f"output_config.format.schema: {error}"), headers=_id(request))
        return self._message(request, ask, answer, caches)

    def _message(self, request: Request, ask: Ask, answer: Answer, caches: bool) -> Reply:
        body, written = request.json, answer.usage.output_tokens
        reply = Reply(headers=_id(request), model=ask.model, prompt=ask.prompt, identity=str(hash(ask.turns)),
                      charge=(answer.usage.total_input_tokens, written, ask.max_tokens or written))
        hidden = (body.get("thinking") or {}).get("display") == "omitted"
        message: Wire = {
            "id": f"msg_{request.number}", "type": "message", "role": "assistant", "model": ask.model,
            "content": _content(answer, hidden), "stop_reason": _STOPS[answer.finish], "stop_sequence": None,
            "usage": _usage(answer, body, caches),
        }
        if answer.refusal or answer.finish == "content_filter":
            message["stop_reason"] = "refusal"
            message["stop_details"] = {"type": "refusal", "category": None, "explanation": answer.refusal or _WHY}
        if "[[pause]]" in ask.text and ask.turns[-1].role != "assistant":
            message.update(content=[dict(_SEARCH)], stop_reason="pause_turn")
        if body.get("stream"):
            reply.content_type = "text/event-stream; charset=utf-8"
            reply.chunks = tuple(_events(message))
            reply.mid_error = b"event: error\ndata: " + self.error(529, "Overloaded") + b"\n\n"
        else:
            reply.body = _json.dumps(message)
        return reply

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
        """Anthropic's error object."""
        kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        error: Wire = {"type": kind, "message": message}
        if code and status == 429:
            error["details"] = {"error_code": code}
        return _json.dumps({"type": "error", "error": error, "request_id": None})

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """``anthropic-ratelimit-…-limit``, ``-remaining`` and ``-reset`` for each counter."""
        headers = []
        for name, (limit, remaining, full_in) in state.items():
            word = f"anthropic-ratelimit-{_HEADERS[name]}"
            moment = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=math.ceil(full_in))
            headers += [(f"{word}-limit", f"{limit:.0f}"), (f"{word}-remaining", f"{math.floor(remaining + 1e-9)}"),
                        (f"{word}-reset", moment.strftime("%Y-%m-%dT%H:%M:%SZ"))]
        return tuple(headers)

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """The 429 of a limit that has no room."""
        what = decision.refused.replace("_", " ")
        message = (f"This request would exceed the rate limit for your organization of "
                   f"{getattr(limits, decision.refused):g} {what} per {limits.per:g} seconds.")
        after: tuple[tuple[str, str], ...] = ()
        if limits.retry_after and not math.isinf(decision.retry_after):
            after = (("retry-after", str(math.ceil(decision.retry_after))),)
        return Reply(429, self.error(429, message), headers=(*reply.headers, *after), model=reply.model,
                     prompt=reply.prompt, identity=reply.identity)


def _from_vertex(request: Request) -> tuple[Wire, Mapping[str, str]]:
    """Vertex has the model in the path, and the version in the body."""
    body = dict(request.json)
    version = str(body.pop("anthropic_version", ""))
    headers = {**request.headers, "anthropic-version": _OLD if version == "vertex-2023-10-16" else version}
    name = unquote(request.path.rpartition("/")[2].rpartition(":")[0])
    return {**body, "model": None if "model" in body else name}, headers


def _id(request: Request) -> tuple[tuple[str, str], ...]:
    return (("request-id", f"req_{request.number}"),)


def _content(answer: Answer, hidden: bool) -> list[Wire]:
    blocks: list[Wire] = []
    if answer.thinking:
        text = "" if hidden else answer.thinking
        blocks.append({"type": "thinking", "thinking": text, "signature": signature(text)})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text, "citations": None})
    for call in answer.calls:
        id = "toolu_" + call.id.removeprefix("call_")
        blocks.append({"type": "tool_use", "id": id, "name": call.name, "input": _json.loads(call.arguments)})
    return blocks


def _usage(answer: Answer, body: Mapping[str, Any], caches: bool) -> Wire:
    usage = answer.usage
    fresh, written = usage.input_tokens, 0
    if caches:
        fresh, written = 0, fresh
    return {
        "input_tokens": fresh, "cache_creation_input_tokens": written, "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.output_tokens, "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": None, "service_tier": "standard", "speed": body.get("speed") or "standard",
    }


# -- streams --------------------------------------------------------------------------------------------------------

def _events(message: Mapping[str, Any]) -> Iterator[bytes]:
    usage, end = message["usage"], {"stop_reason": message["stop_reason"], "stop_sequence": None}
    if "stop_details" in message:
        end["stop_details"] = message["stop_details"]
    begun = {name: value for name, value in message.items() if name != "stop_details"}
    begun.update(content=[], stop_reason=None, usage={**usage, "output_tokens": 1, "output_tokens_details": None})
    yield _event("message_start", message=begun)
    yield _event("ping")
    for index, block in enumerate(message["content"]):
        empty, deltas = _deltas(block)
        yield _event("content_block_start", index=index, content_block=empty)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    told = {name: usage[name] for name in ("output_tokens", "output_tokens_details", "input_tokens")}
    yield _event("message_delta", delta=end, usage=told)
    yield _event("message_stop")


def _deltas(block: Mapping[str, Any]) -> tuple[Wire, list[Wire]]:
    """The block as it begins, and its pieces."""
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": text} for text in _parts(block["text"])]
    if block["type"] == "thinking":
        thoughts: list[Wire] = [{"type": "thinking_delta", "thinking": text} for text in _parts(block["thinking"])]
        return {**block, "thinking": "", "signature": ""}, [
            *thoughts, {"type": "signature_delta", "signature": block["signature"]},
        ]
    written = _json.dumps(block["input"]).decode("utf-8")
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text} for text in ["", *_parts(written)]]


def _event(kind: str, **data: Any) -> bytes:
    return b"event: " + kind.encode("ascii") + b"\ndata: " + _json.dumps({"type": kind, **data}) + b"\n\n"


def _parts(text: str) -> list[str]:
    return pieces(text, max(12, len(text) // _MAX_EVENTS))


WIRE = Messages()
