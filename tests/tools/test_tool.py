"""Tools from functions and by hand: what the model is told, what a call checks, what a result holds."""

from __future__ import annotations

import asyncio
import contextvars
import enum
import functools
import json
import pickle
import threading
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Optional, Union

import pytest
import typing_extensions
from pydantic import BaseModel, Field
from typing_extensions import NotRequired, TypedDict

from deluge.errors import ToolError
from deluge.prompt import File, Image, Text, ToolCall
from deluge.tools import Tool
from deluge.tools.docstring import read_docstring
from deluge.tools.result import result_content
from deluge.tools.schema import strict_schema

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + b"\0\0\0\x03\0\0\0\x02"


class Unit(enum.Enum):
    celsius = "c"
    fahrenheit = "f"


class Place(BaseModel):
    city: str
    country: str = "DE"


@dataclass
class Box:
    width: int
    height: int = 2


class Row(TypedDict):
    a: int
    b: NotRequired[str]


def weather(
    place: Place, days: Annotated[int, "how many days"] = 3, unit: Unit = Unit.celsius, when: Optional[date] = None,
    style: Literal["long", "short"] = "short", factor: float = Field(1.5, gt=0, description="scale"),
) -> Any:
    """The weather of a place.

    Args:
        place: where
        days: not this one
        style (str): long
            or short
    """
    return [place, days, unit, when, style, factor]


def test_a_function_tells_its_schema() -> None:
    tool = Tool.from_function(weather)
    assert (tool.name, tool.description, tool.run) == ("weather", "The weather of a place.", weather)
    properties = tool.parameters["properties"]
    assert tool.parameters["required"] == ["place"] and tool.parameters["additionalProperties"] is False
    assert properties["place"] == {"$ref": "#/$defs/Place", "description": "where"}
    assert properties["days"] == {"type": "integer", "description": "how many days", "default": 3}
    assert properties["style"] == {
        "type": "string", "enum": ["long", "short"], "description": "long or short", "default": "short"}
    assert properties["unit"]["default"] == "c" and properties["when"]["default"] is None
    assert properties["factor"] == {"type": "number", "exclusiveMinimum": 0, "description": "scale", "default": 1.5}
    assert strict_schema(tool.parameters) is not None


def test_arguments_come_as_their_types_and_nulls_mean_left_out() -> None:
    tool = Tool.from_function(weather)
    given = {"place": {"city": "Ulm", "country": None}, "days": None, "when": "2026-01-02", "unit": "f", "factor": None}
    wanted = [Place(city="Ulm"), 3, Unit.fahrenheit, date(2026, 1, 2), "short", 1.5]
    assert tool.call(**given) == wanted
    result = tool.result_for(ToolCall("c1", "weather", given))
    assert not result.is_error and result.name == "weather" and result.tool_call_id == "c1"
    assert json.loads(str(result.content))[0] == {"city": "Ulm", "country": "DE"}


@pytest.mark.parametrize("given, words", [
    ({}, "place: Field required"), ({"place": {"city": 3}}, "place.city: Input should be a valid string"),
    ({"place": {"city": "x"}, "more": 1}, "more: Extra inputs are not permitted"),
    ({"place": {"city": "x"}, "factor": -1}, "factor: Input should be greater than 0"),
])
def test_wrong_arguments_never_reach_the_function(given: dict[str, Any], words: str) -> None:
    tool = Tool.from_function(weather)
    with pytest.raises(ToolError, match="the arguments do not fit") as caught:
        tool.call(**given)
    assert words in str(caught.value) and "pydantic.dev" not in str(caught.value)
    assert tool.result_for(ToolCall("c", "weather", given)).is_error


