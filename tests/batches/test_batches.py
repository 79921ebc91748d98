"""Batch jobs against the rehearsal server: four providers, crashes at every step, and nothing that is bought twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import environment

from deluge import BatchError, BatchTimeoutError, ConfigError, Interrupted, LLMClient, Text
from deluge.batches.lines import Lines, Writer
from deluge.batches.preparing import full, named_api
from deluge.batches.reading import Reading
from deluge.batches.state import Part, load_state, new_state
from deluge.testing import Fault, RehearsalServer
from deluge.transport import LeanTransport

# Provider -> a model of it, the end of its address, and the path of the create call.
PROVIDERS = {
    "openai": ("gpt-4.1-mini", "/v1", "/v1/batches"),
    "anthropic": ("claude-4.5-haiku", "/v1", "/v1/messages/batches"),
    "gemini": ("gemini-2.5-flash", "/v1beta", "/v1beta/models/gemini-2.5-flash:batchGenerateContent"),
    "mistral": ("mistral-small", "/v1", "/v1/batch/jobs"),
}
PROMPTS = ["What is 6 * 7?", "What is 1 + 1?", "What is 2 * 5?", "What is 9 - 2?"]
ANSWERS = ["42", "2", "10", "7"]
FAST: dict[str, Any] = {"poll_in": 0.01}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def client_for(server: RehearsalServer, provider: str = "openai", **settings: Any) -> LLMClient:
    model, end, _ = PROVIDERS[provider]
    return LLMClient(model, **{"base_url": server.url + end, "api_key": "the-secret-key", "progress": None, **settings})


def texts(responses: Any) -> list[str | None]:
    return [response.completion if not response.is_error else response.error_kind for response in responses]


def creates(server: RehearsalServer, provider: str) -> int:
    return sum(seen.method == "POST" and seen.path == PROVIDERS[provider][2] for seen in server.requests)


def once(server: RehearsalServer, prompts: list[str] = PROMPTS) -> bool:
    return dict(server.batches.bought) == dict.fromkeys(prompts, 1)


def test_a_job_is_answered_in_the_order_of_its_prompts(server: RehearsalServer, provider: str, tmp_path: Path) -> None:
    with client_for(server, provider) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert job.total == 4 and len(job.batches) == 1
        status = client.batch_status(job)
        assert status.ended and status.succeeded == 4 and status.running == 0
        responses = client.wait_for_batch_job(job, **FAST)
    assert texts(responses) == ANSWERS
    assert [response.index for response in responses] == [0, 1, 2, 3]
    first = responses[0]
    assert first.source == "batch" and first.service_tier == "batch" and first.usage.output_tokens > 0
    model = client._pool[0].model
    assert first.cost == model.cost(first.usage, "batch") and first.cost == pytest.approx(model.cost(first.usage) / 2)
    assert first.prompt is not None and first.prompt.messages[0].parts == (Text(PROMPTS[0]),)
    assert client.tracker.cost == pytest.approx(sum(response.cost for response in responses))
    assert once(server)


def test_every_step_is_in_the_state_before_the_next_and_no_key_is(
    server: RehearsalServer, provider: str, tmp_path: Path,
) -> None:
    path = tmp_path / "job.json"
    with client_for(server, provider) as client:
        client.submit_batch_job(PROMPTS, state=path)
    for file in tmp_path.iterdir():
        assert b"the-secret-key" not in file.read_bytes()
    assert [part.stage for part in load_state(path).parts] == ["created"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["job.json", "job.json.prompts"]


def test_no_password_of_an_address_is_in_the_state(server: RehearsalServer, tmp_path: Path) -> None:
    address = server.url.replace("//", "//somebody:private-pass@") + "/v1?api_key=private-too&version=3"
    with LLMClient("gpt-4.1-mini", base_url=address, progress=None) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert texts(client.wait_for_batch_job(job, **FAST)) == ANSWERS
    kept = (tmp_path / "job.json").read_text() + (tmp_path / "job.json.prompts").read_text()
    assert "private" not in kept and "somebody@" in kept and "api_key=***&version=3" in kept


def test_the_state_has_no_token_of_a_tool(server: RehearsalServer, tmp_path: Path) -> None:
    tool = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example.com", "authorization": "private-one",
            "headers": {"x-key": "private-two"}, "allowed_tools": ["search"]}
    with client_for(server, use_responses_api=True) as client:
        client.submit_batch_job(PROMPTS, state=tmp_path / "job.json", tools=[tool])
        state = load_state(tmp_path / "job.json")
    assert "private" not in (tmp_path / "job.json").read_text() and "private-one" in Path(state.prompts).read_text()
    assert state.options["tools"] == [{**tool, "authorization": "***", "headers": {"x-key": "***"}}]


def test_large_jobs_are_split_into_several_batches(server: RehearsalServer, provider: str, tmp_path: Path) -> None:
    prompts = [f"What is {n} + 1?" for n in range(7)]
    with client_for(server, provider) as client:
        job = client.submit_batch_job(prompts, state=tmp_path / "job.json", batch_size=3)
        assert len(job.batches) == 3 and client.batch_status(job).succeeded == 7
        assert texts(client.wait_for_batch_job(job, **FAST)) == [str(n + 1) for n in range(7)]
    assert creates(server, provider) == 3 and once(server, prompts)


def test_a_part_is_full_by_count_or_by_bytes() -> None:
    part = Part(0, 0, count=2, size=900)
    assert not full(part, 100, 3, 1_000) and full(part, 101, 3, 1_000) and full(part, 1, 2, 1_000)


def test_failed_and_expired_lines_are_errors_and_are_asked_again_on_request(
    server: RehearsalServer, provider: str, tmp_path: Path,
) -> None:
    prompts = [PROMPTS[0], "[[fault 500 x1]] 2 * 2", "[[expire x1]] late", "[[fault 400]] never"]
    with client_for(server, provider) as client:
        job = client.submit_batch_job(prompts, state=tmp_path / "job.json")
        failed = client.wait_for_batch_job(job, **FAST)
        assert texts(failed) == ["42", "server", "timeout", "bad_request"]
        assert "expired" in str(failed[2].error_message) and failed[1].status_code == 500
        again = client.wait_for_batch_job(job, resubmit=True, **FAST)
        assert texts(again) == ["42", prompts[1], prompts[2], "bad_request"]
        assert len(again[1].attempts) == 1  # the failure cost nothing
    # Another process sees the answers of both batches.
    with client_for(server, provider) as other:
        assert texts(other.wait_for_batch_job(str(job.state), **FAST)) == texts(again)
    assert server.batches.created == 2 and server.batches.bought[PROMPTS[0]] == 1


def test_a_cancelled_job_keeps_what_was_answered(server: RehearsalServer, provider: str, tmp_path: Path) -> None:
    server.batches.seconds = 3_600.0
    with client_for(server, provider) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json", batch_size=2)
        assert not client.batch_status(job).ended
        for batch in server.batches.batches.values():
            batch.created_at -= 1_900.0  # half of it is done
        status = client.cancel_batch_job(job)
        assert status.ended and status.succeeded == 2
        responses = client.wait_for_batch_job(job, **FAST)
    assert texts(responses) == ["42", "cancelled", "10", "cancelled"]


# ---- crashes --------------------------------------------------------------------------------------------------------

SLOW = pytest.mark.slow
# How the reply to a create call gets lost, after the batch was made. A second passes each time, until it can be found.
LOST = [pytest.param(provider, kind, marks=() if (provider, kind) == ("openai", "reset") else SLOW)
        for provider in PROVIDERS for kind in ("reset", "500", "malformed", "empty")]


@pytest.mark.parametrize("provider, kind", LOST)
def test_a_create_call_whose_reply_is_lost_is_not_made_twice(provider: str, kind: str, tmp_path: Path) -> None:
    path = PROVIDERS[provider][2]
    spoilt: list[int] = []

    def script(number: int, request: Any) -> str | None:
        if request.path == path and not spoilt:
            spoilt.append(number)
            return kind
        return None

    with RehearsalServer(latency=0.0, batch_seconds=0.0, script=script) as server, client_for(server, provider) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert texts(client.wait_for_batch_job(job, **FAST)) == ANSWERS
        assert spoilt and creates(server, provider) == 1 and once(server)


@SLOW
def test_a_process_killed_at_any_step_buys_nothing_twice(provider: str, tmp_path: Path) -> None:
    """The server kills the process at its n-th request, after that has done its work; another one goes on."""
    model, end, _ = PROVIDERS[provider]
    state = tmp_path / "job.json"
    victims: list[Any] = []
    reached: list[int] = []

    def script(number: int, request: Any) -> str | None:
        if victims and request.headers.get("x-victim"):
            victims.pop().kill()
            reached.append(number)
            return "hang"
        return None

    code = (
        "import sys\nfrom deluge import LLMClient\n"
        "sys.stdin.readline()\n"
        f"client = LLMClient({model!r}, base_url=sys.argv[1], api_key='k', progress=None,\n"
        "                   extra_headers={'x-victim': '1'})\n"
        f"client.submit_batch_job({PROMPTS!r}, state=sys.argv[2])\n"
    )
    with RehearsalServer(latency=0.0, batch_seconds=0.0, script=script) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", code, server.url + end, str(state)], env=environment(), stdin=subprocess.PIPE)
        victims.append(process)
        process.communicate(b"\n", timeout=60)
        assert process.returncode == -signal.SIGKILL and reached
        with client_for(server, provider) as client:
            job = client.submit_batch_job(PROMPTS, state=state)
            assert texts(client.wait_for_batch_job(job, **FAST)) == ANSWERS
        assert once(server)


class Crash(Exception):
    """The end of a process, as far as this test goes."""


@pytest.mark.parametrize("request_number", (1, 2, pytest.param(3, marks=SLOW), pytest.param(4, marks=SLOW)))
@pytest.mark.parametrize("sent", (False, True), ids=("before", "after"))
def test_a_crash_around_any_request_buys_nothing_twice(
    server: RehearsalServer, provider: str, request_number: int, sent: bool, tmp_path: Path,
) -> None:
    count = 0

    class Broken(LeanTransport):
        def send(self, call: Any, attempt: Any) -> Any:
            nonlocal count
            count += 1
            if count == request_number:
                if sent:
                    super().send(call, attempt)
                raise Crash
            return super().send(call, attempt)

    with client_for(server, provider) as client:
        client._engine.transport = Broken()
        try:
            client.submit_batch_job(PROMPTS, state=tmp_path / "job.json", batch_size=2)
        except Crash:
            pass
    with client_for(server, provider) as other:
        job = other.submit_batch_job(PROMPTS, state=tmp_path / "job.json", batch_size=2)
        assert texts(other.wait_for_batch_job(job, **FAST)) == ANSWERS
    assert once(server) and server.batches.created == 2


def test_a_batch_that_may_have_been_made_is_waited_for_before_another_is(tmp_path: Path) -> None:
    """Anthropic's batches have no name: one that runs can be told from a stranger's by its results only."""
    lost: list[int] = []

    def script(number: int, request: Any) -> str | None:
        if request.path == "/v1/messages/batches" and request.method == "POST" and not lost:
            lost.append(number)
            return "reset"
        return None

    with RehearsalServer(latency=0.0, batch_seconds=3_600.0, script=script) as server:
        with client_for(server, "anthropic") as client:
            stranger = client.submit_batch_job(["a", "b", "c", "d"], state=tmp_path / "other.json")
            lost.clear()
            job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
            assert job.batches == () and stranger.batches == ()  # nobody knows yet
            server.batches.finish()
            assert texts(client.wait_for_batch_job(job, **FAST)) == ANSWERS
            assert texts(client.wait_for_batch_job(stranger, **FAST)) == ["a", "b", "c", "d"]
        assert server.batches.created == 2


def test_what_a_dying_process_had_begun_to_write_is_forgotten(tmp_path: Path) -> None:
    state = new_state(tmp_path / "job.json")
    writer = Writer(state)
    writer.add({"n": 0, "part": -1}, b"")
    writer.close()
    state.size = writer.at
    with open(state.prompts, "ab") as file:
        file.write(b'{"n": 1, "par')
    lines = Lines(state)
    assert len(lines) == 1
    lines.close()
    writer = Writer(state)
    writer.add({"n": 1, "part": -1}, b"{}")
    writer.close()
    state.size, state.total = writer.at, 2
    lines = Lines(state)
    assert [facts["n"] for facts in lines.all_facts()] == [0, 1]
    lines.close()


# ---- waiting --------------------------------------------------------------------------------------------------------

def test_a_job_that_takes_longer_goes_on(server: RehearsalServer, tmp_path: Path) -> None:
    server.batches.seconds = 3_600.0
    with client_for(server) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        with pytest.raises(BatchTimeoutError, match="deluge batch fetch") as info:
            client.wait_for_batch_job(job, timeout=0.05, **FAST)
        assert info.value.state == str(job.state) and isinstance(info.value, TimeoutError)
        late = client.process_prompts(PROMPTS, mode="batch", state=job.state, timeout=0.05, **FAST)
        assert texts(late) == ["cancelled"] * 4 and "goes on" in str(late[0].error_message)
        server.batches.finish()
        assert texts(client.wait_for_batch_job(job, **FAST)) == ANSWERS
    assert server.batches.created == 1


def test_rows_of_results_that_say_nothing_cost_only_their_own_prompts(caplog: pytest.LogCaptureFixture) -> None:
    nothing: Any = None
    reading = Reading(new_state("job.json"), nothing, nothing, nothing, lambda: 0)
    rows: list[tuple[str, Any]] = [
        ("gemini", {}), ("gemini", {"metadata": None}), ("gemini", {"key": 5, "error": {"code": 13}}), ("gemini", [1]),
        ("openai", b'{"custom_id": null, "response": {"status_code": 200, "body": {}}}'), ("openai", b"nothing"),
        ("anthropic", b'{"custom_id": "a", "result": null}'), ("anthropic", b'{"custom_id": "a", "result": {"type": 3}}'),
    ]
    assert [len(list(reading._read(named_api(name), row))) for name, row in rows] == [0] * 7 + [1]
    assert caplog.text.count("a line of the results cannot be read") == 7


@pytest.mark.parametrize("path, fault", [("/content", Fault("429", retry_after=30)), ("/batches/batch_", Fault("hang"))])
def test_a_provider_that_keeps_a_job_waiting_holds_a_call_no_longer_than_it_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, fault: Fault,
) -> None:
    monkeypatch.chdir(tmp_path)  # the state of a job that goes on stays

    def script(number: int, request: Any) -> Fault | None:
        return fault if request.method == "GET" and path in request.path else None

    with RehearsalServer(latency=0.0, batch_seconds=0.0, script=script) as server, client_for(server) as client:
        began = time.monotonic()
        responses = client.process_prompts(PROMPTS, mode="batch", timeout=0.5, **FAST)
        assert texts(responses) == ["cancelled"] * 4 and time.monotonic() - began < 10


def test_a_failed_look_is_taken_again(tmp_path: Path) -> None:
    looks: list[str] = []

    def script(number: int, request: Any) -> str | None:
        if request.method == "GET" and "/batches/batch_" in request.path:
            looks.append(request.path)
            return ("reset", "500", "429", None)[min(3, len(looks) - 1)]
        return "truncated" if request.path.endswith("/content") and len(looks) == 4 and not looks.append("cut") else None

    with RehearsalServer(latency=0.0, batch_seconds=0.0, script=script) as server, client_for(server) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert texts(client.wait_for_batch_job(job, **FAST)) == ANSWERS
        assert looks[-1] == "cut" and len(looks) == 5 and once(server)


# The signal may come between a file's opening and the block that closes it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_ctrl_c_leaves_the_job_running_and_says_how_to_fetch_it(server: RehearsalServer, tmp_path: Path) -> None:
    server.batches.seconds = 3_600.0
    with client_for(server) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        main = threading.main_thread().ident
        assert main is not None
        asked = server.count

        def interrupt() -> None:
            server.wait_for_requests(asked + 1)
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(Interrupted, match="deluge batch fetch"):
            client.wait_for_batch_job(job, poll_in=30)
        thread.join(10)
        server.batches.finish()
        assert texts(client.wait_for_batch_job(job, **FAST)) == ANSWERS


def test_ctrl_c_while_a_job_is_submitted_says_how_to_go_on(
    server: RehearsalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupted() -> Iterator[str]:
        yield PROMPTS[0]
        raise KeyboardInterrupt

    with client_for(server) as client:
        with pytest.raises(KeyboardInterrupt) as early:
            client.submit_batch_job(interrupted(), state="job.json")
        assert type(early.value) is KeyboardInterrupt and not list(tmp_path.iterdir()), "nothing was begun"
        client.submit_batch_job(PROMPTS, state="job.json")
        with pytest.raises(Interrupted, match="the same call with state='job.json' goes on with this job"):
            client.submit_batch_job(interrupted(), state="job.json")
        assert texts(client.wait_for_batch_job("job.json", **FAST)) == ANSWERS


def test_a_job_is_read_again_once_nobody_else_has_it(server: RehearsalServer, tmp_path: Path) -> None:
    """What was read before the lock was free may be of yesterday: acting on it would create the same batches again."""
    path = tmp_path / "job.json"
    with client_for(server) as client:
        fresh = client._state_at(path)
        client.submit_batch_job(PROMPTS, state=path)
        with client._held(fresh) as (now, new):
            assert not new and now.parts[0].stage == "created" and now.id != fresh.id


def test_a_full_disk_while_a_job_is_laid_out_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from deluge import ConfigError, LLMClient\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "client = LLMClient('gpt-4.1-mini', base_url='http://127.0.0.1:9/v1', api_key='k', progress=None)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))\n"
        "try:\n"
        "    client.submit_batch_job(['a prompt'] * 30, state='job.json')\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True,
                          timeout=60)
    assert done.stdout == "job.json.prompts cannot be written: File too large\n", done.stderr
    assert not list(tmp_path.iterdir())


def test_one_wait_at_a_time(server: RehearsalServer, tmp_path: Path) -> None:
    with client_for(server) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        hold = load_state(job.state).hold()
        try:
            with pytest.raises(ConfigError, match="in use"):
                client.wait_for_batch_job(job)
            assert client.batch_status(job).ended  # looking is free
        finally:
            hold.release()


# ---- process_prompts ------------------------------------------------------------------------------------------------

def test_process_prompts_in_batch_mode(server: RehearsalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def marked(response: Any) -> None:
        response.completion = f"<{response.completion}>"

    with client_for(server, postprocess=marked) as client:
        assert client.process_prompts(PROMPTS, mode="batch", return_completions_only=True, **FAST) == [
            f"<{answer}>" for answer in ANSWERS]
        assert client.status().succeeded == 4 and client.status().requests_sent == 0
        assert client.process_prompts([], mode="batch") == []
    assert list(tmp_path.iterdir()) == []  # nothing is left of a job that is over


def test_a_journal_keeps_the_answers_and_the_same_call_goes_on_with_its_job(
    server: RehearsalServer, tmp_path: Path,
) -> None:
    journal = tmp_path / "run.jsonl"
    server.batches.seconds = 3_600.0
    with client_for(server) as client:
        client.process_prompts(PROMPTS[:3], mode="batch", journal=journal, timeout=0.05, **FAST)
    assert (tmp_path / "run.jsonl.batch.json").exists()
    server.batches.finish()
    with client_for(server) as client:  # one more prompt than before
        responses = client.process_prompts(PROMPTS, mode="batch", journal=journal, **FAST)
    assert texts(responses) == ANSWERS and server.batches.created == 2 and once(server)
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert sorted(record["completion"] for record in records) == sorted(ANSWERS)
    assert {record["source"] for record in records} == {"batch"}
    assert [file.name for file in tmp_path.iterdir()] == ["run.jsonl"]
    with client_for(server) as client:
        again = client.process_prompts(PROMPTS, mode="batch", journal=journal, **FAST)
    assert texts(again) == ANSWERS and {response.source for response in again} == {"journal"} and once(server)


def test_a_state_of_other_prompts_is_refused(server: RehearsalServer, tmp_path: Path) -> None:
    state = tmp_path / "job.json"
    with client_for(server) as client:
        client.submit_batch_job(PROMPTS, state=state)
        for others in (PROMPTS[:2], [*PROMPTS, "more"], PROMPTS[::-1]):
            with pytest.raises(ConfigError, match="other prompts"):
                client.submit_batch_job(others, state=state)
        with pytest.raises(ConfigError, match="other prompts"):
            client.submit_batch_job(PROMPTS, state=state, sampling_params={"temperature": 0.1})
        with pytest.raises(ConfigError, match="other prompts"):
            client.process_prompts(["new"], mode="batch", state=state)
        assert client.submit_batch_job(PROMPTS, state=state).total == 4
        assert texts(client.wait_for_batch_job(state, **FAST)) == ANSWERS
    assert server.batches.created == 1


def test_equal_prompts_are_each_answered(server: RehearsalServer, tmp_path: Path) -> None:
    with client_for(server) as client:
        job = client.submit_batch_job(["2 * 2", "2 * 2", "3 * 3"], state=tmp_path / "job.json")
        client.submit_batch_job(["2 * 2", "2 * 2", "3 * 3"], state=tmp_path / "job.json")
        assert texts(client.wait_for_batch_job(job, **FAST)) == ["4", "4", "9"]
    assert server.batches.created == 1


def test_typed_answers_in_this_process_and_in_another(server: RehearsalServer, provider: str, tmp_path: Path) -> None:
    from pydantic import BaseModel

    class Sum(BaseModel):
        total: int

    with client_for(server, provider) as client:
        job = client.submit_batch_job(["What is 2 + 3?", "[[wrong]] 1 + 1"], state=tmp_path / "job.json", output_schema=Sum)
        right, wrong = client.wait_for_batch_job(job, **FAST)
        assert right.parsed == Sum(total=5)
        assert wrong.error_kind == "parse" and wrong.usage.output_tokens > 0
        (plain, _) = client.wait_for_batch_job(str(job.state), **FAST)
        assert plain.parsed == {"total": 5}
        (typed, _) = client.wait_for_batch_job(str(job.state), output_schema=Sum, **FAST)
        assert typed.parsed == Sum(total=5)


def test_several_models_make_several_batches(server: RehearsalServer, tmp_path: Path) -> None:
    with LLMClient(["gpt-4.1-mini", "gpt-4.1-nano"], base_url=server.base_url, api_key="k", progress=None) as client:
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        responses = client.wait_for_batch_job(job, **FAST)
    assert texts(responses) == ANSWERS and len(job.batches) == 2
    assert [response.model_internal for response in responses] == ["gpt-4.1-mini", "gpt-4.1-nano"] * 2


def test_a_prompt_that_cannot_be_sent_costs_only_itself(server: RehearsalServer, tmp_path: Path) -> None:
    from deluge import Conversation, File, Image

    picture = Conversation().user("What is this?", image=Image(b"\x89PNG\r\n\x1a\nx"))
    gone = File("http://127.0.0.1:9/x.txt", media_type="text/plain")  # must be fetched for it, from a private address
    with client_for(server, "anthropic", extra_body={}) as client:
        job = client.submit_batch_job([picture, PROMPTS[0]], state=tmp_path / "job.json")
        seen, answered = client.wait_for_batch_job(job, **FAST)
        assert answered.completion == "42" and seen.prompt is not None
        assert any(isinstance(part, Image) and part.data for part in seen.prompt.messages[0].parts)
    with client_for(server, "anthropic", base_url=server.base_url) as client:
        job = client.submit_batch_job([Conversation().user("Hm", file=gone), PROMPTS[0]], state=tmp_path / "other.json")
        failed, answered = client.wait_for_batch_job(job, **FAST)
        assert failed.error_kind == "input" and failed.source == "batch" and answered.completion == "42"
        assert client.batch_status(job).unsent == 1


def test_what_cannot_be_a_batch_says_so(server: RehearsalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with LLMClient("nova-pro", api_key="k", progress=None) as client, pytest.raises(ConfigError, match="no batch API"):
        client.submit_batch_job(PROMPTS)
    with client_for(server) as client:
        for wrong in ({"mode": "slow"}, {"state": "x"}, {"mode": "batch", "poll_in": 0}, {"mode": "batch", "batch_size": 0}):
            with pytest.raises(ConfigError):
                client.process_prompts(PROMPTS, **wrong)
        with pytest.raises(ConfigError, match="at least one"):
            client.submit_batch_job([])
        with pytest.raises(ConfigError, match="journal"):
            client.submit_batch_job(PROMPTS, journal="x.jsonl")
        (tmp_path / "none.json").write_text("{}")
        with pytest.raises(ConfigError, match="no state"):
            client.wait_for_batch_job("none.json")
        job = client.submit_batch_job(PROMPTS, state="job.json")
    with LLMClient("gpt-4.1-mini", api_key="k", progress=None) as elsewhere:
        with pytest.raises(ConfigError, match="set base_url"):
            elsewhere.wait_for_batch_job(job)
    assert sorted(os.listdir(tmp_path)) == ["job.json", "job.json.prompts", "none.json"]


def test_a_provider_that_refuses_is_told_to_the_caller(tmp_path: Path) -> None:
    with RehearsalServer(latency=0.0, api_key="right") as server, client_for(server) as client:
        with pytest.raises(BatchError, match="auth") as info:
            client.submit_batch_job(PROMPTS, state=tmp_path / "job.json")
        assert info.value.kind == "auth" and not info.value.retry and info.value.state == str(tmp_path / "job.json")
        assert "the-secret-key" not in str(info.value)
    with RehearsalServer(latency=0.0, batch_seconds=0.0) as server, client_for(server) as client:
        server.batches.most["openai"] = (2, 1_000)
        job = client.submit_batch_job(PROMPTS, state=tmp_path / "other.json")
        responses = client.wait_for_batch_job(job, **FAST)
        assert texts(responses) == ["bad_request"] * 4 and "the most are 2" in str(responses[0].error_message)


async def _awaited(client: LLMClient, state: Path) -> Any:
    return await client.process_prompts_async(PROMPTS, mode="batch", state=state, **FAST)


def test_the_async_door(server: RehearsalServer, tmp_path: Path) -> None:
    import asyncio

    with client_for(server) as client:
        assert texts(asyncio.run(_awaited(client, tmp_path / "job.json"))) == ANSWERS
