"""Replies of Gemini: answers, blocked prompts, and errors."""

from __future__ import annotations

import re
from typing import Any

from deluge.dialects._origin import stamped
from deluge.dialects._problems import problem_of, status_in
from deluge.dialects._reading import read
from deluge.dialects._replies import error_response, request_id_of
from deluge.dialects._verdicts import Problem, Rule, parse_verdict, verdict
from deluge.dialects.gemini.body import sent_tier
from deluge.dialects.gemini.contents import NAME
from deluge.dialects.gemini.parts import candidate_parts
from deluge.dialects.gemini.usage import tier_of, usage_of
from deluge.models.model import Model
from deluge.prompt import Message, Part, Text, Thinking, ToolCall
from deluge.request import RequestContext
from deluge.response import APIResponse, FinishReason
from deluge.usage import Usage
from deluge.wire import HttpReply

# https://ai.google.dev/api/generate-content#FinishReason
_FINISHES: dict[str, FinishReason] = {
    "STOP": "stop", "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length", "CONTINUATION": "length",
    "SAFETY": "content_filter", "RECITATION": "content_filter", "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter", "PROHIBITED_CONTENT": "content_filter", "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter", "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter", "MODEL_ARMOR": "content_filter", "ESCALATION": "content_filter",
    "OTHER": "error", "MALFORMED_FUNCTION_CALL": "error", "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error", "MALFORMED_RESPONSE": "error", "MISSING_THOUGHT_SIGNATURE": "error",
    "IMAGE_OTHER": "error", "NO_IMAGE": "error", "PUP_LIMITED_DISABLED": "error",
}
# Errors that lie in the request or the account: the same model would end so again.
_FINAL = {"MISSING_THOUGHT_SIGNATURE": 400, "PUP_LIMITED_DISABLED": 403}

# https://cloud.google.com/apis/design/errors, reasons of ErrorInfo and names of status
_CODES: dict[str, Rule] = {
    "access_token_expired": ("auth", True), "access_token_type_unsupported": ("auth", True),
    "credentials_missing": ("auth", True), "unauthenticated": ("auth", True),
    "service_disabled": ("permission", True), "api_key_service_blocked": ("permission", True),
    "api_key_ip_address_blocked": ("permission", True), "api_key_http_referrer_blocked": ("permission", True),
    "consumer_suspended": ("permission", True), "consumer_invalid": ("permission", True),
    "iam_permission_denied": ("permission", True), "billing_disabled": ("quota_exhausted", False),
    "deadline_exceeded": ("server", False),
}
# What the API says without a code of its own for it.
_WORDED: tuple[tuple[int, str, re.Pattern[str]], ...] = (
    (404, "model_not_found", re.compile(r"\bmodels/\S+ is not found|publisher model .{0,300}not found", re.I | re.S)),
    (403, "api_key_invalid", re.compile(
        r"api key was reported as leaked|api key.{0,40}(suspended|disabled)|unregistered callers", re.I)),
    (400, "consumer_invalid", re.compile(r"user location is not supported", re.I)),
    (429, "insufficient_quota", re.compile(
        r"prepay\w* credits? (are|is) depleted|spending cap|spend limit|\blimit: 0\b", re.I)),
)


def parsed(ctx: RequestContext, reply: HttpReply) -> APIResponse:
    """The answer, or the error with its verdict. Never raises."""
    return read(ctx, reply, answered, refused)


def refused(ctx: RequestContext, reply: HttpReply, problem: Problem, status: int, raw: Any = None) -> APIResponse:
    """The error response for what the provider said; what it counted all the same is kept."""
    model = ctx.template.model
    counts = raw.get("usageMetadata") if isinstance(raw, dict) else None
    usage = usage_of(counts)
    tier = tier_of(counts, reply.headers, sent_tier(ctx.template))
    id = raw.get("responseId") if isinstance(raw, dict) else None
    return error_response(
        ctx, reply, verdict(status, _coded(problem, status), reply.headers, ctx.now, _CODES), raw=raw, usage=usage,
        cost=model.cost(usage, tier) if usage.total_tokens else None, response_id=id if isinstance(id, str) else None,
    )


