"""Parameters that are written down as a mapping: a JSON schema, or a name for each with its type, words or schema."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema
from pydantic.fields import FieldInfo
from typing_extensions import NotRequired

from deluge.errors import ToolError

_WORDS = frozenset({"description", "default", "optional", "required"})  # of the extras: what is no rule


@dataclass(slots=True)
class Entries:
    """The arguments as types. ``rules``: what is said of them in the words of JSON schemas."""

    fields: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, FieldInfo] = field(default_factory=dict)


def is_schema(parameters: Mapping[str, Any]) -> bool:
    """Whether the mapping is a JSON schema itself, and not one that names each argument."""
    kind, properties = parameters.get("type"), parameters.get("properties")
    if isinstance(kind, str) or isinstance(kind, list) or isinstance(parameters.get("$ref"), str):
        return True
    if any(isinstance(parameters.get(name), list) for name in ("anyOf", "oneOf", "allOf", "required")):
        return True
    return isinstance(properties, Mapping) and "type" not in properties and all(
        isinstance(value, (Mapping, bool)) for value in properties.values())


def entries_of(parameters: Mapping[str, Any], required: Iterable[str] | None) -> Entries:
    """Each name with a type, a pair of a type and words or rules, or a JSON schema. ``ToolError`` for anything else.

    What has a default, or is ``optional``, need not be given; ``required`` names those that must be.
    """
    made = Entries()
    needed = None if required is None else frozenset(required)
    unknown = sorted((needed or frozenset()) - set(parameters))
    if unknown:
        raise ToolError(f"required names {unknown[0]!r}, which is no parameter")
    for name, entry in parameters.items():
        if not isinstance(name, str):
            raise ToolError(f"parameters are named by strings, not {name!r}")
        kind, extras = _read(name, entry)
        must = _must(extras) if needed is None else name in needed
        rules = {word: value for word, value in extras.items() if word not in _WORDS}
        kind = _annotated(kind, extras, rules)
        if rules:
            made.rules[name] = rules
        if "default" in extras and not must:
            made.defaults[name] = FieldInfo(default=extras["default"])
        made.fields[name] = kind if must else NotRequired[kind]
    return made


def is_type(value: Any) -> bool:
    """Whether it is something that stands in an annotation."""
    return isinstance(value, (type, types.UnionType)) or typing.get_origin(value) is not None or value is Any


def _read(name: str, entry: Any) -> tuple[Any, Mapping[str, Any]]:
    """The type, and what is said of it; ``None`` for the type of what a JSON schema describes."""
    if is_type(entry):
        return entry, {}
    if isinstance(entry, tuple) and len(entry) == 2 and is_type(entry[0]) and isinstance(entry[1], (str, Mapping)):
        return entry[0], {"description": entry[1]} if isinstance(entry[1], str) else entry[1]
    if isinstance(entry, Mapping):
        return None, entry
    raise ToolError(
        f"parameter {name!r} is a type, a pair of a type and its description (or a dict of JSON schema words), or a JSON "
        f"schema, not {type(entry).__name__}"
    )


def _must(extras: Mapping[str, Any]) -> bool:
    if isinstance(extras.get("required"), bool):
        return bool(extras["required"])
    return "default" not in extras and not extras.get("optional")


def _annotated(kind: Any, extras: Mapping[str, Any], rules: Mapping[str, Any]) -> Any:
    if kind is None:
        said = {name: value for name, value in extras.items() if name not in ("default", "optional")}
        if isinstance(said.get("required"), bool):
            del said["required"]
        return Annotated[Any, WithJsonSchema(said)]
    if not extras:
        return kind
    return Annotated[kind, Field(description=extras.get("description"), json_schema_extra=dict(rules))]
