"""Random schemas through every form in which a provider gets them: the subset is met, and what a form lets through fits.

"Fits" is what jsonschema says of the schema as it was given, once nulls that mean "left out" are left out.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge.dialects.anthropic.schema import closed_schema
from deluge.dialects.gemini.schema import json_schema
from deluge.testing.schemas import SchemaError, instance
from deluge.tools.check import problem_with
from deluge.tools.output import OutputReader
from deluge.tools.roots import object_schema, references_in
from deluge.tools.schema import strict_schema

Schema = dict[str, Any]
NAMES = ("a", "b", "value", "kind", "ä")
DEFINITIONS = ("One", "Two", "Three")


def word(dice: Random) -> Schema:
    """A schema without others in it."""
    return dict(dice.choice([
        {"type": "string"}, {"type": "string", "format": "date"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"},
        {"type": "null"}, {"type": ["string", "null"]}, {"type": ["integer", "string"]}, {"type": "integer", "minimum": 2},
        {"type": "integer", "default": 7, "maximum": 9}, {"type": "string", "default": "x", "title": "T"},
        {"type": "string", "minLength": 1}, {"type": "string", "maxLength": 20, "description": "words"},
        {"enum": ["x", "y"]}, {"enum": ["x", None]}, {"enum": [1, "x", True], "default": 1}, {"type": "string", "enum": ["q"]},
        {"const": "fixed"}, {"const": 4}, {"const": None},
        {"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ]))


def schema_of(dice: Random, depth: int = 0) -> Schema:
    """Any schema: objects, lists, unions, references (that lead round in circles), one allOf, and now and then an open one."""
    kind = dice.choice(["word"] * (2 + depth) + ["object", "object", "array", "anyOf", "oneOf", "allOf", "ref", "open"])
    if kind == "word" or depth > 3:
        return word(dice)
    if kind == "object":
        return object_of(dice, depth)
    if kind == "array":
        return {"type": "array", "items": schema_of(dice, depth + 1)}
    if kind == "anyOf":
        return {"anyOf": [schema_of(dice, depth + 1) for _ in range(dice.randint(1, 3))], "description": "one of them"}
    if kind == "oneOf":  # of which never two hold at once
        return {"oneOf": [{"type": "string"}, {"type": "array", "items": schema_of(dice, depth + 1)}]}
    if kind == "allOf":
        return {"allOf": [object_of(dice, depth)], "title": "All"}
    if kind == "ref":
        beside = dice.choice([{}, {}, {"description": "see there"}, {"default": None}])
        return {"$ref": f"#/$defs/{dice.choice(DEFINITIONS)}", **beside}
    return dice.choice([
        {"type": "object", "additionalProperties": {"type": "integer"}}, {}, {"type": "object"}, {"type": "array"},
        {"type": "array", "prefixItems": [{"type": "string"}]}, {"not": {"type": "null"}},
    ]) if dice.random() < 0.3 else word(dice)


def object_of(dice: Random, depth: int = 0) -> Schema:
    names = dice.sample(NAMES, dice.randint(0 if depth else 1, 4))
    made: Schema = {"type": "object", "properties": {name: schema_of(dice, depth + 1) for name in names}}
    required = [name for name in names if dice.random() < 0.5 and "$ref" not in json.dumps(made["properties"][name])]
    if required or dice.random() < 0.5:
        made["required"] = required
    if dice.random() < 0.5:
        made["additionalProperties"] = False
    return made


def whole(dice: Random) -> Schema:
    top = object_of(dice) if dice.random() < 0.7 else schema_of(dice)
    return {**top, "$defs": {name: object_of(dice, 2) for name in DEFINITIONS}}


def every(schema: Any) -> Iterator[Schema]:
    """The schema and all that are in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for item in schema.get(name, ()):
            yield from every(item)
    for name in ("properties", "$defs"):
        for item in schema.get(name, {}).values():
            yield from every(item)
    for name in ("items", "additionalProperties", "not"):
        yield from every(schema.get(name))


STRICT_WORDS = {"type", "description", "title", "enum", "const", "pattern", "format", "multipleOf", "minimum", "maximum",
                "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "properties", "required", "items", "anyOf",
                "$ref", "$defs", "additionalProperties"}
CLOSED_WORDS = {"type", "properties", "items", "anyOf", "allOf", "enum", "const", "required", "format", "minItems",
                "additionalProperties", "$ref", "$defs", "description", "title"}
GEMINI_WORDS = {"$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems",
                "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties",
                "required"}


def check_strict(strict: Schema) -> None:
    for part in every(strict):
        assert part.keys() <= STRICT_WORDS and ("$ref" not in part or part.keys() == {"$ref"}), part
        if "properties" in part:
            assert part["additionalProperties"] is False and part["required"] == list(part["properties"])
        assert any(name in part for name in ("type", "anyOf", "$ref"))


def check_closed(closed: Schema) -> None:
    for part in every(closed):
        assert part.keys() <= CLOSED_WORDS and ("properties" not in part or part["additionalProperties"] is False), part


