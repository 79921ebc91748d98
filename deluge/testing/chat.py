"""The rehearsal provider's chat completions, with requests checked and replies worded as OpenAI does it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deluge import _json
from deluge.testing.answers import Answer, Ask, answered, pieces, prefixes
from deluge.testing.chat_request import Problem, asked
from deluge.testing.exchange import Reply, Request, share
from deluge.testing.limits import Decision, RateLimits, duration
from deluge.testing.schemas import SchemaError
from deluge.testing.service import CACHE_FROM, Service

_TYPES = {
    401: "invalid_request_error", 403: "permission_error", 429: "requests", 500: "server_error", 502: "server_error",
    503: "server_error", 504: "server_error", 529: "overloaded_error",
}
_CODES = {429: "rate_limit_exceeded", 503: "overloaded"}
_TIERS = {None: "default", "auto": "default", "fast": "priority"}  # what was asked for, and what is billed
_HEADERS = {"requests": "requests", "tokens": "tokens", "input_tokens": "input-tokens",
            "output_tokens": "output-tokens"}
_MAX_EVENTS = 2000  # of one streamed text: a longer one comes in larger pieces
_USAGE_UNASKED = ("mistral", "ministral", "codestral", "devstral", "pixtral", "open-mi")  # Mistral's hosts send it always


class Chat:
    """``POST …/chat/completions`` and ``GET …/models``, under any prefix."""

    name = "chat"

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is one of chat's."""
        if path.endswith("/chat/completions"):
            return method == "POST"
        return method == "GET" and (path.endswith("/models") or "/models/" in path)

    def reply(self, request: Request, service: Service) -> Reply:
        """The completion, or the error that the request deserves."""
        if request.method == "GET":
            return self._models(request.path.rpartition("/models")[2].strip("/"), service)
        body = request.json
        try:
            ask = asked(body, service.knows)
            cached = service.cached(ask.model, prefixes(ask)) if ask.input_tokens >= CACHE_FROM else 0
            answer = answered(ask, cached)
        except Problem as problem:
            return Reply(problem.status, self.error(problem.status, str(problem), problem.code, problem.param))
        except SchemaError as error:
            return Reply(400, self.error(400, f"Invalid schema: {error}", param="response_format"))
        return self._completion(request, ask, answer)

    def _completion(self, request: Request, ask: Ask, answer: Answer) -> Reply:
        body = request.json
        copies = body.get("n") or 1
        usage = _usage(answer, copies)
        frame = {
            "id": f"chatcmpl-{request.number}", "object": "chat.completion", "created": int(time.time()),
            "model": ask.model, "service_tier": tier_of(body.get("service_tier")), "system_fingerprint": "fp_rehearsal",
        }
        written = usage["completion_tokens"]
        reply = Reply(model=ask.model, prompt=ask.prompt, identity=str(hash(ask.turns)),
                      charge=(usage["prompt_tokens"], written, (ask.max_tokens or written) * copies))
        if body.get("stream"):
            reply.content_type = "text/event-stream; charset=utf-8"
            reply.chunks = tuple(_events(frame, answer, body, usage, copies))
            reply.mid_error = b"data: " + self.error(500, "The server had an error during your request.") + b"\n\n"
        else:
            choices = [_choice(index, answer, body) for index in range(copies)]
            reply.body = _json.dumps({**frame, "choices": choices, "usage": usage})
        return reply

    def _models(self, name: str, service: Service) -> Reply:
        if name and not service.knows(name):
            return Reply(404, self.error(404, f"The model '{name}' does not exist", "model_not_found", "model"))
        rows = [{"id": one, "object": "model", "created": 0, "owned_by": "deluge"}
                for one in ([name] if name else service.names())]
        return Reply(body=_json.dumps(rows[0] if name else {"object": "list", "data": rows}))

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
        """OpenAI's error object."""
        kind = _TYPES.get(status, "invalid_request_error")
        return _json.dumps({"error": {"message": message, "type": kind, "param": param,
                                      "code": code or _CODES.get(status)}})

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """``x-ratelimit-limit-…``, ``-remaining-…`` and ``-reset-…`` for each counter."""
        headers = []
        for name, (limit, remaining, full_in) in state.items():
            word = _HEADERS[name]
            headers += [(f"x-ratelimit-limit-{word}", f"{limit:.0f}"),
                        (f"x-ratelimit-remaining-{word}", f"{math.floor(remaining + 1e-9)}"),
                        (f"x-ratelimit-reset-{word}", duration(full_in))]
        return tuple(headers)

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """The 429 of a limit that has no room."""
        name, limit = decision.refused, getattr(limits, decision.refused)
        what = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}.get(name, name)
        after: tuple[tuple[str, str], ...] = ()
        if math.isinf(decision.retry_after):
            message = f"Request too large for {reply.model} on {what}: Limit {limit:g}, Requested {decision.asked:g}."
        else:
            message = (f"Rate limit reached for {reply.model} on {what}: Limit {limit:g}, "
                       f"Requested {decision.asked:g}. Please try again in {duration(decision.retry_after)}.")
            if limits.retry_after:
                after = (("retry-after-ms", str(math.ceil(decision.retry_after * 1000))),
                         ("retry-after", str(math.ceil(decision.retry_after))))
        error = {"message": message, "type": "requests" if name == "requests" else "tokens", "param": None,
                 "code": "rate_limit_exceeded"}
        return Reply(429, _json.dumps({"error": error}), headers=(*reply.headers, *after), model=reply.model,
                     prompt=reply.prompt, identity=reply.identity)


