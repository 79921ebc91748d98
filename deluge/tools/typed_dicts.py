"""``typing.TypedDict`` on Pythons before 3.12, which pydantic does not read: the same, as ``typing_extensions`` has it."""

from __future__ import annotations

import sys
import types
import typing
from functools import reduce
from operator import or_
from typing import Any

from typing_extensions import NotRequired, Required, TypedDict, get_type_hints, is_typeddict


def readable(kind: Any) -> Any:
    """The type with every TypedDict in a form that pydantic reads; itself where there is none to change."""
    return kind if sys.version_info >= (3, 12) else _read(kind, {})


def _read(kind: Any, made: dict[Any, Any]) -> Any:
    if is_typeddict(kind) and type(kind).__module__ == "typing":
        return _again(kind, made)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is None or origin is typing.Literal:
        return kind
    read = tuple(_read(item, made) for item in arguments)
    if all(one is other for one, other in zip(read, arguments)):
        return kind
    if origin is types.UnionType:
        return reduce(or_, read)
    if origin is typing.Annotated:
        return typing.Annotated[(read[0], *kind.__metadata__)]
    return kind.copy_with(read) if hasattr(kind, "copy_with") else origin[read]


def _again(kind: Any, made: dict[Any, Any]) -> Any:
    """One that refers to itself stays what it is: its own name leads back to the old one."""
    if kind in made:
        return made[kind]
    made[kind] = kind
    hints = get_type_hints(kind, include_extras=True)
    fields = {name: _mark_of(name, hint, kind)[_read(_bare(hint), made)] for name, hint in hints.items()}
    made[kind] = TypedDict(kind.__name__, fields)  # type: ignore[operator]
    made[kind].__doc__, made[kind].__module__ = kind.__doc__, kind.__module__
    if hasattr(kind, "__pydantic_config__"):
        made[kind].__pydantic_config__ = kind.__pydantic_config__
    return made[kind]


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) in (Required, NotRequired) else hint


def _mark_of(name: str, hint: Any, kind: Any) -> Any:
    """The hint's own mark; the class does not know of it where annotations are strings."""
    mark = typing.get_origin(hint)
    if mark in (Required, NotRequired):
        return mark
    return Required if name in kind.__required_keys__ else NotRequired
