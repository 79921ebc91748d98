"""Jobs in the background: started once, then asked after until they are done.

https://platform.openai.com/docs/guides/background
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from deluge._retry_after import parse_retry_after
from deluge.dialects._headers import address
from deluge.dialects._problems import problem_of
from deluge.dialects._replies import decoded, error_response
from deluge.dialects._verdicts import verdict
from deluge.dialects.openai_responses.reply import PENDING, parsed
from deluge.request import RequestContext
from deluge.response import APIResponse
from deluge.wire import Cancelled, HttpCall, HttpReply, Verdict

FIRST_DELAY, GROWTH, LONGEST_DELAY = 1.0, 1.5, 10.0  # seconds between polls
_MOST_ASKED = 60.0  # seconds that a server may ask us to wait before the next poll
_GONE = frozenset({401, 403, 404, 410})  # answers that more polls will not change
_SURE_AFTER = 3  # of them in a row

Exchange = Generator[HttpCall, "tuple[HttpReply, RequestContext]", APIResponse]


def followed(ctx: RequestContext, reply: HttpReply, headers: Mapping[str, str], include: tuple[str, ...]) -> Exchange:
    """The job that this reply started, until it ends; a reply that started none is parsed as it is.

    A poll that fails is sent again: the job runs on, and is never started twice. Should the task end first, the job is
    cancelled.
    """
    job = _pending(reply)
    if job is None:
        return parsed(ctx, reply)
    place = f"/responses/{quote(job, safe='')}"
    url = address(ctx.template, place)
    if include:
        url += ("&" if "?" in url else "?") + urlencode([("include[]", word) for word in include])
    cancel = HttpCall("POST", address(ctx.template, f"{place}/cancel"), headers, b"")
    try:
        return (yield from _polled(url, headers, job))
    except Cancelled:
        yield cancel
        raise


def _polled(url: str, headers: Mapping[str, str], job: str) -> Exchange:
    """Asks until the job is done, at growing distances."""
    delay, gone, asked = FIRST_DELAY, 0, 0.0
    while True:
        reply, ctx = yield HttpCall("GET", url, headers, delay=max(delay, asked))
        delay, asked = min(delay * GROWTH, LONGEST_DELAY), 0.0
        if reply.ok:
            gone = 0
            if _pending(reply) is None and _readable(reply):
                return parsed(ctx, reply)
            continue
        asked = min(parse_retry_after(reply.headers, ctx.now) or 0.0, _MOST_ASKED)
        gone = gone + 1 if reply.status in _GONE else 0
        if gone >= _SURE_AFTER:
            return _lost(ctx, reply, job)


def _pending(reply: HttpReply) -> str | None:
    """The id of the job that this reply tells of, while it is not done."""
    data = _object(reply)
    job = data.get("id")
    return job if str(data.get("status")) in PENDING and isinstance(job, str) and job else None


def _readable(reply: HttpReply) -> bool:
    """Whether a reply tells what became of the job; anything else is a failed poll."""
    return isinstance(_object(reply).get("status"), str)


def _object(reply: HttpReply) -> dict[str, Any]:
    if not reply.ok:
        return {}
    try:
        data = decoded(reply.body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _lost(ctx: RequestContext, reply: HttpReply, job: str) -> APIResponse:
    """The provider does not tell any more what became of a job: it may have run, so it is not started again."""
    try:
        problem = problem_of(decoded(reply.body), reply.status)
    except ValueError as error:
        problem = problem_of(str(error), reply.status)
    judged = verdict(reply.status, problem, {}, ctx.now)
    message = f"the job {job} cannot be asked after any more: {judged.message}"
    return error_response(ctx, reply, Verdict(judged.kind, message=message), response_id=job)
