"""JSON schemas as Claude is held to them: closed objects, and what the subset lacks told in the descriptions.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deluge.request import RequestTemplate
from deluge.tools.roots import recursive_definitions

Schema = dict[str, Any]

_FORMATS = frozenset({
    "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
})
_SILENT = frozenset({"$schema", "$id", "$comment", "$anchor", "discriminator", "readOnly", "writeOnly", "deprecated"})
# Words that are read one by one below; whatever else a schema says is told in its description.
_READ = frozenset({
    "$ref", "$defs", "definitions", "type", "anyOf", "oneOf", "allOf", "enum", "const", "title", "description",
    "properties", "required", "additionalProperties", "items", "format", "minItems", "nullable",
})
_ANYTHING: tuple[Schema, ...] = tuple({"type": name} for name in ("string", "number", "boolean", "null"))
# A request may hold Claude to so many tools, and these to so many optional or several-typed properties in all.
MAX_TOOLS, MAX_OPTIONAL, MAX_UNIONS = 20, 24, 16
_NARROWING = ("values", "properties", "allOf", "definitions that", "choices among")


@dataclass(slots=True)
class Closed:
    """A schema in the subset. ``lost``: what it said and the subset cannot hold the model to."""

    schema: Schema = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    optional: int = 0
    unions: int = 0

    @property
    def narrowed(self) -> tuple[str, ...]:
        """What of it the subset cannot say at all. Limits are another matter: told in words and checked, they lose nothing."""
        return tuple(dict.fromkeys(lost for lost in self.lost if lost.startswith(_NARROWING)))


def takes_schema(template: RequestTemplate) -> bool:
    """Whether Claude's structured output can say the whole of this call's ``output_schema``."""
    closed = closed_schema(template.options.output_schema or {})
    return closed is not None and not closed.narrowed and closed.optional <= MAX_OPTIONAL and closed.unions <= MAX_UNIONS


def closed_schema(schema: Mapping[str, Any]) -> Closed | None:
    """The schema in the subset; None where it is no schema, or nested too deeply. The given one is not changed."""
    walk = Closed()
    try:
        walk.schema = _of(schema, walk)
        if recursive_definitions(schema):
            walk.lost.append("definitions that refer to themselves")
    except (TypeError, AttributeError, ValueError, RecursionError):
        return None
    return walk


def _of(schema: Any, walk: Closed) -> Schema:
    if schema is True or schema == {}:
        walk.lost.append("values of any type")
        return {"anyOf": [dict(one) for one in _ANYTHING]}
    if not isinstance(schema, Mapping):
        raise TypeError("not a schema")
    made: Schema = {}
    defs = {**(schema.get("definitions") or {}), **(schema.get("$defs") or {})}
    if defs:
        made["$defs"] = {name: _of(value, walk) for name, value in defs.items()}
    if "$ref" in schema:
        return {**made, "$ref": schema["$ref"].replace("#/definitions/", "#/$defs/")}
    only = schema.get("allOf")
    if isinstance(only, list) and len(only) == 1:
        return {**made, **_of({**only[0], **{name: value for name, value in schema.items() if name != "allOf"}}, walk)}
    kinds = _kinds(schema)
    if len(kinds) > 1 and not _literal(schema):
        return {**made, **_several(schema, kinds, walk)}
    made.update(_shape(schema, kinds[0] if kinds else None, walk))
    return _told(made, schema, walk)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """The types of a schema, seen from its other words where it names none."""
    kind = schema.get("type")
    kinds = [kind] if isinstance(kind, str) else list(kind or ())
    if not kinds:
        kinds = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
    if schema.get("nullable") is True and "null" not in kinds:
        kinds.append("null")
    return kinds


def _literal(schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("enum")) or "const" in schema


def _several(schema: Mapping[str, Any], kinds: list[str], walk: Closed) -> Schema:
    """Several types are one schema each."""
    outer = {name: schema[name] for name in ("title", "description") if name in schema}
    inner = {name: value for name, value in schema.items() if name not in ("type", "nullable", *outer)}
    walk.unions += 1
    return {
        "anyOf": [_of({"type": "null"} if kind == "null" else {**inner, "type": kind}, walk) for kind in kinds], **outer,
    }


def _shape(schema: Mapping[str, Any], kind: str | None, walk: Closed) -> Schema:
    if _literal(schema):
        if any(isinstance(value, (Mapping, list)) for value in [*(schema.get("enum") or ()), schema.get("const")]):
            walk.lost.append("choices among objects or lists")
        return {name: schema[name] for name in ("enum", "const") if name in schema}
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        walk.unions += 1
        return {"anyOf": [_of(branch, walk) for branch in branches]}
    if schema.get("allOf"):
        walk.lost.append("allOf")
        return {"allOf": [_of(branch, walk) for branch in schema["allOf"]]}
    if kind is None:
        walk.lost.append("values of any type")
        return {"anyOf": [dict(one) for one in _ANYTHING]}
    if kind == "object":
        return _object(schema, walk)
    made: Schema = {"type": kind}
    if kind == "array" and "items" in schema:
        made["items"] = _of(schema["items"], walk)
    if kind == "array" and schema.get("minItems") in (0, 1):
        made["minItems"] = schema["minItems"]
    if kind == "string" and schema.get("format") in _FORMATS:
        made["format"] = schema["format"]
    return made


def _object(schema: Mapping[str, Any], walk: Closed) -> Schema:
    properties, required = schema.get("properties") or {}, list(schema.get("required") or ())
    if schema.get("additionalProperties") not in (None, False) or (not properties and "properties" not in schema):
        walk.lost.append("properties without a name of their own")
    walk.optional += len(set(properties) - set(required))
    made: Schema = {"type": "object", "properties": {name: _of(value, walk) for name, value in properties.items()}}
    made["additionalProperties"] = False
    if "required" in schema:
        made["required"] = required
    return made


def _told(made: Schema, schema: Mapping[str, Any], walk: Closed) -> Schema:
    """Title and description, with what the subset has no words for."""
    if "title" in schema:
        made["title"] = schema["title"]
    rest = {name: value for name, value in schema.items() if name not in _READ and name not in _SILENT}
    for name in ("format", "minItems"):
        if name in schema and name not in made:
            rest[name] = schema[name]
    if isinstance(schema.get("additionalProperties"), Mapping):
        rest["additionalProperties"] = schema["additionalProperties"]
    walk.lost += rest
    told = "{" + ", ".join(f"{name}: {value}" for name, value in rest.items()) + "}" if rest else ""
    text = "\n\n".join(filter(None, [schema.get("description"), told]))
    if text:
        made["description"] = text
    return made
