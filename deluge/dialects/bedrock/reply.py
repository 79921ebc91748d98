"""Replies of Converse: answers and errors.

https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deluge.dialects._origin import stamped
from deluge.dialects._problems import words
from deluge.dialects._reading import read
from deluge.dialects._replies import error_response, request_id_of, unread
from deluge.dialects._verdicts import Problem, Rule, parse_verdict, verdict
from deluge.dialects.bedrock.parts import NAME, content_parts
from deluge.dialects.bedrock.usage import cost_of, tier_of, usage_of
from deluge.prompt import Message, Part, Text, ToolCall
from deluge.request import RequestContext, RequestTemplate
from deluge.response import APIResponse, FinishReason
from deluge.wire import HttpReply

_FINISHES: dict[str, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "model_context_window_exceeded": "length", "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter", "malformed_model_output": "error", "malformed_tool_use": "error",
}
_CODES: dict[str, Rule] = {
    "accessdeniedexception": ("permission", True), "expiredtokenexception": ("auth", True),
    "invalidsignatureexception": ("auth", True), "incompletesignatureexception": ("auth", True),
    "missingauthenticationtokenexception": ("auth", True), "invalidclienttokenid": ("auth", True),
    "notauthorizedexception": ("auth", True), "optinrequired": ("permission", True),
    "resourcenotfoundexception": ("not_found", True), "model_unknown": ("not_found", True),
    "modelnotreadyexception": ("overloaded", False), "modeltimeoutexception": ("timeout", False),
    "modelerrorexception": ("server", False), "modelstreamerrorexception": ("server", False),
    "internalserverexception": ("server", False), "internalfailure": ("server", False),
    "servicequotaexceededexception": ("rate_limit", False),
}
# The statuses of exceptions that come inside a stream.
_STATUS = {
    "internalserverexception": 500, "modelstreamerrorexception": 424, "validationexception": 400,
    "throttlingexception": 429, "serviceunavailableexception": 503, "modeltimeoutexception": 408,
    "modelerrorexception": 424, "accessdeniedexception": 403, "resourcenotfoundexception": 404,
}
# What a ValidationException or a ThrottlingException means is in its words only.
_PHRASES = (
    (re.compile(r"model identifier is invalid|on-demand throughput isn.t supported|end of its life", re.I),
     "model_unknown"),
    (re.compile(r"tokens per day", re.I), "daily_quota_exhausted"),
    (re.compile(r"authentication failed|api key (is|was) (not valid|invalid|expired)|invalid api key", re.I),
     "invalid_api_key"),
)
_REGION = re.compile(r"bedrock[a-z-]*\.([a-z]{2}(?:-[a-z]+)+-\d+)\.", re.ASCII)


def parsed(ctx: RequestContext, reply: HttpReply) -> APIResponse:
    """The answer, or the error with its verdict. Never raises."""
    return read(ctx, reply, answered, refused, _stated)


def _stated(reply: HttpReply, data: Any, unreadable: str | None) -> Problem:
    otherwise = f"HTTP {reply.status}" if unreadable is None else unread(reply, unreadable)
    return problem_in(data, reply.headers.get("x-amzn-errortype"), otherwise)


def problem_in(data: Any, kind: str | None, otherwise: str) -> Problem:
    """What an error says: its type is in a header, or in the body, with or without a namespace."""
    fields = data if isinstance(data, Mapping) else {}
    texts = (fields.get(name) for name in ("message", "Message", "originalMessage"))
    message = next((text for text in texts if isinstance(text, str) and text), otherwise)
    codes = words(_short(word) for word in (kind, fields.get("__type"), fields.get("code")) if word)
    for pattern, code in _PHRASES:
        if pattern.search(message):
            codes = (code, *codes)
    return Problem(message, codes)


def _short(word: Any) -> str:
    """``com.amazon.coral#ValidationException:http://…`` is a ValidationException."""
    return word.partition(":")[0].rpartition("#")[2].strip() if isinstance(word, str) else ""


