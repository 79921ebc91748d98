"""The arguments of a tool call as a model wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge import _json

_NO_OBJECT = "the arguments are not a JSON object"


def read_arguments(value: Any) -> tuple[dict[str, Any], str | None, str | None]:
    """Arguments, the text that the model wrote, and what is wrong with it (then there are no arguments)."""
    if value is None or value == "":
        return {}, None, None
    if isinstance(value, Mapping):
        return dict(value), None, None
    if not isinstance(value, str):
        return {}, str(value), _NO_OBJECT
    try:
        arguments = _json.loads(value)
    except (ValueError, RecursionError) as error:
        return {}, value, f"the arguments are not JSON: {error}"
    return (arguments, value, None) if isinstance(arguments, dict) else ({}, value, _NO_OBJECT)
