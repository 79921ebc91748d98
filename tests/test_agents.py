"""Agents: rounds of tool calls on every dialect, tools on threads of their own, hooks, sums, errors."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from rehearsing import client_of

from deluge import (
    AgentRound, APIResponse, ConfigError, Conversation, LLMClient, Message, SamplingParams, StreamDelta, Thinking, Tool,
    ToolCall, ToolResult, ToolRun, Trajectory, Usage,
)
from deluge.agent.toolbox import Toolbox
from deluge.testing import Fault, RehearsalServer, rehearsal

__all__ = ["rehearsal"]

ADD_AND_MUL = '[[call add {"a": 1, "b": 2}]] [[call mul {"a": 3, "b": 4}]] [[rounds %d]]'
THINKING = SamplingParams(reasoning_effort="low", max_new_tokens=6_000)
DIALECTS = {
    "openai_chat": ("rehearsed", "/v1", {}),
    "openai_responses": ("gpt-5-mini", "/v1", {"use_responses_api": True, "sampling_params": THINKING}),
    "anthropic": ("claude-4.5-opus", "", {"sampling_params": THINKING}),
    "gemini": ("gemini-3.8-flash", "/v1beta", {"sampling_params": THINKING}),
    "bedrock": ("claude-4.6-sonnet-bedrock", "", {"sampling_params": THINKING}),
}


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def mul(a: int, b: int) -> int:
    """Multiplies."""
    return a * b


def client_for(server: RehearsalServer, dialect: str, **more: Any) -> LLMClient:
    model, path, settings = DIALECTS[dialect]
    model = more.pop("model_names", model)
    return client_of(server, model, base_url=server.url + path, api_key="k", **{**settings, **more})


@pytest.fixture
def client(rehearsal: RehearsalServer) -> Iterator[LLMClient]:
    with client_of(rehearsal) as client:
        yield client


def body(server: RehearsalServer, number: int = -1) -> dict[str, Any]:
    return server.requests[number].body


def check_whole(conversation: Conversation) -> None:
    """Every call is answered once, in order, in the message right after it."""
    messages = list(conversation)
    for at, message in enumerate(messages):
        wanted = [call.id for call in message.tool_calls if not call.built_in]
        if wanted:
            assert [result.tool_call_id for result in messages[at + 1].tool_results] == wanted
        given = [result for result in message.tool_results if not result.built_in]
        if given:
            assert messages[at - 1].role == "assistant" and len(messages[at - 1].tool_calls) == len(given)


def results_of(conversation: Conversation) -> list[ToolResult]:
    return [result for message in conversation for result in message.tool_results]


# ---------------------------------------------------------------------- rounds

@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_twenty_rounds_with_parallel_tools(rehearsal: RehearsalServer, dialect: str, streamed: bool) -> None:
    deltas: list[StreamDelta] = []
    with client_for(rehearsal, dialect) as client:
        talk = Conversation().system("Be brief.").user(ADD_AND_MUL % 19)
        conversation, response = client.run_agent_loop(
            talk, tools=[add, mul], max_rounds=21, on_text_delta=deltas.append if streamed else None)
        assert conversation is talk and len(talk) == 2 + 2 * 19 + 1
        check_whole(talk)
        assert [result.content for result in results_of(talk)] == ["3", "12"] * 19
        assert response.completion == "The tool says: 3; 12" and response.finish_reason == "stop"
        assert "".join(delta.text for delta in deltas) == (response.completion if streamed else "")
        check_sums(client, response, rounds=20)
        again = client.ask(talk.user("hello"), tools=[add, mul])
        assert again.completion == "hello", again.error_message
        if dialect != "openai_chat":
            assert any(type(part) is Thinking for message in talk for part in message.parts)


def check_sums(client: LLMClient, response: APIResponse, rounds: int) -> None:
    trajectory: Trajectory = response.trajectory
    assert [one.number for one in trajectory] == list(range(1, rounds + 1)) and len(trajectory) == rounds
    assert trajectory.stop_reason == "answer" and trajectory[0].tool_runs[1].result.content == "12"
    assert response.usage == trajectory.usage == sum((one.usage for one in trajectory), Usage())
    status = client.status()
    assert response.usage == status.usage and len(response.attempts) == rounds == status.requests_sent
    assert response.cost == trajectory.cost == (status.cost if response.cost is not None else None)
    assert response.started_at is not None and response.finished_at is not None
    assert response.started_at <= response.finished_at


def test_the_trajectory_tells_everything_and_pickles(client: LLMClient) -> None:
    talk, response = client.run_agent_loop(ADD_AND_MUL % 1, tools=[add, mul])
    first, second = response.trajectory
    assert isinstance(first, AgentRound) and isinstance(first.tool_runs[0], ToolRun)
    assert first.message == talk.messages[1] and second.message == talk.messages[3] == response.content
    assert [run.call.name for run in response.trajectory.tool_runs] == ["add", "mul"] and first.tool_runs[0].duration > 0
    assert (first.finish_reason, second.finish_reason) == ("tool_calls", "stop") and first.latency is not None
    copied = pickle.loads(pickle.dumps(response))
    assert copied.trajectory == response.trajectory
    assert "2 rounds, 2 tool calls | answer" in repr(response.trajectory)
    assert "called add, mul" in repr(first) and "stop" in repr(second) and "add after" in repr(first.tool_runs[0])


def test_an_answer_without_calls_is_one_round(client: LLMClient) -> None:
    conversation, response = client.run_agent_loop("hello", tools=[add])
    assert (response.completion, len(conversation), conversation.model_used) == ("hello", 2, "rehearsed")
    assert client.run_agent_loop("hello")[1].completion == "hello"


@pytest.mark.parametrize("prompt", [
    "hi", Message.user("hi"), [{"role": "user", "content": "hi"}], Conversation().user("hi").freeze(),
])
def test_what_is_no_growing_conversation_gives_a_new_one(client: LLMClient, prompt: Any) -> None:
    conversation, response = client.run_agent_loop(prompt, tools=[add])
    assert [message.role for message in conversation] == ["user", "assistant"] and not conversation.frozen
    assert conversation is not prompt and response.prompt == Conversation().user("hi")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_last_round_says_so_and_gets_no_tools(rehearsal: RehearsalServer, dialect: str) -> None:
    with client_for(rehearsal, dialect, sampling_params=None) as client:
        talk, response = client.run_agent_loop(
            Conversation().user('[[call answer {"a": 1, "b": 2}]] [[rounds 9]]'), max_rounds=3,
            tools=[Tool.from_function(add, name="answer")])
        check_whole(talk)
        assert rehearsal.count == 3 and "last round" in str(body(rehearsal))
        assert not any("last round:" in str(result.content) for result in results_of(talk)[:2]), "these words are not kept"
        if dialect == "bedrock":  # whose API has no way to forbid calls
            assert response.trajectory.stop_reason == "max_rounds" and response.tool_calls
            assert results_of(talk)[-1].is_error and "was not made" in str(results_of(talk)[-1].content)
        else:
            assert response.trajectory.stop_reason == "answer" and "final answer now" in str(response.completion)
        assert client.ask(talk.user("bye")).completion == "bye"


def test_mistral_sees_an_answer_between_a_tool_and_the_user(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, "mistral-small-4", api_key="k") as client:
        talk, _ = client.run_agent_loop(Conversation().user("[[call add]] [[rounds 9]]"), tools=[add], max_rounds=2)
        assert [message["role"] for message in body(rehearsal)["messages"]] == ["user", "assistant", "tool"]
        whole = Conversation(talk.messages[:-1]).user("bye")  # as an error or a cancellation leaves it
        assert client.ask(whole, tools=[add]).completion == "bye"
        roles = [message["role"] for message in body(rehearsal)["messages"]]
        assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_calls_that_are_open_at_the_beginning_are_run_first(client: LLMClient) -> None:
    talk = Conversation().user(ADD_AND_MUL % 1)
    talk.with_response(client.ask(talk, tools=[add, mul]))
    assert talk.messages[-1].tool_calls
    _, response = client.run_agent_loop(talk, tools=[add, mul], max_rounds=1)
    check_whole(talk)
    assert [result.content for result in results_of(talk)] == ["3", "12"] and len(talk) == 4
    assert str(response.completion).startswith("The tool says: 3; 12") and len(response.trajectory) == 1


def test_one_round_is_a_plain_answer(rehearsal: RehearsalServer, client: LLMClient) -> None:
    _, response = client.run_agent_loop("[[call add]]", tools=[add], max_rounds=1)
    assert response.completion == "[[call add]]" and body(rehearsal)["tool_choice"] == "none"


def test_a_turn_that_the_provider_paused_goes_on(rehearsal: RehearsalServer) -> None:
    with client_for(rehearsal, "anthropic", sampling_params=None) as client:
        for stream in (None, print):
            talk, response = client.run_agent_loop(
                "[[pause]]", tools=[{"type": "web_search_20250305", "name": "web_search"}], on_text_delta=stream)
            assert [message.role for message in talk] == ["user", "assistant", "assistant"]
            assert response.trajectory.stop_reason == "answer" and response.trajectory[0].tool_runs == ()
            assert talk.messages[1].tool_calls[0].built_in and response.completion == "[[pause]]"


class Sum(BaseModel):
    """What the model is to give."""

    total: int


@pytest.mark.parametrize("dialect, model", [
    ("openai_chat", "rehearsed"), ("openai_responses", "gpt-5-mini"), ("anthropic", "claude-4.5-opus"),
    ("gemini", "gemini-3.8-flash"), ("gemini", "gemini-2.5-flash-lite"), ("bedrock", "nova-pro"),
    ("anthropic", "claude-3-haiku"),
])
def test_a_schema_holds_for_the_answer(rehearsal: RehearsalServer, dialect: str, model: str) -> None:
    """Native, by a tool or in words, as the model has it; the calls before it are calls all the same."""
    with client_for(rehearsal, dialect, model_names=model, sampling_params=None) as client:
        talk, response = client.run_agent_loop(
            '[[call add {"a": 42, "b": 0}]] [[rounds 2]] What is 42 + 0?', tools=[add], output_schema=Sum)
        assert response.parsed == Sum(total=42), response.error_message
        assert [result.content for result in results_of(talk)] == ["42", "42"] and response.usage == client.status().usage
        check_whole(talk)


# ---------------------------------------------------------------------- tools

def ran(client: LLMClient, prompt: str, *tools: Any, **options: Any) -> list[ToolResult]:
    talk, response = client.run_agent_loop(prompt, tools=list(tools), **options)
    check_whole(talk)
    assert not response.is_error, response.error_message
    return results_of(talk)


def test_what_goes_wrong_is_told_to_the_model(client: LLMClient) -> None:
    def fails(a: int) -> int:
        raise KeyError("no such thing")

    def leaves() -> None:
        raise SystemExit(3)

    prompt = '[[call fails {"a": 1}]] [[call fails {"a": "x"}]] [[call leaves]] [[call told {}]]'
    wrong, unfit, left, described = ran(client, prompt, fails, leaves, Tool("told"))
    assert all(result.is_error for result in (wrong, unfit, left, described))
    assert wrong.content == "KeyError: 'no such thing'" and "SystemExit" in str(left.content)
    assert "ToolError" in str(unfit.content) and "a:" in str(unfit.content)
    assert "no function to run" in str(described.content)


def test_a_tool_that_nobody_knows(client: LLMClient) -> None:
    raw = {"type": "function", "function": {"name": "raw", "parameters": {"type": "object", "properties": {}}}}
    (result,) = ran(client, "[[call raw {}]]", add, raw)
    assert result.is_error and result.content == "there is no tool named 'raw'; there are: add"


def test_calls_of_one_round_run_at_once_and_their_results_keep_the_order(client: LLMClient) -> None:
    second_is_done = threading.Event()

    def first() -> str:
        return "first" if second_is_done.wait(10) else "alone"

    def second() -> str:
        second_is_done.set()
        return "second"

    assert [r.content for r in ran(client, "[[call first]] [[call second]]", first, second)] == ["first", "second"]


def test_one_after_the_other(client: LLMClient) -> None:
    running, most = [0], [0]

    def step(n: int) -> int:
        running[0] += 1
        most[0] = max(most[0], running[0])
        running[0] -= 1
        return n

    prompt = " ".join(f'[[call step {{"n": {n}}}]]' for n in range(8))
    assert [r.content for r in ran(client, prompt, step, parallel_tools=False)] == [str(n) for n in range(8)]
    assert most == [1]
    prompt = " ".join(f'[[call step {{"n": {n}}}]]' for n in range(80))  # more than run at a time
    assert [r.content for r in ran(client, prompt, step)] == [str(n) for n in range(80)]


def test_a_tool_that_takes_too_long_is_left_behind(client: LLMClient) -> None:
    go_on = threading.Event()

    def slow() -> str:
        go_on.wait(10)
        return "late"

    try:
        late, quick = ran(client, '[[call slow]] [[call add {"a": 1, "b": 1}]]', slow, add, tool_timeout=0.05)
        assert late.is_error and late.content == "TimeoutError: slow did not end within 0.05 s"
        assert (quick.is_error, quick.content) == (False, "2")
    finally:
        go_on.set()


def test_async_tools_and_context_variables(client: LLMClient) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    heard: list[str] = []

    async def slow(x: int) -> str:
        await asyncio.sleep(0)
        return f"{who.get()} {x}"

    def plain() -> str:
        who.set("somebody else")
        return "plain"

    who.set("Ada")
    results = ran(client, '[[call slow {"x": 7}]] [[call plain]]', slow, plain, on_message=lambda _: heard.append(who.get()))
    assert [result.content for result in results] == ["Ada 7", "plain"] and heard == ["Ada"] * 3
    handle = client.start_agent_loop_nowait('[[call slow {"x": 8}]]', tools=[slow])
    assert results_of(handle.result(10)[0])[0].content == "Ada 8" and who.get() == "Ada"


def test_a_tool_may_use_the_same_client_on_its_only_slot(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, max_concurrent_requests=1) as client:
        def ask(question: str) -> str | None:
            return client.ask(question).completion

        def delegate() -> str | None:
            return client.run_agent_loop('[[call ask {"question": "inner"}]]', tools=[ask])[1].completion

        results = ran(client, '[[call ask {"question": "outer"}]] [[call delegate]]', ask, delegate)
        assert [result.content for result in results] == ["outer", "The tool says: inner"]


def test_what_the_provider_runs_is_not_run_here() -> None:
    def web_search(query: str) -> str:
        return "ours"

    bash = Tool("bash", "", {"command": str}, run=lambda command: f"ran {command}")
    box = Toolbox([Tool.from_function(web_search), bash, {"type": "bash_20250124", "name": "bash"}])
    assert [getattr(tool, "name", None) or tool["name"] for tool in box.told] == ["web_search", "bash"]
    assert isinstance(box.told[1], dict), "the model is told of the provider's own"
    theirs = ToolCall("1", "web_search", {"query": "x"}, built_in=True, type="server_tool_use")
    left_to_us = ToolCall("2", "bash", {"command": "ls"}, built_in=True, type="bash_call")
    done = ToolCall("3", "bash", {"command": "ls"}, built_in=True, type="bash_call")
    message = Message("assistant", (theirs, left_to_us, done, ToolResult("3", "x", built_in=True), ToolCall("4", "f", {})))
    assert [call.id for call in box.calls_in(message)] == ["2", "4"]
    assert box.result_for(left_to_us) == ToolResult("2", "ran ls", name="bash", type="bash_call")


def test_two_tools_of_one_name_are_refused(client: LLMClient) -> None:
    with pytest.raises(ConfigError, match="two tools are named 'add'"):
        client.run_agent_loop("x", tools=[add, Tool.from_function(mul, name="add")])


# ---------------------------------------------------------------------- hooks

def test_hooks_see_messages_rounds_and_text(client: LLMClient) -> None:
    seen: list[Any] = []
    talk, response = client.run_agent_loop(
        ADD_AND_MUL % 1, tools=[add, mul], on_message=lambda message: seen.append(message),
        on_round_complete=lambda talk, response, number: seen.append((len(talk), response.finish_reason, number)),
        on_text_delta=lambda delta: seen.append(str(delta)),
    )
    texts = [item for item in seen if isinstance(item, str)]
    assert "".join(texts) == response.completion == "The tool says: 3; 12" and len(texts) > 1
    rest = [item for item in seen if not isinstance(item, str)]
    assert rest == [talk.messages[1], talk.messages[2], (3, "tool_calls", 1), talk.messages[3], (4, "stop", 2)]


@pytest.mark.parametrize("name", ["on_message", "on_round_complete", "on_text_delta"])
def test_a_hook_that_raises_ends_the_agent_and_loses_nothing(client: LLMClient, name: str) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("mine")

    talk = Conversation().user("[[call add]]" if name != "on_text_delta" else "Write 200 words about rain.")
    options: Any = {name: broken}
    _, response = client.run_agent_loop(talk, tools=[add], **options)
    assert (response.is_error, response.error_kind, response.error_message) == (True, "postprocess", "ValueError: mine")
    assert response.trajectory.stop_reason == "error" and len(response.trajectory) == 1
    check_whole(talk)
    assert response.usage == client.status().usage and client.drain(5)
    assert client.ask(talk.user("bye")).completion == "bye"


def test_postprocess_runs_once_on_the_final_response(rehearsal: RehearsalServer) -> None:
    seen: list[tuple[str, APIResponse]] = []

    def hook(response: APIResponse) -> APIResponse:
        seen.append((threading.current_thread().name, response))
        return response.replaced(metadata={"seen": len(seen)})

    with client_of(rehearsal, postprocess=hook) as client:
        talk, response = client.run_agent_loop(ADD_AND_MUL % 1, tools=[add, mul])
        assert len(seen) == 1 and seen[0][0] == "deluge-courier" and response.metadata == {"seen": 1}
        assert seen[0][1].trajectory is response.trajectory and len(response.trajectory) == 2
        handle = client.start_agent_loop_nowait("hi", tools=[add])
        assert handle.result(10)[1].metadata == {"seen": 2}
    with client_of(rehearsal, postprocess=lambda response: 1 / 0) as client:
        _, response = client.run_agent_loop("hi", tools=[add])
        assert (response.error_kind, response.completion) == ("postprocess", "hi")


def test_verbose_prints_the_messages(client: LLMClient, capsys: pytest.CaptureFixture[str]) -> None:
    client.run_agent_loop(ADD_AND_MUL % 1, tools=[add, mul])
    assert capsys.readouterr().out == ""
    client.run_agent_loop(ADD_AND_MUL % 1, tools=[add, mul], verbose=True)
    assert "add({" in (printed := capsys.readouterr().out) and "The tool says: 3; 12" in printed


# ---------------------------------------------------------------------- models, caches, errors

def test_the_loop_stays_with_the_model_that_answered_first(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, ["one", "two"]) as client:
        for _ in range(4):
            talk, response = client.run_agent_loop(ADD_AND_MUL % 3, tools=[add, mul])
            models = {one.model for one in response.trajectory}
            assert len(models) == 1 and talk.model_used in models
        talk, response = client.run_agent_loop(talk.user("more"), tools=[add], prefer_model="last")
        assert response.model_internal in models
        assert client.run_agent_loop("hi", prefer_model="two")[1].model_internal == "two"
        assert client.run_agent_loop("hi", model="three", sampling_params={"temperature": 0})[1].model_internal == "three"


def test_another_model_takes_over_and_keeps_the_conversation(rehearsal: RehearsalServer) -> None:
    with client_of(rehearsal, ["one", "two"], max_attempts=2) as client:
        first = ["?"]
        rehearsal.set_script(lambda _, request: Fault("404") if request.json["model"] == first[0] else None)

        def note(talk: Conversation, response: APIResponse, number: int) -> None:
            first[0] = response.model_internal if number == 1 else first[0]

        _, response = client.run_agent_loop(ADD_AND_MUL % 3, tools=[add, mul], on_round_complete=note)
        models = [one.model for one in response.trajectory]
        assert not response.is_error and models[0] == first[0] and set(models[1:]) == {"one", "two"} - {first[0]}


def test_an_error_ends_the_loop_and_leaves_the_conversation_whole(rehearsal: RehearsalServer, client: LLMClient) -> None:
    rehearsal.set_script(lambda number, request: Fault("400") if number == 2 else None)
    talk, response = client.run_agent_loop(Conversation().user(ADD_AND_MUL % 3), tools=[add, mul])
    assert (response.is_error, response.error_kind, response.status_code) == (True, "bad_request", 400)
    assert response.trajectory.stop_reason == "error"
    assert [one.error_kind for one in response.trajectory] == [None, "bad_request"]
    assert len(response.attempts) == 2 and response.usage == client.status().usage and response.usage.input_tokens > 0
    check_whole(talk)
    assert len(talk) == 3 and client.run_agent_loop(talk, tools=[add, mul])[1].completion == "The tool says: 3; 12"


def test_rounds_come_from_the_response_cache(rehearsal: RehearsalServer) -> None:
    kept: dict[str, APIResponse] = {}

    class Cache:
        def get(self, prompt: Conversation) -> APIResponse | None:
            return kept.get(prompt.fingerprint)

        def put(self, prompt: Conversation, response: APIResponse) -> None:
            kept[prompt.fingerprint] = response

    with client_of(rehearsal, "gpt-4.1-mini", api_key="k", cache=Cache()) as client:
        deltas: list[str] = []
        first = client.run_agent_loop(ADD_AND_MUL % 2, tools=[add, mul])
        again = client.run_agent_loop(ADD_AND_MUL % 2, tools=[add, mul], on_text_delta=lambda d: deltas.append(d.text))
        assert rehearsal.count == 3 == len(kept) and first[0] == again[0]
        assert (again[1].source, again[1].usage, again[1].cost, again[1].local_cache_hit) == ("cache", Usage(), 0.0, True)
        assert first[1].source == "api" and first[1].cost and deltas == [again[1].completion]
        assert [one.source for one in again[1].trajectory] == ["cache"] * 3


def test_options_are_checked_at_once(client: LLMClient) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"max_rounds": 0}, ConfigError), ({"max_rounds": 2.5}, ConfigError), ({"tool_timeout": 0}, ConfigError),
        ({"tool_timeout": "x"}, ConfigError), ({"on_message": 3}, ConfigError), ({"timeout": -1}, ConfigError),
        ({"max_round": 3}, TypeError), ({"tools": 3}, ConfigError), ({"service_tier": "x"}, ConfigError),
    ]
    for options, kind in wrong:
        for call in (client.run_agent_loop, client.start_agent_loop_nowait, client.process_agent_loops):
            with pytest.raises(kind, match=next(iter(options))[:5]):
                call("x", **options)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="max_concurrent_agents"):
        client.process_agent_loops(["x"], max_concurrent_agents=0)
    with pytest.raises(ConfigError):
        client.run_agent_loop(Conversation(), tools=[add])
