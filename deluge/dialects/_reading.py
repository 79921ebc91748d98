"""The way of every reply: it never came, cannot be read, is an answer or an error. What those mean is the dialect's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from deluge.dialects._problems import problem_of
from deluge.dialects._replies import decoded, error_response, failure_response, unread
from deluge.dialects._verdicts import Problem, parse_verdict
from deluge.request import RequestContext
from deluge.response import APIResponse
from deluge.wire import HttpReply

Answered = Callable[[RequestContext, HttpReply, Any], APIResponse]
Stated = Callable[[HttpReply, Any, "str | None"], Problem]


class Refused(Protocol):
    """The error response for a problem with its status, and the JSON in which it was said."""

    def __call__(
        self, ctx: RequestContext, reply: HttpReply, problem: Problem, status: int, raw: Any = None, /
    ) -> APIResponse:
        """The response."""


def stated(reply: HttpReply, data: Any, unreadable: str | None) -> Problem:
    """What an error's body says; ``unreadable``: why it is no JSON."""
    return problem_of(data, reply.status) if unreadable is None else Problem(unread(reply, unreadable))


def read(
    ctx: RequestContext, reply: HttpReply, answered: Answered, refused: Refused, problem: Stated = stated
) -> APIResponse:
    """The answer, or the error with its verdict. Never raises where the three do not."""
    if reply.failure is not None:
        return failure_response(ctx, reply)
    good = 200 <= reply.status < 300
    try:
        data = decoded(reply.body)
    except ValueError as error:
        if good:
            return error_response(ctx, reply, parse_verdict(str(error)))
        return refused(ctx, reply, problem(reply, None, str(error)), reply.status)
    if good:
        return answered(ctx, reply, data)
    return refused(ctx, reply, problem(reply, data, None), reply.status, data)
