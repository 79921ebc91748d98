"""Responses as dialects make them: answers, errors with their verdict, and what became of a failed transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deluge import _json
from deluge.dialects._verdicts import failure_verdict
from deluge.private import secrets_of, without_secrets
from deluge.request import RequestContext, RequestTemplate
from deluge.response import APIResponse
from deluge.usage import NO_USAGE, Usage
from deluge.wire import HttpReply, Verdict

MAX_MESSAGE = 2_000


def failure_response(ctx: RequestContext, reply: HttpReply) -> APIResponse:
    """The error for a reply that never came whole: the same in every dialect."""
    return error_response(ctx, reply, failure_verdict(reply.failure or "connection", reply.message))


def error_response(
    ctx: RequestContext, reply: HttpReply, verdict: Verdict, *, raw: Any = None, usage: Usage = NO_USAGE,
    cost: float | None = None, response_id: str | None = None, request_id: str | None = None,
) -> APIResponse:
    """An error with its verdict; ``usage`` and ``cost`` where a failed answer was counted all the same."""
    template = ctx.template
    model = template.model
    keep = template.options.keep_raw
    message = shown(verdict.message or verdict.kind, template)
    if verdict.message and verdict.message != message:
        verdict = replace(verdict, message=message)  # the verdict on a key is said to others too
    return APIResponse(
        model_internal=model.id, model_external=model.name, provider=model.provider.name, prompt=ctx.prompt,
        sampling_params=template.params, status_code=reply.status or None, is_error=True, error_kind=verdict.kind,
        error_message=message, finish_reason="error",
        usage=usage, cost=cost, response_id=response_id, request_id=request_id or request_id_of(reply.headers),
        retry_with_different_model=verdict.switch_model, give_up_if_no_other_models=not verdict.retry,
        raw_response=raw if keep else None, headers=reply.headers if keep else None, _verdict=verdict,
    )


def unread(reply: HttpReply, what: str) -> str:
    """The message for an error whose body cannot be read; ``what`` says why."""
    if 300 <= reply.status < 400:
        place = reply.headers.get("location", "")
        return f"HTTP {reply.status}: a redirect{' to ' + place if place else ''} is not followed; set base_url"
    return f"HTTP {reply.status}: {what}"


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The provider's id of this request, from whichever header it uses."""
    for name in ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-goog-request-id", "cf-ray"):
        value = headers.get(name)
        if value:
            return value
    return None


def shown(message: str, template: RequestTemplate) -> str:
    """The message without what is secret of the request, should the provider have echoed it, and not longer than a page."""
    message = without_secrets(message, secrets_of(template))
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"


def decoded(body: bytes) -> Any:
    """The JSON of a body; ``ValueError`` says what came instead, in a few words."""
    if not body or body.isspace():
        raise ValueError("the reply has an empty body")
    try:
        return _json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"the reply is not JSON: {excerpt(body)}") from None


def excerpt(body: bytes, limit: int = 160) -> str:
    """The beginning of a body that is no JSON; of an HTML page its title."""
    text = body[:20_000].decode("utf-8", "replace").strip()
    lowered = text[:2_000].lower()
    if "<html" in lowered or lowered.startswith("<!doctype"):
        start, end = lowered.find("<title>"), lowered.find("</title>")
        title = " ".join(text[start + 7:end].split()) if 0 <= start < end else ""
        return f"an HTML page{f' ({title[:limit]})' if title else ''}"
    text = " ".join(text.split())
    return repr(text if len(text) <= limit else text[:limit] + "…")
