"""Strict schemas: the subset is met, and what they let through the first schema lets through."""

from __future__ import annotations

import copy
import enum
import json
from datetime import date
from typing import Any, Literal, Optional, Union

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import create_model

from deluge.tools.check import problem_with, without_nulls
from deluge.tools.output import OutputReader
from deluge.tools.schema import strict_schema

pytestmark = pytest.mark.slow


class Colour(enum.Enum):
    red = "red"
    blue = 2


def obj(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({} if required is None else {"required": required})}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


STR, NULL = {"type": "string"}, {"type": "null"}


@pytest.mark.parametrize("given_schema, wanted", [
    (obj(), closed()),
    (obj(["a"], a=STR), closed(a=STR)),
    (obj(a={"type": "string", "default": "x"}), closed(a={"type": ["string", "null"]})),
    (obj(a={"type": "string", "enum": ["x", "y"]}), closed(a={"type": ["string", "null"], "enum": ["x", "y", None]})),
    (obj(a={"enum": ["x", 1]}), closed(a={"type": ["string", "integer", "null"], "enum": ["x", 1, None]})),
    (obj(["a"], a={"const": "x"}), closed(a={"type": "string", "const": "x"})),
    (obj(a={"const": "x"}), closed(a={"anyOf": [{"type": "string", "const": "x"}, NULL]})),
    (obj(a={"anyOf": [STR, NULL], "default": None}), closed(a={"anyOf": [STR, NULL]})),
    (obj(a={"anyOf": [STR, {"type": "integer"}]}), closed(a={"anyOf": [STR, {"type": "integer"}, NULL]})),
    (obj(["a"], a={"oneOf": [STR, NULL]}), closed(a={"anyOf": [STR, NULL]})),
    (obj(["a"], a={"allOf": [STR], "description": "d"}), closed(a={"type": "string", "description": "d"})),
    (obj(["a"], a={"type": "array", "items": obj(["b"], b=STR)}), closed(a={"type": "array", "items": closed(b=STR)})),
    (obj(["a"], a=obj(b=STR)), closed(a=closed(b={"type": ["string", "null"]}))),
    (obj(["a"], a={"type": "string", "minLength": 3, "format": "uri", "description": "A link."}),
     closed(a={"type": "string", "description": "A link. (minLength: 3, format: uri)"})),
    (obj(["a"], a={"type": "string", "format": "date", "pattern": "^2"}),
     closed(a={"type": "string", "format": "date", "pattern": "^2"})),
    (obj(["a"], a={"type": "string", "nullable": True}), closed(a={"type": ["string", "null"]})),
    ({"properties": {"a": STR}, "required": ["a"]}, closed(a=STR)),
])
def test_strict_forms(given_schema: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = copy.deepcopy(given_schema)
    assert strict_schema(given_schema) == wanted
    assert given_schema == before


def test_references() -> None:
    ref = {"$ref": "#/$defs/Node"}
    node = obj(["name"], name=STR, next=ref, parent={**ref, "description": "above"})
    schema = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    strict = strict_schema(schema)
    assert strict is not None and strict["type"] == "object"
    inner = strict["$defs"]["Node"]
    assert inner["required"] == ["name", "next", "parent"] and inner["additionalProperties"] is False
    assert inner["properties"]["next"] == {"anyOf": [{"$ref": "#/$defs/Node"}, NULL]}
    assert inner["properties"]["parent"]["description"] == "above"
    jsonschema.Draft202012Validator.check_schema(strict)
    jsonschema.validate({"name": "a", "next": {"name": "b", "next": None, "parent": None}, "parent": None}, strict)


@pytest.mark.parametrize("schema", [
    {"type": "string"}, {}, {"type": "object"}, {"type": "object", "additionalProperties": True, "properties": {}},
    obj(a={}), obj(a={"type": "object"}), obj(a={"type": "object", "additionalProperties": STR}),
    obj(a={"type": "array"}),
    obj(a={"type": "array", "prefixItems": [STR]}), obj(a={"not": STR}), obj(a={"allOf": [obj(), obj()]}),
    obj(a={"if": STR, "then": STR}), obj(["b"], a=STR), obj(a={"$ref": "https://s.example/x.json"}),
    obj(a={"$ref": "#/nowhere"}),
    {"anyOf": [obj(), obj()]}, obj(a=True), {"type": "object", "properties": {}, "patternProperties": {"x": STR}},
    {"type": "object", "properties": 7}, {"$ref": "#"}, obj(a={"type": "string", "anyOf": [STR]}),
])
def test_what_has_no_strict_form(schema: dict[str, Any]) -> None:
    assert strict_schema(schema) is None


def test_pydantic_models() -> None:
    from pydantic import BaseModel, Field

    class Inner(BaseModel):
        kind: str = "a"
        tags: list[str] = []

    class Outer(BaseModel):
        inner: Inner = Field(description="the inner one")
        others: list[Inner] | None = None
        count: int = Field(3, ge=0)

    strict = strict_schema(Outer.model_json_schema())
    assert strict is not None
    jsonschema.validate({"inner": {"kind": None, "tags": None}, "others": None, "count": None}, strict)

    class Open(BaseModel):
        values: dict[str, int]

    assert strict_schema(Open.model_json_schema()) is None


SCALARS = st.sampled_from([
    STR, {"type": "integer", "minimum": 0}, {"type": "boolean", "default": True}, {"type": ["string", "null"]},
    {"enum": ["x", 2]}, {"const": 5}, {"type": "number", "description": "n"}, {"$ref": "#/$defs/D"},
])


def objects(inner: Any) -> Any:
    names = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    return names.flatmap(lambda props: st.lists(st.sampled_from(sorted(props) or ["-"]), unique=True).map(
        lambda required: obj([name for name in required if name in props], **props)))


SCHEMAS = st.recursive(SCALARS, lambda inner: objects(inner) | st.builds(lambda i: {"type": "array", "items": i}, inner)
                       | st.builds(lambda *i: {"anyOf": list(i)}, inner, inner), max_leaves=8)


D = obj(["a"], a=STR, b={"type": "integer", "default": 3}, next={"$ref": "#/$defs/D"},
        more={"type": "array", "items": {"$ref": "#/$defs/D"}}, kind={"enum": ["x", "y"], "default": "x"},
        other={"anyOf": [{"$ref": "#/$defs/D"}, STR]})


def sample(schema: dict[str, Any], dice: Any, depth: int = 0) -> Any:
    """Some value that a schema lets through, with some of its optional properties; ``$defs`` has one schema, ``D``."""
    if "$ref" in schema:
        return sample(schema_of_d(schema), dice, depth)
    if "anyOf" in schema:
        short = [branch for branch in schema["anyOf"] if "$ref" not in branch]
        return sample(dice.choice(short if depth > 3 and short else schema["anyOf"]), dice, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return dice.choice(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = "null" if depth > 3 and "null" in kinds else dice.choice(kinds)
    if kind == "object":
        required = schema.get("required", ())
        return {name: sample(value, dice, depth + 1) for name, value in schema["properties"].items()
                if name in required or depth < 3 and dice.random() < 0.5}
    if kind == "array":
        return [sample(schema["items"], dice, depth + 1) for _ in range(0 if depth > 3 else dice.randrange(3))]
    return {"string": "x", "integer": 3, "number": 1.5, "boolean": False, "null": None}[kind]


def schema_of_d(reference: dict[str, Any]) -> dict[str, Any]:
    return STRICT_D if reference.get("strict") else D


STRICT = strict_schema({**obj(["d"], d={"$ref": "#/$defs/D"}), "$defs": {"D": D}}) or {}


def marked(schema: Any) -> Any:
    """A strict schema whose references lead to the strict D."""
    if isinstance(schema, list):
        return [marked(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {**{key: marked(value) for key, value in schema.items()}, **({"strict": True} if "$ref" in schema else {})}


STRICT_D = marked(STRICT["$defs"]["D"])


@given(objects(SCHEMAS), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_what_strict_lets_through_the_first_schema_lets_through(schema: dict[str, Any], dice: Any) -> None:
    schema = {**schema, "$defs": {"D": D}}
    strict = strict_schema(schema)
    assert strict is not None
    jsonschema.Draft202012Validator.check_schema(strict)
    value = sample(marked(strict), dice)
    jsonschema.validate(value, strict)
    assert problem_with(value, strict) is None
    thin = without_nulls(value, schema)
    jsonschema.validate(thin, schema)
    assert problem_with(thin, schema) is None


def filled(value: Any, schema: Any, root: dict[str, Any]) -> Any:
    """The value with nulls for what it leaves out."""
    if "$ref" in schema:
        return filled(value, root["$defs"]["D"], root)
    for branch in schema.get("anyOf", ()):
        whole = filled(value, branch, root)
        if jsonschema.Draft202012Validator({**branch, "$defs": root["$defs"]}).is_valid(whole):
            return whole
    if isinstance(value, list):
        return [filled(item, schema.get("items", {}), root) for item in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    whole = {name: filled(item, properties.get(name, {}), root) for name, item in value.items()}
    return {**dict.fromkeys(properties), **whole}


@given(objects(SCHEMAS), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_strict_lets_through_what_the_first_schema_lets_through(schema: dict[str, Any], dice: Any) -> None:
    schema = {**schema, "$defs": {"D": D}}
    strict = strict_schema(schema)
    assert strict is not None
    value = sample(schema, dice)
    jsonschema.validate(value, schema)
    jsonschema.validate(filled(value, strict, strict), strict)


NAMES = iter(range(10**9))


def models(inner: Any) -> Any:
    """Pydantic models with required, optional and defaulted fields."""
    field = st.tuples(inner, st.booleans())
    return st.dictionaries(st.sampled_from("abcd"), field, min_size=1, max_size=3).map(lambda fields: create_model(
        f"M{next(NAMES)}", **{name: (kind, ...) if required else (Optional[kind], None)  # type: ignore[call-overload]
                              for name, (kind, required) in fields.items()}))


LEAF_TYPES: list[Any] = [int, str, bool, float, None, Literal["x", "y"], date, Colour]
TYPES = st.recursive(st.sampled_from(LEAF_TYPES), lambda inner: (
    inner.map(lambda kind: list[kind]) | inner.map(lambda kind: Optional[kind])
    | st.tuples(inner, inner).map(lambda kinds: Union[kinds]) | models(inner)), max_leaves=6)


@given(models(TYPES), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_answers_in_strict_form_become_models(model: Any, dice: Any) -> None:
    schema = model.model_json_schema()
    strict = strict_schema(schema)
    assert strict is not None
    jsonschema.Draft202012Validator.check_schema(strict)
    value = instance(strict, dice)
    jsonschema.validate(value, strict)
    assert type(OutputReader(model).read(json.dumps(value), repair=False)) is model


def instance(strict: dict[str, Any], dice: Any) -> Any:
    """A value of a strict schema with any number of definitions."""
    def make(schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return make(strict["$defs"][schema["$ref"].rpartition("/")[2]])
        if "anyOf" in schema:
            return make(dice.choice(schema["anyOf"]))
        if "enum" in schema or "const" in schema:
            return dice.choice(schema.get("enum") or [schema["const"]])
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kind = dice.choice(kinds)
        if kind == "object":
            return {name: make(value) for name, value in schema["properties"].items()}
        if kind == "array":
            return [make(schema["items"]) for _ in range(dice.randrange(3))]
        text = "2026-01-02" if schema.get("format") == "date" else "x"
        return {"string": text, "integer": 3, "number": 1.5, "boolean": False, "null": None}[kind]

    return make(strict)
