"""Verdicts by code, status and phrase, where no recording tells them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deluge.dialects._problems import problem_of, status_in
from deluge.dialects._replies import MAX_MESSAGE, excerpt, shown
from deluge.dialects._verdicts import Problem, failure_verdict, parse_verdict, verdict
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.request import RequestOptions, RequestTemplate

RETRIED = {408, 409, 424, 425, 429, 498, 499} | set(range(500, 600))
KINDS = {401: "auth", 402: "quota_exhausted", 403: "permission", 404: "not_found", 408: "timeout", 429: "rate_limit",
         503: "overloaded", 529: "overloaded"}


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_its_verdict(status: int) -> None:
    found = verdict(status, Problem("Something"), {}, 0.0)
    assert found.retry == (status in RETRIED) and not found.blocklist and found.switch_model
    if status in KINDS:
        assert found.kind == KINDS[status]
    elif status >= 500:
        assert found.kind == "server"


@pytest.mark.parametrize("headers, advice, after", [
    ({}, True, None), ({"x-should-retry": "false"}, False, None), ({"retry-after": "3"}, True, 3.0),
    ({"retry-after-ms": "250", "retry-after": "9"}, True, 0.25), ({"retry-after": "soon"}, True, None),
    ({"x-should-retry": "false", "retry-after": "3"}, False, None),
])
def test_the_headers_are_heard(headers: dict[str, str], advice: bool, after: float | None) -> None:
    found = verdict(429, Problem("slow"), headers, 0.0)
    assert (found.retry, found.retry_after) == (advice, after)


def test_a_server_cannot_ask_for_what_cannot_help() -> None:
    asked = {"x-should-retry": "true"}
    assert not verdict(429, Problem("", ("insufficient_quota",)), asked, 0.0).retry
    assert not verdict(401, Problem("", ("invalid_api_key",)), asked, 0.0).retry
    assert verdict(400, Problem("odd"), asked, 0.0).retry


@pytest.mark.parametrize("message", [
    "This model's maximum context length is 4097 tokens", "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "Invalid request: Your request exceeded model token limit: 8192", "Input is too long for requested model.",
    "Range of input length should be [1, 30720]", "Please reduce the length of the messages or completion.",
    "THE CONTEXT WINDOW IS FULL",
])
def test_context_length_by_phrase(message: str) -> None:
    assert verdict(400, Problem(message), {}, 0.0).kind == "context_length"
    assert verdict(429, Problem(message), {}, 0.0).kind == "rate_limit"


@pytest.mark.parametrize("status, message, kind, blocklist", [
    (400, "Your credit balance is too low to access the API", "quota_exhausted", False),
    (400, "You have reached your specified API usage limits. Access is back on 2026-12-01", "quota_exhausted", False),
    (400, "max_tokens is too large: 99999. This model supports at most 16384 completion tokens", "bad_request", False),
    (400, "Invalid prompt: it was flagged as potentially violating our usage policy.", "content_filter", False),
    (401, "No auth credentials found", "auth", True), (401, "Session expired", "auth", False),
    (403, "Your API key may not use this file", "permission", False),
    (404, "Not found the model kimi-9 or Permission denied", "not_found", True),
    (404, "No endpoints found for x/y.", "not_found", True), (404, "Not Found", "not_found", False),
])
def test_other_phrases(status: int, message: str, kind: str, blocklist: bool) -> None:
    found = verdict(status, Problem(message), {}, 0.0)
    assert (found.kind, found.blocklist) == (kind, blocklist)


def test_a_dialects_own_codes_come_first() -> None:
    problem = Problem("x", ("validationexception",))
    found = verdict(400, problem, {}, 0.0, {"validationexception": ("context_length", False)})
    assert found.kind == "context_length"


def test_parse_and_failure_verdicts() -> None:
    assert parse_verdict("x").retry and parse_verdict("x").kind == "parse"
    assert failure_verdict("timeout", "").message == "timeout" and failure_verdict("timeout", "").retry


@pytest.mark.parametrize("data, message, codes", [
    ({"error": {"message": "m", "type": "T", "code": None}}, "m", ("t",)),
    ({"error": "text"}, "text", ()), ("text", "text", ()), ([], "HTTP 418", ()), (None, "HTTP 418", ()),
    ({}, "HTTP 418", ()),
    ({"message": "m", "code": 7}, "m", ("7",)), ({"detail": "d"}, "d", ()), ({"error": {}}, "HTTP 418", ()),
    ({"statusCode": 401, "message": "denied"}, "denied", ()),
])
def test_problems_of_every_shape(data: object, message: str, codes: tuple[str, ...]) -> None:
    found = problem_of(data, 418)
    assert (found.message, found.codes) == (message, codes)


def test_the_status_within() -> None:
    assert status_in({"error": {"code": 429}}) == 429 and status_in({"error": {"code": "503"}}) == 503
    assert status_in({"error": {"code": "x"}}) == 500 and status_in({"code": 404}) == 404 and status_in(None) == 500


def test_messages_are_short_and_hold_no_key() -> None:
    template = RequestTemplate(get_model("gpt-4.1-mini"), SamplingParams(), RequestOptions(), "https://h/v1", "sk-abc")
    assert shown("bad key sk-abc", template) == "bad key ***" and shown("x", replace(template, api_key=None, memo={})) == "x"
    assert len(shown("x" * 9_000, template)) == MAX_MESSAGE
    assert excerpt(b"<html><title>Bad\n Gateway</title>") == "an HTML page (Bad Gateway)"
    assert excerpt(b"\xff\xfe not json") == "'\ufffd\ufffd not json'"
