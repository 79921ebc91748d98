"""Jobs in the background: the calls of one exchange, told with replies, and whole runs against a rehearsal server."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from rehearsing import client_of

from deluge import LLMClient
from deluge.dialects.openai_responses import DIALECT
from deluge.models.model import Model, Provider
from deluge.params import SamplingParams
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.response import APIResponse
from deluge.testing import Fault, RehearsalServer
from deluge.wire import Cancelled, HttpCall, HttpReply

pytestmark = pytest.mark.slow

FLAGS = frozenset({"supports_background", "reasoning", "native_mcp"})


def context(*, base_url: str = "https://host.example/v1", **options: Any) -> RequestContext:
    row = Model("a-model", "its-name", Provider("host", "https://host.example/v1"), flags=FLAGS)
    template = RequestTemplate(row, SamplingParams(), RequestOptions(**{"background": True, **options}), base_url, "sk-1")
    return RequestContext(as_conversation("Hi"), template, 1.0)


def state(status: str, **more: Any) -> HttpReply:
    data = {"id": "resp/1", "object": "response", "status": status, "output": [], **more}
    return HttpReply(200, {}, json.dumps(data).encode())


DONE = state("completed", output=[{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}])
LOST = HttpReply(failure="connection", message="reset", sent=True)


def told(*replies: HttpReply, **options: Any) -> tuple[list[HttpCall], APIResponse]:
    ctx = context(**options)
    exchange = DIALECT.exchange(ctx)
    calls = [next(exchange)]
    for reply in replies:
        try:
            calls.append(exchange.send((reply, ctx)))
        except StopIteration as end:
            return calls, end.value
    raise AssertionError("the exchange has not ended")


def test_a_job_is_started_and_asked_after() -> None:
    calls, response = told(state("queued"), state("queued"), state("in_progress"), DONE)
    assert json.loads(calls[0].body)["background"] is True and calls[0].delay == 0.0
    assert [call.method for call in calls] == ["POST", "GET", "GET", "GET"]
    url = "https://host.example/v1/responses/resp%2F1?include%5B%5D=reasoning.encrypted_content"
    assert {call.url for call in calls[1:]} == {url} and not calls[1].body
    assert calls[1].headers["authorization"] == "Bearer sk-1"
    assert response.completion == "Hello" and response.response_id == "resp/1"
    query = told(state("queued"), DONE, base_url="https://host.example/v1?api-version=1")[0][1].url
    assert query.startswith("https://host.example/v1/responses/resp%2F1?api-version=1&include")


def test_polls_grow_rarer() -> None:
    calls, _ = told(*[state("in_progress")] * 12, DONE)
    delays = [call.delay for call in calls[1:]]
    assert delays[0] == 1.0 and delays[-1] == 10.0 and delays == sorted(delays)


@pytest.mark.parametrize("bad", [
    LOST, HttpReply(failure="timeout"), HttpReply(503, {}, b"{}"), HttpReply(429, {}, b"{}"), HttpReply(500, {}, b"oops"),
    HttpReply(200, {}, b"<html>"), HttpReply(200, {}, b"[]"), HttpReply(200, {}, b"{}"), HttpReply(404, {}, b"{}"),
])
def test_a_failed_poll_polls_again(bad: HttpReply) -> None:
    calls, response = told(state("queued"), bad, bad, state("in_progress"), bad, DONE)
    assert [call.method for call in calls] == ["POST"] + ["GET"] * 5 and response.completion == "Hello"


def test_a_poll_waits_as_long_as_it_is_told() -> None:
    slower, slowest = HttpReply(429, {"retry-after": "20"}, b"{}"), HttpReply(503, {"retry-after": "9999"}, b"")
    calls, _ = told(state("queued"), slower, slowest, DONE)
    assert [call.delay for call in calls[1:]] == [1.0, 20.0, 60.0]


@pytest.mark.parametrize("status, kind", [(404, "not_found"), (401, "auth"), (403, "permission")])
def test_a_job_that_is_gone_is_not_started_again(status: int, kind: str) -> None:
    gone = HttpReply(status, {}, json.dumps({"error": {"message": "No such job", "code": None}}).encode())
    calls, response = told(state("queued"), gone, gone, gone)
    assert len(calls) == 4 and response.error_kind == kind and response.response_id == "resp/1"
    assert response._verdict is not None and not response._verdict.retry and not response._verdict.blocklist
    assert not response._verdict.switch_model and "No such job" in (response.error_message or "")


def test_a_failed_job_is_judged_by_its_code() -> None:
    def failed(code: str) -> APIResponse:
        return told(state("queued"), state("failed", error={"code": code, "message": "m"}))[1]

    kinds = {code: failed(code) for code in ("server_error", "rate_limit_exceeded", "invalid_prompt")}
    assert [one.error_kind for one in kinds.values()] == ["server", "rate_limit", "content_filter"]
    assert [one._verdict.retry for one in kinds.values() if one._verdict] == [True, True, False]


@pytest.mark.parametrize("reason, finish", [("max_output_tokens", "length"), ("content_filter", "content_filter")])
def test_an_incomplete_job_is_an_answer(reason: str, finish: str) -> None:
    response = told(state("queued"), state("incomplete", incomplete_details={"reason": reason}))[1]
    assert not response.is_error and response.finish_reason == finish


def test_a_start_that_fails_or_ends_at_once_is_not_asked_after() -> None:
    for reply in (LOST, HttpReply(503, {}, b"{}"), HttpReply(200, {}, b"[]"), DONE):
        calls, response = told(reply)
        assert len(calls) == 1 and response.is_error == (reply is not DONE)
    assert told(DONE, background=False)[1].completion == "Hello"


def test_a_job_is_cancelled_when_its_task_ends() -> None:
    ctx = context()
    exchange = DIALECT.exchange(ctx)
    next(exchange)
    exchange.send((state("queued"), ctx))
    call = exchange.throw(Cancelled())
    assert (call.method, call.url) == ("POST", "https://host.example/v1/responses/resp%2F1/cancel")
    exchange.close()
    early = DIALECT.exchange(ctx)
    next(early)
    with pytest.raises(Cancelled):
        early.throw(Cancelled())


def test_jobs_are_told_apart_from_single_calls() -> None:
    assert DIALECT.in_one_call(context(background=False).template)
    assert not DIALECT.in_one_call(context().template)
    assert not DIALECT.in_one_call(context(background=False, extra_body={"background": True}).template)


# -- whole runs -----------------------------------------------------------------------------------------------------

def job_client(server: RehearsalServer, **settings: Any) -> LLMClient:
    return client_of(server, "rehearsal-echo", **{"use_responses_api": True, "background": True, **settings})


def sent(server: RehearsalServer) -> Counter[str]:
    return Counter(seen.method + (" cancel" if seen.path.endswith("/cancel") else "") for seen in server.requests)


def test_five_hundred_jobs_on_ten_slots() -> None:
    """A slot that were held while its job runs would make this last 500 / 10 x 2 s."""
    with RehearsalServer(latency=0.0) as server, job_client(server, max_concurrent_requests=10) as client:
        responses = client.process_prompts([f"[[latency 2]] job {at}" for at in range(500)])
        assert [response.completion for response in responses] == [f"[[latency 2]] job {at}" for at in range(500)]
        assert sent(server)["POST"] == 500 and sent(server)["POST cancel"] == 0
        begun = [seen.at for seen in server.requests if seen.method == "POST"]
        assert max(begun) - min(begun) < 20
        assert server.connections <= 12 and not server.errors


def test_failed_polls_never_start_a_job_again() -> None:
    polls: list[int] = []

    def script(number: int, request: Any) -> Fault | None:
        if request.method == "GET":
            polls.append(number)
            return Fault(("503", "reset")[len(polls) - 1]) if len(polls) <= 2 else None
        return None

    with RehearsalServer(latency=0.0, script=script) as server, job_client(server) as client:
        response = client.ask("Hello")
        assert response.completion == "Hello" and len(response.attempts) == 1
        assert sent(server) == {"POST": 1, "GET": 3}


def test_a_job_that_fails_is_tried_again_by_its_code() -> None:
    with RehearsalServer(latency=0.0) as server, job_client(server, max_attempts=2) as client:
        again, not_again = client.process_prompts(["[[job fails server_error]]", "[[job fails invalid_prompt]]"])
        assert (again.error_kind, len(again.attempts)) == ("server", 2)
        assert (not_again.error_kind, len(not_again.attempts)) == ("content_filter", 1)


def test_the_deadline_of_a_job_is_its_own() -> None:
    with RehearsalServer(latency=0.0) as server:
        with job_client(server, request_timeout=1.0, background_timeout=30) as client:
            assert client.ask("[[latency 2.2]] slow").completion == "[[latency 2.2]] slow"
        with job_client(server, background_timeout=2.0, max_attempts=1) as client:
            response = client.ask("[[latency 60]] slower")
            assert response.error_kind == "timeout" and "longer than 2 s" in (response.error_message or "")
            server.wait_for(lambda: sent(server)["POST cancel"] == 1)


def test_cancelling_cancels_the_job() -> None:
    with RehearsalServer(latency=0.0) as server, job_client(server) as client:
        handle = client.start_nowait("[[latency 60]] slow")
        server.wait_for(lambda: sent(server)["GET"] > 0)
        assert handle.cancel()
        server.wait_for(lambda: sent(server)["POST cancel"] == 1)


def test_closing_the_client_cancels_its_jobs() -> None:
    with RehearsalServer(latency=0.0) as server, job_client(server) as client:
        handles = [client.start_nowait(f"[[latency 60]] slow {at}") for at in range(20)]
        server.wait_for(lambda: sent(server)["GET"] > 5)
        client.close()
        assert {handle.result().error_kind for handle in handles} == {"cancelled"}
        server.wait_for(lambda: sent(server)["POST cancel"] == 20)
