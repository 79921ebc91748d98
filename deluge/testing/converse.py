"""The rehearsal provider's Converse, with requests checked and replies worded as Amazon Bedrock does it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from deluge import _json
from deluge._eventstream import framed
from deluge.testing.answers import Answer, Ask, answered, pieces, prefixes
from deluge.testing.converse_request import asked, marks
from deluge.testing.exchange import Reply, Request
from deluge.testing.limits import Decision, RateLimits
from deluge.testing.messages_request import Problem, signature
from deluge.testing.schemas import SchemaError
from deluge.testing.service import CACHE_FROM, Service

_PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream|count-tokens)$")
_TYPES = {
    400: "ValidationException", 401: "AccessDeniedException", 403: "AccessDeniedException",
    404: "ResourceNotFoundException", 408: "ModelTimeoutException", 424: "ModelErrorException",
    429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException",
}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}
_MAX_EVENTS = 2000  # of one streamed text

Wire = dict[str, Any]


class Converse:
    """``POST …/model/{id}/converse``, ``…/converse-stream`` and ``…/count-tokens``, under any prefix."""

    name = "converse"

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of Converse's."""
        return method == "POST" and _PATH.search(path) is not None

    def reply(self, request: Request, service: Service) -> Reply:
        """The message, or the error that the request deserves."""
        found = _PATH.search(request.path)
        model, what = (unquote(found.group(1)), found.group(2)) if found else ("", "")
        try:
            body = _counted(request.json) if what == "count-tokens" else request.json
            ask = asked(model, body, service.knows)
            if what == "count-tokens":
                return Reply(body=_json.dumps({"inputTokens": ask.input_tokens}), headers=_headers(request))
            caches = marks(body) > 0 and ask.input_tokens >= CACHE_FROM
            answer = answered(ask, service.cached(ask.model, prefixes(ask)) if caches else 0)
        except Problem as problem:
            return self._refused(request, problem.status, str(problem))
        except (AttributeError, KeyError, TypeError) as error:
            return self._refused(request, 400, f"The request is not well formed: {error}")
        except SchemaError as error:
            return self._refused(request, 400, f"The schema at outputConfig.textFormat is invalid: {error}")
        return self._message(request, ask, answer, caches, what == "converse-stream")

    def _message(self, request: Request, ask: Ask, answer: Answer, caches: bool, stream: bool) -> Reply:
        body, written = request.json, answer.usage.output_tokens
        reply = Reply(headers=_headers(request), model=ask.model, prompt=ask.prompt, identity=str(hash(ask.turns)),
                      charge=(answer.usage.total_input_tokens, written, ask.max_tokens or written))
        whole: Wire = {
            "output": {"message": {"role": "assistant", "content": _content(answer)}},
            "stopReason": "guardrail_intervened" if answer.refusal else _STOPS[answer.finish],
            "usage": _usage(answer, body, caches), "metrics": {"latencyMs": 1},
            "serviceTier": body.get("serviceTier") or {"type": "default"},
        }
        if stream:
            reply.content_type = "application/vnd.amazon.eventstream"
            reply.chunks = tuple(_events(whole))
            reply.mid_error = framed(
                {":exception-type": "internalServerException", ":content-type": "application/json",
                 ":message-type": "exception"}, self.error(500, "The server had an error during your request."))
        else:
            reply.body = _json.dumps(whole)
        return reply

    def _refused(self, request: Request, status: int, message: str) -> Reply:
        kind = (("x-amzn-errortype", _TYPES.get(status, "ValidationException")),)
        return Reply(status, self.error(status, message), headers=(*_headers(request), *kind))

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
        """Amazon's error object."""
        kind = _TYPES.get(status, "ValidationException" if status < 500 else "InternalServerException")
        return _json.dumps({"__type": kind, "message": message})

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """Bedrock tells nothing of its limits."""
        return ()

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """The 429 of a limit that has no room."""
        what = "requests" if decision.refused == "requests" else "tokens"
        after: tuple[tuple[str, str], ...] = ()
        if limits.retry_after and not math.isinf(decision.retry_after):
            after = (("retry-after", str(math.ceil(decision.retry_after))),)
        return Reply(
            429, self.error(429, f"Too many {what}, please wait before trying again."),
            headers=(*reply.headers, ("x-amzn-errortype", "ThrottlingException"), *after), model=reply.model,
            prompt=reply.prompt, identity=reply.identity,
        )


def _headers(request: Request) -> tuple[tuple[str, str], ...]:
    return (("x-amzn-requestid", f"amzn-{request.number}"),)


def _counted(body: Any) -> Any:
    """What ``count-tokens`` is asked to count."""
    inner = (body.get("input") or {}).get("converse") if isinstance(body, Mapping) else None
    if not isinstance(inner, Mapping):
        raise Problem("The input.converse field is missing.")
    return inner


def _content(answer: Answer) -> list[Wire]:
    blocks: list[Wire] = []
    if answer.thinking:
        words = {"text": answer.thinking, "signature": signature(answer.thinking)}
        blocks.append({"reasoningContent": {"reasoningText": words}})
    text = answer.text or answer.refusal
    if text:
        blocks.append({"text": text})
    for call in answer.calls:
        id = "tooluse_" + call.id.removeprefix("call_")
        blocks.append({"toolUse": {"toolUseId": id, "name": call.name, "input": _json.loads(call.arguments)}})
    return blocks


def _usage(answer: Answer, body: Mapping[str, Any], caches: bool) -> Wire:
    usage = answer.usage
    fresh, written = (0, usage.input_tokens) if caches else (usage.input_tokens, 0)
    ttl = "1h" if b'"ttl":"1h"' in _json.dumps(body) else "5m"
    return {
        "inputTokens": fresh, "outputTokens": usage.output_tokens,
        "totalTokens": usage.total_input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cache_read_tokens, "cacheWriteInputTokens": written,
        "cacheDetails": [{"ttl": ttl, "inputTokens": written}] if written else [],
    }


# -- streams --------------------------------------------------------------------------------------------------------

def _events(whole: Mapping[str, Any]) -> Iterator[bytes]:
    yield _event("messageStart", role="assistant")
    for index, block in enumerate(whole["output"]["message"]["content"]):
        call = block.get("toolUse")
        if call is not None:
            start = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
            yield _event("contentBlockStart", contentBlockIndex=index, start=start)
        for delta in _deltas(block):
            yield _event("contentBlockDelta", contentBlockIndex=index, delta=delta)
        yield _event("contentBlockStop", contentBlockIndex=index)
    yield _event("messageStop", stopReason=whole["stopReason"])
    yield _event("metadata", **{name: whole[name] for name in ("usage", "metrics", "serviceTier")})


def _deltas(block: Mapping[str, Any]) -> list[Wire]:
    if "text" in block:
        return [{"text": text} for text in _parts(block["text"])]
    if "toolUse" in block:
        written = _json.dumps(block["toolUse"]["input"]).decode("utf-8")
        return [{"toolUse": {"input": text}} for text in ["", *_parts(written)]]
    words = block["reasoningContent"]["reasoningText"]
    thoughts: list[Wire] = [{"reasoningContent": {"text": text}} for text in _parts(words["text"])]
    return [*thoughts, {"reasoningContent": {"signature": words["signature"]}}]


def _event(kind: str, **data: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return framed(headers, _json.dumps(data))


def _parts(text: str) -> list[str]:
    return pieces(text, max(12, len(text) // _MAX_EVENTS))


WIRE = Converse()