def check_gemini(made: Schema) -> None:
    for part in every(made):
        assert part.keys() <= GEMINI_WORDS, part
        assert "$ref" not in part or all(name.startswith("$") for name in part), part
        assert None not in part.get("enum", ()) or len(part["enum"]) == 1


def values_of(form: Schema, dice: Random, count: int = 3) -> Iterator[Any]:
    for _ in range(count):
        try:
            yield sample(form, form, dice, 0)
        except RecursionError:  # a circle that nothing may leave
            return


def sample(schema: Schema, root: Schema, dice: Random, depth: int) -> Any:
    """Some value that a form lets through; ``RecursionError`` when there is none that ends."""
    if depth > 40:
        raise RecursionError
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rpartition("/")[2]], root, dice, depth + 1)
    for name in ("anyOf", "oneOf"):
        if name in schema:
            branches = sorted(schema[name], key=lambda item: "$ref" in item) if depth > 8 else [dice.choice(schema[name])]
            return sample(branches[0], root, dice, depth + 1)
    if "const" in schema or "enum" in schema:
        return dice.choice(schema.get("enum") or [schema["const"]])
    kinds = schema.get("type", "null")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    kind = "null" if depth > 8 and "null" in kinds else dice.choice(kinds)
    if kind == "object":
        required = schema.get("required", ())
        return {name: sample(value, root, dice, depth + 1) for name, value in schema.get("properties", {}).items()
                if name in required or depth < 8 and dice.random() < 0.6}
    if kind == "array":
        few = schema.get("minItems", 0)
        many = few if depth > 8 else dice.randint(few, few + 2)
        return [sample(schema["items"], root, dice, depth + 1) if "items" in schema else 1 for _ in range(many)]
    low, high = schema.get("minimum", 0), schema.get("maximum", 9)
    text = "2026-01-02" if schema.get("format") == "date" else dice.choice(["x", "some words"])
    plain = {"string": text, "integer": dice.randint(low, high), "number": 1.5, "boolean": dice.random() < 0.5, "null": None}
    return plain[kind]


def run(seed: int) -> int:
    """One random schema through all forms; how many values were checked."""
    dice = Random(seed)
    schema = whole(dice)
    jsonschema.Draft202012Validator.check_schema(schema)
    before = copy.deepcopy(schema)
    own, wrapped = object_schema(schema)
    assert own["type"] == "object" or "properties" in own
    strict, closed, gemini = strict_schema(own), closed_schema(own), json_schema(own)
    forms: list[Schema] = [gemini]
    check_gemini(gemini)
    if strict is not None:
        check_strict(strict)
        forms.append(strict)
    assert closed is not None
    check_closed(closed.schema)
    if not closed.narrowed:
        forms.append(closed.schema)
    assert schema == before, "what was given is not changed"
    for form in forms:
        jsonschema.Draft202012Validator.check_schema(form)
        assert all(reference.startswith("#") for reference in references_in(form))
    return sum(fits(schema, wrapped, form, value) for form in forms for value in values_of(form, dice))


def fits(schema: Schema, wrapped: bool, form: Schema, value: Any) -> bool:
    """A value of a form, read as an answer, fits the schema; a value that it does not fit is refused."""
    if form.get("properties") is not None and not jsonschema.Draft202012Validator(form).is_valid(value):
        return False  # a number out of bounds that the sample made
    text = json.dumps(value)
    own = jsonschema.Draft202012Validator(schema)
    try:
        read = OutputReader(schema).read(text, repair=False)
    except ValueError:
        inner = value["value"] if wrapped else value
        # Only a rule that the form tells in words, or a part that Gemini may leave out, can be the reason.
        assert not own.is_valid(inner) and (told(form) or not strict_like(form)), (schema, form, value)
        return False
    assert own.is_valid(read) and problem_with(read, schema) is None
    return True


def told(form: Schema) -> bool:
    marks = ("Length: ", "minimum: ", "maximum: ", "minItems: ", "not: ", "prefixItems: ")
    return any(mark in json.dumps(form) for mark in marks)


def strict_like(form: Schema) -> bool:
    return all("properties" not in part or part.get("additionalProperties") is False for part in every(form))


@given(st.integers(0, 1 << 32))
@settings(max_examples=15, deadline=None)
def test_random_schemas(seed: int) -> None:
    run(seed)


@pytest.mark.slow
def test_a_thousand_random_schemas() -> None:
    checked = sum(run(seed) for seed in range(1_000))
    assert checked > 3_000


@pytest.mark.parametrize("seed", range(30))
def test_the_rehearsal_server_finds_an_instance_of_every_form(seed: int) -> None:
    dice = Random(seed)
    own, _ = object_schema(whole(dice))
    strict = strict_schema(own)
    try:
        value = instance(own if strict is None else strict)
    except SchemaError:
        return
    assert problem_with(value, own if strict is None else strict) is None