def stars(*names: str) -> None: ...
def keywords(**names: str) -> None: ...
def positional(a: int, /) -> None: ...
def unresolved(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def no_schema(a: Callable[[int], int]) -> None: ...
def generator(a: int) -> Any: yield a


class Holder:
    def method(self, a: int) -> int:
        """Adds one."""
        return a + 1

    def __call__(self, b: str) -> str:
        """Says it."""
        return b


@pytest.mark.parametrize("function, words", [
    (stars, "*names: a model is told each argument by name"), (keywords, "**names"), (positional, "positional only"),
    (unresolved, "cannot be resolved: name 'Nowhere'"), (no_schema, "no JSON schema"), (generator, "is a generator"),
    (lambda a: a, "a tool's name has 1 to 64"), (Holder.method, "a method without its object"), (7, "not from int"),
])
def test_functions_that_a_model_cannot_call_are_refused(function: Any, words: str) -> None:
    with pytest.raises(ToolError) as caught:
        Tool.from_function(function)
    assert words in str(caught.value)


def test_methods_objects_partials_and_closures() -> None:
    assert Tool.from_function(Holder().method).call(a=1) == 2
    assert Tool.from_function(Holder(), name="say").description == "Says it."
    assert Tool.from_function(functools.partial(weather, days=7)).call(place={"city": "x"})[1] == 7
    assert Tool.from_function(lambda a: a, name="echo", description="d").call(a=[1, None]) == [1, None]
    assert Tool.from_function(Holder().__call__, name="c").parameters["properties"]["b"] == {"type": "string"}

    @functools.wraps(weather)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return weather(*args, **kwargs)

    assert Tool.from_function(wrapped).call(place={"city": "x"})[1] == 3


def shapes(box: Box, row: Row, pair: tuple[int, str], either: Union[int, str], tags: set[str], self: int = 0) -> Any:
    return [box, row, pair, either, tags, self]


def test_dataclasses_typed_dicts_and_collections() -> None:
    tool = Tool.from_function(shapes)
    given = {"box": {"width": 1}, "row": {"a": 1, "b": None}, "pair": [1, "x"], "either": "3", "tags": ["a"], "self": 5}
    assert tool.call(**given) == [Box(1), {"a": 1}, (1, "x"), "3", {"a"}, 5]


SEEN: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="")


async def slow(a: int) -> str:
    """Waits."""
    import asyncio

    await asyncio.sleep(0)
    return f"{a} {SEEN.get()}"


async def slow_failure() -> None:
    raise KeyError("k")


def test_async_functions_run_to_their_end() -> None:
    import asyncio

    SEEN.set("here")
    tool = Tool.from_function(slow)
    assert tool.call(a=1) == "1 here"

    async def within() -> Any:
        return tool.call(a=2)

    assert asyncio.run(within()) == "2 here"
    assert Tool.from_function(slow_failure).result_for(ToolCall("c", "f", {})).content == "KeyError: 'k'"


@pytest.mark.parametrize("parameters, wanted", [
    ({"type": "object", "properties": {"a": {"type": "integer"}}}, None),
    ({"a": int, "b": NotRequired[list[str]]},
     {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"type": "string"}}},
      "required": ["a"], "additionalProperties": False}),
    (Row, {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}),
    (Box, {"type": "object", "required": ["width"],
           "properties": {"width": {"type": "integer"}, "height": {"type": "integer", "default": 2}}}),
    (Place, {"type": "object", "required": ["city"],
             "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "DE"}}}),
    (None, {"type": "object", "properties": {}}),
])
def test_parameters_by_hand(parameters: Any, wanted: Any) -> None:
    tool = Tool("f", "Does f.", parameters)
    assert tool.parameters == (wanted or parameters)
    with pytest.raises(ToolError, match="has no function to run"):
        tool.call(a=1)


def test_tools_by_hand_check_their_arguments_too() -> None:
    def run(**given: Any) -> Any:
        return given

    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}
    tool = Tool("f", "", schema, run)
    assert tool.call(a=1, b=None) == {"a": 1}
    with pytest.raises(ToolError, match="the arguments do not fit: a is not of type integer"):
        tool.call(a="1")
    assert Tool("f", "", Place, run).call(city="x") == {"city": "x", "country": "DE"}
    assert Tool("f", "", Box, run).call(width="4") == {"width": 4, "height": 2}
    assert Tool("f", "", {"a": int}, run).call(a=1) == {"a": 1}


@pytest.mark.parametrize("arguments, words", [
    (("a b",), "a tool's name"), ((7,), "a tool's name"), (("f", "", 7), "not int"), (("f", "", int), "not int"),
    (("f", "", {"type": "array"}), "type object"), (("f", "", None, 7), "run is a function"),
    (("f", "", {"a": Callable}), "no JSON schema"),
])
def test_tools_that_are_described_wrongly(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ToolError, match=words):
        Tool(*arguments)


def test_tools_are_values() -> None:
    tool = Tool.from_function(weather, strict=False)
    again = pickle.loads(pickle.dumps(tool))
    assert again == tool and again.strict is False and again.call(place={"city": "x"})[1] == 3
    by_hand = pickle.loads(pickle.dumps(Tool("f", "d", Place)))
    assert by_hand == Tool("f", "d", Place) != Tool("g", "d", Place)


def failing() -> None:
    raise RuntimeError("no\nluck")


def test_exceptions_are_results_that_the_model_sees() -> None:
    result = Tool.from_function(failing).result_for(ToolCall("c", "failing", {}))
    assert result.is_error and result.content == "RuntimeError: no\nluck"
    torn = Tool.from_function(failing).result_for(ToolCall("c", "failing", {}, "{", "the arguments are not JSON: …"))
    assert torn.is_error and torn.content == "ToolError: the arguments are not JSON: …"
    lost = Tool.from_function(lambda: object(), name="f").result_for(ToolCall("c", "f", {}))
    assert lost.is_error and "gave back what is no JSON (object)" in str(lost.content)


