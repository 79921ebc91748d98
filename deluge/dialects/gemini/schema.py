"""JSON schemas as Gemini reads them: what it would pass over is said in the words that it knows, or told.

https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.tools.check import target_of
from deluge.tools.roots import recursive_definitions, references_in

Schema = dict[str, Any]

# What Gemini passes over, and is worth telling it.
_TOLD = frozenset({
    "pattern", "minLength", "maxLength", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems", "minProperties",
    "maxProperties", "patternProperties", "propertyNames", "not", "const", "default",
})
_DROPPED = frozenset({
    "definitions", "$schema", "$comment", "examples", "discriminator", "deprecated", "readOnly", "writeOnly",
})
_LISTS, _SINGLE = ("anyOf", "oneOf", "allOf", "prefixItems"), ("items", "additionalProperties")


def json_schema(schema: Mapping[str, Any]) -> Schema:
    """The schema for ``responseJsonSchema`` and ``parametersJsonSchema``; as it is where it cannot be read."""
    try:
        return _Reader(schema).of({**schema, **_definitions(schema)}, "#")
    except (TypeError, AttributeError, ValueError, RecursionError):
        return dict(schema)


def _definitions(schema: Mapping[str, Any]) -> Schema:
    """Under the one name that Gemini knows; references are rewritten to it."""
    both = {**(schema.get("definitions") or {}), **(schema.get("$defs") or {})}
    return {"$defs": both} if both else {}


class _Reader:
    """The walk through one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.circular = {_here(reference) for reference in recursive_definitions(root)}

    def of(self, schema: Any, home: str) -> Schema:
        """``home``: the definition that this is part of."""
        if schema is True:
            return {}
        merged = {name: value for name, value in schema.items() if name not in _DROPPED}
        only = merged.get("allOf")
        if isinstance(only, list) and len(only) == 1 and isinstance(only[0], Mapping):
            merged = {**only[0], **{name: value for name, value in merged.items() if name != "allOf"}}
        if "$ref" in merged:
            return _reference(merged)
        made = {name: value for name, value in merged.items() if name not in _TOLD}
        told = {name: merged[name] for name in merged if name in _TOLD and (name, merged[name]) != ("default", None)}
        _say_constants(made, told)
        self._let_circles_end(made, home)
        self._go_in(made, home)
        if told:
            words = "(" + ", ".join(f"{name}: {value}" for name, value in told.items()) + ")"
            made["description"] = " ".join(filter(None, [made.get("description"), words]))
        return made

    def _go_in(self, made: Schema, home: str) -> None:
        for name in _LISTS:
            if name in made:
                made[name] = [self.of(item, home) for item in made[name]]
        for name in _SINGLE:
            if name in made and not isinstance(made[name], bool):
                made[name] = self.of(made[name], home)
        if "properties" in made:
            made["properties"] = {key: self.of(value, home) for key, value in made["properties"].items()}
        if "$defs" in made:
            made["$defs"] = {key: self.of(value, f"#/$defs/{key}") for key, value in made["$defs"].items()}

    def _let_circles_end(self, made: Schema, home: str) -> None:
        """Gemini unrolls a circle a few times, and only behind properties that may be left out."""
        if home in self.circular and "required" in made:
            properties = made.get("properties", {})
            around = {name for name, value in properties.items() if home in self._reached(value)}
            made["required"] = [name for name in made["required"] if name not in around]

    def _reached(self, schema: Any) -> set[str]:
        """Every reference that stands in a schema, or in what it refers to."""
        found: set[str] = set()
        todo = list(references_in(schema))
        while todo:
            reference = todo.pop()
            if _here(reference) not in found:
                found.add(_here(reference))
                todo += references_in(target_of(reference, self.root))
        return found


def _here(reference: str) -> str:
    return reference.replace("#/definitions/", "#/$defs/")


def _reference(schema: Schema) -> Schema:
    """Nothing may stand beside a reference."""
    only = {"$ref": _here(schema["$ref"])}
    words: Schema = {name: schema[name] for name in ("title", "description") if name in schema}
    return {"anyOf": [only], **words} if words else only


def _say_constants(made: Schema, told: Schema) -> None:
    """A constant is a choice of one; null among choices is a type of its own."""
    const = told.get("const")
    if isinstance(const, (str, int, float)) and not isinstance(const, bool):
        made["enum"] = [told.pop("const")]
    values = made.get("enum")
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        made.setdefault("type", "string")
    if isinstance(values, list) and None in values and len(values) > 1:
        kinds = [kind for kind in _kinds(made) if kind != "null"]
        one: Schema = {"enum": [value for value in values if value is not None]}
        if kinds:
            one["type"] = kinds[0] if len(kinds) == 1 else kinds
        made.pop("type", None)
        del made["enum"]
        made["anyOf"] = [one, {"type": "null"}]


def _kinds(schema: Schema) -> list[str]:
    kind = schema.get("type", [])
    return list(kind) if isinstance(kind, list) else [kind]
