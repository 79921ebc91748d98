"""What an answer is to look like: a JSON schema, or a type that has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

from deluge.errors import ConfigError


def output_schema_of(schema: Any) -> Mapping[str, Any]:
    """The JSON schema of a pydantic model, a dataclass, a TypedDict or any other type; a mapping is taken as it is."""
    if isinstance(schema, Mapping):
        return schema
    if not isinstance(schema, type) and not hasattr(schema, "__origin__"):
        raise ConfigError(f"output_schema is a JSON schema or a type, not {type(schema).__name__}")
    try:
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return schema.model_json_schema()
        return TypeAdapter(schema).json_schema()
    except PydanticUserError as error:
        raise ConfigError(f"output_schema: {str(error).splitlines()[0]}") from None
