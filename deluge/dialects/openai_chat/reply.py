"""Replies of chat completions: answers and errors, whatever a compatible server makes of them."""

from __future__ import annotations

from typing import Any

from deluge.dialects._origin import stamped
from deluge.dialects._problems import base_problem, problem_of, status_in
from deluge.dialects._reading import read
from deluge.dialects._replies import error_response, request_id_of
from deluge.dialects._verdicts import Problem, Rule, parse_verdict, verdict
from deluge.dialects.openai_chat.parts import NAME, message_parts
from deluge.dialects.openai_chat.usage import cost_of, searched, tier_of, usage_of
from deluge.prompt import Message, Part, Text, ToolCall
from deluge.request import RequestContext
from deluge.response import APIResponse, FinishReason
from deluge.wire import HttpReply

_FINISHES: dict[str, FinishReason] = {
    "stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter",
    "function_call": "tool_calls", "tool_use": "tool_calls", "tool_call": "tool_calls",
    "model_length": "length", "max_tokens": "length", "max_output_tokens": "length", "repetition_truncation": "length",
    "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop", "complete": "stop",
    "sensitive": "content_filter", "safety": "content_filter", "recitation": "content_filter",
    "prohibited_content": "content_filter", "refusal": "content_filter",
    "error": "error", "network_error": "error", "abort": "error", "aborted": "error",
    "insufficient_system_resource": "error",
}
# Z.ai: https://docs.z.ai/api-reference/api-code
_CODES: dict[str, Rule] = {
    "1000": ("auth", True), "1001": ("auth", True), "1002": ("auth", True), "1003": ("auth", True),
    "1004": ("auth", True), "1112": ("auth", True), "1121": ("auth", True), "1211": ("not_found", True),
    "1113": ("quota_exhausted", False),
    "1234": ("server", False), "1261": ("context_length", False), "1301": ("content_filter", False),
    "1302": ("rate_limit", False), "1303": ("rate_limit", False), "1304": ("quota_exhausted", False),
    "1305": ("overloaded", False), "1308": ("quota_exhausted", False), "1309": ("quota_exhausted", False),
}
_PLAIN = frozenset({"role", "content"})


def parsed(ctx: RequestContext, reply: HttpReply) -> APIResponse:
    """The answer, or the error with its verdict. Never raises."""
    return read(ctx, reply, answered, refused)


def refused(ctx: RequestContext, reply: HttpReply, problem: Problem, status: int, raw: Any = None) -> APIResponse:
    """The error response for what the provider said; what it counted all the same is kept."""
    model = ctx.template.model
    data = raw if isinstance(raw, dict) else {}
    counts, id = data.get("usage"), data.get("id")
    usage = usage_of(counts, model)
    return error_response(
        ctx, reply, verdict(status, problem, reply.headers, ctx.now, _CODES), raw=raw, usage=usage,
        cost=cost_of(counts, usage, tier_of(data), model), response_id=id if isinstance(id, str) else None,
    )


def answered(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """The response for the JSON of a 200, which may hold an error all the same."""
    choice = message = None
    if type(data) is dict and not data.get("error"):
        choices = data.get("choices")
        if type(choices) is list and choices and type(choices[0]) is dict:
            choice = choices[0]
            message = choice.get("message")
    if choice is None or type(message) is not dict or choice.get("error"):
        return _no_answer(ctx, reply, data, choice)
    parts = _parts(message)
    finish = _finish(choice.get("finish_reason"), parts)
    if finish == "error" or (finish == "content_filter" and not _says_something(parts)):
        return _cut_short(ctx, reply, data, choice, finish)
    template = ctx.template
    model, options = template.model, template.options
    counts, tier, id, name = data.get("usage"), tier_of(data), data.get("id"), data.get("model")
    usage = usage_of(counts, model)
    return APIResponse(
        model_internal=model.id, model_external=name if type(name) is str and name else model.name,
        provider=model.provider.name, prompt=ctx.prompt, sampling_params=template.params, status_code=reply.status,
        content=Message("assistant", stamped(parts, model, NAME)), finish_reason=finish,
        logprobs=_logprobs(choice.get("logprobs")),
        usage=usage, cost=None if searched(message, counts) else cost_of(counts, usage, tier, model), service_tier=tier,
        response_id=id if type(id) is str else None, request_id=request_id_of(reply.headers),
        raw_response=data if options.keep_raw else None,
        headers=reply.headers if options.keep_raw else None,
    )


def _parts(message: dict[str, Any]) -> tuple[Part, ...]:
    content = message.get("content")
    if type(content) is str:
        for name, value in message.items():
            if value and name not in _PLAIN:
                return message_parts(message)
        return (Text(content),)
    return message_parts(message)


def _finish(word: Any, parts: tuple[Part, ...]) -> FinishReason:
    """One of our five. An unknown word is a stop; a stop with tool calls means the calls."""
    finish = _FINISHES.get(word) if type(word) is str else None
    if finish is None:
        finish = _FINISHES.get(word.lower(), "stop") if type(word) is str else "stop"
    if finish == "stop" and type(parts[-1] if parts else None) is not Text:
        return "tool_calls" if any(type(part) is ToolCall for part in parts) else "stop"
    return finish


def _says_something(parts: tuple[Part, ...]) -> bool:
    return any(not isinstance(part, Text) or part.text for part in parts)


def _logprobs(value: Any) -> Any:
    """The list of tokens with their log probabilities; another shape as it came."""
    if type(value) is not dict:
        return value or None
    content = value.get("content")
    if type(content) is list:
        return content
    return value if any(item is not None for item in value.values()) else None


def _no_answer(ctx: RequestContext, reply: HttpReply, data: Any, choice: Any) -> APIResponse:
    """An error inside a 200, or nothing that could be an answer."""
    if isinstance(data, list) and data and isinstance(data[0], dict):
        data = data[0]
    if not isinstance(data, dict):
        return error_response(ctx, reply, parse_verdict("the reply is not an object"), raw=data)
    within = data if data.get("error") else choice if isinstance(choice, dict) and choice.get("error") else None
    if within is not None:
        return refused(ctx, reply, problem_of(within, 500), status_in(within), data)
    base = base_problem(data)
    if base is not None:
        return refused(ctx, reply, *base, data)
    if isinstance(choice, dict) or isinstance(data.get("choices"), list):
        return error_response(ctx, reply, parse_verdict("the reply has no message"), raw=data)
    if data.get("object") == "error" or isinstance(data.get("detail"), (str, list)):
        return refused(ctx, reply, problem_of(data, 500), status_in(data), data)
    return error_response(ctx, reply, parse_verdict("the reply has no choices"), raw=data)


def _cut_short(
    ctx: RequestContext, reply: HttpReply, data: dict[str, Any], choice: dict[str, Any], finish: str
) -> APIResponse:
    """A choice that the provider's filter emptied, or that broke off on its side."""
    word = choice.get("finish_reason")
    if finish == "content_filter":
        problem = Problem("the provider's content filter withheld the answer", ("content_filter",))
    elif word == "insufficient_system_resource":
        problem = Problem("the provider ran out of capacity", ("overloaded",))
    else:
        problem = Problem(f"the provider broke the answer off (finish_reason {word!r})", ("server_error",))
    return refused(ctx, reply, problem, 400 if finish == "content_filter" else 500, data)