class Array:
    def tolist(self) -> list[int]:
        return [1, 2]


@pytest.mark.parametrize("value, wanted", [
    ("x", "x"), (None, "null"), (3, "3"), (True, "true"), ([1, {"a": None}], '[1,{"a":null}]'), ({}, "{}"), ([], "[]"),
    (Box(1), '{"width":1,"height":2}'), (Place(city="x"), '{"city":"x","country":"DE"}'), (Unit.celsius, '"c"'),
    ({"d": date(2026, 1, 2)}, '{"d":"2026-01-02"}'), (Array(), "[1,2]"), ([Box(1)], '[{"width":1,"height":2}]'),
    (b"text", "text"), (PNG, (Image(PNG),)), (b"%PDF-1", (File(b"%PDF-1"),)),
    (b"\0\1", (File(b"\0\1", media_type="application/octet-stream"),)),
    (Image(url="https://i.example/a"), (Image(url="https://i.example/a"),)),
    (["see", Image(PNG), {"a": 1}, PNG], (Text("see"), Image(PNG), Text('{"a":1}'), Image(PNG))),
])
def test_results_of_any_type(value: Any, wanted: Any) -> None:
    assert result_content(value) == wanted


NUMPY = """Does it.

    Longer.

    Parameters
    ----------
    a : int
        The a,
        all of it.
    b, c : str, optional
        Two.

    Returns
    -------
    int
        no
    """
REST = """Does it.

    Longer.

    :param a: The a,
        all of it.
    :param str b: Two.
    :param c: Two.
    :returns: no
    :raises ValueError: no
    """
GOOGLE = """Does it.

    Longer.

    Args:
        a (int): The a,
            all of it.
        b: Two.
        c (list[str], optional): Two.

    Returns:
        no: no
    """


@pytest.mark.parametrize("text", [NUMPY, REST, GOOGLE])
def test_docstrings_in_three_styles(text: str) -> None:
    assert read_docstring(text) == ("Does it.\n\nLonger.", {"a": "The a, all of it.", "b": "Two.", "c": "Two."})


def test_docstrings_of_other_kinds() -> None:
    assert read_docstring(None) == ("", {})
    assert read_docstring("One.\n\nExample:\n    f(1)\n\nRaises:\n    E: e\n\nNote: more.") == (
        "One.\n\nExample:\n    f(1)\n\nNote: more.", {})


def given_back(**arguments: Any) -> Any:
    return arguments


