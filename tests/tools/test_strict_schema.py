"""Strict schemas: the subset is met, and what they let through the first schema lets through."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deluge.tools.schema import strict_schema


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


def sample(schema: dict[str, Any], root: dict[str, Any], dice: Any) -> Any:
    """Some value that a strict schema lets through."""
    if "$ref" in schema:
        return sample(root["$defs"]["D"], root, dice)
    if "anyOf" in schema:
        return sample(dice.choice(schema["anyOf"]), root, dice)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return dice.choice(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = dice.choice(kinds)
    if kind == "object":
        return {name: sample(value, root, dice) for name, value in schema["properties"].items()}
    if kind == "array":
        return [sample(schema["items"], root, dice) for _ in range(dice.randrange(3))]
    return {"string": "x", "integer": 3, "number": 1.5, "boolean": False, "null": None}[kind]


def without_nulls(value: Any, schema: Any, root: dict[str, Any]) -> Any:
    """Nulls that stand for what was left out are left out again."""
    if not isinstance(schema, dict):
        return value
    if "$ref" in schema:
        return without_nulls(value, root["$defs"]["D"], root)
    for branch in schema.get("anyOf", ()):
        thinner = without_nulls(value, branch, root)
        if jsonschema.Draft202012Validator({**branch, "$defs": root["$defs"]}).is_valid(thinner):
            return thinner
    if isinstance(value, list):
        return [without_nulls(item, schema.get("items"), root) for item in value]
    if not isinstance(value, dict):
        return value
    required, properties = schema.get("required", ()), schema.get("properties", {})
    return {name: without_nulls(item, properties.get(name), root) for name, item in value.items()
            if item is not None or name in required}


@given(objects(SCHEMAS), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_what_strict_lets_through_the_first_schema_lets_through(schema: dict[str, Any], dice: Any) -> None:
    schema = {**schema, "$defs": {"D": obj(["a"], a=STR, b={"type": "integer"})}}
    strict = strict_schema(schema)
    assert strict is not None
    jsonschema.Draft202012Validator.check_schema(strict)
    value = sample(strict, strict, dice)
    jsonschema.validate(value, strict)
    jsonschema.validate(without_nulls(value, schema, schema), schema)
