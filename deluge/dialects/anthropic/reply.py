"""Replies of the Messages API: answers and errors. https://platform.claude.com/docs/en/api/errors"""

from __future__ import annotations

from typing import Any

from deluge.dialects._origin import stamped
from deluge.dialects._problems import problem_of
from deluge.dialects._reading import read
from deluge.dialects._replies import error_response, request_id_of, unread
from deluge.dialects._verdicts import Problem, Rule, parse_verdict, verdict
from deluge.dialects.anthropic.parts import NAME, content_parts
from deluge.dialects.anthropic.usage import cost_of, tier_of, usage_of
from deluge.prompt import Message, Part, Refusal, Text
from deluge.request import RequestContext
from deluge.response import APIResponse, FinishReason
from deluge.wire import HttpReply

_FINISHES: dict[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "pause_turn": "stop", "refusal": "content_filter", "model_context_window_exceeded": "length", "compaction": "stop",
}
_STATUS: dict[str, int] = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "conflict_error": 409, "request_too_large": 413, "rate_limit_error": 429,
    "api_error": 500, "timeout_error": 504, "overloaded_error": 529,
}
_CODES: dict[str, Rule] = {"timeout_error": ("timeout", False), "request_too_large": ("too_large", False)}


def parsed(ctx: RequestContext, reply: HttpReply) -> APIResponse:
    """The answer, or the error with its verdict. Never raises."""
    return read(ctx, reply, answered, refused, _stated)


def _stated(reply: HttpReply, data: Any, unreadable: str | None) -> Problem:
    return problem_in(data, reply.status) if unreadable is None else Problem(unread(reply, unreadable))


def problem_in(data: Any, status: int) -> Problem:
    """What an error body says. A model that is not known is named and nothing else: ``model: claude-x``."""
    problem = problem_of(data, status)
    if status == 404 and problem.message.startswith("model:"):
        return Problem(problem.message, ("model_not_found", *problem.codes))
    return problem


def status_within(data: Any) -> int:
    """The status that an error inside a stream or a 200 stands for."""
    error = data.get("error") if isinstance(data, dict) else None
    word = error.get("type") if isinstance(error, dict) else None
    return _STATUS.get(word, 500) if isinstance(word, str) else 500


def refused(ctx: RequestContext, reply: HttpReply, problem: Problem, status: int, raw: Any = None) -> APIResponse:
    """The error response for what the provider said; what it counted all the same is kept."""
    raw = raw if isinstance(raw, dict) else {}
    counts, id, request_id = raw.get("usage"), raw.get("id"), raw.get("request_id")
    usage = usage_of(counts)
    return error_response(
        ctx, reply, verdict(status, problem, reply.headers, ctx.now, _CODES), raw=raw or None, usage=usage,
        cost=cost_of(counts, usage, tier_of(counts), ctx.template.model), response_id=id if isinstance(id, str) else None,
        request_id=request_id_of(reply.headers) or (request_id if isinstance(request_id, str) else None),
    )


def answered(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """The response for the JSON of a 200, which may hold an error all the same."""
    blocks = data.get("content") if type(data) is dict else None
    if type(blocks) is not list or data.get("type") == "error":
        return _no_answer(ctx, reply, data)
    word = data.get("stop_reason")
    finish: FinishReason = _FINISHES.get(word, "stop") if type(word) is str else "stop"
    parts = _parts_of(blocks)
    if finish == "content_filter":
        explanation = explanation_of(data.get("stop_details"))
        if not any(type(part) is not Text or part.text for part in parts):
            message = explanation or "the model refused to answer"
            return refused(ctx, reply, Problem(message, ("content_filter",)), 400, data)
        parts = (*parts, Refusal(explanation)) if explanation else parts
    template = ctx.template
    model, keep = template.model, template.options.keep_raw
    counts, id, name, container = data.get("usage"), data.get("id"), data.get("model"), data.get("container")
    usage, tier = usage_of(counts), tier_of(counts)
    return APIResponse(
        model_internal=model.id, model_external=name if type(name) is str and name else model.name,
        provider=model.provider.name, prompt=ctx.prompt, sampling_params=template.params, status_code=reply.status,
        content=Message("assistant", stamped(parts, model, NAME)), finish_reason=finish, paused=word == "pause_turn",
        usage=usage, cost=cost_of(counts, usage, tier, model), service_tier=tier,
        response_id=id if type(id) is str else None, request_id=request_id_of(reply.headers),
        container_id=_container(container), raw_response=data if keep else None,
        headers=reply.headers if keep else None,
    )


def explanation_of(details: Any) -> str:
    """Why the answer was withheld, in the provider's words."""
    text = details.get("explanation") if isinstance(details, dict) else None
    return text if isinstance(text, str) else ""


def _parts_of(blocks: list[Any]) -> tuple[Part, ...]:
    if len(blocks) == 1 and type(blocks[0]) is dict:
        block = blocks[0]
        text = block.get("text")
        if block.get("type") == "text" and type(text) is str and not block.get("citations"):
            return (Text(text),)
    return content_parts(blocks)


def _container(container: Any) -> str | None:
    id = container.get("id") if isinstance(container, dict) else None
    return id if isinstance(id, str) else None


def _no_answer(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """An error inside a 200, or nothing that could be an answer."""
    if isinstance(data, dict) and data.get("error"):
        status = status_within(data)
        return refused(ctx, reply, problem_in(data, status), status, data)
    what = "has no content" if isinstance(data, dict) else "is not an object"
    return error_response(ctx, reply, parse_verdict(f"the reply {what}"), raw=data)
