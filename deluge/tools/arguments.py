"""Arguments of a tool: their JSON schema, and their check before the function runs."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import NotRequired, TypedDict, is_typeddict

from deluge import _json
from deluge.errors import ToolError
from deluge.tools.by_hand import entries_of, is_schema
from deluge.tools.check import problem_with, without_nulls
from deluge.tools.roots import inlined
from deluge.tools.typed_dicts import readable

_SHOWN_PROBLEMS = 5
_KINDS = inspect.Parameter


class _Schema(GenerateJsonSchema):
    """Without the titles that only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class Arguments:
    """The arguments that a type or a function's signature describes. ``schema`` is their JSON schema."""

    __slots__ = ("schema", "_adapter", "_defaults", "_rules")

    def __init__(
        self, kind: Any, defaults: Mapping[str, Any] | None = None, shown: Mapping[str, Any] | None = None,
        rules: Mapping[str, Any] | None = None,
    ) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(readable(kind))
        self._defaults = defaults or {}
        self._rules = {"properties": rules} if rules else None
        self.schema = dict(inlined(self._adapter.json_schema(schema_generator=_Schema)))
        self.schema.pop("title", None)
        for name, value in (shown or {}).items():
            self.schema["properties"][name].setdefault("default", value)

    def read(self, given: Mapping[str, Any], *, written: bool) -> dict[str, Any]:
        """What the function is called with; ``ToolError`` says what does not fit. ``written``: they came as JSON."""
        thin = without_nulls(dict(given), self.schema)
        problem = None if self._rules is None else problem_with(thin, self._rules)
        if problem is not None:
            raise ToolError(f"the arguments do not fit: {problem}")
        try:
            if written:
                value = self._adapter.validate_json(_json.dumps(thin))
            else:
                value = self._adapter.validate_python(thin)
        except ValidationError as error:
            raise ToolError(f"the arguments do not fit: {validation_words(error)}") from None
        defaults = {name: info.get_default(call_default_factory=True) for name, info in self._defaults.items()}
        return {**defaults, **_fields(value)}


