"""A valid instance of a JSON schema, as small as can be and filled from the prompt where that fits. Pure."""

from __future__ import annotations

import itertools
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from deluge.testing.patterns import matching

DEEP = 12
_QUOTED = re.compile(r"\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|(?<!\w)'([^'\n]{1,200})'(?!\w)")
_NAMED = re.compile(r"(?<=[a-z,] )[A-Z]\w+(?: [A-Z]\w+)*")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")

FORMATS = {
    "date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "time": "12:00:00Z", "duration": "P1D",
    "email": "ada@example.com", "idn-email": "ada@example.com", "hostname": "example.com",
    "idn-hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "uri": "https://example.com/",
    "uri-reference": "/", "iri": "https://example.com/", "url": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000", "json-pointer": "/a", "regex": "a",
    "byte": "YQ==", "binary": "a", "password": "correct horse",
}
_KEYWORDS = {  # keyword -> the type that a schema without "type" means by it
    "properties": "object", "required": "object", "additionalProperties": "object", "minProperties": "object",
    "items": "array", "prefixItems": "array", "minItems": "array", "minLength": "string", "maxLength": "string",
    "pattern": "string", "format": "string", "minimum": "number", "maximum": "number", "exclusiveMinimum": "number",
    "exclusiveMaximum": "number", "multipleOf": "number",
}


class SchemaError(ValueError):
    """The schema has no instance, or none that this generator finds."""


class Hints:
    """What a prompt offers to fill an instance with: numbers and names in their order, and its whole text."""

    def __init__(self, text: str = "", numbers: Iterable[float] = (), strings: Iterable[str] = ()) -> None:
        self.text = text
        self.numbers = deque(numbers)
        self.strings = deque(strings)

    @classmethod
    def of(cls, text: str) -> Hints:
        """The hints in a text: its numbers; its quoted strings, else its names."""
        quoted = [next(filter(None, found)) for found in _QUOTED.findall(text)]
        numbers = [float(n) if "." in n else int(n) for n in _NUMBER.findall(text[:100_000])]
        return cls(text, numbers, quoted or _NAMED.findall(text))


def instance(schema: Any, hints: Hints | None = None) -> Any:
    """A value that the schema accepts. ``SchemaError`` when there is none."""
    return _Maker(schema, hints or Hints()).make(schema, 0)


class _Maker:
    def __init__(self, root: Any, hints: Hints) -> None:
        self.root, self.hints = root, hints

    def make(self, schema: Any, depth: int) -> Any:
        if schema is True or schema == {}:
            return self.hints.text or "text"
        if not isinstance(schema, Mapping):
            raise SchemaError("nothing is valid here" if schema is False else "a schema must be an object")
        if depth > DEEP:
            raise SchemaError("the schema requires itself without end")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._enum(schema["enum"])
        for combined in ("$ref", "allOf", "anyOf", "oneOf"):
            if combined in schema:
                return self._combined(schema, combined, depth)
        return self._typed(schema, depth)

    def _enum(self, values: Any) -> Any:
        if not isinstance(values, list) or not values:
            raise SchemaError("an enum must not be empty")
        text = self.hints.text.lower()
        said = [value for value in values if isinstance(value, str) and value and value.lower() in text]
        return max(said, key=len) if said else values[0]

    def _combined(self, schema: Mapping[str, Any], keyword: str, depth: int) -> Any:
        rest = {name: value for name, value in schema.items() if name != keyword}
        if keyword == "$ref":
            return self.make(_merged(rest, self._target(schema["$ref"])), depth + 1)
        if keyword == "allOf":
            for part in schema["allOf"]:
                rest = _merged(rest, self._resolved(part))
            return self.make(rest, depth + 1)
        branches = list(schema[keyword])
        if depth > 4:  # a way out of recursion: what refers to nothing first
            branches.sort(key=lambda branch: "$ref" in str(branch))
        problem = SchemaError(f"{keyword} must not be empty")
        for branch in branches:
            try:
                return self.make(_merged(rest, self._resolved(branch)), depth + 1)
            except SchemaError as error:
                problem = error
        raise problem

    def _resolved(self, schema: Any) -> Any:
        for _ in range(DEEP):
            if not isinstance(schema, Mapping) or "$ref" not in schema:
                return schema
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            schema = _merged(rest, self._target(schema["$ref"]))
        raise SchemaError("a $ref that refers to itself")

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaError(f"$ref {reference!r} is not inside the schema")
        found = self.root
        for word in reference[1:].strip("/").split("/") if reference.strip("#/") else ():
            word = word.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or word not in found:
                raise SchemaError(f"$ref {reference!r} leads nowhere")
            found = found[word]
        return found

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind is None:
            kind = next((meant for keyword, meant in _KEYWORDS.items() if keyword in schema), "string")
        makers = {"object": self._object, "array": self._array}
        if kind in makers:
            return makers[kind](schema, depth)
        if kind == "string":
            return self._string(schema)
        if kind in ("integer", "number"):
            return _number(schema, self.hints.numbers, whole=kind == "integer")
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        raise SchemaError(f"there is no type {kind!r}")

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        others = schema.get("additionalProperties", True)
        value = {name: self.make(properties.get(name, others), depth + 1) for name in schema.get("required") or ()}
        names = self._more_names(properties, others)
        while len(value) < schema.get("minProperties", 0):
            name = next(names)
            if name not in value:
                value[name] = self.make(properties.get(name, others), depth + 1)
        return value

    def _more_names(self, properties: Mapping[str, Any], others: Any) -> Iterator[str]:
        yield from properties
        if others is False:
            raise SchemaError("minProperties is more than there are properties")
        yield from (f"key{number}" for number in itertools.count(1))

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = list(schema.get("prefixItems") or ())
        least = int(schema.get("minItems", 0))
        items = schema.get("items", True)
        if not first and least == 0 and depth <= 4 and schema.get("maxItems", 1) > 0 and items is not True:
            return self._one_if_any(items, depth)
        parts = [first[at] if at < len(first) else items for at in range(least)]
        values = [self.make(part, depth + 1) for part in parts]
        return _distinct(values, parts, self) if schema.get("uniqueItems") else values

    def _one_if_any(self, items: Any, depth: int) -> list[Any]:
        """An empty list would be valid, but one item is worth more."""
        try:
            return [self.make(items, depth + 1)]
        except SchemaError:
            return []

    def _string(self, schema: Mapping[str, Any]) -> str:
        low, high, pattern = int(schema.get("minLength", 0)), schema.get("maxLength", math.inf), schema.get("pattern")
        strings = self.hints.strings
        offers = [*list(strings)[:1], self.hints.text, "text"]
        if schema.get("format") in FORMATS:
            offers = [FORMATS[schema["format"]]]
        for text in offers:
            if low <= len(text) <= high and (pattern is None or re.search(pattern, text)):
                if strings and text == strings[0]:
                    strings.popleft()
                return text
        if pattern is None:
            text = (offers[-2] if len(offers) > 1 else offers[0])[:None if math.isinf(high) else int(high)]
            if low > high:
                raise SchemaError("minLength is more than maxLength")
            return text + "x" * (low - len(text))
        return _patterned(pattern, low, high)


