"""Values held against a JSON schema (draft 2020-12, as far as tools and answers use it), and nulls that mean "left out"."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

_MAX_REFERENCES = 20  # references in a row, so that a schema that only points at itself ends
Rule = Callable[[Any, Any, "_Place"], Iterator[str]]


class _Place:
    """Where in the value and under which schema a rule looks."""

    __slots__ = ("root", "schema", "path", "references")

    def __init__(self, root: Any, schema: Mapping[str, Any], path: str, references: int = 0) -> None:
        self.root = root
        self.schema = schema
        self.path = path
        self.references = references

    def problems(self, value: Any, schema: Any, step: str = "") -> Iterator[str]:
        return _problems(value, schema, self.root, self.path + step, 0 if step else self.references)

    def fits(self, value: Any, schema: Any) -> bool:
        return next(self.problems(value, schema), None) is None


def problem_with(value: Any, schema: Any) -> str | None:
    """What of a JSON value the schema refuses, in one line that names the place; None when it fits.

    ``format`` is not looked at; references are followed inside the schema only.
    """
    found = next(_problems(value, schema, schema, ""), None)
    return None if found is None else found.removeprefix(" at ").removeprefix(".")


def without_nulls(value: Any, schema: Any) -> Any:
    """The value without those nulls of optional properties that the schema itself does not take.

    A strict schema has every property required and the optional ones nullable: null there means left out.
    """
    return _thinned(value, schema, schema)


def _problems(value: Any, schema: Any, root: Any, path: str, references: int = 0) -> Iterator[str]:
    if schema is False:
        yield f"{path or 'the value'} is not allowed"
    if not isinstance(schema, Mapping) or (value is None and schema.get("nullable") is True):  # as OpenAPI says it
        return
    place = _Place(root, schema, path, references)
    for word, rule in _RULES.items():
        if word in schema:
            for problem in rule(value, schema[word], place):
                yield problem if problem.startswith(" at ") else f"{path or 'the value'} {problem}"


def _nested(found: Iterator[str]) -> Iterator[str]:
    """Problems that name their own place already."""
    return (problem if problem.startswith(" at ") else f" at {problem}" for problem in found)


def target_of(reference: Any, root: Any) -> Any:
    """What a local ``$ref`` points at; None where it points at nothing."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    target = root
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, Mapping) or step not in target:
            return None
        target = target[step]
    return target


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _is(value: Any, kind: Any) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool) or isinstance(value, float) and value.is_integer()
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    types = {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}
    return isinstance(value, types.get(kind, object))


def _type(value: Any, kinds: Any, place: _Place) -> Iterator[str]:
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(_is(value, kind) for kind in kinds):
        yield f"is not of type {' or '.join(map(str, kinds))}"


def _enum(value: Any, values: Any, place: _Place) -> Iterator[str]:
    if not any(_same(value, item) for item in values):
        yield f"is not one of {', '.join(map(repr, values))}"


def _const(value: Any, wanted: Any, place: _Place) -> Iterator[str]:
    if not _same(value, wanted):
        yield f"is not {wanted!r}"


def _ref(value: Any, reference: Any, place: _Place) -> Iterator[str]:
    target = target_of(reference, place.root)
    if target is not None and place.references < _MAX_REFERENCES:
        yield from _nested(_problems(value, target, place.root, place.path, place.references + 1))


def _required(value: Any, names: Any, place: _Place) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"lacks {name!r}" for name in names if name not in value)


def _properties(value: Any, properties: Any, place: _Place) -> Iterator[str]:
    if isinstance(value, dict):
        for name, schema in properties.items():
            if name in value:
                yield from _nested(place.problems(value[name], schema, f".{name}"))


def _additional(value: Any, schema: Any, place: _Place) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    known, patterns = place.schema.get("properties", {}), place.schema.get("patternProperties", {})
    for name, item in value.items():
        if name in known or any(_found(pattern, name) for pattern in patterns):
            continue
        if schema is False:
            yield f"has {name!r}, which is not known"
        else:
            yield from _nested(place.problems(item, schema, f".{name}"))


def _pattern_properties(value: Any, patterns: Any, place: _Place) -> Iterator[str]:
    if isinstance(value, dict):
        for pattern, schema in patterns.items():
            for name, item in value.items():
                if _found(pattern, name):
                    yield from _nested(place.problems(item, schema, f".{name}"))


def _property_names(value: Any, schema: Any, place: _Place) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"has the name {name!r}, which is not allowed" for name in value if not place.fits(name, schema))


def _items(value: Any, schema: Any, place: _Place) -> Iterator[str]:
    if isinstance(value, list):
        first = len(place.schema.get("prefixItems", ()))
        for at, item in enumerate(value[first:], first):
            yield from _nested(place.problems(item, schema, f"[{at}]"))


def _prefix_items(value: Any, schemas: Any, place: _Place) -> Iterator[str]:
    if isinstance(value, list):
        for at, (item, schema) in enumerate(zip(value, schemas)):
            yield from _nested(place.problems(item, schema, f"[{at}]"))


