"""Answers in a form: however a model is held to it, the response looks the same; what does not fit is asked for again."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional, TypedDict, Union

import pytest
from pydantic import BaseModel, create_model, field_validator
from rehearsing import client_of
from stories import Story

from deluge import APIResponse, Conversation, LLMClient, Message, register_model
from deluge.dialects._form import formed
from deluge.errors import ConfigError, ResponseParseError
from deluge.models import get_model
from deluge.params import SamplingParams
from deluge.prompt import Text, ToolCall
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.tasks import Misfit, Outcome
from deluge.testing import RehearsalServer
from deluge.tools import Tool
from deluge.tools.output import MOST_WORDS, asked_again
from deluge.usage import Usage
from deluge.wire import StreamDelta

DIALECTS = {"openai_chat": "/v1", "openai_responses": "/v1", "anthropic": "/v1", "gemini": "/v1beta", "bedrock": ""}
FLAGS = {
    "native": "supports_json supports_json_schema supports_tools", "tool": "supports_json supports_tools",
    "prompt": "supports_json supports_tools no_forced_tools",
}
ADA = "This is 'Ada Lovelace', 36."
NUMBERS = itertools.count()
PRICE = {"input_price": 1, "output_price": 2}


class Person(BaseModel):
    name: str
    age: int
    nickname: Optional[str] = None


@dataclass
class Point:
    x: int
    y: int = 2


class Row(TypedDict):
    a: int


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer(latency=0.0) as running:
        yield running


def model_of(server: RehearsalServer, form: str, dialect: str = "openai_chat", flags: str = "") -> str:
    made = register_model(
        f"formed-{next(NUMBERS)}", base_url=server.url + DIALECTS[dialect], dialect=dialect,
        flags=[*FLAGS[form].split(), *flags.split()], **PRICE,
    )
    return made.id


def client_for(
    server: RehearsalServer, form: str, dialect: str = "openai_chat", flags: str = "", **settings: Any,
) -> LLMClient:
    names = {"max_requests_per_minute": None, "max_tokens_per_minute": None, "progress": None, "api_key": "k"}
    return LLMClient(model_of(server, form, dialect, flags), **{**names, **settings})


@pytest.mark.parametrize("form", FLAGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_way_on_every_dialect_gives_the_same_response(server: RehearsalServer, dialect: str, form: str) -> None:
    with client_for(server, form, dialect) as client:
        response = client.ask(ADA, output_schema=Person).raise_for_error()
        *pieces, last = client.stream_chat(ADA, output_schema=Person)
    assert isinstance(last, APIResponse)
    for answer in (response, last):
        assert isinstance(answer.parsed, Person) and answer.parsed.name == "Ada Lovelace" and answer.parsed.age == 36
        assert Person(**json.loads(answer.completion or "")) == answer.parsed
        assert answer.tool_calls == () and answer.finish_reason == "stop" and len(answer.attempts) == 1
        assert answer.prompt == Conversation().user(ADA)
        assert answer.sampling_params is not None and not answer.sampling_params.json_mode
    text = "".join(piece.text for piece in pieces if isinstance(piece, StreamDelta) and piece.kind == "text")
    assert text == last.completion and {piece.kind for piece in pieces if isinstance(piece, StreamDelta)} <= {"text"}


@pytest.mark.parametrize("form", FLAGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_does_not_fit_is_asked_for_again(server: RehearsalServer, dialect: str, form: str) -> None:
    with client_for(server, form, dialect) as client:
        before = len(server.requests)
        response = client.ask(f"{ADA} [[wrong x1]]", output_schema=Person).raise_for_error()
        assert isinstance(response.parsed, Person) and response.prompt == Conversation().user(f"{ADA} [[wrong x1]]")
        assert [attempt.kind for attempt in response.attempts] == ["parse", None]
        first, second = list(server.requests)[before:]
        told = json.dumps(second.body)
        assert "That answer cannot be used: the answer does not fit: name: Field required" in told and "not_asked_for" in told
        assert len(json.dumps(first.body)) < len(told)
        status = client.status()
    assert status.retries_by_kind == {"parse": 1} and status.usage == response.usage
    assert response.usage.output_tokens == sum(attempt.usage.output_tokens for attempt in response.attempts)
    assert response.cost == pytest.approx(sum(attempt.cost or 0.0 for attempt in response.attempts)) and response.cost
    assert status.cost == pytest.approx(response.cost) and not response.possibly_billed


@pytest.mark.parametrize("form", FLAGS)
def test_what_never_fits_is_an_error_that_keeps_the_answer(server: RehearsalServer, form: str) -> None:
    with client_for(server, form, max_repairs=2) as client:
        bad, good = client.process_prompts(["[[wrong]]", "Ada, 36"], output_schema=Person)
        assert client.process_prompts(["[[wrong]]"], output_schema=Person, return_completions_only=True) == [None]
    assert isinstance(good.parsed, Person)
    assert bad.is_error and bad.error_kind == "parse" and isinstance(bad.error, ResponseParseError)
    assert "name: Field required" in (bad.error_message or "") and bad.parsed is None
    assert bad.completion == '{"not_asked_for": true}' and bad.usage.output_tokens and bad.status_code == 200
    assert [attempt.kind for attempt in bad.attempts] == ["parse"] * 3 and bad.cost


def test_each_call_says_how_often(server: RehearsalServer) -> None:
    with client_for(server, "native", max_repairs=0, max_attempts=1) as client:
        assert len(client.ask("[[wrong x1]]", output_schema=Person).attempts) == 1
        for times in (1, 3):
            response = client.ask(f"[[wrong x{times}]]", output_schema=Person, max_repairs=times).raise_for_error()
            assert len(response.attempts) == times + 1
        with pytest.raises(ConfigError, match="max_repairs"):
            client.ask("x", output_schema=Person, max_repairs=-1)
    with pytest.raises(ConfigError, match="max_repairs"):
        LLMClient(max_repairs=-1)


def test_a_stream_is_checked_and_not_asked_for_again(server: RehearsalServer) -> None:
    with client_for(server, "native") as client:
        *_, last = client.stream_chat("[[wrong x1]]", output_schema=Person)
    assert isinstance(last, APIResponse) and last.error_kind == "parse" and len(last.attempts) == 1
    assert last.completion == '{"not_asked_for": true}'


@pytest.mark.parametrize("form", FLAGS)
@pytest.mark.parametrize("prompt, finish", [("[[refuse]]", "stop"), ("[[filter]]", "error"), ("Ada, 36", "length")])
def test_refused_filtered_and_cut_answers_are_left_alone(
    server: RehearsalServer, form: str, prompt: str, finish: str
) -> None:
    with client_for(server, form, max_new_tokens=3 if finish == "length" else 512) as client:
        response = client.ask(prompt, output_schema=Person)
    assert response.parsed is None and len(response.attempts) == 1 and response.finish_reason == finish
    assert response.is_error == (prompt == "[[filter]]") and bool(response.refusal) == (prompt == "[[refuse]]")


@pytest.mark.parametrize("form", FLAGS)
def test_tools_of_the_users_are_still_called(server: RehearsalServer, form: str) -> None:
    weather = Tool("weather", "The weather.", {"city": str})
    with client_for(server, form) as client:
        talk = Conversation().user("weather of 'Ulm'")
        response = client.ask(talk, tools=[weather], output_schema=Person).raise_for_error()
        assert [call.name for call in response.tool_calls] == ["weather"] and response.finish_reason == "tool_calls"
        assert response.parsed is None and len(response.attempts) == 1
        talk.with_response(response).with_tool_result(response.tool_calls[0].id, "rain")
        response = client.ask(talk, tools=[weather], output_schema=Person).raise_for_error()
    assert isinstance(response.parsed, Person) and response.tool_calls == () and response.finish_reason == "stop"


@pytest.mark.parametrize("schema, wanted", [
    (Person, Person), (Point, Point), (Row, dict), (SCHEMA, dict), (list[Point], list),
    (Union[Person, Point], (Person, Point)),
    (int, int), (Optional[Person], (Person, type(None))),
    ({"type": "array", "items": {"type": "integer"}}, list),
])
@pytest.mark.parametrize("form", FLAGS)
def test_types_of_all_kinds(server: RehearsalServer, form: str, schema: Any, wanted: Any) -> None:
    with client_for(server, form) as client:
        assert isinstance(client.ask("Ada, 36", output_schema=schema).raise_for_error().parsed, wanted)


async def _awaited(client: LLMClient) -> Any:
    return await client.process_prompts_async(["Ada, 36"], output_schema=Person)


def test_every_call_takes_a_schema(server: RehearsalServer) -> None:
    with client_for(server, "tool") as client:
        handle = client.start_nowait("Ada, 36", output_schema=Person, max_repairs=0)
        answers = [
            *client.process_prompts(["Ada, 36"], output_schema=Person), *client.map(["Ada, 36"], output_schema=Person),
            client.start("Ada, 36", output_schema=Person).result(10), handle.result(10), *asyncio.run(_awaited(client)),
        ]
    assert len(answers) == 5 and all(isinstance(answer.parsed, Person) for answer in answers)


def test_the_way_is_chosen_by_flags_and_schema(server: RehearsalServer, caplog: pytest.LogCaptureFixture) -> None:
    ways: list[tuple[str, str, Any, dict[str, Any], str]] = [
        ("native", "openai_chat", "", {}, "native"), ("tool", "openai_chat", "", {}, "tool"),
        ("prompt", "openai_chat", "", {}, "prompt"),
        ("tool", "anthropic", "reasoning budget_thinking no_forced_tools_when_thinking", {"thinking_budget": 2000}, "prompt"),
        ("tool", "anthropic", "reasoning budget_thinking no_forced_tools_when_thinking", {}, "tool"),
        ("native", "gemini", "no_json_with_tools", {"tools": [Tool("t")]}, "tool"),
        ("native", "gemini", "no_json_with_tools", {"tools": [{"googleSearch": {}}]}, "prompt"),
        ("native", "gemini", "no_json_with_tools", {}, "native"),
    ]
    for form, dialect, flags, given, wanted in ways:
        params = {name: given.pop(name) for name in list(given) if name == "thinking_budget"}
        with client_for(server, form, dialect, flags, max_new_tokens=4000, **params) as client:
            client.ask("Ada, 36", output_schema=Person, **given)
        assert way_of(server.requests[-1].body) == wanted, (form, dialect, flags, given)
    told = [text for text in caplog.messages if "cannot be held to a schema" in text]
    assert len(told) == sum(way[4] == "prompt" for way in ways)


class Open(BaseModel):
    counts: dict[str, int]


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Wide(BaseModel):
    f0: Optional[int] = None
    f1: Optional[int] = None


@pytest.mark.parametrize("dialect, schema, wanted", [
    ("anthropic", Open, "tool"), ("bedrock", Open, "tool"), ("openai_chat", Open, "native"), ("gemini", Open, "native"),
    ("anthropic", Tree, "tool"), ("gemini", Tree, "native"), ("anthropic", Wide, "native"),
    ("anthropic", create_model("Wider", **{f"f{at}": (Optional[int], None) for at in range(25)}), "tool"),
    ("anthropic", {"type": "object", "properties": {"a": {"enum": [{"b": 1}]}}}, "tool"),
])
def test_a_schema_that_the_providers_subset_cannot_say_goes_another_way(
    server: RehearsalServer, dialect: str, schema: Any, wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    with client_for(server, "native", dialect) as client:
        response = client.ask("'x' 1", output_schema=schema).raise_for_error()
    assert way_of(server.requests[-1].body) == wanted and response.parsed is not None
    told = [text for text in caplog.messages if "no strict form" in text]
    assert len(told) == (dialect == "openai_chat")


def way_of(body: Any) -> str:
    text = json.dumps(body)
    if "Answer with JSON only" in text:
        return "prompt"
    return "tool" if "Gives the answer" in text else "native"


def test_the_answering_tool_takes_a_name_that_is_free(server: RehearsalServer) -> None:
    with client_for(server, "tool") as client:
        response = client.ask("'Ulm'", output_schema=SCHEMA, tools=[Tool("answer", "Mine.", {"q": str}), {
            "type": "function", "function": {"name": "final_answer", "parameters": {"type": "object", "properties": {}}}}])
    assert [tool["function"]["name"] for tool in server.requests[-1].body["tools"]] == [
        "answer", "final_answer", "answer_in_form"]
    assert [call.name for call in response.tool_calls] == ["answer"]


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def check(cls, value: int) -> int:
        if value % 2:
            raise ValueError("it has to be even")
        return value


def test_a_validator_of_the_users_is_a_reason_too(server: RehearsalServer) -> None:
    with client_for(server, "native", max_repairs=1) as client:
        response = client.ask("Say 7", output_schema=Even)
        assert "number: Value error, it has to be even" in json.dumps(server.requests[-1].body)
    assert len(response.attempts) == 2


class Kept(dict[str, Any]):
    def get(self, prompt: Any) -> Any:  # type: ignore[override]
        return super().get(prompt.fingerprint)

    def put(self, prompt: Any, response: Any) -> None:
        self[prompt.fingerprint] = response


def test_a_cache_keeps_what_fits_under_the_prompts_own_key(server: RehearsalServer) -> None:
    cache = Kept()
    with client_for(server, "native", cache=cache) as client:
        first = client.ask("Ada, 36 [[wrong x1]]", output_schema=Person)
        again = client.ask("Ada, 36 [[wrong x1]]", output_schema=Person)
        assert client.ask("[[wrong]]", output_schema=Person).is_error
    assert again.local_cache_hit and again.parsed == first.parsed and again.cost == 0.0 and len(cache) == 1


def test_text_beside_the_answer_and_second_answers_are_left_out(server: RehearsalServer) -> None:
    class Scripted:
        name, framing = "scripted", "none"

        def parse(self, ctx: RequestContext, reply: Any) -> APIResponse:
            return APIResponse(finish_reason="tool_calls", content=Message("assistant", reply))

    template = RequestTemplate(get_model(model_of(server, "tool")), SamplingParams(), RequestOptions(output_schema=SCHEMA), "")
    dialect = formed(Scripted(), template)  # type: ignore[arg-type]
    said = ToolCall("1", "answer", {"city": "Ulm"}, '{"city": "Ulm"}')
    other = ToolCall("2", "look_up", {})
    context = RequestContext(Conversation().user("x"), template)
    for parts, wanted, finish in [
        ((Text("Well: "), said, said), '{"city": "Ulm"}', "stop"), ((said, other), '{"city": "Ulm"}', "tool_calls"),
        ((Text("no"),), "no", "tool_calls"), ((ToolCall("1", "answer", {"city": "x"}),), '{"city":"x"}', "stop"),
    ]:
        response = dialect.parse(context, parts)  # type: ignore[arg-type]
        assert response.completion == wanted and response.finish_reason == finish
        assert response.tool_calls == ((other,) if other in parts else ())


def test_the_problem_is_told_in_so_many_words_at_most() -> None:
    assert len(asked_again("x" * 10_000)) < MOST_WORDS + 200 and "…" in asked_again("x" * 10_000)


# -- the scheduler ------------------------------------------------------------------------------------------------------

def misfit(task: Any, more: int = 10) -> Misfit:
    again = Conversation((*task.asked.messages, Message.user("again"))).freeze()
    return Misfit("it does not fit", Message.ai("{}"), again, more)


def unfit(story: Story, task: Any, **outcome: Any) -> list[int]:
    made = Outcome(APIResponse(status_code=200, usage=Usage(10, 5), cost=0.001, finish_reason="stop"), sent=True, **outcome)
    made.misfit = misfit(task)
    return story.land(made, task)


def test_a_repair_burns_no_attempt_and_stays_with_its_model() -> None:
    story = Story()
    call = story.call(["a", "b"], max_attempts=1)
    call.max_repairs = 2
    (task,) = story.submit(call)
    first, size = task.model, task.size
    assert unfit(story, task) == [task.id] and task.size == size + 10 and len(task.asked) == 2
    assert unfit(story, task) == [task.id] and len(task.asked) == 3 and len(task.prompt) == 1
    story.answer(task)
    assert story.tried(task) == [(first, "parse"), (first, "parse"), (first, None)] and story.kind(task) is None
    assert story.responses[task.id].cost == pytest.approx(0.003) and story.tracker.snapshot().retries == 2


def test_a_repair_waits_for_its_turn_and_a_failed_one_keeps_what_was_answered() -> None:
    story = Story(rpm=1)
    call = story.call(max_attempts=1)
    call.max_repairs = 1
    (task,) = story.submit(call)
    assert unfit(story, task) == [] and story.wait(61) == [task.id]
    story.fail("bad_request", task)
    response = story.responses[task.id]
    assert story.kind(task) == "bad_request" and response.content == Message.ai("{}") and response.usage.output_tokens == 5


def test_a_stream_that_has_begun_ends_with_its_misfit() -> None:
    story = Story()
    call = story.call()
    call.max_repairs = 1
    (task,) = story.submit(call)
    assert unfit(story, task, streamed=True) == [] and story.kind(task) == "parse"
    assert not story.responses[task.id].possibly_billed


def test_a_misfit_that_comes_late_is_counted_and_not_kept() -> None:
    story = Story()
    call = story.call()
    (task,) = story.submit(call)
    story.scheduler.cancel(task, story.now)
    unfit(story, task)
    assert story.scheduler.late == [] and story.tracker.usage.output_tokens == 5


def test_nothing_of_prompt_or_answer_is_logged(server: RehearsalServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with client_of(server) as client:
        client.ask("secret words [[wrong]]", output_schema=Person)
    assert "asked again" in caplog.text and "secret words" not in caplog.text and "not_asked_for" not in caplog.text
