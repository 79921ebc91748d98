"""The rehearsal provider's Chat API of Cohere (v2), with requests checked and replies worded as Cohere does it.

Cohere's models are asked by their OpenAI-compatible endpoint; this one is what Cohere's own SDK asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from deluge import _json
from deluge.testing.answers import Answer, Ask, answered, pieces
from deluge.testing.chat_request import Problem, asked
from deluge.testing.exchange import Reply, Request
from deluge.testing.limits import Decision, RateLimits
from deluge.testing.schemas import SchemaError
from deluge.testing.service import Service

_STOPS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR"}
_CHOICES = {"REQUIRED": "required", "NONE": "none"}
_SAME_NAMES = ("model", "max_tokens", "seed", "temperature", "stream")
_MAX_EVENTS = 2000  # of one streamed text

Wire = dict[str, Any]


class Cohere:
    """``POST …/v2/chat``."""

    name = "cohere"

    def serves(self, method: str, path: str) -> bool:
        """Whether the path is Cohere's."""
        return method == "POST" and path.endswith("/v2/chat")

    def reply(self, request: Request, service: Service) -> Reply:
        """The answer, or the error that the request deserves."""
        try:
            ask = asked(_as_chat(request.json), service.knows)
            answer = answered(ask)
        except Problem as problem:
            return Reply(problem.status, self.error(problem.status, str(problem)))
        except (AttributeError, TypeError) as error:
            return Reply(422, self.error(422, f"the request is not well formed: {error}"))
        except SchemaError as error:
            return Reply(400, self.error(400, f"response_format: {error}"))
        return self._message(request, ask, answer)

    def _message(self, request: Request, ask: Ask, answer: Answer) -> Reply:
        read, written = answer.usage.total_input_tokens, answer.usage.output_tokens
        reply = Reply(model=ask.model, prompt=ask.prompt, identity=str(hash(ask.turns)),
                      charge=(read, written, ask.max_tokens or written))
        counts = {"input_tokens": read, "output_tokens": written}
        message: Wire = {
            "id": f"rehearsal-{request.number}", "finish_reason": _STOPS[answer.finish], "message": _said(answer),
            "usage": {"billed_units": counts, "tokens": counts, "cached_tokens": answer.usage.cache_read_tokens},
        }
        if request.json.get("stream"):
            reply.content_type = "text/event-stream; charset=utf-8"
            reply.chunks = tuple(_events(message))
            reply.mid_error = self.error(500, "internal server error")
        else:
            reply.body = _json.dumps(message)
        return reply

    def error(self, status: int, message: str, code: str | None = None, param: str | None = None) -> bytes:
        """Cohere's error object."""
        return _json.dumps({"id": "rehearsal-error", "message": message})

    def limit_headers(self, state: Mapping[str, tuple[float, float, float]]) -> tuple[tuple[str, str], ...]:
        """Cohere tells nothing about its limits."""
        return ()

    def refusal(self, reply: Reply, decision: Decision, limits: RateLimits) -> Reply:
        """The 429 of a limit that has no room."""
        limit = getattr(limits, decision.refused)
        message = f"trial token rate limit exceeded, limit is {limit:g} {decision.refused} per minute"
        after: tuple[tuple[str, str], ...] = ()
        if limits.retry_after and not math.isinf(decision.retry_after):
            after = (("retry-after", str(math.ceil(decision.retry_after))),)
        return Reply(429, self.error(429, message), headers=(*reply.headers, *after), model=reply.model,
                     prompt=reply.prompt, identity=reply.identity)


def _as_chat(body: Mapping[str, Any]) -> Wire:
    """The request in the words of chat completions, whose checks hold here too."""
    made: Wire = {name: body[name] for name in _SAME_NAMES if body.get(name) is not None}
    made["messages"] = [_message_as_chat(message) for message in body.get("messages") or ()]
    if body.get("p") is not None:
        made["top_p"] = body["p"]
    if body.get("stop_sequences"):
        made["stop"] = body["stop_sequences"][:4]  # Cohere takes five
    if body.get("tools"):
        made["tools"] = body["tools"]
        if body.get("tool_choice"):
            made["tool_choice"] = _CHOICES.get(body["tool_choice"], "auto")
    form = body.get("response_format") or {}
    schema = form.get("schema") or form.get("json_schema")
    if schema:
        made["response_format"] = {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}
    elif form:
        made["response_format"] = {"type": form.get("type")}
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        made["reasoning_effort"] = "medium"
    return made


def _message_as_chat(message: Mapping[str, Any]) -> Wire:
    content = message.get("content")
    if isinstance(content, list):
        content = [part for part in (_part(part) for part in content) if part is not None]
    return {**message, "content": content if content or not message.get("tool_calls") else None}


def _part(part: Mapping[str, Any]) -> Wire | None:
    """A part; thoughts are not read again, and the documents of tool results are texts."""
    if part.get("type") == "thinking":
        return None
    if part.get("type") == "document":
        return {"type": "text", "text": str((part.get("document") or {}).get("data"))}
    return dict(part)


def _said(answer: Answer) -> Wire:
    message: Wire = {"role": "assistant"}
    content: list[Wire] = [{"type": "thinking", "thinking": answer.thinking}] if answer.thinking else []
    if answer.calls:
        message["tool_plan"] = "I will call a tool."
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.calls
        ]
    else:
        content.append({"type": "text", "text": answer.text or answer.refusal})
    return {**message, "content": content} if content else message


# -- streams --------------------------------------------------------------------------------------------------------

def _events(message: Mapping[str, Any]) -> Iterator[bytes]:
    said = message["message"]
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield _event("message-start", id=message["id"], delta={"message": empty})
    for index, block in enumerate(said.get("content", ())):
        kind = block["type"]
        yield _event("content-start", index=index, delta={"message": {"content": {"type": kind, kind: ""}}})
        for text in _parts(block[kind]):
            yield _event("content-delta", index=index, delta={"message": {"content": {kind: text}}})
        yield _event("content-end", index=index)
    if "tool_plan" in said:
        yield _event("tool-plan-delta", delta={"message": {"tool_plan": said["tool_plan"]}})
    for index, call in enumerate(said.get("tool_calls", ())):
        begun = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield _event("tool-call-start", index=index, delta={"message": {"tool_calls": begun}})
        for text in _parts(call["function"]["arguments"]):
            delta = {"message": {"tool_calls": {"function": {"arguments": text}}}}
            yield _event("tool-call-delta", index=index, delta=delta)
        yield _event("tool-call-end", index=index)
    yield _event("message-end", delta={"finish_reason": message["finish_reason"], "usage": message["usage"]})


def _event(kind: str, **data: Any) -> bytes:
    return b"event: " + kind.encode("ascii") + b"\ndata: " + _json.dumps({"type": kind, **data}) + b"\n\n"


def _parts(text: str) -> list[str]:
    return pieces(text, max(12, len(text) // _MAX_EVENTS))


WIRE = Cohere()