class PlainArguments:
    """Arguments that only a JSON schema describes."""

    __slots__ = ("schema",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        whole = inlined(schema)
        self.schema = whole if "type" in whole else {"type": "object", **whole}

    def read(self, given: Mapping[str, Any], *, written: bool) -> dict[str, Any]:
        """The arguments as they are; ``ToolError`` says what the schema refuses."""
        thin = cast("dict[str, Any]", without_nulls(dict(given), self.schema))
        problem = problem_with(thin, self.schema)
        if problem is not None:
            raise ToolError(f"the arguments do not fit: {problem}")
        return thin


def arguments_of_parameters(parameters: Any, required: Iterable[str] | None = None) -> Arguments | PlainArguments:
    """What a pydantic model, a dataclass, a TypedDict, a mapping of names to types, or a JSON schema describes."""
    if isinstance(parameters, Mapping):
        if is_schema(parameters):
            return PlainArguments(parameters if required is None else {**parameters, "required": list(required)})
        made = entries_of(parameters, required)
        shown = {name: info.default for name, info in made.defaults.items()}
        return _described(_typed_dict(made.fields), made.defaults, shown, made.rules)
    if required is not None:
        raise ToolError("required goes with a mapping of parameters; a type says itself what it needs")
    known = isinstance(parameters, type) and (
        issubclass(parameters, BaseModel) or dataclasses.is_dataclass(parameters) or is_typeddict(parameters)
    )
    if not known:
        raise ToolError(
            "parameters are a JSON schema, a pydantic model, a dataclass, a TypedDict or a mapping of names to types, not "
            + (parameters.__name__ if isinstance(parameters, type) else type(parameters).__name__)
        )
    return _described(parameters)


def arguments_of_function(function: Callable[..., Any], described: Mapping[str, str]) -> Arguments:
    """What a signature asks for. ``described``: the docstring's words for arguments that have none of their own.

    ``ToolError`` says why a signature cannot be called by a model.
    """
    fields: dict[str, Any] = {}
    defaults: dict[str, FieldInfo] = {}
    shown: dict[str, Any] = {}
    hints = _hints(function)
    for name, parameter in _parameters(function).items():
        kind, required = hints.get(name, Any), parameter.default is parameter.empty
        if isinstance(parameter.default, FieldInfo):
            info = parameter.default
            required = info.is_required()
            if not required:
                defaults[name] = info
            kind = Annotated[(kind, *info.metadata, Field(description=info.description))]
            shown |= {} if required or info.default_factory is not None else _as_default(name, info.default)
        elif not required:
            shown |= _as_default(name, parameter.default)
        kind = _with_words(kind, described.get(name))
        fields[name] = kind if required else NotRequired[kind]
    return _described(_typed_dict(fields), defaults, shown)


def _described(
    kind: Any, defaults: Mapping[str, Any] | None = None, shown: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> Arguments:
    try:
        return Arguments(kind, defaults, shown, rules)
    except PydanticUserError as error:
        raise ToolError(f"the arguments have no JSON schema: {str(error).splitlines()[0]}") from None


def _typed_dict(fields: dict[str, Any]) -> Any:
    read = {name: readable(kind) for name, kind in fields.items()}
    made = TypedDict("Arguments", read)  # type: ignore[misc]
    made.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=False)  # type: ignore[attr-defined]
    return made


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        parameters = dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        raise ToolError("it does not tell its arguments: describe it with Tool(name, description, parameters)") from None
    for name, parameter in parameters.items():
        if parameter.kind in (_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD):
            stars = "*" if parameter.kind is _KINDS.VAR_POSITIONAL else "**"
            raise ToolError(f"{stars}{name}: a model is told each argument by name; name them, or take one list or dict")
        if parameter.kind is _KINDS.POSITIONAL_ONLY:
            raise ToolError(f"{name!r} is positional only: a model gives its arguments by name")
    first = next(iter(parameters), None)
    if first in ("self", "cls") and parameters[first].annotation is _KINDS.empty:
        raise ToolError(f"this is a method without its object ({first!r} is missing): give the method of an instance")
    return parameters


def _hints(function: Any) -> dict[str, Any]:
    while hasattr(function, "func") and not isinstance(function, types.FunctionType):  # functools.partial
        function = function.func
    plain = inspect.isroutine(function) or inspect.isclass(function)
    target = inspect.unwrap(function) if plain else type(function).__call__
    if inspect.isclass(target):
        target = target.__init__
    names = dict(inspect.getclosurevars(target).nonlocals) if getattr(target, "__closure__", None) else None
    try:
        return typing.get_type_hints(target, localns=names, include_extras=True)
    except NameError as error:
        raise ToolError(f"an annotation cannot be resolved: {error} (types of arguments are found in the module)") from None
    except TypeError as error:
        raise ToolError(f"an annotation cannot be read: {error}") from None


def _with_words(kind: Any, words: str | None) -> Any:
    """The type with a description: a string of ``Annotated``, else the docstring's."""
    metadata = getattr(kind, "__metadata__", ())
    texts = [item for item in metadata if isinstance(item, str)]
    told = any(isinstance(item, FieldInfo) and item.description for item in metadata)
    if texts:
        rest = tuple(item for item in metadata if not isinstance(item, str))
        return Annotated[(kind.__origin__, *rest, Field(description=" ".join(texts)))]
    return kind if told or not words else Annotated[kind, Field(description=words)]


def _as_default(name: str, value: Any) -> dict[str, Any]:
    """The default as the schema shows it; nothing for what JSON does not have."""
    try:
        return {name: _json.loads(_json.dumps(value))}
    except (TypeError, ValueError):
        return {}


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def validation_words(error: ValidationError) -> str:
    """pydantic's findings in one line, without its links and without the values."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    words = []
    for item in found[:_SHOWN_PROBLEMS]:
        place = ".".join(str(step) for step in item["loc"])
        words.append(f"{place}: {item['msg']}" if place else item["msg"])
    more = len(found) - len(words)
    return "; ".join(words) + (f" (and {more} more)" if more > 0 else "")
