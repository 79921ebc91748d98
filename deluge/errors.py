"""Every exception that deluge raises, and the names of the kinds of failure.

    DelugeError
     ├─ ConfigError(ValueError)          UnknownModelError · MissingAPIKeyError
     ├─ APIError                         carries .response
     │   ├─ APIConnectionError           ─ APITimeoutError(TimeoutError)
     │   ├─ ResponseParseError
     │   ├─ EmbeddingError               carries .vectors and .responses
     │   ├─ CancelledError
     │   └─ APIStatusError               BadRequestError · AuthenticationError · PermissionDeniedError
     │                                   NotFoundError · RateLimitError · QuotaExhaustedError · OverloadedError
     │                                   InternalServerError · ContextLengthError · ContentFilterError
     ├─ RequestTooLargeError · BudgetExceededError · InputError · PostprocessError   (carry .response)
     ├─ ToolError · MCPError
     ├─ JournalError                      carries .responses
     ├─ BatchError ─ BatchTimeoutError    carries .state
     └─ ClosedError
    Interrupted(KeyboardInterrupt)       carries .responses

Inside deluge failures are values; these classes appear at the edge: programming mistakes raise at once,
failed prompts raise only when ``response.raise_for_error()`` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence

ErrorKind = Literal[
    "rate_limit", "overloaded", "timeout", "connection", "server", "auth", "permission", "not_found",
    "context_length", "content_filter", "bad_request", "quota_exhausted", "parse",
    "too_large", "budget", "cancelled", "input", "postprocess",
]
ERROR_KINDS: tuple[str, ...] = get_args(ErrorKind)


class DelugeError(Exception):
    """Anything that deluge raises on purpose."""


class ConfigError(DelugeError, ValueError):
    """A setting, argument or file that cannot be used as it is."""


class UnknownModelError(ConfigError):
    """No model of this name is registered; the message names the nearest ones."""


class MissingAPIKeyError(ConfigError):
    """The provider needs a key and none was found; the message names the environment variable."""


class ClosedError(DelugeError):
    """The client was closed for good (its ``with`` block ended) or is shutting down."""


class JournalError(DelugeError):
    """The journal cannot be written any more: a full disk, most likely. Nothing was sent since, nothing is lost.

    ``.responses`` has what was answered, in input order, None elsewhere (empty for ``map``, which has handed them over).
    ``.unwritten``: how many of them are in memory only. ``.path``: the journal's.
    """

    def __init__(self, message: str = "", responses: Sequence[Any] = (), *, path: str = "", unwritten: int = 0) -> None:
        super().__init__(message)
        self.responses = list(responses)
        self.path = path
        self.unwritten = unwritten

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_journal_error, (str(self), self.responses, self.path, self.unwritten)


class BatchError(DelugeError):
    """A provider batch could not be made, asked about or read. Nothing is lost: ``.state`` is the file to go on from.

    ``.kind`` is the kind of failure as in ``response.error_kind``; ``.retry``: whether the same call may work later,
    ``.retry_after``: in how many seconds, where the provider said so.
    """

    def __init__(self, message: str = "", *, state: str = "", kind: str | None = None, retry: bool = False,
                 retry_after: float | None = None) -> None:
        super().__init__(message)
        self.state = state
        self.kind = kind
        self.retry = retry
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_batch_error, (type(self), str(self), self.state, self.kind, self.retry, self.retry_after)


class BatchTimeoutError(BatchError, TimeoutError):
    """The job has not ended within ``timeout=`` seconds. It goes on: wait for it again."""


def _rebuild_batch_error(
    cls: type[BatchError], message: str, state: str, kind: str | None, retry: bool, after: float | None
) -> BatchError:
    return cls(message, state=state, kind=kind, retry=retry, retry_after=after)


def _rebuild_journal_error(message: str, responses: list[Any], path: str, unwritten: int) -> JournalError:
    return JournalError(message, responses, path=path, unwritten=unwritten)


class ToolError(DelugeError):
    """A tool is described wrongly, or was called with arguments that its schema refuses."""


class MCPError(DelugeError):
    """An MCP server could not be reached or started, refused, or answered with an error.

    ``server`` is its name. ``kind`` is connection, timeout, auth, permission, not_found, rate_limit, bad_request,
    server, parse or cancelled. ``code`` is the error code of JSON-RPC, ``status_code`` the HTTP status, where there was one.
    """

    def __init__(
        self, message: str = "", *, server: str | None = None, kind: str = "server", code: int | None = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.server, self.kind, self.code, self.status_code = server, kind, code, status_code

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_mcp, (type(self), self.args, self.server, self.kind, self.code, self.status_code)


def _rebuild_mcp(cls: type[MCPError], args: tuple[Any, ...], *values: Any) -> MCPError:
    return cls(*args, **dict(zip(("server", "kind", "code", "status_code"), values)))


class ResponseError(DelugeError):
    """A prompt that ended without an answer. ``.response`` is its ``APIResponse`` (None when built by hand)."""

    kind: str = "server"

    def __init__(self, message: str = "", *, response: Any = None, status_code: int | None = None) -> None:
        super().__init__(message)
        self.response = response
        self.status_code: int | None = status_code if status_code is not None else getattr(response, "status_code", None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, {"response": self.response, "status_code": self.status_code})


def _rebuild(cls: type[ResponseError], args: tuple[Any, ...], state: dict[str, Any]) -> ResponseError:
    error = cls(*args, response=state["response"], status_code=state["status_code"])
    return error


class APIError(ResponseError):
    """The provider, or the way to it, failed."""


class APIConnectionError(APIError):
    """The connection could not be made, was reset, or ended in the middle of a reply."""

    kind = "connection"


class APITimeoutError(APIConnectionError, TimeoutError):
    """The attempt took longer than ``request_timeout`` seconds."""

    kind = "timeout"


class EmbeddingError(APIError):
    """Some texts have no vector. The others were finished first, and are not lost.

    ``.vectors``: what ``embed`` would have given, with NaN (in lists: None) for the texts that failed. ``.responses``: one
    for each text, in input order. ``.response``: the first that failed.
    """

    def __init__(
        self, message: str = "", *, vectors: Any = None, responses: Sequence[Any] = (), response: Any = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(message, response=response, status_code=status_code)
        self.vectors = vectors
        self.responses = list(responses)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_embedding_error, (str(self), self.vectors, self.responses, self.response)


def _rebuild_embedding_error(message: str, vectors: Any, responses: list[Any], response: Any) -> EmbeddingError:
    return EmbeddingError(message, vectors=vectors, responses=responses, response=response)


class ResponseParseError(APIError):
    """The reply is not one of the provider's own API, or the answer never fitted its ``output_schema``."""

    kind = "parse"


