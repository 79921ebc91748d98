"""Replies of chat completions: answers and errors, whatever a compatible server makes of them."""

from __future__ import annotations

from typing import Any

from deluge.dialects._replies import decoded, error_response, failure_response, request_id_of
from deluge.dialects._verdicts import Problem, parse_verdict, verdict
from deluge.prompt import Message, Text
from deluge.request import RequestContext
from deluge.response import APIResponse
from deluge.usage import NO_USAGE, Usage
from deluge.wire import HttpReply


def parsed(ctx: RequestContext, reply: HttpReply) -> APIResponse:
    """The answer, or the error with its verdict. Never raises."""
    if reply.failure is not None:
        return failure_response(ctx, reply)
    try:
        data = decoded(reply.body)
    except ValueError as error:
        if reply.ok:
            return error_response(ctx, reply, parse_verdict(str(error)))
        return error_response(ctx, reply, verdict(reply.status, Problem(str(error)), reply.headers, ctx.now))
    if not reply.ok:
        error = data.get("error") if isinstance(data, dict) else None
        message = error.get("message") if isinstance(error, dict) else None
        problem = Problem(str(message or f"HTTP {reply.status}"))
        return error_response(ctx, reply, verdict(reply.status, problem, reply.headers, ctx.now))
    return answered(ctx, reply, data)


def answered(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """The response for the JSON of a 200."""
    try:
        choice = data["choices"][0]
        text = choice["message"]["content"]
        counts = data.get("usage") or {}
        usage = Usage(counts["prompt_tokens"], counts["completion_tokens"]) if counts else NO_USAGE
    except (KeyError, IndexError, TypeError, AttributeError):
        return error_response(ctx, reply, parse_verdict("the reply has no message"))
    model = ctx.template.model
    return APIResponse(
        model_internal=model.id, model_external=data.get("model") or model.name, provider=model.provider.name,
        prompt=ctx.prompt, sampling_params=ctx.template.params, status_code=reply.status,
        content=Message("assistant", (Text(text),)), finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
        usage=usage, cost=model.cost(usage), response_id=data.get("id"), request_id=request_id_of(reply.headers),
    )
