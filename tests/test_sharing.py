"""Equal prompts are sent once: told as stories of the scheduler, then through a client and a server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from rehearsing import client_of
from stories import PROMPT, Story

from deluge import APIResponse, ConfigError, Conversation, LLMClient
from deluge.caches import MemoryCache
from deluge.tasks import Call, Task
from deluge.testing import RehearsalServer, rehearsal

__all__ = ["rehearsal"]


class Shared(Story):
    """A story in which prompts may be equal."""

    def ask(self, call: Call, key: str = "k", count: int = 1) -> list[Task]:
        tasks = [Task(next(self._ids), at, call, PROMPT, 40) for at in range(count)]
        for task in tasks:
            task.share = key
        self.scheduler.submit(self.scheduler.claim(tasks, self.now), self.now)
        self.step()
        return tasks

    def source(self, task: Task) -> str:
        return self.responses[task.id].source


def test_equal_prompts_are_one_request() -> None:
    story = Shared()
    call = story.call()
    first, second, third = story.ask(call, count=3)
    other, = story.ask(call, "another")
    assert [flight.task for flight in story.flying] == [first, other]
    story.answer(first)
    assert [story.source(task) for task in (first, second, third)] == ["api", "dedupe", "dedupe"]
    assert story.responses[second.id].usage.total_tokens == 0 and story.responses[second.id].cost == 0.0
    assert story.responses[second.id].attempts == () and story.responses[second.id].id == second.id
    now = story.tracker.snapshot()
    assert (now.succeeded, now.duplicates, now.requests_sent) == (3, 2, 1) and now.usage.total_tokens == 15
    assert other.id not in story.responses
    story.answer(other)
    assert not story.scheduler.shares


def test_what_comes_after_the_answer_is_sent_unless_its_call_remembers() -> None:
    story = Shared()
    forgetful, lasting = story.call(), story.call()
    lasting.answers, lasting.most_answers = {}, 2
    for call, sources in ((forgetful, ["api", "api"]), (lasting, ["api", "dedupe"])):
        got = []
        for _ in range(2):
            task, = story.ask(call)
            if story.flying:
                story.answer()
            got.append(story.source(task))
        assert got == sources
    for key in "xyz":
        story.ask(lasting, key)
        story.answer()
    assert list(lasting.answers) == ["y", "z"], "bounded"


def test_a_failure_is_everybodys_and_is_not_remembered() -> None:
    story = Shared()
    call = story.call()
    call.answers, call.most_answers = {}, 10
    first, second = story.ask(call, count=2)
    story.fail("bad_request", verdict={"switch_model": False})
    assert story.kind(first) == story.kind(second) == "bad_request"
    assert story.responses[second.id].source == "dedupe" and story.tracker.snapshot().failed == 2
    third, = story.ask(call)
    assert story.flight().task is third


def test_a_follower_that_goes_changes_nothing() -> None:
    story = Shared()
    call = story.call()
    first, second, third = story.ask(call, count=3)
    assert story.scheduler.cancel(second, story.now)
    story.step()
    assert story.kind(second) == "cancelled" and not story.flight().switch.stopped
    story.answer()
    assert story.source(first) == "api" and story.source(third) == "dedupe"


def test_who_asked_first_may_go_and_the_attempt_goes_on() -> None:
    story = Shared()
    mine, other = story.call(), story.call()
    first, = story.ask(mine)
    story.fail("server")
    story.wait(1.1)
    second, third = story.ask(other, count=2)
    flight = story.flight()
    assert story.scheduler.cancel_call(mine, story.now) == 1
    story.step()
    assert story.kind(first) == "cancelled" and story.responses[first.id].attempts == ()
    assert not flight.switch.stopped and flight.task is second
    story.answer()
    assert story.tried(second) == [("a", "server"), ("a", None)], "the story is inherited, and its costs"
    assert story.source(second) == "api" and story.source(third) == "dedupe"
    assert story.scheduler.running == 0 and story.tracker.snapshot().cost == pytest.approx(0.001)


def test_a_prompt_that_waits_is_inherited_too() -> None:
    story = Shared(slots=1)
    blocker = story.call()
    held, = story.submit(blocker)
    mine, other = story.call(), story.call()
    story.ask(mine)
    heir, = story.ask(other)
    story.scheduler.cancel_call(mine, story.now)
    story.step()
    assert story.scheduler.waiting == 1
    story.answer(held)
    story.fail("server")
    follower, = story.ask(story.call())
    assert story.scheduler.backing_off == 1
    story.scheduler.cancel(heir, story.now)
    story.step()
    assert story.kind(heir) == "cancelled" and story.scheduler.backing_off == 1
    story.wait(1.1)
    story.answer()
    assert story.source(follower) == "api" and story.scheduler.backing_off == 0


def test_a_job_is_inherited_between_its_polls() -> None:
    story = Shared()
    mine, other = story.call(background=100.0), story.call(background=100.0)
    story.ask(mine)
    story.poll_later(5.0)
    heir, = story.ask(other)
    story.scheduler.cancel_call(mine, story.now)
    story.step()
    assert story.wait(5.1) == [heir.id] and not story.scheduler.cleanups
    story.answer()
    assert story.source(heir) == "api"


def test_a_call_that_is_cancelled_whole_ends_whole() -> None:
    story = Shared()
    call = story.call()
    tasks = story.ask(call, count=50)
    flight = story.flight()
    assert story.scheduler.cancel_call(call, story.now) == 50
    story.step()
    assert flight.switch.stopped and all(story.kind(task) == "cancelled" for task in tasks)
    assert not story.scheduler.shares and not call.unfinished


def test_who_was_taken_before_a_drain_inherits_all_the_same() -> None:
    story = Shared()
    mine, other = story.call(), story.call()
    first, = story.ask(mine)
    second, third = story.ask(other, count=2)
    other.closed = "the client is being drained"
    assert story.scheduler.cancel(first, story.now)
    story.step()
    assert story.kind(first) == "cancelled" and second.id not in story.responses
    story.answer()
    assert story.source(second) == "api" and story.source(third) == "dedupe" and not other.unfinished


def test_a_backoff_is_inherited_twice() -> None:
    story = Shared()
    first, second, third = [story.ask(story.call())[0] for _ in range(3)]
    story.fail("server")
    for task in (first, second):
        story.scheduler.cancel(task, story.now)
        assert story.step() == []
    assert story.wait(0.9) == [] and story.wait(0.2) == [third.id]


@pytest.mark.parametrize("queued", [True, False])
def test_a_row_of_a_work_list_inherits_the_model_that_is_asked(queued: bool) -> None:
    story = Shared(slots=1)
    if queued:
        blocker, = story.submit(story.call())
    rows = []
    for name in "ab":  # equal rows, each of which had its turn among the models
        call = story.call(("a", "b"))
        rows.append(Task(next(story._ids), 0, call, PROMPT, 40, template=call.templates[name]))
        rows[-1].share = "k"
        story.scheduler.submit(story.scheduler.claim(rows[-1:], story.now), story.now)
    story.step()
    assert story.scheduler.cancel(rows[0], story.now)
    story.step()
    if queued:
        story.answer(blocker)
    story.fail("server")
    story.wait(1.1)
    heir = rows[1]
    assert story.flight(heir).lane.model == heir.model == heir.template_for(heir.model).model.id
    story.answer()
    assert {model for model, _ in story.tried(heir)} == {"a"}


def test_what_is_done_to_a_response_is_not_in_the_next_ones() -> None:
    story = Shared()
    lasting, cached = story.call(), story.call()
    lasting.answers, lasting.most_answers = {}, 10
    cached.cache = object()
    for call in (lasting, cached):
        first, = story.ask(call)
        story.answer()
        story.responses[first.id].completion = "changed by a hook"
        story.responses[first.id].is_error = True
        second, = story.ask(call)
        assert story.source(second) == "dedupe" and not story.responses[second.id].is_error
        assert story.responses[second.id].completion != "changed by a hook"
        story.scheduler.settled(list(story.scheduler.shares))


def test_a_caller_who_goes_before_he_has_submitted_leaves_nobody_waiting() -> None:
    story = Shared()
    mine, other = story.call(), story.call()
    lost = Task(next(story._ids), 0, mine, PROMPT, 40)
    lost.share = "k"
    assert story.scheduler.claim([lost], story.now) == [lost]
    follower, = story.ask(other)
    story.scheduler.submit_left([lost], story.now)
    story.scheduler.submit_left([lost], story.now)
    assert story.step() == [lost.id]
    story.answer()
    story.scheduler.submit_left([lost], story.now)
    assert story.source(lost) == "api" and story.source(follower) == "dedupe" and not story.scheduler.shares


def test_each_response_goes_through_the_hook_once(rehearsal: RehearsalServer) -> None:
    def exclaim(response: APIResponse) -> None:
        response.completion = f"{response.completion}!"

    with client_of(rehearsal, temperature=0, max_concurrent_requests=1, postprocess=exclaim) as client:
        responses = client.process_prompts(["same"] * 30)
    assert [response.completion for response in responses] == ["same!"] * 30 and rehearsal.count == 1


def test_what_a_journal_has_was_through_the_hook_already(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    def exclaim(response: APIResponse) -> None:
        response.completion = f"{response.completion}!"

    with client_of(rehearsal, temperature=0, postprocess=exclaim) as client:
        for count in (1, 3, 5):
            responses = client.process_prompts(["a"] * count, journal=tmp_path / "run.jsonl")
            assert [response.completion for response in responses] == ["a!"] * count and rehearsal.count == 1
    assert sum('"completion":"a!"' in line for line in (tmp_path / "run.jsonl").read_text("utf-8").splitlines()) == 5


def test_a_batch_asks_once_at_temperature_zero(rehearsal: RehearsalServer) -> None:
    prompts = [f"p {n % 7}" for n in range(700)]
    with client_of(rehearsal, temperature=0, max_concurrent_requests=5) as client:
        responses = client.process_prompts(prompts)
        assert [response.completion for response in responses] == prompts and rehearsal.count == 7
        assert sorted({response.source for response in responses}) == ["api", "dedupe"]
        assert sum(response.cost is None or response.source == "api" for response in responses) == 7
        assert client.tracker.snapshot().duplicates == 693
        assert [response.completion for response in client.map(prompts, ordered=True)] == prompts and rehearsal.count == 14


@pytest.mark.parametrize("settings, options, sent", [
    ({}, {}, 4), ({"temperature": 0}, {"dedupe": False}, 4), ({"dedupe": True}, {}, 1),
    ({"dedupe": False, "temperature": 0}, {}, 4),
    ({}, {"dedupe": True}, 1), ({"temperature": 0}, {"sampling_params": {"temperature": 1}}, 4), ({"cache": {}}, {}, 1),
])
def test_when_equal_prompts_are_one(rehearsal: RehearsalServer, settings: Any, options: Any, sent: int) -> None:
    with client_of(rehearsal, **settings) as client:
        assert [r.completion for r in client.process_prompts(["same"] * 4, **options)] == ["same"] * 4
    assert rehearsal.count == sent


def test_what_goes_along_with_a_prompt_tells_it_apart(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, ["m", "n"], dedupe=True) as client:
        other = client.copy(extra_headers={"x-tenant": "b"})
        rehearsal.hold()
        handles = [client.start_nowait("same", prefer_model="m"), other.start_nowait("same", prefer_model="m"),
                   client.start_nowait("same", prefer_model="n"), client.start_nowait("same", prefer_model="m")]
        rehearsal.wait_for_requests(3)
        rehearsal.release()
        assert [handle.result(10).source for handle in handles] == ["api", "api", "api", "dedupe"]
    assert rehearsal.count == 3


def test_dedupe_is_checked(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client, pytest.raises(ConfigError, match="dedupe"):
        client.ask("x", dedupe="maybe")  # type: ignore[arg-type]


def test_everybody_gets_a_typed_object_of_his_own(rehearsal: RehearsalServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}, "required": ["a"]}
    with client_of(rehearsal, temperature=0) as client:
        one, two = client.process_prompts(["same", "same"], output_schema=schema)
    assert one.parsed == two.parsed and one.parsed is not two.parsed and rehearsal.count == 1


def test_threads_that_ask_the_same_pay_once(rehearsal: RehearsalServer) -> None:
    cache = MemoryCache()
    barrier = threading.Barrier(8)
    sources: list[str] = []
    with client_of(rehearsal, cache=cache) as client:

        def work() -> None:
            barrier.wait(10)
            for turn in range(20):
                sources.append(client.ask(f"turn {turn}").source)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert rehearsal.count == 20 and len(sources) == 160 and sources.count("api") == 20
    assert set(sources) <= {"api", "dedupe", "cache"}


class Broken:
    """A cache that fails in both directions."""

    thread_safe = True

    def get(self, prompt: Conversation) -> None:
        raise OSError("gone")

    def put(self, prompt: Conversation, response: object) -> None:
        raise OSError("gone")


def test_a_broken_cache_costs_no_answer(rehearsal: RehearsalServer, caplog: pytest.LogCaptureFixture) -> None:
    with client_of(rehearsal, cache=Broken()) as client:
        responses = client.process_prompts(["a", "b", "c"])
    assert [response.completion for response in responses] == ["a", "b", "c"] and not any(r.is_error for r in responses)
    assert [record.name for record in caplog.records if "the response cache failed" in record.message] == [
        "deluge.client", "deluge.courier"], "once each, not once for each prompt"


def test_leaving_a_loop_leaves_nobody_waiting(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, temperature=0, max_concurrent_requests=2) as client:
        handle = None
        for _ in client.map(["x"] * 5 + [f"y {n}" for n in range(50)], ordered=False):
            handle = client.start_nowait("y 49")
            break
        assert handle is not None and handle.result(10).completion == "y 49"
        assert isinstance(client, LLMClient) and client.drain(10)


def test_a_journal_has_a_line_for_each_of_them(rehearsal: RehearsalServer, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with client_of(rehearsal, temperature=0) as client:
        first = client.process_prompts(["a", "b", "a"], journal=file)
        assert [response.source for response in first] == ["api", "api", "dedupe"] and rehearsal.count == 2
        again = client.process_prompts(["a", "a", "b", "a", "a"], journal=file)
        assert [response.source for response in again] == ["journal", "journal", "journal", "dedupe", "dedupe"]
        assert [response.completion for response in again] == list("aabaa") and rehearsal.count == 2
    assert len(file.read_text("utf-8").splitlines()) == 5