@pytest.mark.parametrize("parameters, required, properties, needed", [
    ({"a": (int, "how many")}, None, {"a": {"type": "integer", "description": "how many"}}, ["a"]),
    ({"a": (str, {"description": "d", "enum": ["x", "y"]})}, None,
     {"a": {"type": "string", "description": "d", "enum": ["x", "y"]}}, ["a"]),
    ({"a": (int, {"default": 3, "minimum": 1}), "b": str}, None,
     {"a": {"type": "integer", "default": 3, "minimum": 1}, "b": {"type": "string"}}, ["b"]),
    ({"a": (int, {"optional": True}), "b": (int, {"required": False})}, None,
     {"a": {"type": "integer"}, "b": {"type": "integer"}}, []),
    ({"a": {"type": "integer", "maximum": 5}, "b": {"type": "string", "default": "x"}}, None,
     {"a": {"type": "integer", "maximum": 5}, "b": {"type": "string", "default": "x"}}, ["a"]),
    ({"a": {"type": "integer"}, "b": {"type": "string"}}, ["b"], {"a": {"type": "integer"}, "b": {"type": "string"}}, ["b"]),
    ({"type": {"type": "string"}, "properties": {"type": "string"}}, None,
     {"type": {"type": "string"}, "properties": {"type": "string"}}, ["type", "properties"]),
    ({"type": "object", "properties": {"a": {"type": "integer"}}}, ("a",), {"a": {"type": "integer"}}, ["a"]),
    ({"type": str, "n": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}, None,
     {"type": {"type": "string"}, "n": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
     ["type", "n"]),
    ({}, None, {}, []),
])
def test_mappings_of_all_kinds(parameters: Any, required: Any, properties: Any, needed: list[str]) -> None:
    tool = Tool("f", "", parameters, given_back, required=required)
    assert tool.parameters["properties"] == properties and sorted(tool.parameters.get("required", [])) == sorted(needed)
    assert tool.parameters["type"] == "object" and pickle.loads(pickle.dumps(tool)) == tool


def test_what_a_mapping_says_is_checked() -> None:
    tool = Tool("f", "", {
        "a": (int, {"default": 3, "minimum": 1}), "b": {"type": "string", "enum": ["x"]}, "c": (date, "when")}, given_back)
    assert tool.call(b="x", c="2026-01-02") == {"a": 3, "b": "x", "c": date(2026, 1, 2)}
    assert tool.call(b="x", c="2026-01-02", a=None) == {"a": 3, "b": "x", "c": date(2026, 1, 2)}
    for wrong, words in (({"a": 0, "b": "x"}, "a is below 1"), ({"b": "y"}, "b is not one of 'x'"),
                         ({"b": "x"}, "c: Field required"), ({"b": "x", "c": "2026-01-02", "z": 1}, "z: Extra inputs")):
        with pytest.raises(ToolError, match=words):
            tool.call(**wrong)


@pytest.mark.parametrize("parameters, required, words", [
    ({"a": "string"}, None, "parameter 'a' is a type, a pair"), ({"a": (int, 3)}, None, "parameter 'a'"),
    ({"a": int}, ["b"], "required names 'b'"), (Place, ["city"], "required goes with a mapping"),
    ({3: int}, None, "named by strings"),
])
def test_mappings_that_say_nothing_are_refused(parameters: Any, required: Any, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        Tool("f", "", parameters, required=required)


class Branch(BaseModel):
    name: str
    twigs: list[Branch] = []


def test_a_recursive_model_has_an_object_at_its_top() -> None:
    tool = Tool("f", "", Branch, given_back)
    assert tool.parameters["type"] == "object" and set(tool.parameters["properties"]) == {"name", "twigs"}
    assert tool.call(name="a", twigs=[{"name": "b"}]) == {"name": "a", "twigs": [Branch(name="b")]}
    assert strict_schema(tool.parameters) is not None


class Old(typing.TypedDict, total=False):
    city: typing_extensions.Required[str]
    size: Annotated[int, Field(ge=0)]
    near: list[Row]


def test_typed_dicts_of_the_standard_library() -> None:
    def visit(where: Old, others: Optional[list[Old]] = None, more: dict[str, Old] | None = None) -> Any:
        return [where, others, more]

    assert Tool("f", "", Old, given_back).parameters["required"] == ["city"]
    tool = Tool.from_function(visit)
    assert tool.call(where={"city": "Ulm", "size": "3"}, others=[{"city": "Bonn"}], more={"a": {"city": "x"}}) == [
        {"city": "Ulm", "size": 3}, [{"city": "Bonn"}], {"a": {"city": "x"}}]
    with pytest.raises(ToolError, match="where.size"):
        tool.call(where={"city": "Ulm", "size": -1})


def test_tools_in_async_code() -> None:
    async def slow(a: int) -> Any:
        await asyncio.sleep(0)
        return a, asyncio.get_running_loop()

    def quick(a: int) -> Any:
        return a, threading.current_thread()

    async def main() -> None:
        value, loop = await Tool.from_function(slow).acall(a="3")
        assert value == 3 and loop is asyncio.get_running_loop()
        value, thread = await Tool.from_function(quick).acall(a=4)
        assert value == 4 and thread is not threading.current_thread()
        with pytest.raises(ToolError, match="a: Field required"):
            await Tool.from_function(slow).acall()
        value, loop = Tool.from_function(slow).call(a=5)  # blocks, and works all the same
        assert value == 5 and loop is not asyncio.get_running_loop()

    asyncio.run(main())


def test_a_tool_in_the_words_of_each_provider() -> None:
    tool = Tool("look_up", "Looks it up.", {"word": str, "many": (int, {"default": 3})})
    plain, strict = dict(tool.parameters), strict_schema(tool.parameters)
    assert tool.for_openai_completions() == {"type": "function", "function": {
        "name": "look_up", "description": "Looks it up.", "parameters": strict, "strict": True}}
    assert tool.for_openai_completions(strict=False)["function"]["parameters"] == plain
    assert tool.for_openai_responses() == {"type": "function", "name": "look_up", "description": "Looks it up.",
                                           "parameters": strict, "strict": True}
    made = tool.for_anthropic()
    assert made["strict"] is True and made["input_schema"]["required"] == ["word"] and made["name"] == "look_up"
    assert tool.for_anthropic(strict=False) == {"name": "look_up", "description": "Looks it up.", "input_schema": plain}
    assert tool.for_google()["parametersJsonSchema"]["required"] == ["word"]
    assert tool.for_bedrock(strict=False) == {"toolSpec": {
        "name": "look_up", "description": "Looks it up.", "inputSchema": {"json": plain}}}