def tier_of(asked: Any) -> Any:
    """The tier that is billed."""
    return _TIERS.get(asked, asked) if isinstance(asked, (str, type(None))) else asked


def _usage(answer: Answer, copies: int) -> dict[str, Any]:
    usage = answer.usage
    written = usage.output_tokens * copies
    return {
        "prompt_tokens": usage.total_input_tokens, "completion_tokens": written,
        "total_tokens": usage.total_input_tokens + written,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens * copies, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _choice(index: int, answer: Answer, body: Mapping[str, Any]) -> dict[str, Any]:
    silent = answer.calls or answer.refusal
    message: dict[str, Any] = {
        "role": "assistant", "content": None if silent else answer.text, "refusal": answer.refusal or None,
        "annotations": [],
    }
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.calls
        ]
    logged = _logprobs(pieces(answer.text), body) if body.get("logprobs") else None
    return {"index": index, "message": message, "logprobs": logged, "finish_reason": answer.finish}


def _logprobs(words: Sequence[str], body: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": logprobs(words, body), "refusal": None}


def logprobs(words: Sequence[str], body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The log probabilities of the words, with as many others as the request wants."""
    count = body.get("top_logprobs") or 0
    rows = []
    for at, word in enumerate(words):
        first = -0.01 - share(word, at) / 2
        others = [_logprob(word if rank == 0 else f"{word[:2]}{rank}", first - rank) for rank in range(count)]
        rows.append({**_logprob(word, first), "top_logprobs": others})
    return rows


def _logprob(word: str, value: float) -> dict[str, Any]:
    return {"token": word, "logprob": round(value, 6), "bytes": list(word.encode("utf-8", "replace"))}


# -- streams --------------------------------------------------------------------------------------------------------

def _events(frame: Mapping[str, Any], answer: Answer, body: Mapping[str, Any], usage: Mapping[str, Any],
            copies: int) -> Iterator[bytes]:
    told = bool((body.get("stream_options") or {}).get("include_usage")) or frame["model"].startswith(_USAGE_UNASKED)
    base = {**frame, "object": "chat.completion.chunk", **({"usage": None} if told else {})}
    for index in range(copies):
        for delta, logprobs in _deltas(answer, body):
            yield _event({**base, "choices": [{"index": index, "delta": delta, "logprobs": logprobs,
                                               "finish_reason": None}]})
        yield _event({**base, "choices": [{"index": index, "delta": {}, "logprobs": None,
                                           "finish_reason": answer.finish}]})
    if told:
        yield _event({**base, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + _json.dumps(data) + b"\n\n"


def _deltas(answer: Answer, body: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    yield {"role": "assistant", "content": None if answer.calls else "", "refusal": None}, None
    for text in _parts(answer.thinking):
        yield {"reasoning_content": text}, None
    for text in _parts(answer.refusal):
        yield {"refusal": text}, None
    for text in pieces(answer.text) if body.get("logprobs") else _parts(answer.text):
        yield {"content": text}, _logprobs([text], body) if body.get("logprobs") else None
    for index, call in enumerate(answer.calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}, None
        for text in _parts(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}, None


def _parts(text: str) -> list[str]:
    return pieces(text, max(12, len(text) // _MAX_EVENTS))


WIRE = Chat()
