"""JSON schemas made strict: the subset in which providers hold a model to every word of a schema.

Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KEPT = frozenset({
    "type", "description", "title", "enum", "const", "pattern", "format", "multipleOf", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
})
_DROPPED = frozenset({
    "default", "examples", "example", "$schema", "$id", "$comment", "$anchor", "discriminator", "deprecated",
    "readOnly", "writeOnly", "additionalProperties", "required", "nullable",
})
# What the subset lacks and a reader can still hold to: it moves into the description.
_TOLD = frozenset({
    "minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties", "contentEncoding", "contentMediaType",
})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_NESTED = frozenset({"properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions"})
_TYPES: dict[type[Any], str] = {
    str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", list: "array", dict: "object",
}
_MAX_DEPTH = 60
_MAX_NESTING = 10  # objects and lists inside each other

Schema = dict[str, Any]
Path = tuple[str, ...]


class _NotStrict(Exception):
    """This schema says something that the strict subset cannot."""


def strict_schema(schema: Mapping[str, Any]) -> Schema | None:
    """The schema in its strict form, or None where it has none. The given one is not changed.

    Every object is closed and requires all of its properties; those that were optional may be null instead. Defaults
    go; ``oneOf`` becomes ``anyOf``, a lone ``allOf`` its content; a ``$ref`` with words beside it is written out. Open
    objects, values of any type, tuples, ``not`` and conditions have no strict form.
    """
    try:
        root = _Strict(schema).of(schema, ())
    except (_NotStrict, TypeError, AttributeError, ValueError, RecursionError):
        return None
    return root if root.get("type") == "object" and _nesting(root) <= _MAX_NESTING else None


class _Strict:
    """The walk through one schema. ``path``: the references that are being written out, so that no circle is."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root

    def of(self, schema: Any, path: Path) -> Schema:
        if not isinstance(schema, Mapping) or len(path) > _MAX_DEPTH:
            raise _NotStrict
        schema, path = self.written_out(schema, path)
        if "$ref" in schema:
            return {"$ref": schema["$ref"]}
        result = _plain_words(schema)
        for name in ("$defs", "definitions"):
            if name in schema:
                result[name] = {key: self.of(value, ()) for key, value in schema[name].items()}
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            if any(key in schema for key in ("type", "enum", "const", "properties", "items")):
                raise _NotStrict
            result["anyOf"] = [self.of(branch, path) for branch in branches]
            return result
        _fill_type(result, schema)
        kinds = _kinds(result)
        if "object" in kinds:
            self.close(result, schema, path)
        if "array" in kinds:
            result["items"] = self.of(schema.get("items"), path)
        return result

    def written_out(self, schema: Mapping[str, Any], path: Path) -> tuple[Mapping[str, Any], Path]:
        """Without ``allOf``, and without a ``$ref`` that has other words beside it: those are not allowed together."""
        for _ in range(_MAX_DEPTH):
            if "allOf" in schema:
                (only,) = schema["allOf"]  # several that hold at once cannot be said
                schema = {**only, **{key: value for key, value in schema.items() if key != "allOf"}}
            elif "$ref" in schema:
                ref = schema["$ref"]
                beside = {key: value for key, value in schema.items() if key != "$ref" and key not in _DROPPED}
                target = _target(ref, self.root)
                if not beside or target is self.root or ref in path:
                    return {"$ref": ref}, path
                schema, path = {**target, **beside}, (*path, ref)
            else:
                return schema, path
        raise _NotStrict

    def close(self, result: Schema, schema: Mapping[str, Any], path: Path) -> None:
        """Makes an object strict: all of its properties required, no others allowed."""
        properties = schema.get("properties")
        if schema.get("additionalProperties") not in (None, False):
            raise _NotStrict
        required = schema.get("required") or ()
        if not isinstance(properties, Mapping) or set(required) - set(properties):
            raise _NotStrict
        made = {name: self.of(value, path) for name, value in properties.items()}
        result["properties"] = {name: value if name in required else _nullable(value) for name, value in made.items()}
        result["required"] = list(properties)
        result["additionalProperties"] = False


def _nesting(schema: Any) -> int:
    """How many objects and lists lie inside each other, at most; what is behind a reference counts from its own top."""
    if not isinstance(schema, Mapping):
        return 0
    inside = [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]
    beside = [*schema.get("anyOf", ()), *schema.get("$defs", {}).values(), *schema.get("definitions", {}).values()]
    return max((1 + max(map(_nesting, inside), default=0)) if "properties" in schema or "items" in schema else 0,
               max(map(_nesting, beside), default=0))


def _target(ref: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    if not ref.startswith("#"):
        raise _NotStrict
    target: Any = root
    for step in ref[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, Mapping) or step not in target:
            raise _NotStrict
        target = target[step]
    if not isinstance(target, Mapping):
        raise _NotStrict
    return target


def _plain_words(schema: Mapping[str, Any]) -> Schema:
    """The words that stay as they are; those that the subset lacks, told in the description."""
    result: Schema = {}
    told = []
    for key, value in schema.items():
        if key == "format" and value not in _FORMATS or key in _TOLD:
            told.append(f"{key}: {value}")
        elif key in _KEPT:
            result[key] = list(value) if isinstance(value, (list, tuple)) else value
        elif key not in _DROPPED and key not in _NESTED and not key.startswith("x-"):
            raise _NotStrict
    if told:
        result["description"] = " ".join(filter(None, [result.get("description", ""), f"({', '.join(told)})"]))
    if schema.get("nullable") is True and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    return result


def _fill_type(result: Schema, schema: Mapping[str, Any]) -> None:
    """A type for what has none: it can be seen from the properties or the values."""
    if "type" in result:
        return
    if "properties" in schema:
        result["type"] = "object"
        return
    values = result["enum"] if "enum" in result else [result["const"]] if "const" in result else []
    kinds = list(dict.fromkeys(_TYPES[type(value)] for value in values if type(value) in _TYPES))
    if not kinds or "object" in kinds or "array" in kinds:
        raise _NotStrict
    result["type"] = kinds[0] if len(kinds) == 1 else kinds


def _nullable(schema: Schema) -> Schema:
    """The same, or null."""
    if "anyOf" in schema:
        if not any("null" in _kinds(branch) for branch in schema["anyOf"]):
            schema["anyOf"].append({"type": "null"})
        return schema
    kinds = _kinds(schema)
    if "null" in kinds and ("enum" not in schema or None in schema["enum"]) and "const" not in schema:
        return schema
    if "$ref" in schema or "const" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    schema["type"] = list(dict.fromkeys([*kinds, "null"]))
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    return schema


def _kinds(schema: Schema) -> list[str]:
    kinds = schema.get("type", [])
    return kinds if isinstance(kinds, list) else [kinds]
