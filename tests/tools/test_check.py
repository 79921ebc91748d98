"""The checker of JSON schemas against jsonschema, and nulls that mean left out."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge.tools.check import problem_with, without_nulls
from deluge.tools.schema import strict_schema

NAMES = st.sampled_from(["a", "b", "c", "ä"])
SCALARS = st.none() | st.booleans() | st.integers(-3, 5) | st.sampled_from([0.5, 1.0, 2.5]) | st.sampled_from(["", "a", "abc"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
KINDS = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
SMALL = st.integers(0, 3)
WORDS: dict[str, Any] = {
    "enum": st.lists(VALUES, min_size=1, max_size=3), "const": VALUES, "minimum": st.integers(-2, 4), "maximum": SMALL,
    "exclusiveMinimum": SMALL, "exclusiveMaximum": SMALL, "multipleOf": st.sampled_from([1, 2, 0.5]), "minLength": SMALL,
    "maxLength": SMALL, "pattern": st.sampled_from(["^a", "b", "c$"]), "minItems": SMALL, "maxItems": SMALL,
    "uniqueItems": st.booleans(), "minProperties": SMALL, "maxProperties": SMALL,
    "required": st.lists(NAMES, unique=True, max_size=2), "$ref": st.sampled_from(["#/$defs/D", "#/$defs/E"]),
}


def schemas(inner: Any) -> Any:
    some = st.lists(inner, min_size=1, max_size=3)
    nested = {
        "properties": st.dictionaries(NAMES, inner, max_size=3), "additionalProperties": inner, "items": inner,
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1), "prefixItems": some,
        "propertyNames": inner, "anyOf": some, "oneOf": some, "allOf": some, "not": inner, "if": inner, "then": inner,
        "else": inner,
    }
    return st.fixed_dictionaries({}, optional={"type": KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True), **nested})


LEAVES = st.booleans() | st.fixed_dictionaries({}, optional={"type": KINDS}) | st.sampled_from(sorted(WORDS)).flatmap(
    lambda word: WORDS[word].map(lambda value: {word: value}))
SCHEMAS = schemas(st.recursive(LEAVES, schemas, max_leaves=6))
DEFS = {
    "D": {"type": "object", "properties": {"a": {"$ref": "#/$defs/D"}}, "required": ["b"]},
    "E": {"type": ["integer", "array"]},
}


@given(SCHEMAS, VALUES)
@settings(max_examples=120, deadline=None)
def test_the_checker_agrees_with_jsonschema(schema: dict[str, Any], value: Any) -> None:
    schema = {**schema, "$defs": DEFS}
    assert (problem_with(value, schema) is None) == jsonschema.Draft202012Validator(schema).is_valid(value)


def test_nullable_is_read_as_openapi_means_it() -> None:
    schema = {"properties": {"a": {"type": "string", "nullable": True}, "b": {"type": "string", "nullable": False}}}
    assert problem_with({"a": None}, schema) is None and problem_with({"b": None}, schema) is not None


@pytest.mark.parametrize("value, schema, words", [
    ({"a": 1}, {"properties": {"a": {"type": "string"}}}, "a is not of type string"),
    ({"a": [1, "x"]}, {"properties": {"a": {"items": {"type": "integer"}}}}, "a[1] is not of type integer"),
    ({}, {"required": ["a"]}, "the value lacks 'a'"), ({"b": {}}, {"properties": {"b": {"required": ["a"]}}}, "b lacks 'a'"),
    ({"b": 1}, {"additionalProperties": False}, "the value has 'b', which is not known"),
    ({"b": 0}, {"properties": {"b": {"anyOf": [{"type": "null"}, {"minimum": 2}]}}}, "b is below 2"),
    (3, {"enum": ["x", 2]}, "the value is not one of 'x', 2"), ("x", False, "the value is not allowed"),
    ({"a": {"a": {"a": 1}}}, {"$ref": "#/$defs/D", "$defs": {"D": {"type": "object", "properties": {
        "a": {"$ref": "#/$defs/D"}}}}}, "a.a.a is not of type object"),
])
def test_problems_name_their_place(value: Any, schema: Any, words: str) -> None:
    assert problem_with(value, schema) == words


def test_what_points_at_itself_ends() -> None:
    assert problem_with(1, {"$ref": "#"}) is None
    assert problem_with(1, {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}) is None
    assert without_nulls({"a": None}, {"$ref": "#"}) == {"a": None}


@pytest.mark.parametrize("schema", [
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["b"]},
    {"type": "object", "properties": {"b": {"type": "string"}, "a": {"enum": [1, 2], "default": 1}}},
])
def test_nulls_of_strict_answers_are_left_out(schema: dict[str, Any]) -> None:
    strict = strict_schema(schema)
    jsonschema.validate({"a": None, "b": "x"}, strict)
    assert without_nulls({"a": None, "b": "x"}, schema) == {"b": "x"}


def test_nulls_that_the_schema_takes_stay() -> None:
    inner = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": ["integer", "null"]}}}
    schema = {"properties": {
        "one": {"anyOf": [inner, {"type": "null"}]}, "many": {"type": "array", "items": {"$ref": "#/$defs/I"}},
        "all": {"allOf": [{"$ref": "#/$defs/I"}]}, "any": {},
    }, "$defs": {"I": inner}}
    thin, full = {"y": None}, {"x": None, "y": None}
    assert without_nulls({"one": full, "many": [full, full], "all": full, "any": None, "more": None}, schema) == {
        "one": thin, "many": [thin, thin], "all": thin, "any": None, "more": None}
