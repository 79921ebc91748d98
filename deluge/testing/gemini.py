"""The rehearsal provider's generateContent, with requests checked and replies worded as Google does it."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deluge import _json
from deluge.testing.answers import Answer, Ask, answered, pieces, prefixes
from deluge.testing.chat_request import Problem
from deluge.testing.exchange import Reply, Request, share
from deluge.testing.gemini_request import asked, either
from deluge.testing.limits import Decision, RateLimits
from deluge.testing.schemas import SchemaError
from deluge.testing.service import CACHE_FROM, Service

_PATH = re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>generateContent|streamGenerateContent|countTokens)$")
_LIST = re.compile(r"/v1beta\d?/(.*/)?models(/[^/:]+)?$")
_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}
_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_GOOGLE = "type.googleapis.com/google.rpc."
_MAX_EVENTS = 2000  # of one streamed text: a longer one comes in larger pieces

Wire = dict[str, Any]


class Gemini:
    """``POST …/models/{model}:generateContent``, ``:streamGenerateContent``, ``:countTokens``, ``GET /v1beta/models``."""

    name = "gemini"

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of Gemini's, on Google's API or on Vertex AI."""
        return bool(_PATH.search(path)) if method == "POST" else method == "GET" and bool(_LIST.search(path))

    def reply(self, request: Request, service: Service) -> Reply:
        """The answer, or the error that the request deserves."""
        found = _PATH.search(request.path)
        if found is None:
            return self._models(request.path.rpartition("/models")[2].strip("/"), service)
        body, verb = request.json, found["verb"]
        try:
            if verb == "countTokens":
                body = either(body, "generateContentRequest") or body
            ask = asked(body, found["model"], service.knows)
            cached = service.cached(ask.model, prefixes(ask)) if ask.input_tokens >= CACHE_FROM else 0
            answer = answered(ask, cached)
        except Problem as problem:
            return Reply(problem.status, self.error(problem.status, str(problem)))
        except SchemaError as error:
            return Reply(400, self.error(400, f"Invalid schema: {error}"))
        if verb == "countTokens":
            return Reply(body=_json.dumps({"totalTokens": ask.input_tokens}))
        return self._answer(request, ask, answer, verb == "streamGenerateContent")

    def _answer(self, request: Request, ask: Ask, answer: Answer, stream: bool) -> Reply:
        body, usage = request.json, answer.usage
        reply = Reply(model=ask.model, prompt=ask.prompt, identity=str(hash(ask.turns)),
                      charge=(usage.total_input_tokens, usage.output_tokens, ask.max_tokens or usage.output_tokens))
        frame = {"modelVersion": ask.model, "responseId": f"rehearsal{request.number}"}
        chunks = list(_chunks(frame, answer, body))
        if not stream:
            reply.body = _json.dumps(_whole(frame, answer, body))
        elif "alt=sse" in request.target.partition("?")[2]:
            reply.content_type = "text/event-stream"
            reply.chunks = tuple(b"data: " + _json.dumps(one) + b"\r\n\r\n" for one in chunks)
            reply.mid_error = b"data: " + self.error(500, "An internal error has occurred.") + b"\r\n\r\n"
        else:
            reply.body = _json.dumps(chunks)
        return reply

    def _models(self, name: str, service: Service) -> Reply:
        if name and not service.knows(name):
            return Reply(404, self.error(404, f"Model is not found: models/{name}"))
        rows = [{"name": f"models/{one}", "displayName": one, "version": "1", "inputTokenLimit": 1_048_576,
                 "outputTokenLimit": 65_536, "supportedGenerationMethods": ["generateContent", "countTokens"]}
                for one in ([name] if name else service.names())]
        return Reply(body=_json.dumps(rows[0] if name else {"models": rows}))

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
        """Google's error object."""
        details = []
        if code == "invalid_api_key":
            message = "API key not valid. Please pass a valid API key."
            details = [{"@type": _GOOGLE + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
        error: Wire = {"code": status, "message": message, "status": _STATUS.get(status, "UNKNOWN")}
        return _json.dumps({"error": {**error, "details": details} if details else error})

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """None: this API tells its limits in the body of a refusal only."""
        return ()

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """The 429 of a limit that has no room, with the delay among its details."""
        name, limit = decision.refused, getattr(limits, decision.refused)
        what = "Requests" if name == "requests" else "InputTokens"
        quota = {"quotaMetric": f"generativelanguage.googleapis.com/generate_content_{name}",
                 "quotaId": f"Generate{what}PerMinutePerProjectPerModel", "quotaValue": f"{limit:g}"}
        details: list[Wire] = [{"@type": _GOOGLE + "QuotaFailure", "violations": [quota]}]
        message = "You exceeded your current quota, please check your plan and billing details."
        if limits.retry_after and not math.isinf(decision.retry_after):
            details.append({"@type": _GOOGLE + "RetryInfo", "retryDelay": f"{decision.retry_after:.3f}s"})
            message += f" Please retry in {decision.retry_after:.3f}s."
        error = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}
        return Reply(429, _json.dumps({"error": error}), headers=reply.headers, model=reply.model, prompt=reply.prompt,
                     identity=reply.identity)


def _whole(frame: Wire, answer: Answer, body: Mapping[str, Any]) -> Wire:
    parts = _thoughts(answer.thinking, body, [answer.thinking]) + _calls(answer)
    text = answer.text or answer.refusal
    if text:
        parts.append({"text": text})
    more = {"logprobsResult": _logprobs(pieces(text), body)} if _wants_logprobs(body) else {}
    return {"candidates": [_candidate(parts, answer, more)], "usageMetadata": _usage(answer, body), **frame}


def _chunks(frame: Wire, answer: Answer, body: Mapping[str, Any]) -> Iterator[Wire]:
    """A chunk for each piece; the last has the finish reason, and all count what there was so far."""
    text = answer.text or answer.refusal
    early = {"promptTokenCount": answer.usage.total_input_tokens, "totalTokenCount": answer.usage.total_input_tokens}
    said = pieces(text) if _wants_logprobs(body) else _pieces(text)
    found: list[tuple[Wire, Wire]] = [(part, {}) for part in _thoughts(answer.thinking, body, _pieces(answer.thinking))]
    found += [(part, {}) for part in _calls(answer)]
    found += [({"text": one}, {"logprobsResult": _logprobs([one], body)} if _wants_logprobs(body) else {}) for one in said]
    for part, more in found[:-1]:
        content = {"role": "model", "parts": [part]}
        yield {"candidates": [{"content": content, "index": 0, **more}], "usageMetadata": early, **frame}
    last, more = found[-1] if found else (None, {})
    yield {"candidates": [_candidate([] if last is None else [last], answer, more)],
           "usageMetadata": _usage(answer, body), **frame}


def _candidate(parts: list[Wire], answer: Answer, more: Wire) -> Wire:
    content = {"content": {"role": "model", "parts": parts}} if parts else {}
    return {**content, "finishReason": _FINISHES[answer.finish], "index": 0, **more}


def _thoughts(thinking: str, body: Mapping[str, Any], texts: list[str]) -> list[Wire]:
    """The thoughts, where they were asked for."""
    config = either(either(body, "generationConfig"), "thinkingConfig")
    shown = bool(thinking) and bool(either(config, "includeThoughts"))
    return [{"text": text, "thought": True} for text in texts] if shown else []


def _calls(answer: Answer) -> list[Wire]:
    """The calls, the first with the signature that has to come back."""
    parts: list[Wire] = [
        {"functionCall": {"id": call.id, "name": call.name, "args": _json.loads(call.arguments)}}
        for call in answer.calls
    ]
    if parts:
        parts[0]["thoughtSignature"] = base64.b64encode(f"sealed {answer.calls[0].id}".encode()).decode()
    return parts


def _usage(answer: Answer, body: Mapping[str, Any]) -> Wire:
    usage = answer.usage
    tier = str(either(body, "serviceTier") or "standard").lower()
    counts = {
        "promptTokenCount": usage.total_input_tokens, "cachedContentTokenCount": usage.cache_read_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens, "totalTokenCount": usage.total_tokens,
    }
    return {**{name: count for name, count in counts.items() if count}, "serviceTier": tier}


def _wants_logprobs(body: Mapping[str, Any]) -> bool:
    return bool(either(either(body, "generationConfig"), "responseLogprobs"))


def _logprobs(words: list[str], body: Mapping[str, Any]) -> Wire:
    count = either(either(body, "generationConfig"), "logprobs") or 0
    chosen: list[Wire] = [{"token": word, "logProbability": round(-0.01 - share(word, len(word)) / 2, 6)} for word in words]
    tops = [[one, *({"token": f"{one['token']}{rank}", "logProbability": one["logProbability"] - rank}
                    for rank in range(1, count))] for one in chosen]
    return {"chosenCandidates": chosen, "topCandidates": [{"candidates": top[:count]} for top in tops]}


def _pieces(text: str) -> list[str]:
    return pieces(text, max(12, len(text) // _MAX_EVENTS))


WIRE = Gemini()
