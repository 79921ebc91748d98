"""What a failure means: one table by provider code, one by status, one by documented phrase, for all dialects.

Codes go first, because a status alone lies: a 429 may mean that the account is empty, a 400 that the key is wrong.
Sources: the providers' pages on errors, and the retry rules of their own SDKs (408, 409, 429 and 5xx).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deluge._retry_after import parse_retry_after, should_retry
from deluge.errors import ErrorKind
from deluge.wire import FailureKind, Verdict

# The kind of failure, and whether it names the key or the model, so that other prompts would meet it too.
Rule = tuple[ErrorKind, bool]

RETRIED: frozenset[str] = frozenset({"rate_limit", "overloaded", "timeout", "connection", "server", "parse"})


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the provider words it. ``codes`` are its own words (code, type, status) in lower case, best first.

    ``retry_after``: seconds that the body asks for (Gemini puts them there).
    """

    message: str = ""
    codes: tuple[str, ...] = ()
    retry_after: float | None = None


_BY_CODE: dict[ErrorKind, tuple[str, ...]] = {
    "quota_exhausted": (
        "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded", "organization_usage_limit_exceeded", "billing_hard_limit_reached",
        "billing_not_active", "enforced_spend_limit_reached", "contract_spend_limit_reached", "billing_error",
        "insufficient_balance", "exceeded_current_quota_error", "insufficient_credits", "daily_quota_exhausted",
    ),
    "context_length": (
        "context_length_exceeded", "context_window_exceeded", "model_context_window_exceeded",
        "exceed_context_size_error",
    ),
    "content_filter": (
        "content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked",
        "input_flagged", "content_policy", "content_filter_error", "data_inspection_failed",
    ),
    "rate_limit": (
        "rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error", "slow_down", "too_many_requests",
        "resource_exhausted", "throttlingexception", "rate_limited",
    ),
    "overloaded": (
        "server_is_overloaded", "overloaded_error", "engine_overloaded_error", "engine_overloaded",
        "capacity_exceeded", "model_overloaded", "overloaded", "unavailable", "service_unavailable",
        "serviceunavailableexception",
    ),
    "server": ("server_error", "internal_error", "internal_server_error", "internalservererror", "api_error"),
    "timeout": ("request_timeout",),
}
# These name the key or the model: they hold for every other prompt too.
_BLOCKING: dict[ErrorKind, tuple[str, ...]] = {
    "auth": (
        "invalid_api_key", "api_key_invalid", "wrong_api_key", "account_deactivated", "missing_api_key",
        "expired_api_key", "incorrect_api_key", "api_key_expired", "unrecognizedclientexception",
        "invalid_authentication_error", "authentication_error",
    ),
    "permission": ("model_permission_blocked_org", "model_permission_blocked_project", "model_access_denied"),
    "not_found": (
        "model_not_found", "model_decommissioned", "deploymentnotfound", "invalid_model", "unknown_model",
        "model_not_exist", "model_deprecated",
    ),
}
_RULES: dict[str, Rule] = {
    code: (kind, table is _BLOCKING)
    for table in (_BY_CODE, _BLOCKING) for kind, codes in table.items() for code in codes
}
# Words that some hosts put on everything: they count only where the status says nothing itself.
_GENERAL = frozenset({"api_error", "server_error", "internal_error", "rate_limit_error"})

_BY_STATUS: dict[int, ErrorKind] = {
    401: "auth", 402: "quota_exhausted", 403: "permission", 404: "not_found", 408: "timeout", 409: "server",
    410: "not_found", 424: "server", 425: "server", 429: "rate_limit", 451: "permission", 498: "overloaded",
    499: "server", 503: "overloaded", 529: "overloaded",
}

