"""Answers in the form that was asked for: read, repaired where nothing is missing, refused with words for the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, field_validator
from typing_extensions import NotRequired, TypedDict

from deluge import APIResponse, LLMClient
from deluge.errors import ConfigError
from deluge.prompt import Message, Refusal, Text
from deluge.record import record
from deluge.tools.output import OutputReader, output_reader, output_schema_of
from deluge.tools.repair import json_values, without_trailing_commas


class Person(BaseModel):
    name: str
    age: int = 30
    born: Optional[date] = None
    role: Literal["a", "b"] = "a"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    born: date
    tags: tuple[str, ...] = ()


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


@dataclass
class Point:
    x: int
    y: int = 2


class Row(TypedDict):
    a: int
    b: NotRequired[str]


class Fussy(BaseModel):
    a: int

    @field_validator("a")
    @classmethod
    def check(cls, value: int) -> int:
        if value == 7:
            raise RuntimeError("seven is not good")
        return value


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize("schema, text, wanted", [
    (Person, '{"name": "Ada", "age": null, "born": "1815-12-10", "role": null}', Person(name="Ada", born=date(1815, 12, 10))),
    (Strict, '{"born": "1815-12-10", "tags": ["x"]}', Strict(born=date(1815, 12, 10), tags=("x",))),
    (Tree, '{"name": "a", "children": [{"name": "b", "children": null}]}', Tree(name="a", children=[Tree(name="b")])),
    (Point, '{"x": 1, "y": null}', Point(1)), (Row, '{"a": 1, "b": null}', {"a": 1}),
    (SCHEMA, '{"a": 1, "b": null}', {"a": 1}), (list[Point], '[{"x": 1}]', [Point(1)]), (Union[int, str], "3", 3),
    (int | None, "null", None), (TypeAdapter(Point), '{"x": 1}', Point(1)), ({}, "[]", []),
])
def test_answers_become_what_was_asked_for(schema: Any, text: str, wanted: Any) -> None:
    assert OutputReader(schema).read(text, repair=False) == wanted


@pytest.mark.parametrize("text", [
    '```json\n{"a": 1}\n```', '```\n{"a": 1,}\n```', 'Here it is: {"a": 1}. Is that all?', '{"a": 1} {"a": "x"}',
    'Use {braces} and [brackets]: {"a": 1,}', 'A list [1, 2], then {"a": 1}', '  {"a": 1}\n\nThe end.', '```json {"a": 1} ```',
    'First ```python\nx = {}\n``` then ```json\n{"a": 1}\n```',
])
def test_small_mistakes_are_repaired(text: str) -> None:
    reader = OutputReader(SCHEMA)
    assert reader.read(text) == {"a": 1}
    with pytest.raises(ValueError, match="the answer is not JSON"):
        reader.read(text, repair=False)


@pytest.mark.parametrize("schema, text, words", [
    (SCHEMA, '{"a": "1"}', "the answer does not fit: a is not of type integer"), (SCHEMA, "no", "the answer is not JSON"),
    (Person, '{"age": "x"}', "the answer does not fit: name: Field required; age: Input should be a valid integer"),
    (SCHEMA, "", "the answer is empty"), (SCHEMA, None, "the answer is empty"),
    (Fussy, '{"a": 7}', "the answer does not fit: seven is not good"),
    (SCHEMA, "```json\n{\"a\": [1]}\n```", "a is not of type integer"), (SCHEMA, "[" * 5000, "not JSON"),
])
def test_what_does_not_fit_is_told_in_one_line(schema: Any, text: str | None, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        OutputReader(schema).read(text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def answer(text: str | None, finish_reason: Any = "stop", **fields: Any) -> APIResponse:
    return APIResponse(content=None if text is None else Message.ai(text), finish_reason=finish_reason, **fields)


def test_an_answer_that_was_cut_is_never_repaired() -> None:
    reader = OutputReader(SCHEMA)
    assert reader.reading(answer('{"a": 1,}')) == ({"a": 1}, None)
    assert reader.reading(answer('{"a": 1}', "length")) == ({"a": 1}, None)
    for reason in ("length", "content_filter", "tool_calls"):
        assert reader.reading(answer('{"a": 1,}', reason)) == (None, None)
    refused = APIResponse(content=Message.ai((Text('{"a": 1,}'), Refusal("no"))), finish_reason="stop")
    assert reader.reading(refused) == (None, None)
    assert reader.reading(answer(None)) == (None, "the answer is empty: it has to be JSON")
    assert reader.reading(answer('{"a": 1}', is_error=True)) == (None, None)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.text(), inner), max_leaves=10), st.sampled_from(["{}", "```json\n{}\n```", "So: {}\n"]))
def test_whole_json_is_never_changed(value: Any, frame: str) -> None:
    text = json.dumps(value)
    assert json.loads(without_trailing_commas(text)) == value
    if isinstance(value, (dict, list)) and "```" not in text:
        assert next(json_values(frame.replace("{}", text))) == value


@given(st.text(alphabet='{}[]",:\\ a1`\n'))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert all(isinstance(value, (dict, list, str, int, float, bool, type(None))) for value in json_values(text))


def test_readers_are_made_once_per_type() -> None:
    assert output_reader(Person) is output_reader(Person)
    assert output_schema_of(SCHEMA) is SCHEMA and output_schema_of(Person) == Person.model_json_schema()
    assert repr(OutputReader(Person)) == "<OutputReader Person>"


@pytest.mark.parametrize("wrong", [7, "Person", Person(name="x"), [Person], lambda: None, type(len)])
def test_what_has_no_schema_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="output_schema"):
        OutputReader(wrong)


def test_responses_hold_the_typed_object() -> None:
    class Kept(dict[str, APIResponse]):
        def put(self, prompt: Any, response: APIResponse) -> None:
            self[prompt.fingerprint] = response.replaced(parsed=None)

        def get(self, prompt: Any) -> Any:  # type: ignore[override]
            return self[prompt.fingerprint] if prompt.fingerprint in self else None

    client = LLMClient("rehearsal-echo", progress=None, cache=Kept())
    for source in ("api", "cache"):
        response = client.ask("Ada is 36 years old", output_schema=Person)
        assert response.source == source and isinstance(response.parsed, Person)
        assert record(response)["parsed"] == json.loads(response.parsed.model_dump_json())
    *_, streamed = client.stream_chat("Ada", output_schema=Person)
    assert isinstance(streamed, APIResponse) and isinstance(streamed.parsed, Person)
    cut = client.ask("Ada", output_schema=Person, sampling_params={"max_new_tokens": 3})
    assert cut.finish_reason == "length" and cut.parsed is None
    client.close()


def look_up(word: str) -> str:
    """Looks a word up."""
    return word


def test_plain_functions_are_tools() -> None:
    client = LLMClient("rehearsal-echo", progress=None)
    for tools in ([look_up], look_up):
        (call,) = client.ask("[[tool look_up]] rain", tools=tools).tool_calls
        assert call.name == "look_up" and set(call.arguments) == {"word"}
    client.close()