def status_of(exception: str) -> int:
    """The HTTP status that an exception inside a stream stands for."""
    return _STATUS.get(exception.lower(), 500)


def refused(ctx: RequestContext, reply: HttpReply, problem: Problem, status: int, raw: Any = None) -> APIResponse:
    """The error response for what the provider said; what it counted all the same is kept."""
    raw = raw if isinstance(raw, dict) else {}
    usage = usage_of(raw.get("usage"))
    response = error_response(
        ctx, reply, verdict(status, problem, reply.headers, ctx.now, _CODES), raw=raw or None, usage=usage,
        cost=cost_of(raw, usage, tier_of(raw), ctx.template.model),
    )
    response.region = region_of(ctx.template)
    return response


def answered(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """The response for the JSON of a 200."""
    blocks = _content(data)
    if blocks is None:
        return _no_answer(ctx, reply, data)
    parts = _parts_of(blocks)
    word = data.get("stopReason")
    finish = _finish(word, parts)
    if finish == "error":
        return refused(ctx, reply, Problem(f"the model's answer cannot be read (stopReason {word!r})"), 500, data)
    if finish == "content_filter" and not any(type(part) is not Text or part.text for part in parts):
        problem = Problem("the provider's content filter withheld the answer", ("content_filter",))
        return refused(ctx, reply, problem, 400, data)
    template = ctx.template
    model, keep = template.model, template.options.keep_raw
    usage, tier = usage_of(data.get("usage")), tier_of(data)
    return APIResponse(
        model_internal=model.id, model_external=_invoked(data) or model.name, provider=model.provider.name,
        prompt=ctx.prompt, sampling_params=template.params, status_code=reply.status,
        content=Message("assistant", stamped(parts, model, NAME)), finish_reason=finish, usage=usage,
        cost=cost_of(data, usage, tier, model), service_tier=tier, region=region_of(template),
        request_id=request_id_of(reply.headers), raw_response=data if keep else None,
        headers=reply.headers if keep else None,
    )


def region_of(template: RequestTemplate) -> str | None:
    """The region that was asked, as the address names it."""
    memo = template.memo
    if "bedrock_region" not in memo:
        found = _REGION.search(template.base_url)
        memo["bedrock_region"] = found.group(1) if found else None
    region: str | None = memo["bedrock_region"]
    return region


def _content(data: Any) -> list[Any] | None:
    output = data.get("output") if type(data) is dict else None
    message = output.get("message") if type(output) is dict else None
    content = message.get("content") if type(message) is dict else None
    return content if type(content) is list else None


def _parts_of(blocks: list[Any]) -> tuple[Part, ...]:
    if len(blocks) == 1 and type(blocks[0]) is dict:
        text = blocks[0].get("text")
        if type(text) is str:
            return (Text(text),)
    return content_parts(blocks)


def _finish(word: Any, parts: tuple[Part, ...]) -> FinishReason:
    """One of our five. An unknown word is a stop; a stop with tool calls means the calls."""
    finish: FinishReason = _FINISHES.get(word, "stop") if type(word) is str else "stop"
    if finish == "stop" and type(parts[-1] if parts else None) is ToolCall:
        return "tool_calls" if any(type(part) is ToolCall and not part.built_in for part in parts) else "stop"
    return finish


def _invoked(data: dict[str, Any]) -> str | None:
    """The model that a prompt router chose."""
    trace = data.get("trace")
    router = trace.get("promptRouter") if type(trace) is dict else None
    name = router.get("invokedModelId") if type(router) is dict else None
    return name if type(name) is str and name else None


def _no_answer(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """Nothing that could be an answer: an error inside a 200, or some other server's words."""
    if isinstance(data, dict) and (data.get("__type") or data.get("message") or data.get("Message")):
        problem = problem_in(data, reply.headers.get("x-amzn-errortype"), "the reply is an error")
        return refused(ctx, reply, problem, status_of(problem.codes[0]) if problem.codes else 500, data)
    what = "has no message" if isinstance(data, dict) else "is not an object"
    return error_response(ctx, reply, parse_verdict(f"the reply {what}"), raw=data)
