"""Schemas with an object at the top: the only ones that providers take, and the only ones that are arguments of a tool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deluge.tools.check import target_of

WRAPPED = "value"  # the property of an answer that is no object by itself
_DEFINITIONS = ("$defs", "definitions")


def object_schema(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """The schema itself where it describes an object; else one of an object with the property ``value``, and True.

    A reference at the top (a recursive model) is written out. A schema that refers to its own top stays as it is when it
    cannot be put into another.
    """
    schema = inlined(schema)
    if schema.get("type") == "object" or ("type" not in schema and "properties" in schema):
        return schema, False
    if not all(reference.startswith(("#/$defs/", "#/definitions/")) for reference in references_in(schema)):
        return schema, False
    shared = {name: schema[name] for name in _DEFINITIONS if name in schema}
    inner = {name: value for name, value in schema.items() if name not in shared}
    wrapper = {"type": "object", "properties": {WRAPPED: inner}, "required": [WRAPPED], "additionalProperties": False}
    return {**wrapper, **shared}, True


def inlined(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema with a reference at its top (a recursive model's) written out."""
    target = target_of(schema.get("$ref"), schema)
    if not isinstance(target, Mapping) or target is schema or "$ref" in target:
        return schema
    return {**target, **{name: value for name, value in schema.items() if name != "$ref"}}


def references_in(schema: Any) -> Iterator[str]:
    """Every ``$ref`` in a schema, wherever it stands."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from references_in(value)
    elif isinstance(schema, (list, tuple)):
        for value in schema:
            yield from references_in(value)


def recursive_definitions(schema: Mapping[str, Any]) -> frozenset[str]:
    """The references that lead back to themselves, however far around."""
    reaches = {
        reference: frozenset(references_in(target_of(reference, schema))) for reference in set(references_in(schema))
    }
    found = set()
    for start in reaches:
        seen: set[str] = set()
        todo = list(reaches[start])
        while todo:
            step = todo.pop()
            if step not in seen:
                seen.add(step)
                todo += reaches.get(step, ())
        if start in seen:
            found.add(start)
    return frozenset(found)
