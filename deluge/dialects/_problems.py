"""Error bodies of everybody who speaks OpenAI's formats, in all the shapes that they have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deluge import _json
from deluge.dialects._rate_limits import seconds_until
from deluge.dialects._verdicts import Problem

# MiniMax answers 200 with codes of its own: https://platform.minimax.io/docs/api-reference/errorcode
_MINIMAX: dict[int, tuple[int, str]] = {
    1000: (500, ""), 1001: (408, ""), 1002: (429, ""), 1004: (401, "invalid_api_key"),
    1008: (402, "insufficient_balance"), 1013: (500, ""), 1024: (500, ""),
    1026: (400, "content_filter"), 1027: (400, "content_filter"),
    1039: (400, "context_length_exceeded"), 2049: (401, "invalid_api_key"), 2056: (429, ""),
}


def problem_of(data: Any, status: int) -> Problem:
    """What an error body says: OpenAI's object, a flat one, a bare text, a list around it, or a validator's list."""
    if isinstance(data, list) and data:
        data = data[0]
    if isinstance(data, str) and data:
        return Problem(data)
    if not isinstance(data, Mapping):
        return Problem(f"HTTP {status}")
    error = data.get("error")
    if isinstance(error, Mapping):
        return _of_object(error, status)
    message = error if isinstance(error, str) and error else _first_text(data)
    codes = (data.get("code"), data.get("type"), data.get("error_type"))
    several = data.get("errors")
    if not message and isinstance(several, list) and several and isinstance(several[0], Mapping):
        return _of_object(several[0], status)
    return Problem(message or f"HTTP {status}", words(codes))


def status_in(data: Any, otherwise: int = 500) -> int:
    """The HTTP status that an error inside a 200 stands for."""
    error = data.get("error") if isinstance(data, Mapping) else None
    for source in (error, data):
        if isinstance(source, Mapping):
            for name in ("code", "status", "status_code", "http_code"):
                value = source.get(name)
                if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
                    value = int(value)
                if isinstance(value, int) and 400 <= value < 600:
                    return value
    return otherwise


def base_problem(data: Mapping[str, Any]) -> tuple[Problem, int] | None:
    """The problem in MiniMax's ``base_resp`` and the status that it stands for; None when there is none."""
    base = data.get("base_resp")
    code = base.get("status_code") if isinstance(base, Mapping) else None
    if not isinstance(base, Mapping) or not isinstance(code, int) or code == 0:
        return None
    status, word = _MINIMAX.get(code, (400, ""))
    return Problem(f"{base.get('status_msg') or 'error'} ({code})", words((word,))), status


def words(values: Iterable[object]) -> tuple[str, ...]:
    """Those of the values that are words or numbers, in lower case, without doubles."""
    found = (str(value).lower() for value in values if isinstance(value, (str, int)) and value != "")
    return tuple(dict.fromkeys(found))


def _of_object(error: Mapping[str, Any], status: int) -> Problem:
    inner = error.get("innererror")
    metadata = error.get("metadata")
    message = _first_text(error) or f"HTTP {status}"
    codes = [error.get("code"), error.get("type"), error.get("status")]
    if isinstance(inner, Mapping):
        codes.insert(0, inner.get("code"))
    details = error.get("details")
    if isinstance(details, Mapping):  # Anthropic's
        codes.insert(0, details.get("error_code"))
    if isinstance(metadata, Mapping):  # OpenRouter: what the host behind it said
        raw = metadata.get("raw")
        if isinstance(raw, str) and raw:
            message = f"{message}: {raw}"
        if metadata.get("flagged_input") is not None:
            codes.insert(0, "input_flagged")
    return _with_details(details, message, words(codes))


def _with_details(details: Any, message: str, codes: tuple[str, ...]) -> Problem:
    """Google's details: a delay, the reason, and whether it is the day's quota that is gone."""
    delay = None
    for item in details if isinstance(details, list) else ():
        if not isinstance(item, Mapping):
            continue
        if isinstance(item.get("retryDelay"), str):
            delay = seconds_until(item["retryDelay"], 0.0)
        codes = (*words((item.get("reason"),)), *codes)
        violations = item.get("violations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, Mapping) and "PerDay" in str(violation.get("quotaId")):
                codes = ("daily_quota_exhausted", *codes)
    return Problem(message, codes, delay)


def _first_text(data: Mapping[str, Any]) -> str:
    for name in ("message", "detail", "Message", "error_description", "msg", "title"):
        value = data.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, (dict, list)) and value:
            try:
                return _json.dumps(value).decode("utf-8")
            except (TypeError, ValueError, RecursionError):
                continue
    return ""
