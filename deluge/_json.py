"""JSON as fast as pydantic's parser allows, and as forgiving as the standard library where that refuses."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json, to_json


def loads(data: bytes | str) -> Any:
    """The value; ``ValueError`` when the text is not JSON (NaN and Infinity are accepted, as the standard library does)."""
    try:
        return from_json(data)
    except ValueError:
        if isinstance(data, (bytes, bytearray)):
            data = bytes(data).decode("utf-8", "surrogatepass")
        try:
            return json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def dumps(value: Any) -> bytes:
    """UTF-8 JSON; lone surrogates are escaped, NaN is refused with ``ValueError``, other types with ``TypeError``."""
    try:
        data = to_json(value, inf_nan_mode="constants")
    except (ValueError, TypeError):
        return _slow(value)
    if b"NaN" in data or b"Infinity" in data:  # a number that JSON does not have, or only the word in a text
        return _slow(value)
    return data


def _slow(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
