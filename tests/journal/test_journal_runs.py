"""Calls with a journal: what is asked again, what is not, and that nobody sees a response before its record is written."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import environment
from pydantic import BaseModel
from rehearsing import client_of

from deluge import APIResponse, ClosedError, ConfigError, Conversation, Interrupted, JournalError, Message, Tool
from deluge.courier import Courier
from deluge.journal import Journal
from deluge.testing import RehearsalServer
from deluge.wire import Cancelled
from deluge.worklist import read_rows


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def sources(responses: list[APIResponse]) -> list[str]:
    return [response.source for response in responses]


# -- resuming ---------------------------------------------------------------------------------------------------------

def test_the_same_call_again_sends_nothing(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    prompts = [f"p{n % 20}" for n in range(30)]  # ten of them twice
    client = client_of(rehearsal)
    first = client.process_prompts(prompts, journal=path)
    assert sources(first) == ["api"] * 30 and len(records(path)) == 30 and rehearsal.count == 30
    assert sorted(item["occurrence"] for item in records(path)) == [0] * 20 + [1] * 10
    again = client.process_prompts(prompts, journal=str(path))
    assert sources(again) == ["journal"] * 30 and rehearsal.count == 30
    for old, new in zip(first, again):
        assert (new.completion, new.index, new.finish_reason, new.model_internal, new.sampling_params) == (
            old.completion, old.index, old.finish_reason, old.model_internal, old.sampling_params)
        assert new.cost == 0 and new.usage.total_tokens == 0 and new.prompt == old.prompt
    now = client.status()
    assert (now.resumed, now.requests_sent, now.cost, now.usage.total_tokens) == (30, 0, 0.0, 0)
    client.close()


def test_duplicated_reordered_and_extended_inputs(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    client = client_of(rehearsal)
    client.process_prompts(["a", "b", "a"], journal=path)
    longer = ["c", "a", "a", "a", "b", "b"]
    responses = client.process_prompts(longer, journal=path)
    assert [response.completion for response in responses] == longer
    assert sources(responses) == ["api", "journal", "journal", "api", "journal", "api"]
    assert sorted((item["index"], item["completion"]) for item in records(path)) == list(enumerate(longer))
    assert list(client.map(longer, journal=path)) and client.status().resumed == 6
    client.close()


def test_the_async_door_and_one_question(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with client_of(rehearsal) as client:
        assert client.ask("a", journal=path).source == "api"
        responses = asyncio.run(client.process_prompts_async(["a", "b"], journal=path, durable="each"))
        assert [response.source for response in responses if isinstance(response, APIResponse)] == ["journal", "api"]


@pytest.mark.parametrize("changed", [
    {"sampling_params": {"temperature": 0.1}}, {"model": "other"}, {"output_schema": {"type": "object"}},
    {"tools": [Tool(name="look", description="", parameters={"type": "object", "properties": {}})]},
])
def test_a_changed_parameter_asks_again(
    rehearsal: RehearsalServer, tmp_path: Path, changed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.jsonl"
    with client_of(rehearsal) as client:
        client.process_prompts(["a", "b"], journal=path)
        assert "other parameters" not in caplog.text
        assert sources(client.process_prompts(["a"], journal=path, max_repairs=0, **changed)) == ["api"]
        assert caplog.text.count("2 answers in the journal are for other parameters") == 1
        assert sources(client.process_prompts(["a", "b"], journal=path)) == ["journal"] * 2, "they are kept"


def test_failures_are_done_unless_they_are_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with RehearsalServer(latency=0.0, script=["400", None, None]) as server, client_of(server) as client:
        bad, good = [client.ask(prompt, journal=path) for prompt in ("a", "b")]
        assert bad.is_error and not good.is_error and len(records(path)) == 2
        again = client.process_prompts(["a", "b"], journal=path)
        assert sources(again) == ["journal"] * 2 and again[0].error_kind == bad.error_kind == "bad_request"
        assert again[0].error_message == bad.error_message and client.status().failed == 1
        assert sources(client.process_prompts(["a", "b"], journal=path, retry_failed=True)) == ["api", "journal"]
        assert [item["is_error"] for item in records(path)] == [False, False], "one line per prompt"


def test_what_a_hook_made_is_kept_and_not_made_twice(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    seen: list[int] = []

    def hook(response: APIResponse) -> None:
        seen.append(path.read_bytes().count(b"\n"))
        response.completion = f"<{response.completion}>"

    with client_of(rehearsal, postprocess=hook, max_concurrent_requests=1) as client:
        assert [r.completion for r in client.process_prompts(["a", "b"], journal=path)] == ["<a>", "<b>"]
        assert [r.completion for r in client.process_prompts(["a", "b"], journal=path)] == ["<a>", "<b>"]
    assert len(seen) == 2 and [item["completion"] for item in records(path)] == ["<a>", "<b>"]


def test_a_hook_that_fails_costs_its_own_prompt_only(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    def hook(response: APIResponse) -> None:
        if response.completion == "b":
            raise ZeroDivisionError("mine")

    with client_of(rehearsal, postprocess=hook) as client:
        responses = client.process_prompts(["a", "b", "c"], journal=tmp_path / "run.jsonl")
    assert [response.is_error for response in responses] == [False, True, False]
    kinds = {item["completion"]: item["error_kind"] for item in records(tmp_path / "run.jsonl")}
    assert kinds == {"a": None, "b": "postprocess", "c": None}


def test_typed_answers_are_typed_again(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    class Person(BaseModel):
        name: str

    with client_of(rehearsal) as client:
        for source in ("api", "journal"):
            response = client.ask("Invent a person as JSON.", output_schema=Person, journal=tmp_path / "run.jsonl")
            assert response.source == source and isinstance(response.parsed, Person), response


def test_the_journal_wins_over_the_cache_and_brings_no_cache_hit(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    class Memory:
        def __init__(self) -> None:
            self.kept: dict[str, APIResponse] = {}

        def get(self, prompt: Conversation) -> APIResponse | None:
            return self.kept.get(prompt.fingerprint)

        def put(self, prompt: Conversation, response: APIResponse) -> None:
            self.kept[prompt.fingerprint] = response

    with client_of(rehearsal, cache=Memory()) as client:
        client.ask("a")
        for source in ("cache", "journal"):
            assert client.ask("a", journal=tmp_path / "run.jsonl").source == source
        assert [item["source"] for item in records(tmp_path / "run.jsonl")] == ["cache"]


def test_rows_with_ids_models_and_parameters_of_their_own(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    work, path = tmp_path / "in.jsonl", tmp_path / "run.jsonl"
    rows = [{"prompt": "a", "id": "1"}, {"prompt": "a", "id": "2", "temperature": 0}, {"prompt": "a", "id": 2, "topic": "x"},
            {"prompt": "a", "model": "second"}, {"prompt": "a"}, {"prompt": "b", "temperature": 9}, "not json"]

    def run(these: list[Any], **settings: Any) -> list[str]:
        work.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in these))
        with client_of(rehearsal, ["first", "second"]) as client:
            return sources(client.process_prompts(read_rows(work), journal=path, **settings))

    assert run(rows) == ["api"] * 7 and rehearsal.count == 5
    assert run(rows) == ["journal"] * 7 and rehearsal.count == 5
    changed = [{"prompt": "a", "id": "2", "temperature": 1}, *rows[:5]]
    assert run(changed) == ["api", *["journal"] * 5], "a row's own parameters are part of its key"
    assert {(item["id"], json.dumps(item["metadata"])) for item in records(path)} >= {(2, '{"topic": "x"}')}
    assert {item["key"][:16] for item in records(path)} == {records(path)[0]["key"][:16]}


def test_keys_are_the_same_in_every_process(tmp_path: Path) -> None:
    script = """
