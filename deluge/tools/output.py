"""What an answer is to look like: a JSON schema or a type that has one; and the reader that makes the typed object."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypeAliasType

from deluge import _json
from deluge.errors import ConfigError
from deluge.tools.arguments import validation_words
from deluge.tools.check import problem_with, without_nulls
from deluge.tools.repair import json_values


class OutputReader:
    """Reads answers in the form that a type or a JSON schema describes. ``schema`` is the JSON schema.

    ``schema`` is a pydantic model, a dataclass, a TypedDict, any other type that pydantic knows, or a JSON schema.
    """

    __slots__ = ("schema", "_value")

    schema: Mapping[str, Any]
    _value: Callable[[Any], Any]

    def __init__(self, schema: Any) -> None:
        if isinstance(schema, Mapping):
            self.schema, self._value = schema, self._plain
            return
        adapter, self.schema = _adapter_of(schema)
        self._value = lambda value: adapter.validate_json(_json.dumps(value))

    def _plain(self, value: Any) -> Any:
        problem = problem_with(value, self.schema)
        if problem is not None:
            raise ValueError(problem)
        return value

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
                return self._value(without_nulls(value, self.schema))
            except ValidationError as error:
                first = first or validation_words(error)
            except Exception as error:  # a validator of the user's may raise anything
                first = first or str(error) or type(error).__name__
        raise ValueError(f"the answer does not fit: {first}" if first else f"the answer is not JSON: {broken}")

    def parsed(self, response: Any) -> Any:
        """The typed object of a response; None when there is none. An answer that was cut at its length is never repaired."""
        if response.is_error:
            return None
        try:
            return self.read(response.completion, repair=response.finish_reason != "length")
        except ValueError:
            return None

    def __repr__(self) -> str:
        return f"<OutputReader {self.schema.get('title') or self.schema.get('type') or 'any'}>"


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
        adapter: TypeAdapter[Any] = TypeAdapter(schema)
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return adapter, schema.model_json_schema()
        return adapter, adapter.json_schema()
    except PydanticUserError as error:
        raise ConfigError(f"output_schema: {str(error).splitlines()[0]}") from None


def output_schema_of(schema: Any) -> Mapping[str, Any]:
    """The JSON schema of a pydantic model, a dataclass, a TypedDict or any other type; a mapping is taken as it is."""
    return output_reader(schema).schema