def answered(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """The response for the JSON of a 200, which may hold a block or an error all the same."""
    candidates = data.get("candidates") if type(data) is dict and not data.get("error") else None
    candidate = candidates[0] if type(candidates) is list and candidates else None
    if type(candidate) is not dict:
        return _no_answer(ctx, reply, data)
    id, name, counts = data.get("responseId"), data.get("modelVersion"), data.get("usageMetadata")
    parts = _parts(candidate, id)
    finish = _finish(candidate.get("finishReason"), parts)
    if finish == "error" or (finish == "content_filter" and not _says_something(parts)):
        return _cut_short(ctx, reply, data, candidate, finish)
    template = ctx.template
    model, keep = template.model, template.options.keep_raw
    usage = usage_of(counts)
    tier = tier_of(counts, reply.headers, sent_tier(template))
    return APIResponse(
        model_internal=model.id, model_external=name if type(name) is str and name else model.name,
        provider=model.provider.name, prompt=ctx.prompt, sampling_params=template.params, status_code=reply.status,
        content=Message("assistant", stamped(parts, model, NAME)), finish_reason=finish,
        logprobs=_logprobs(candidate.get("logprobsResult")),
        usage=usage, cost=_cost(candidate, counts, usage, tier, model), service_tier=tier,
        response_id=id if type(id) is str else None, request_id=request_id_of(reply.headers),
        raw_response=data if keep else None, headers=reply.headers if keep else None,
    )


def _cost(candidate: dict[str, Any], counts: Any, usage: Usage, tier: str | None, model: Model) -> float | None:
    """Dollars, or None: also where the web was searched, which costs nothing up to a number a day that we do not see."""
    grounding = candidate.get("groundingMetadata")
    if type(counts) is not dict or not counts or (type(grounding) is dict and grounding.get("webSearchQueries")):
        return None
    return model.cost(usage, tier)


def _parts(candidate: dict[str, Any], id: Any) -> tuple[Part, ...]:
    """One text and nothing else is what most answers are."""
    content = candidate.get("content")
    blocks = content.get("parts") if type(content) is dict else None
    if type(blocks) is list and len(blocks) == 1 and not (
        "groundingMetadata" in candidate or "citationMetadata" in candidate or "urlContextMetadata" in candidate
    ):
        block = blocks[0]
        if type(block) is dict and len(block) == 1 and type(block.get("text")) is str:
            return (Text(block["text"]),)
    return candidate_parts(candidate, id)


def _finish(word: Any, parts: tuple[Part, ...]) -> FinishReason:
    """One of our five. An unknown word is a stop; a stop with tool calls means the calls."""
    finish = _FINISHES.get(word, "stop") if type(word) is str else "stop"
    if finish == "stop" and any(type(part) is ToolCall and not part.built_in for part in parts):
        return "tool_calls"
    return finish


def _says_something(parts: tuple[Part, ...]) -> bool:
    return any(bool(part.text) if isinstance(part, Text) else not isinstance(part, Thinking) for part in parts)


def _logprobs(result: Any) -> Any:
    """The tokens with their log probabilities, in the form that all dialects give them."""
    chosen = result.get("chosenCandidates") if type(result) is dict else None
    if type(chosen) is not list:
        return None
    tops = result.get("topCandidates")
    tops = tops if type(tops) is list else []
    found = []
    for place, item in enumerate(chosen):
        top = tops[place].get("candidates") if place < len(tops) and type(tops[place]) is dict else None
        others = [_token(other) for other in top if type(other) is dict] if type(top) is list else []
        found.append({**_token(item), "top_logprobs": others})
    return found or None


def _token(item: Any) -> dict[str, Any]:
    item = item if type(item) is dict else {}
    token = item.get("token")
    return {"token": token if isinstance(token, str) else "", "logprob": item.get("logProbability")}


def _no_answer(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """A blocked prompt, an error inside a 200, or nothing that could be an answer."""
    if isinstance(data, list) and data and isinstance(data[0], dict):
        data = data[0]
    if not isinstance(data, dict):
        return error_response(ctx, reply, parse_verdict("the reply is not an object"), raw=data)
    if data.get("error"):
        return refused(ctx, reply, problem_of(data, 500), status_in(data), data)
    feedback = data.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if reason:
        told = feedback.get("blockReasonMessage") if isinstance(feedback, dict) else None
        message = f"the prompt was blocked ({reason})" + (f": {told}" if told else "")
        return refused(ctx, reply, Problem(message, ("content_filter",)), 400, data)
    return error_response(ctx, reply, parse_verdict("the reply has no candidates"), raw=data)


def _cut_short(
    ctx: RequestContext, reply: HttpReply, data: dict[str, Any], candidate: dict[str, Any], finish: str
) -> APIResponse:
    """A candidate that a filter emptied, or that broke off on the provider's side."""
    word, told = candidate.get("finishReason"), candidate.get("finishMessage")
    more = f": {told}" if isinstance(told, str) and told else ""
    if finish == "content_filter":
        message = f"the provider's content filter withheld the answer ({word}){more}"
        return refused(ctx, reply, Problem(message, ("content_filter",)), 400, data)
    message = f"the provider broke the answer off (finish reason {word}){more}"
    return refused(ctx, reply, Problem(message), _FINAL.get(str(word), 500), data)


def _coded(problem: Problem, status: int) -> Problem:
    """The problem with a code for what the API tells in words only."""
    for at, code, pattern in _WORDED:
        if at == status and pattern.search(problem.message):
            return Problem(problem.message, (code, *problem.codes), problem.retry_after)
    return problem
