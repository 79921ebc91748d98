"""What an answer is to look like: a JSON schema or a type that has one; and the reader that makes the typed object."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypeAliasType

from deluge import _json
from deluge.errors import ConfigError
from deluge.tools.arguments import validation_words
from deluge.tools.check import problem_with, without_nulls
from deluge.tools.repair import json_values
from deluge.tools.roots import WRAPPED, object_schema
from deluge.tools.typed_dicts import readable


MOST_WORDS = 1_000  # characters of a problem that the model is told


class Reading(NamedTuple):
    """The typed object of an answer, or the ``problem`` that an answer which should have one has."""

    value: Any = None
    problem: str | None = None


class OutputReader:
    """Reads answers in the form that a type or a JSON schema describes.

    Made of a pydantic model, a dataclass, a TypedDict, any other type that pydantic knows, or a JSON schema. ``schema`` is
    the JSON schema that models get: an object always, because providers take no other. A list, a union or a number is the
    property ``value`` of one.
    """

    __slots__ = ("schema", "_own", "_value", "_wrapped")

    schema: Mapping[str, Any]
    _own: Mapping[str, Any]
    _value: Callable[[Any], Any]

    def __init__(self, schema: Any) -> None:
        if isinstance(schema, Mapping):
            self._own, self._value = schema, self._plain
        else:
            adapter, self._own = _adapter_of(schema)
            self._value = lambda value: adapter.validate_json(_json.dumps(value))
        self.schema, self._wrapped = object_schema(self._own)

    def _plain(self, value: Any) -> Any:
        problem = problem_with(value, self._own)
        if problem is not None:
            raise ValueError(problem)
        return value

    def _unwrapped(self, value: Any) -> Any:
        return value[WRAPPED] if self._wrapped and isinstance(value, dict) and value.keys() == {WRAPPED} else value

    def read(self, text: str | None, *, repair: bool = True) -> Any:
        """The typed object; a dict (or what the schema says) for a JSON schema. ``ValueError`` tells the model what is wrong.

        ``repair``: JSON in code fences, between sentences or with trailing commas is found too. An answer that was cut
        must not be repaired: what is missing cannot be known.
        """
        if not text or not text.strip():
            raise ValueError("the answer is empty: it has to be JSON")
        try:
            candidates = [_json.loads(text)]
        except (ValueError, RecursionError) as error:
            if not repair:
                raise ValueError(f"the answer is not JSON: {error}") from None
            candidates, broken = [], str(error)
        first: str | None = None
        for value in candidates or json_values(text):
            try:
                return self._value(without_nulls(self._unwrapped(value), self._own))
            except ValidationError as error:
                first = first or validation_words(error)
            except Exception as error:  # a validator of the user's may raise anything
                first = first or str(error) or type(error).__name__
        raise ValueError(f"the answer does not fit: {first}" if first else f"the answer is not JSON: {broken}")

    def reading(self, response: Any) -> Reading:
        """The typed object of a response, or what is wrong with it.

        An answer that was cut at its length, was filtered or refused, or calls tools instead is read as it is, never
        repaired; that it does not fit is no problem, because the same question would end so again.
        """
        if response.is_error:
            return _NOTHING
        whole = response.finish_reason == "stop" and response.refusal is None
        try:
            return Reading(self.read(response.completion, repair=whole))
        except ValueError as error:
            return Reading(None, str(error)) if whole else _NOTHING

    def __repr__(self) -> str:
        return f"<OutputReader {self.schema.get('title') or self.schema.get('type') or 'any'}>"


_NOTHING = Reading()


def asked_again(problem: str) -> str:
    """What a model is told when its answer has this problem."""
    told = problem if len(problem) <= MOST_WORDS else problem[:MOST_WORDS] + "…"
    return f"That answer cannot be used: {told}. Answer once more: the whole, corrected, in the form that was asked for."


def output_reader(schema: Any) -> OutputReader:
    """The reader of a type or a JSON schema; made once per type. ``ConfigError`` for what has no schema."""
    if isinstance(schema, OutputReader):
        return schema
    return _reader_of_type(schema) if isinstance(schema, type) else OutputReader(schema)


@lru_cache(maxsize=64)
def _reader_of_type(schema: type[Any]) -> OutputReader:
    return OutputReader(schema)


def _adapter_of(schema: Any) -> tuple[TypeAdapter[Any], Mapping[str, Any]]:
    if isinstance(schema, TypeAdapter):
        return schema, schema.json_schema()
    forms = (type, types.UnionType, TypeAliasType)
    if not isinstance(schema, forms) and not hasattr(schema, "__origin__") and not hasattr(schema, "__value__"):
        raise ConfigError(f"output_schema is a JSON schema or a type, not {type(schema).__name__}")
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(readable(schema))
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return adapter, schema.model_json_schema()
        return adapter, adapter.json_schema()
    except PydanticUserError as error:
        raise ConfigError(f"output_schema: {str(error).splitlines()[0]}") from None


def output_schema_of(schema: Any) -> Mapping[str, Any]:
    """The JSON schema of a pydantic model, a dataclass, a TypedDict or any other type; a mapping is taken as it is."""
    return output_reader(schema).schema