import sys
from deluge import LLMClient
client = LLMClient(["rehearsal-echo", "gpt-4.1"], api_key="k", base_url="http://localhost:1", progress=None)
plan = client._plan({"output_schema": {"type": "object"}}, None)
from deluge.prompt import Conversation
print(plan.key_of(Conversation.of_text("x")), plan.key_of(Conversation().user("x").ai("y").user("z").freeze()))
"""
    said = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True)
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(script, {})
    assert here.getvalue() == said.stdout and len(said.stdout.split()[0]) == 64


# -- in the right order -----------------------------------------------------------------------------------------------

def test_nobody_sees_a_response_before_its_record_is_written(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with client_of(rehearsal, max_concurrent_requests=20) as client:
        for count, response in enumerate(client.map([f"p{n}" for n in range(300)], ordered=False, journal=path), 1):
            assert path.read_bytes().count(b"\n") >= count and not response.is_error


def test_leaving_the_loop_keeps_what_is_finished(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with client_of(rehearsal) as client:
        with pytest.raises(ZeroDivisionError):
            for number, _ in enumerate(client.map((f"p{n}" for n in range(5_000)), journal=path)):
                if number == 50:
                    raise ZeroDivisionError
        kept = len(records(path))
        assert 50 < kept < 5_000 and all(not item["is_error"] for item in records(path))
        assert sources(list(client.map([f"p{n}" for n in range(5_000)], journal=path))).count("journal") == kept


def test_an_input_that_fails_leaves_a_journal_to_go_on_from(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise OSError("the input is gone")

    with client_of(rehearsal) as client:
        with pytest.raises(OSError, match="the input is gone"):
            client.process_prompts(broken(), journal=tmp_path / "run.jsonl")
        assert client.process_prompts(["a"], journal=tmp_path / "run.jsonl")[0].completion == "a"


def test_an_answer_that_comes_late_is_recorded(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with client_of(rehearsal) as client:
        plan = client._plan({"journal": path}, None)
        assert plan.open_journal()
        task = plan.task(0, "x")
        assert plan.recorded(task) is None
        courier = Courier()
        courier.start()
        courier.put_late([(task, APIResponse(content=Message.ai("late"), finish_reason="stop"))])
        assert courier.settle(10)
        courier.stop()
        assert plan.call.journal is not None
        plan.call.journal.close()
        assert client.ask("x", journal=path).completion == "late" and rehearsal.count == 0


def test_a_scheduler_that_fails_takes_nothing_with_it(
    rehearsal: RehearsalServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, stopped = tmp_path / "run.jsonl", threading.Event()

    def job() -> Generator[None, None, None]:
        try:
            yield
        except Cancelled:
            stopped.set()

    with client_of(rehearsal) as client:
        plan = client._plan({"journal": path}, None)
        assert plan.open_journal() and client.ask("awake").completion == "awake"
        late, forgotten = plan.task(0, "x"), plan.task(1, "y")
        assert plan.recorded(late) is None
        forgotten.exchange = job()
        next(forgotten.exchange)
        live = client.start_nowait("[[latency 60]] z")
        engine = client._engine
        with engine._lock:
            engine.scheduler.late.append((late, APIResponse(content=Message.ai("late"), finish_reason="stop")))
            engine.scheduler.cleanups.append(forgotten)
            engine._fail(RuntimeError("a bug"))
        assert live.result(10).error_message == "the scheduler failed: RuntimeError: a bug"
        assert engine.courier.settle(10) and stopped.wait(10)
        assert [item["completion"] for item in records(path)] == ["late"]
        assert client.ask("again").completion == "again"
        assert plan.call.journal is not None
        plan.call.journal.close()
    assert [record.exc_text is not None or record.exc_info is not None for record in caplog.records] == [True]


def test_what_is_cancelled_is_not_done(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with client_of(rehearsal) as client:
        responses = client.process_prompts(["quick", "[[latency 60]] slow"], journal=path, timeout=0.5)
        assert [response.error_kind for response in responses] == [None, "cancelled"]
        assert [item["completion"] for item in records(path)] == ["quick"], "what was cancelled is not done"


# -- what goes wrong --------------------------------------------------------------------------------------------------

def test_a_disk_that_is_full_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with RehearsalServer(latency=0.0) as server, client_of(server, max_concurrent_requests=5) as client:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
            with pytest.raises(JournalError, match="run.jsonl cannot be written any more: File too large") as full:
                client.process_prompts([f"p{n}" for n in range(5_000)], journal=tmp_path / "run.jsonl")
            with pytest.raises(JournalError) as of_map:
                for response in client.map((f"q{n}" for n in range(5_000)), journal=tmp_path / "other.jsonl"):
                    assert response.completion == f"q{response.index}" or response.error_kind == "cancelled"
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert server.count < 1_000 and isinstance(full.value.__cause__, OSError)
            answered = [response for response in full.value.responses if response is not None]
            written = records(tmp_path / "run.jsonl")
            assert len(answered) == len(written) + full.value.unwritten and full.value.unwritten >= 1
            assert of_map.value.responses == [] and of_map.value.unwritten >= 1
            again = client.process_prompts([f"p{n}" for n in range(len(written) + 20)], journal=tmp_path / "run.jsonl")
            assert sources(again).count("journal") == len(written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def test_ctrl_c_says_where_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with RehearsalServer(latency=0.0, script=[None, None, "hang"]) as server, client_of(server) as client:
        def press() -> None:
            server.wait_for_requests(3)
            while not path.exists() or path.read_bytes().count(b"\n") < 2:
                threading.Event().wait(0.01)
            signal.raise_signal(signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        with pytest.raises(Interrupted, match="the same call goes on from .*run.jsonl"):
            client.process_prompts(["a", "b", "c"], journal=path)
        thread.join(5)
        assert sources(client.process_prompts(["a", "b", "c"], journal=path)).count("journal") == 2


def test_wrong_ways_to_ask_for_a_journal(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with client_of(rehearsal) as client:
        for options, words in (({"durable": "each"}, "durable is a setting of journal="),
                               ({"retry_failed": True}, "retry_failed is a setting of journal="),
                               ({"journal": path, "durable": "no"}, "'second' or 'each'"),
                               ({"journal": path, "retry_failed": 1.5}, "True or False"),
                               ({"journal": 3}, "the path of a file"), ({"journal": ""}, "the path of a file"),
                               ({"journal": tmp_path}, "no regular file")):
            with pytest.raises(ConfigError, match=words):
                client.process_prompts(["a"], **options)
        for call in (client.start_nowait, client.start, client.stream_chat, client.start_agent_loop_nowait):
            with pytest.raises(ConfigError, match="process_prompts, map and ask"):
                call("a", journal=path)  # type: ignore[operator]
        assert not path.exists() and rehearsal.count == 0
        waiting = client.map(["a"], journal=path)
        with pytest.raises(ConfigError, match="in use by another call of this process"):
            client.ask("a", journal=path)
        del waiting  # never begun, and forgotten
        assert client.ask("a", journal=path).completion == "a"


def test_a_journal_may_be_opened_beforehand(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    with client_of(rehearsal) as client:
        journal = Journal(tmp_path / "run.jsonl", prompts=False)
        client.process_prompts(["a"], journal=journal)
        client.process_prompts(["b"], journal=journal)
        assert journal.written == 2 and "2 written" in repr(journal)
        journal.close(True)
        assert [item["prompt"] for item in records(tmp_path / "run.jsonl")] == [None, None]


# -- drain ------------------------------------------------------------------------------------------------------------

def test_drain_takes_no_work(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    client = client_of(rehearsal, max_concurrent_requests=2)
    got: dict[str, Any] = {}
    begun = threading.Event()

    def many() -> Iterator[str]:
        for number in range(10_000):
            yield f"p{number}"

    def iterate() -> None:
        try:
            got["map"] = []
            for response in client.map(many(), journal=tmp_path / "run.jsonl"):
                got["map"].append(response)
                begun.set()
        except ClosedError as error:
            got["error"] = str(error)

    thread = threading.Thread(target=iterate)
    thread.start()
    assert begun.wait(10)
    rehearsal.hold()
    drained: list[bool] = []
    draining = threading.Thread(target=lambda: drained.append(client.drain(20)))
    draining.start()
    while not client._drains:
        threading.Event().wait(0.001)
    for call in (lambda: client.ask("x"), lambda: client.start_nowait("x"), lambda: client.map(["x"])):
        with pytest.raises(ClosedError, match="being drained"):
            call()
    rehearsal.release()
    draining.join(20)
    thread.join(20)
    assert drained == [True] and "the client was drained" in got["error"]
    taken = [response for response in got["map"] if not response.is_error]
    assert 0 < len(taken) < 10_000 and len(records(tmp_path / "run.jsonl")) == len(taken)
    assert client.ask("after").completion == "after"
    client.close()