class CancelledError(APIError):
    """The prompt was cancelled: by its handle, by ``timeout=``, by Ctrl-C or by ``close()``."""

    kind = "cancelled"


class APIStatusError(APIError):
    """The provider refused the request; ``.status_code`` is the HTTP status."""


class BadRequestError(APIStatusError):
    """The request itself is wrong (400, 413, 422): sending it again cannot help."""

    kind = "bad_request"


class AuthenticationError(APIStatusError):
    """The key is missing, wrong or revoked (401)."""

    kind = "auth"


class PermissionDeniedError(APIStatusError):
    """The key may not do this (403)."""

    kind = "permission"


class NotFoundError(APIStatusError):
    """The model, file or deployment does not exist (404)."""

    kind = "not_found"


class RateLimitError(APIStatusError):
    """Too many requests or tokens (429), for longer than ``rate_limit_patience``."""

    kind = "rate_limit"


class QuotaExhaustedError(RateLimitError):
    """The account has no credit left or reached a spend limit: waiting does not help."""

    kind = "quota_exhausted"


class OverloadedError(APIStatusError):
    """The provider has no capacity at the moment (503, 529)."""

    kind = "overloaded"


class InternalServerError(APIStatusError):
    """The provider failed (5xx)."""

    kind = "server"


class ContextLengthError(BadRequestError):
    """The prompt does not fit into the model's context window."""

    kind = "context_length"


class ContentFilterError(APIStatusError):
    """The provider's content filter refused the prompt or the answer."""

    kind = "content_filter"


class RequestTooLargeError(ResponseError):
    """The input alone is more than a whole minute's tokens, so that it could never be sent."""

    kind = "too_large"


class BudgetExceededError(ResponseError):
    """Sending this prompt could have crossed ``max_cost``."""

    kind = "budget"


class InputError(ResponseError, ValueError):
    """This prompt cannot be sent as it is: an unreadable line, a part that is not serialisable."""

    kind = "input"


class PostprocessError(ResponseError):
    """Your own hook or cache raised; ``.response`` still has the answer that was paid for."""

    kind = "postprocess"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during ``process_prompts``: ``.responses`` has the finished ones in input order, None elsewhere."""

    def __init__(self, message: str = "interrupted", responses: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.responses = list(responses)


_BY_KIND: dict[str, type[ResponseError]] = {
    cls.kind: cls
    for cls in (
        RateLimitError, OverloadedError, APITimeoutError, APIConnectionError, InternalServerError, AuthenticationError,
        PermissionDeniedError, NotFoundError, ContextLengthError, ContentFilterError, BadRequestError, QuotaExhaustedError,
        ResponseParseError, RequestTooLargeError, BudgetExceededError, CancelledError, InputError, PostprocessError,
    )
}


def error_class(kind: str | None) -> type[ResponseError]:
    """The exception class of an ``error_kind``; ``APIError`` for a kind that is not known."""
    return _BY_KIND.get(kind or "", APIError)
