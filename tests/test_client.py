"""The client's promises, against a provider on loopback."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from rehearsing import MODEL, client_of, our_threads

from deluge import APIResponse, ClosedError, ConfigError, Conversation, LLMClient, Message, SamplingParams
from deluge.testing import Fault, RehearsalServer, rehearsal

__all__ = ["rehearsal"]


@pytest.fixture
def client(rehearsal: RehearsalServer) -> Iterator[LLMClient]:
    client = client_of(rehearsal)
    yield client
    client.close()


# ---------------------------------------------------------------------- what counts as prompts

def test_responses_come_in_input_order(client: LLMClient) -> None:
    prompts = [f"prompt {number}" for number in range(300)]
    responses = client.process_prompts(prompts)
    assert [response.completion for response in responses] == prompts
    assert [response.index for response in responses] == list(range(300))
    assert all(response.source == "api" and response.finish_reason == "stop" for response in responses)


TWO = [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]]


@pytest.mark.parametrize(("prompts", "answers"), [
    ("one", ["one"]),
    (Message.user("one"), ["one"]),
    (Conversation().user("one"), ["one"]),
    ([{"role": "system", "content": "be brief"}, {"role": "user", "content": "one"}], ["one"]),
    ({"role": "user", "content": "one"}, ["one"]),
    (["a"], ["a"]),
    (("a", "b"), ["a", "b"]),
    ((letter for letter in "ab"), ["a", "b"]),
    (dict.fromkeys("ab"), None),
    ({"a"}, ["a"]),
    ({"a": 1}.keys(), ["a"]),
    (TWO, ["a", "b"]),
    (["a", Message.user("b"), Conversation().user("c"), TWO[0]], ["a", "b", "c", "a"]),
    ([], []),
    ((), []),
    (iter([]), []),
])
def test_any_iterable_is_many_prompts_and_one_prompt_is_one(client: LLMClient, prompts: Any, answers: Any) -> None:
    if answers is None:
        with pytest.raises(ConfigError, match="without 'role' or 'messages'"):
            client.process_prompts(prompts)
    else:
        assert client.process_prompts(prompts, return_completions_only=True) == answers


def test_completions_only_have_none_for_errors(client: LLMClient) -> None:
    assert client.process_prompts(["a", "[[fault 400]]", "b"], return_completions_only=True) == ["a", None, "b"]


def test_aliases(client: LLMClient) -> None:
    assert client.process_prompts_sync(["a"], return_completions_only=True) == ["a"]
    assert client.ask("x").completion == "x"
    assert client.ask([{"role": "user", "content": "y"}]).completion == "y"


def test_an_empty_list_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    before = our_threads()
    client = LLMClient(progress=None)
    assert client.process_prompts([]) == [] and list(client.map([])) == [] and client.wait_for_all() == []
    assert not set(our_threads()) - set(before)


# ---------------------------------------------------------------------- one call's own settings

def test_a_call_overrides_model_and_parameters(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, sampling_params=SamplingParams(temperature=0.1, max_new_tokens=99))
    client.ask("a", model="rehearsal-echo")
    client.ask("b", sampling_params=SamplingParams(temperature=1.5))
    client.ask("c", sampling_params={"max_new_tokens": 7})
    client.ask("d")
    a, b, c, d = (seen.body for seen in rehearsal.requests)
    assert a["model"] == "rehearsal-echo" and a["temperature"] == 0.1
    assert b["model"] == MODEL and b["temperature"] == 1.5
    assert c["max_completion_tokens"] == 7 and d["temperature"] == 0.1 and d["max_completion_tokens"] == 99
    client.close()


def test_a_call_may_name_a_model_of_the_servers_own(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal)
    assert client.ask("a", model="some-local-model").model_internal == "some-local-model"
    client.close()


def test_unknown_options_of_a_call_are_errors(client: LLMClient) -> None:
    with pytest.raises(TypeError, match="'retries'"):
        client.process_prompts(["a"], retries=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'retries'"):
        client.start_nowait("a", retries=3)  # type: ignore[call-arg]


def test_prefer_model(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, ["one", "two", "three"])
    answers = client.process_prompts([f"p{n}" for n in range(6)], prefer_model="two")
    assert {answer.model_internal for answer in answers} == {"two"}
    with pytest.raises(ConfigError, match="'four' is not in the pool"):
        client.ask("a", prefer_model="four")
    assert client.ask("fresh", prefer_model="last").completion == "fresh"
    turns = Conversation().user("q").with_message(Message.ai("a"), model_used="three").user("and?")
    assert {client.ask(turns, prefer_model="last").model_internal for _ in range(3)} == {"three"}
    client.close()


def test_extra_headers_body_and_raw_replies(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, extra_headers={"X-Team": "blue"}, extra_body={"user": "u1"}, keep_raw=True, api_key="k")
    answer = client.ask("a")
    assert rehearsal.requests[-1].headers["x-team"] == "blue" and rehearsal.requests[-1].body["user"] == "u1"
    assert answer.raw_response["object"] == "chat.completion" and "x-request-id" in answer.headers
    assert answer.request_id == answer.headers["x-request-id"]
    client.close()
    plain = client_of(rehearsal)
    answer = plain.ask("a")
    assert answer.raw_response is None and answer.headers is None
    plain.close()


@pytest.mark.parametrize("key", ["sk-1", lambda: "sk-1", {"custom": "sk-1"}])
def test_shapes_of_the_key(key: Any) -> None:
    with RehearsalServer(latency=0.0, api_key="sk-1") as server:
        client = client_of(server, api_key=key)
        assert client.ask("a").completion == "a"
        assert "sk-1" not in repr(client) + repr(client.config) + str(client.to_dict()) + repr(vars(client))
        client.close()


# ---------------------------------------------------------------------- tracker, open and close

def test_each_batch_has_its_own_counters(client: LLMClient) -> None:
    client.process_prompts(["a", "b"])
    first = client.tracker
    client.process_prompts(["c", "[[fault 400]]", "d"])
    now = client.tracker.snapshot()
    assert (now.total, now.succeeded, now.failed, now.requests_sent, now.running, now.queued) == (3, 2, 1, 3, 0, 0)
    assert first is not client.tracker and first.snapshot().succeeded == 2 and first.snapshot().total == 2


def test_an_open_tracker_is_shared_until_close(client: LLMClient) -> None:
    assert client.open(total=5, show_progress=False) is client
    client.process_prompts(["a", "b"])
    assert client.tracker.snapshot().total == 5
    client.process_prompts(["c", "d"])
    client.ask("e")
    now = client.tracker.snapshot()
    assert (now.total, now.succeeded, now.num_tasks_started) == (5, 5, 5)
    client.close()
    assert client.tracker.snapshot().succeeded == 5
    client.process_prompts(["f"])
    assert client.tracker.snapshot().succeeded == 1


def test_totals_grow_beyond_what_was_announced(client: LLMClient) -> None:
    client.open(total=1, show_progress=False)
    client.process_prompts(["a", "b", "c"])
    assert client.tracker.snapshot().total == 3


def test_reset_tracker_zeroes_and_keeps_what_is_under_way(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal)
    client.open(show_progress=False)
    client.process_prompts(["a", "b"])
    rehearsal.hold()
    handle = client.start_nowait("held")
    rehearsal.wait_for_requests(3)
    client.reset_tracker()
    now = client.tracker.snapshot()
    assert (now.succeeded, now.started, now.usage.output_tokens) == (0, 1, 0)
    rehearsal.release()
    handle.result(10)
    now = client.tracker.snapshot()
    assert (now.succeeded, now.started, now.total) == (1, 1, 1)
    client.close()


def test_sums_over_the_responses_equal_the_tracker(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_attempts=3, retry=None)
    responses = client.process_prompts([f"p{n} " * n for n in range(20)] + ["[[fault 500 x1]] again", "[[fault 400]]"])
    tracker = client.tracker
    assert sum(response.input_tokens for response in responses) == tracker.total_input_tokens > 0
    assert sum(response.output_tokens for response in responses) == tracker.total_output_tokens > 0
    assert sum(len(response.attempts) for response in responses) == tracker.total_requests == rehearsal.count
    assert tracker.total_retries == 1 and tracker.num_tasks_succeeded == 21 and tracker.num_tasks_failed == 1
    client.close()


def test_close_ends_the_threads_and_the_next_call_starts_them_again(client: LLMClient) -> None:
    others = our_threads()
    for word in ("a", "b", "c"):
        assert client.ask(word).completion == word
        threads = [thread for thread in our_threads() if thread not in others]
        assert threads and all(thread.daemon for thread in threads)
        client.close()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
    client.close()


def test_close_cancels_what_is_queued_and_running(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_concurrent_requests=2)
    rehearsal.hold()
    handles = [client.start_nowait(f"p{n}") for n in range(5)]
    rehearsal.wait_for_requests(2)
    client.close()
    assert all(handle.result(5).error_kind == "cancelled" and handle.cancelled() for handle in handles)
    rehearsal.release()
    assert client.ask("again").completion == "again"
    client.close()


@pytest.mark.parametrize("count", [1, 30])
def test_closing_over_and_over_loses_no_slot_and_no_socket(rehearsal: RehearsalServer, count: int) -> None:
    client = client_of(rehearsal, max_concurrent_requests=20)
    for _ in range(4):
        rehearsal.hold()
        handles = [client.start_nowait(f"p {n}") for n in range(count)]
        if _ % 2:  # else the workers have hardly begun
            rehearsal.wait_for(lambda: rehearsal.connections >= min(count, 20))
        client.close()
        assert {handle.result(5).error_kind for handle in handles} == {"cancelled"}
        rehearsal.release()
        assert client.process_prompts([f"q {n}" for n in range(40)], timeout=20)[-1].completion == "q 39"
    assert client.drain(5) and client.status().running == 0
    client.close()
    del client, handles
    gc.collect()


def test_a_with_block_closes_for_good(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        assert client.ask("a").completion == "a"
        client.close()
        assert client.ask("b").completion == "b"
    for call in (lambda: client.process_prompts(["c"]), lambda: client.start("c"), lambda: client.start_nowait("c"),
                 lambda: client.ask("c"), lambda: client.map(["c"]), lambda: client.stream_chat("c"), client.open,
                 lambda: client.__enter__()):
        with pytest.raises(ClosedError):
            call()
    assert client.wait_for_all() == []
    client.close()


def test_drain_waits_for_what_is_under_way(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal)
    rehearsal.hold()
    handles = [client.start_nowait(f"p{n}") for n in range(3)]
    rehearsal.wait_for_requests(3)
    assert client.drain(timeout=0.05) is False
    rehearsal.release()
    assert client.drain(timeout=10) is True
    assert [handle.result(5).completion for handle in handles] == ["p0", "p1", "p2"]
    client.close()


def test_a_forgotten_client_is_collected_and_its_threads_end(rehearsal: RehearsalServer) -> None:
    others = our_threads()
    client = client_of(rehearsal)
    client.process_prompts(["a", "b"])
    client.start_nowait("c").result(5)
    gone = weakref.ref(client)
    threads = [thread for thread in our_threads() if thread not in others]
    del client
    gc.collect()
    assert gone() is None
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_a_client_may_be_collected_in_the_middle_of_a_step(rehearsal: RehearsalServer) -> None:
    others = our_threads()
    client = client_of(rehearsal)
    client.start_nowait("a").result(5)
    threads = [thread for thread in our_threads() if thread not in others]
    dropped, engine = [client], client._engine
    del client

    def collect() -> None:
        with engine._lock:
            dropped.clear()
            gc.collect()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


# ---------------------------------------------------------------------- timeout

def test_timeout_brings_the_rest_back_as_cancelled(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_concurrent_requests=3)
    prompts = ["quick"] + [f"[[latency 60]] {n}" for n in range(20)]
    responses = client.process_prompts(prompts, timeout=0.5)
    assert len(responses) == 21 and responses[0].completion == "quick"
    assert {response.error_kind for response in responses[1:]} == {"cancelled"}
    assert [response.index for response in responses] == list(range(21))
    assert [response.possibly_billed for response in responses].count(True) == 3
    assert client.ask("after").completion == "after"
    assert client.ask("[[latency 60]]", timeout=0.2).error_kind == "cancelled"
    with pytest.raises(ConfigError, match="timeout"):
        client.ask("a", timeout=0)
    client.close()


def test_timeout_of_a_long_input(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_concurrent_requests=1)
    rehearsal.hold()
    responses = client.process_prompts((f"p{n}" for n in range(50)), timeout=0.3)
    assert len(responses) == 50 and {response.error_kind for response in responses} == {"cancelled"}
    client.close()


def test_timeout_of_a_handle(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal) as client:
        late = client.start_nowait("[[latency 60]]", timeout=0.2)
        other = client.start("[[latency 0.4]] in time")
        assert late.result(5).error_kind == "cancelled"
        assert other.result(5).error_kind is None


def test_a_key_that_is_a_function_is_asked_for_every_call() -> None:
    keys = iter(["one", "two", "three", "four"])
    with RehearsalServer(latency=0.0, api_key="three") as server, client_of(server, api_key=lambda: next(keys)) as client:
        assert client.start("a").result(5).is_error
        assert client.ask("b").is_error
        assert client.start("c").result(5).completion == "c"


# ---------------------------------------------------------------------- pool, weights, hops

def test_weights_are_exact_shares(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, ["one", "two", "three"], model_weights=[0.6, 0.2, 0.2])
    picked: Counter[str] = Counter()
    for number, response in enumerate(client.process_prompts([f"p{n}" for n in range(100)]), 1):
        picked[response.model_internal] += 1
        assert abs(picked["one"] - 0.6 * number) < 1 + 1e-9
    assert picked == {"one": 60, "two": 20, "three": 20}
    client.close()


def test_select_model(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, ["one", "two"], model_weights=[3, 1], sampling_params=[
        SamplingParams(temperature=0.1), SamplingParams(temperature=0.2)])
    picks = [client._select_model() for _ in range(8)]
    assert Counter(name for name, _ in picks) == {"one": 6, "two": 2}
    assert {(name, params.temperature) for name, params in picks} == {("one", 0.1), ("two", 0.2)}
    client.close()


def test_select_model_of_a_dynamic_pool_takes_one_that_is_free() -> None:
    def one_is_full(number: int, request: Any) -> Fault | None:
        return Fault("429", retry_after=30) if request.json["model"] == "one" else None

    with RehearsalServer(latency=0.0, script=one_is_full) as server:
        client = client_of(server, ["one", "two", "three"], model_weights="dynamic")
        assert Counter(client._select_model()[0] for _ in range(9)) == {"one": 3, "two": 3, "three": 3}
        for _ in range(3):
            client.start_nowait("a", model="one")
        server.wait_for_requests(3)
        for _ in range(1_000):
            if any(lane.cooldown_until for lane in client.limits()):
                break
            client.ask("b", model="two")
        assert Counter(client._select_model()[0] for _ in range(8)) == {"two": 4, "three": 4}
        client.close()


def test_weight_zero_is_for_fallback_only(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, ["one", "two"], model_weights=[0, 1])
    assert {r.model_internal for r in client.process_prompts([f"p{n}" for n in range(10)])} == {"two"}
    client.close()
    with RehearsalServer(latency=0.0, models=["one"]) as server:
        client = client_of(server, ["one", "two"], model_weights=[0, 1])
        answer = client.ask("a")
        assert answer.completion == "a" and [attempt.model for attempt in answer.attempts] == ["two", "one"]
        client.close()


@pytest.mark.parametrize("status", ["400", "500", "503"])
def test_a_prompt_that_one_model_refuses_is_answered_by_another(status: str) -> None:
    def only_one(number: int, request: Any) -> str | None:
        return status if request.json["model"] == "one" else None

    with RehearsalServer(latency=0.0, script=only_one) as server:
        client = client_of(server, ["one", "two"])
        for response in client.process_prompts(["a", "b", "c", "d"]):
            assert response.completion in "abcd" and response.model_internal == "two"
        tried = [attempt.model for attempt in client.ask("e").attempts]
        assert tried in (["one", "two"], ["two"])
        client.close()


def test_fallback_models_take_over(rehearsal: RehearsalServer) -> None:
    with RehearsalServer(latency=0.0, models=["spare"]) as server:
        client = client_of(server, "gone", fallback_models=["spare"])
        assert client.models == ["gone", "spare"]
        answers = client.process_prompts([f"p{n}" for n in range(10)])
        assert all(answer.model_internal == "spare" for answer in answers)
        assert client._select_model()[0] == "spare"
        client.close()


def test_a_wrong_key_blocklists_after_a_second_prompt_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with RehearsalServer(latency=0.0, api_key="right") as server, caplog.at_level(logging.WARNING, "deluge"):
        client = client_of(server, api_key="wrong-key-0815", max_concurrent_requests=2)
        responses = client.process_prompts([f"p{n}" for n in range(50)])
        assert {response.error_kind for response in responses} == {"auth"}
        assert server.count <= 4
        with pytest.raises(RuntimeError, match="blocklisted"):
            client._select_model()
        client.close()
    lines = [record.getMessage() for record in caplog.records if "blocklisted" in record.getMessage()]
    assert len(lines) == 1
    assert "wrong-key-0815" not in caplog.text


def test_with_model_and_with_models(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, ["one", "two"], model_weights=[3, 1], sampling_params=[
        SamplingParams(temperature=0.1), SamplingParams(temperature=0.2)])
    assert client.with_models(["two", "three"]) is client
    assert client.models == ["two", "three"]
    assert [params.temperature for params in client.sampling_params] == [0.2, 0.1]  # new ones get the first entry
    assert client.config.model_weights == (3, 1)
    assert client.with_model("one").models == ["one"] and client.config.model_weights == "uniform"
    assert client.ask("a").model_internal == "one"
    assert client.with_models(["one", "five", "six"]).config.model_weights == "uniform"
    client.close()


def test_a_refused_change_leaves_the_client_as_it_was() -> None:
    client = LLMClient(["gpt-4.1-mini", "gpt-4.1"], logprobs=True, progress=None)
    with pytest.raises(ConfigError, match="logprobs"):
        client.with_model("claude-3-haiku")
    with pytest.raises(ConfigError, match="does-not-exist"):
        client.with_models(["gpt-4.1", "does-not-exist"])
    with pytest.raises(ConfigError):
        client.with_limits(max_concurrent_requests=0)
    assert client.models == ["gpt-4.1-mini", "gpt-4.1"] and client.config.max_concurrent_requests == 225


def test_with_limits_is_live(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_concurrent_requests=2)
    rehearsal.hold()
    handles = [client.start_nowait(f"p{n}") for n in range(6)]
    rehearsal.wait_for_requests(2)
    assert client.with_limits(max_concurrent_requests=6) is client
    rehearsal.wait_for_requests(6)
    rehearsal.release()
    assert [handle.result(5).completion for handle in handles] == [f"p{n}" for n in range(6)]
    assert client.config.max_concurrent_requests == 6
    client.close()


def test_limits_belong_to_the_clients_life(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_requests_per_minute=10)
    for batch in range(5):
        client.process_prompts([f"{batch} a", f"{batch} b"])
    late = client.process_prompts(["one more"], timeout=0.2)
    assert late[0].error_kind == "cancelled" and rehearsal.count == 10
    client.with_limits(max_requests_per_minute=11)
    assert client.ask("one more").completion == "one more"
    client.close()


# ---------------------------------------------------------------------- copies

def test_a_copy_shares_the_limits_and_not_the_settings(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_requests_per_minute=10, api_key="secret")
    cold = client.copy(sampling_params=SamplingParams(temperature=0.0))
    client.process_prompts([f"a{n}" for n in range(5)])
    cold.process_prompts([f"b{n}" for n in range(5)])
    assert rehearsal.requests[-1].body["temperature"] == 0.0 and rehearsal.requests[0].body["temperature"] == 0.75
    assert cold.ask("c", timeout=0.2).error_kind == "cancelled"
    assert cold.config.api_key == "secret"
    cold.with_limits(max_requests_per_minute=100)
    assert client.ask("d").completion == "d"
    with pytest.raises(ConfigError, match="max_concurrent_requests.*with_limits"):
        client.copy(max_concurrent_requests=3)
    with pytest.raises(ConfigError, match="unknown argument"):
        client.copy(colour="red")
    client.close()


def test_closing_a_copy_leaves_the_others_work_alone(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal)
    with client.copy(temperature=0.0) as other:
        rehearsal.hold()
        mine, theirs = client.start_nowait("mine"), other.start_nowait("theirs")
        rehearsal.wait_for_requests(2)
    assert theirs.result(5).error_kind == "cancelled" and not mine.done()
    rehearsal.release()
    assert mine.result(5).completion == "mine"
    client.close()


# ---------------------------------------------------------------------- threads and fairness

def test_32_threads_on_one_client_get_their_own_answers(client: LLMClient) -> None:
    wrong: list[Any] = []

    def work(name: int) -> None:
        for batch in range(3):
            prompts = [f"thread {name} batch {batch} prompt {n}" for n in range(10)]
            got = client.process_prompts(prompts, return_completions_only=True)
            if got != prompts:
                wrong.append((name, got))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_a_single_prompt_beside_a_bulk_comes_soon(rehearsal: RehearsalServer) -> None:
    client = client_of(rehearsal, max_concurrent_requests=10)
    rehearsal.hold()
    bulk: list[APIResponse] = []
    thread = threading.Thread(target=lambda: bulk.extend(client.process_prompts([f"p{n}" for n in range(400)])))
    thread.start()
    rehearsal.wait_for_requests(10)
    handle = client.start_nowait("single")
    rehearsal.release(10)
    rehearsal.wait_for_requests(20)
    rehearsal.release(10)
    rehearsal.wait_for_requests(30)
    rehearsal.release(10)
    assert handle.result(10).completion == "single"
    rehearsal.release()
    thread.join(30)
    assert len(bulk) == 400


# ---------------------------------------------------------------------- signature

def test_help_shows_every_setting() -> None:
    import inspect

    parameters = inspect.signature(LLMClient).parameters
    names = ("name max_requests_per_minute max_tokens_per_minute max_concurrent_requests model_limits sampling_params "
             "model_weights fallback_models max_attempts request_timeout cache extra_headers extra_body use_responses_api "
             "background temperature top_p json_mode max_new_tokens reasoning_effort thinking_budget verbosity logprobs "
             "top_logprobs strict_tools force_local_mcp progress postprocess base_url api_key retry retry_timeouts "
             "retry_possibly_billed rate_limit_patience stream_timeout max_queued keep_raw allow_private_urls "
             "limit_mode").split()
    assert set(names) <= set(parameters)
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names)
    with pytest.raises(TypeError):
        LLMClient("gpt-4.1-mini", "x")  # type: ignore[call-arg, misc]
