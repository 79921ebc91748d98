"""Replies of the Responses API: answers, and errors with their verdict."""

from __future__ import annotations

from typing import Any

from deluge.dialects._origin import stamped
from deluge.dialects._problems import problem_of, status_in, words
from deluge.dialects._reading import read
from deluge.dialects._replies import error_response, request_id_of
from deluge.dialects._verdicts import Problem, Rule, parse_verdict, verdict
from deluge.dialects.openai_chat.usage import cost_of
from deluge.dialects.openai_responses.parts import NAME, is_yours, output_parts
from deluge.dialects.openai_responses.usage import usage_of, with_tools
from deluge.prompt import Message, Part, Text, ToolCall
from deluge.request import RequestContext
from deluge.response import APIResponse, FinishReason
from deluge.wire import HttpReply, Verdict

PENDING = frozenset({"queued", "in_progress"})
_DONE = frozenset({"completed", "incomplete"})
_CUT: dict[str, FinishReason] = {
    "max_output_tokens": "length", "max_messages": "length", "content_filter": "content_filter", "steered": "stop",
}
# The codes of an answer that failed inside a 200.
_CODES: dict[str, Rule] = {
    **dict.fromkeys((
        "invalid_prompt", "bio_policy", "cyber_policy", "misalignment_policy_violation",
        "image_content_policy_violation",
    ), ("content_filter", False)),
    **dict.fromkeys((
        "data_residency_mismatch", "invalid_image", "invalid_image_format", "invalid_base64_image",
        "invalid_image_url", "image_too_large", "image_too_small", "image_parse_error", "invalid_image_mode",
        "image_file_too_large", "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
        "image_file_not_found", "invalid_encrypted_content",
    ), ("bad_request", False)),
    "vector_store_timeout": ("server", False),
}


def parsed(ctx: RequestContext, reply: HttpReply) -> APIResponse:
    """The answer, or the error with its verdict. Never raises."""
    return read(ctx, reply, answered, refused)


def refused(ctx: RequestContext, reply: HttpReply, problem: Problem, status: int, raw: Any = None) -> APIResponse:
    """The error response for what the provider said; what it counted all the same is kept."""
    return _failed(ctx, reply, verdict(status, problem, reply.headers, ctx.now, _CODES), raw)


def answered(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """The response for the JSON of a 200, which may hold an error all the same."""
    if type(data) is not dict or type(data.get("output")) is not list or data.get("error"):
        return _no_answer(ctx, reply, data)
    status, output = data.get("status"), data["output"]
    if status is not None and not (type(status) is str and status in _DONE):
        return _no_answer(ctx, reply, data)
    parts = _parts(output)
    template = ctx.template
    model, options = template.model, template.options
    counts, tier, id, name = data.get("usage"), data.get("service_tier"), data.get("id"), data.get("model")
    tier = tier if type(tier) is str else None
    usage = usage_of(counts, model)
    return APIResponse(
        model_internal=model.id, model_external=name if type(name) is str and name else model.name,
        provider=model.provider.name, prompt=ctx.prompt, sampling_params=template.params, status_code=reply.status,
        content=Message("assistant", stamped(parts, model, NAME)), finish_reason=_finish(data, parts),
        logprobs=_logprobs(output) if template.params.logprobs else None, usage=usage,
        cost=with_tools(cost_of(counts, usage, tier, model), counts, output, model), service_tier=tier,
        response_id=id if type(id) is str else None,
        request_id=request_id_of(reply.headers), container_id=_container(output),
        raw_response=data if options.keep_raw else None, headers=reply.headers if options.keep_raw else None,
    )


def _parts(output: list[Any]) -> tuple[Part, ...]:
    if len(output) == 1 and type(output[0]) is dict and output[0].get("type") == "message":
        content = output[0].get("content")  # the usual answer: one text and nothing beside it
        if type(content) is list and len(content) == 1 and type(content[0]) is dict:
            block = content[0]
            text = block.get("text")
            plain = block.get("type") == "output_text" and not block.get("annotations")
            if plain and type(text) is str and output[0].get("phase") is None:
                return (Text(text),)
    return output_parts(output) or (Text(""),)


def _finish(data: dict[str, Any], parts: tuple[Part, ...]) -> FinishReason:
    """One of our five. A completed answer that calls tools of the user's finishes with them."""
    if data.get("status") == "incomplete":
        details = data.get("incomplete_details")
        reason = details.get("reason") if type(details) is dict else None
        return _CUT.get(reason, "length") if type(reason) is str else "length"
    return "tool_calls" if any(type(part) is ToolCall and is_yours(part) for part in parts) else "stop"


def _logprobs(output: list[Any]) -> Any:
    """The list of tokens with their log probabilities, of all texts; None when there are none."""
    found: list[Any] = []
    for item in output:
        content = item.get("content") if type(item) is dict and item.get("type") == "message" else None
        for block in content if type(content) is list else ():
            if type(block) is dict and type(block.get("logprobs")) is list:
                found += block["logprobs"]
    return found or None


def _container(output: list[Any]) -> str | None:
    """Where code ran, so that it can run on there."""
    for item in reversed(output):
        if type(item) is dict and type(item.get("container_id")) is str:
            found: str = item["container_id"]
            return found
    return None


def _no_answer(ctx: RequestContext, reply: HttpReply, data: Any) -> APIResponse:
    """A failed or cancelled answer, an error inside a 200, or nothing that could be an answer."""
    if not isinstance(data, dict):
        return error_response(ctx, reply, parse_verdict("the reply is not an object"), raw=data)
    status, error = str(data.get("status")), data.get("error")
    if status == "cancelled":
        return _failed(ctx, reply, Verdict("cancelled", message="the provider says that the answer was cancelled"), data)
    if status == "failed" or error:
        faulty = isinstance(error, dict) and error.get("type") == "invalid_request_error"
        return refused(ctx, reply, _problem(data), status_in(data, 400 if faulty else 500), data)
    if status in PENDING:
        message = f"the answer is not ready (status {status}): set background=True to wait for it"
        return _failed(ctx, reply, Verdict("bad_request", message=message), data)
    if data.get("object") == "error" or isinstance(data.get("detail"), (str, list)):
        return refused(ctx, reply, problem_of(data, 500), status_in(data), data)
    return error_response(ctx, reply, parse_verdict("the reply has no output"), raw=data)


def _problem(data: dict[str, Any]) -> Problem:
    error = data.get("error")
    if error:
        return problem_of({"error": error}, 500)
    return Problem("the provider failed to answer", words(("server_error",)))


def _failed(ctx: RequestContext, reply: HttpReply, judged: Verdict, raw: Any) -> APIResponse:
    model = ctx.template.model
    data = raw if isinstance(raw, dict) else {}
    counts, tier, id = data.get("usage"), data.get("service_tier"), data.get("id")
    usage = usage_of(counts, model)
    return error_response(
        ctx, reply, judged, raw=raw, usage=usage, cost=cost_of(counts, usage, tier if isinstance(tier, str) else None, model),
        response_id=id if isinstance(id, str) else None,
    )