def _patterned(pattern: str, low: int, high: float) -> str:
    for text in matching(pattern, low):
        if low <= len(text) <= high and re.search(pattern, text):
            return text
    raise SchemaError(f"no string of that length is known to match {pattern!r}")


def _number(schema: Mapping[str, Any], offers: deque[float], whole: bool) -> float:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    step = schema.get("multipleOf", 1 if whole else 0)

    def fits(value: float) -> bool:
        if whole and value % 1 or step and value % step:
            return False
        return bool(low <= value <= high and above < value < below)

    if offers and fits(offers[0]):
        value = offers.popleft()
        return int(value) if whole else value
    floor, ceiling = max(low, above), min(high, below)
    found = next((value for value in _near(floor, ceiling, step) if fits(value)), None)
    if found is None:
        raise SchemaError("no number lies within these bounds")
    return int(found) if found % 1 == 0 else found


def _near(floor: float, ceiling: float, step: float) -> Iterator[float]:
    """Numbers that may lie within the bounds, the plainest first."""
    yield 0
    for edge, sign in ((floor, 1), (ceiling, -1)):
        if math.isinf(edge):
            continue
        if step:
            base = math.ceil(edge / step) * step if sign > 0 else math.floor(edge / step) * step
            yield from (base, base + sign * step, base + 2 * sign * step)
        yield from (edge, edge + sign)
    if not math.isinf(floor) and not math.isinf(ceiling):
        yield (floor + ceiling) / 2


def _distinct(values: list[Any], parts: list[Any], maker: _Maker) -> list[Any]:
    """The values made different from one another, where they are strings or numbers or the members of an enum."""
    seen: list[Any] = []
    for value, part in zip(values, parts):
        schema = maker._resolved(part)
        choices = schema.get("enum", ()) if isinstance(schema, Mapping) else ()
        if value in seen and choices:
            value = next((other for other in choices if other not in seen), value)
        while value in seen and not choices and isinstance(value, (int, float, str)) and not isinstance(value, bool):
            value = value + "x" if isinstance(value, str) else value + (schema.get("multipleOf") or 1)
        seen.append(value)
    return seen


def _merged(one: Any, other: Any) -> Any:
    """A schema that asks for both. Bounds are taken from the stricter one, properties and required names united."""
    if one is True or one == {}:
        return other
    if other is True or other == {}:
        return one
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False
    both = dict(one)
    for name, value in other.items():
        both[name] = _both(name, both[name], value) if name in both else value
    return both


def _both(name: str, one: Any, other: Any) -> Any:
    if name == "properties":
        return {key: _merged(one.get(key, True), other.get(key, True)) for key in {**one, **other}}
    if name == "required":
        return list(dict.fromkeys([*one, *other]))
    if name == "enum":
        return [value for value in one if value in other]
    if name in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
        return max(one, other)
    if name in ("maximum", "exclusiveMaximum", "maxLength", "maxItems"):
        return min(one, other)
    if name == "type":
        return _types(one, other)
    return other


def _types(one: Any, other: Any) -> Any:
    ones = one if isinstance(one, list) else [one]
    others = other if isinstance(other, list) else [other]
    shared = [kind for kind in ones if kind in others]
    if not shared and {*ones, *others} == {"integer", "number"}:
        shared = ["integer"]
    if not shared:
        raise SchemaError(f"nothing is both {one} and {other}")
    return shared