def _unique(value: Any, wanted: Any, place: _Place) -> Iterator[str]:
    if wanted and isinstance(value, list):
        if any(_same(one, other) for at, one in enumerate(value) for other in value[:at]):
            yield "has an item twice"


def _any_of(value: Any, branches: Any, place: _Place) -> Iterator[str]:
    if not any(place.fits(value, branch) for branch in branches):
        if len(branches) == 2 and {"type": "null"} in branches:  # an optional value: say what is wrong with the value
            yield from _nested(place.problems(value, next(item for item in branches if item != {"type": "null"})))
        yield f"fits none of the {len(branches)} forms that it may have"


def _one_of(value: Any, branches: Any, place: _Place) -> Iterator[str]:
    fitting = sum(place.fits(value, branch) for branch in branches)
    if fitting != 1:
        yield f"fits {fitting or 'none'} of the {len(branches)} forms of which it has to have one"


def _all_of(value: Any, branches: Any, place: _Place) -> Iterator[str]:
    for branch in branches:
        yield from _nested(place.problems(value, branch))


def _not(value: Any, schema: Any, place: _Place) -> Iterator[str]:
    if place.fits(value, schema):
        yield "has a form that is excluded"


def _if(value: Any, schema: Any, place: _Place) -> Iterator[str]:
    yield from _nested(place.problems(value, place.schema.get("then" if place.fits(value, schema) else "else", True)))


def _pattern(value: Any, pattern: Any, place: _Place) -> Iterator[str]:
    if isinstance(value, str) and not _found(pattern, value):
        yield f"does not match {pattern!r}"


def _multiple(value: Any, step: Any, place: _Place) -> Iterator[str]:
    if _is(value, "number") and math.isfinite(value):
        whole = value % step == 0 if isinstance(value, int) and isinstance(step, int) else (value / step).is_integer()
        if not whole:
            yield f"is not a multiple of {step}"


def _bound(kind: Any, size: Callable[[Any], Any], good: Callable[[Any, Any], bool], words: str) -> Rule:
    def rule(value: Any, limit: Any, place: _Place) -> Iterator[str]:
        if _is(value, kind) and not good(size(value), limit):
            yield words.format(limit)

    return rule


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None  # not Python's dialect: no reason to refuse a value


def _found(pattern: str, text: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(text) is not None


def _itself(value: Any) -> Any:
    return value


def _least(size: Any, limit: Any) -> bool:
    return bool(size >= limit)


def _most(size: Any, limit: Any) -> bool:
    return bool(size <= limit)


_RULES: dict[str, Rule] = {
    "type": _type, "enum": _enum, "const": _const, "$ref": _ref, "required": _required, "properties": _properties,
    "additionalProperties": _additional, "patternProperties": _pattern_properties, "propertyNames": _property_names,
    "items": _items, "prefixItems": _prefix_items, "uniqueItems": _unique, "anyOf": _any_of, "oneOf": _one_of,
    "allOf": _all_of, "not": _not, "if": _if, "pattern": _pattern, "multipleOf": _multiple,
    "minimum": _bound("number", _itself, _least, "is below {}"), "maximum": _bound("number", _itself, _most, "is above {}"),
    "exclusiveMinimum": _bound("number", _itself, lambda size, limit: bool(size > limit), "is not above {}"),
    "exclusiveMaximum": _bound("number", _itself, lambda size, limit: bool(size < limit), "is not below {}"),
    "minLength": _bound("string", len, _least, "is shorter than {}"),
    "maxLength": _bound("string", len, _most, "is longer than {}"),
    "minItems": _bound("array", len, _least, "has fewer than {} items"),
    "maxItems": _bound("array", len, _most, "has more than {} items"),
    "minProperties": _bound("object", len, _least, "has fewer than {} properties"),
    "maxProperties": _bound("object", len, _most, "has more than {} properties"),
}


def _thinned(value: Any, schema: Any, root: Any, references: int = 0) -> Any:
    if not isinstance(schema, Mapping) or not isinstance(value, (dict, list)):
        return value
    if "$ref" in schema and references < _MAX_REFERENCES:
        value = _thinned(value, target_of(schema["$ref"], root), root, references + 1)
    for branch in schema.get("allOf", ()):
        value = _thinned(value, branch, root, references + 1)
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        thinner = _thinned(value, branch, root, references + 1)
        if next(_problems(thinner, branch, root, ""), None) is None:
            value = thinner
            break
    if isinstance(value, list):
        return [_thinned(item, schema.get("items"), root) for item in value] if "items" in schema else value
    properties, required = schema.get("properties", {}), schema.get("required", ())
    return {
        name: _thinned(item, properties.get(name), root) for name, item in value.items()
        if item is not None or name in required or name not in properties
        or next(_problems(None, properties[name], root, ""), None) is None
    }