# Phrases that the providers document or have sent for years, for servers that give no code, or the wrong one.
_TOO_LARGE = re.compile(r"^\s*request too large for|must be reduced in order to run", re.I)
_PHRASES: tuple[tuple[frozenset[int], ErrorKind, re.Pattern[str]], ...] = (
    (frozenset({400, 413, 422, 500}), "context_length", re.compile(
        r"context[ _-]?length|context[ -]window|context size|context limit|maximum context|prompt is too long"
        r"|input is too long|maximum prompt length|reduce the length of|input token count|exceeded model token limit"
        r"|maximum number of tokens allowed|too large for model with|longer than the model's|range of input length"
        r"|exceeds? (the )?max(imum)?[ _]model[ _]len|tokens \+ `?max_new_tokens|\btoo many tokens", re.I)),
    (frozenset({400, 403, 429}), "quota_exhausted", re.compile(
        r"credit balance is too low|reached your specified api usage limits|insufficient (account )?balance"
        r"|insufficient (funds|credits)|(used|exhausted) all (available|of your|your) credits|spending limit", re.I)),
    (frozenset({400, 403}), "content_filter", re.compile(
        r"flagged (by|as)|content management policy|content[ _]polic|content[ _]filter|usage polic|safety system",
        re.I)),
)
_NAMES_KEY = re.compile(r"api[ _-]?key|credentials|authentication fails", re.I)
_BAD_KEY = re.compile(
    r"(incorrect|invalid|missing|expired|wrong|no) api[ _-]?key|api[ _-]?key.{0,20}(not valid|invalid|expired)", re.I)
_NAMES_MODEL = re.compile(
    r"\bmodel\b.{0,160}?(not found|does not exist|doesn't exist|not exist|decommissioned|no longer available)"
    r"|not found the model|no such model|unknown model|no endpoints found for", re.I | re.S)

_FAILURES: dict[FailureKind, Verdict] = {
    "connection": Verdict("connection", retry=True, switch_model=True),
    "timeout": Verdict("timeout", retry=True, switch_model=True),
    "cancelled": Verdict("cancelled"),
    # A reply beyond the size cap was paid for, and would be as large again.
    "too_large": Verdict("parse", switch_model=True),
    # A header, URL or certificate of ours that cannot be used: the same for every try, but not for another provider.
    "config": Verdict("bad_request", switch_model=True),
}


def failure_verdict(failure: FailureKind, message: str) -> Verdict:
    """What a failure of the transport means."""
    base = _FAILURES[failure]
    return Verdict(base.kind, base.retry, None, base.switch_model, False, message or base.kind)


def verdict(
    status: int, problem: Problem, headers: Mapping[str, str], now: float, codes: Mapping[str, Rule] | None = None
) -> Verdict:
    """What an error of the provider means. ``codes`` are a dialect's own, looked up before the shared ones."""
    kind, blocklist = _judge(status, problem, codes or {})
    retry_after = parse_retry_after(headers, now)
    if retry_after is None:
        retry_after = problem.retry_after
    retry = kind in RETRIED or (status == 402 and retry_after is not None)
    advice = should_retry(headers)
    if advice is False or (advice and not blocklist and kind != "quota_exhausted"):
        retry = advice
    return Verdict(kind, retry, retry_after if retry else None, True, blocklist, problem.message)


def parse_verdict(message: str) -> Verdict:
    """The verdict on a reply that is no reply of the provider's API: a proxy's page, half a JSON, nothing."""
    return Verdict("parse", retry=True, switch_model=True, message=message)


def cut_off(message: str) -> Verdict:
    """The verdict on a stream that ended before its answer did."""
    return Verdict("connection", retry=True, switch_model=True, message=message)


def _judge(status: int, problem: Problem, codes: Mapping[str, Rule]) -> Rule:
    if status in (413, 429) and _TOO_LARGE.search(problem.message):
        return "too_large", False  # more than a whole minute's tokens: waiting cannot help
    for code in problem.codes:
        rule = codes.get(code) or _RULES.get(code)
        if rule is not None and (status == 500 or code not in _GENERAL):
            return rule
    for statuses, kind, pattern in _PHRASES:
        if status in statuses and pattern.search(problem.message):
            return kind, False
    return _judge_status(status, problem.message)


def _judge_status(status: int, message: str) -> Rule:
    if (status == 401 and _NAMES_KEY.search(message)) or (status == 400 and _BAD_KEY.search(message)):
        return "auth", True
    kind: ErrorKind = _BY_STATUS.get(status) or ("server" if status >= 500 else "bad_request")
    return kind, status == 404 and _NAMES_MODEL.search(message) is not None
