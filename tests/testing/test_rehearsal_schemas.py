"""Whatever a schema asks for, the rehearsal provider's instance of it is valid."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge.testing.patterns import matching
from deluge.testing.schemas import Hints, SchemaError, instance

TEXTS = st.text("abc XYZ", max_size=6)


def bounded(low: str, high: str, numbers: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    """Two keywords, in order, either of which may be left out."""
    pairs = st.tuples(numbers, numbers).map(sorted)
    return st.tuples(pairs, st.booleans(), st.booleans()).map(
        lambda drawn: {**({low: drawn[0][0]} if drawn[1] else {}), **({high: drawn[0][1]} if drawn[2] else {})})


STRINGS = bounded("minLength", "maxLength", st.integers(0, 40)).map(lambda extra: {"type": "string", **extra})
FORMATTED = st.sampled_from(["date", "date-time", "email", "uuid", "uri", "ipv4", "ipv6", "hostname"]).map(
    lambda name: {"type": "string", "format": name})
PATTERNED = st.sampled_from([r"^\d{3}-\d{4}$", r"^[A-Z]{2}\d+$", r"^(red|green)$", r"^[^a]+$", r"\w{5,}", "^a?b*c+$",
                             r"^(\w)\1$"]).map(
    lambda pattern: {"type": "string", "pattern": pattern})
INTEGERS = bounded("minimum", "maximum", st.integers(-50, 50)).map(lambda extra: {"type": "integer", **extra})
NUMBERS = bounded("exclusiveMinimum", "maximum", st.integers(-50, 50)).filter(
    lambda extra: extra.get("exclusiveMinimum", -99) < extra.get("maximum", 99),
).map(lambda extra: {"type": "number", **extra})
MULTIPLES = st.tuples(st.integers(1, 9), st.integers(-40, 40)).map(
    lambda drawn: {"type": "integer", "multipleOf": drawn[0], "minimum": drawn[1]})
ENUMS = st.lists(st.one_of(TEXTS, st.integers(), st.none(), st.booleans()), min_size=1,
                 max_size=4).map(lambda values: {"enum": values})
LEAVES = st.one_of(
    STRINGS, FORMATTED, PATTERNED, INTEGERS, NUMBERS, MULTIPLES, ENUMS, st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just(True), TEXTS.map(lambda text: {"const": text}), st.just({"type": ["string", "null"]}),
    st.just({"$ref": "#/$defs/leaf"}),
)


def objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.sampled_from("abcdef"), parts, max_size=4)
    return st.tuples(named, st.booleans(), st.integers(0, 2)).map(lambda drawn: {
        "type": "object", "properties": drawn[0], "required": sorted(drawn[0])[::2],
        "additionalProperties": drawn[1], "minProperties": min(drawn[2], len(drawn[0])),
    })


def arrays(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(parts, st.integers(0, 3)).map(lambda drawn: {"type": "array", "items": drawn[0],
                                                                  "minItems": drawn[1]})


SCHEMAS = st.recursive(
    LEAVES, lambda parts: st.one_of(
        objects(parts), arrays(parts), st.lists(parts, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        parts.map(lambda part: {"allOf": [part]}),
    ), max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(SCHEMAS, st.text(max_size=80))
def test_every_instance_is_valid(schema: Any, prompt: str) -> None:
    if isinstance(schema, dict):
        schema = {**schema, "$defs": {"leaf": {"type": "integer", "minimum": 3}}}
    elif "$ref" in json.dumps(schema):
        return
    value = instance(schema, Hints.of(prompt))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)
    json.dumps(value, allow_nan=False)


RECURSIVE = {
    "$defs": {"node": {
        "type": "object", "required": ["value", "next"],
        "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    }},
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize("schema", [
    RECURSIVE,
    {"type": "array", "items": {"$ref": "#"}},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "integer"}, "minItems": 4, "uniqueItems": True},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
               {"properties": {"b": {"type": "integer"}}, "required": ["b"]}]},
    {"type": "object", "minProperties": 2, "additionalProperties": {"type": "number"}},
    {"prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2, "items": False},
    {"properties": {"a": {"type": "string"}}, "required": ["a", "not_described"]},
    {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "integer"}]},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": ["null", "integer"], "minimum": 2},
])
def test_particular_schemas(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(instance(schema, Hints.of("one 2 'three'")))


@pytest.mark.parametrize("schema, words", [
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "without end"),
    ({"$ref": "#"}, "refers to itself|without end"),
    ({"$ref": "#/nowhere"}, "leads nowhere"),
    ({"$ref": "https://example.com/x"}, "not inside"),
    ({"enum": []}, "empty"),
    (False, "nothing is valid"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "bounds"),
    ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength"),
    ({"type": "thing"}, "no type 'thing'"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "both"),
    (7, "must be an object"),
])
def test_a_schema_without_an_instance(schema: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        instance(schema)


def test_the_prompt_fills_the_instance() -> None:
    schema = {"type": "object", "required": ["city", "days", "unit", "ratio"], "properties": {
        "city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["kelvin", "celsius"]},
        "ratio": {"type": "number"}}}
    prompt = "What is the weather in Paris over 3 days in celsius, with 2.5?"
    assert instance(schema, Hints.of(prompt)) == {"city": "Paris", "days": 3, "unit": "celsius", "ratio": 2.5}
    assert instance({"type": "string"}, Hints.of("say 'blue moon' to Ada")) == "blue moon"


@pytest.mark.parametrize("pattern",
                         [r"^(?:a|b)+$", r"^[\d.]{4}$", r"^\S+@\S+$", r"^[^\s]{3,5}$", r"^x.{2}y$", r"^(?=a)a$", "^$"])
def test_patterns(pattern: str) -> None:
    assert any(re.search(pattern, text) for text in matching(pattern))


def test_a_pattern_that_is_none() -> None:
    assert list(matching("(")) == []
