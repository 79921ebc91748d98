"""What one row of a work list says: its prompt, its id, its own settings, and what is only carried along. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from deluge.errors import ConfigError
from deluge.params import SamplingParams
from deluge.prompt import Conversation, Message
from deluge.prompt.coerce import as_conversation

_HOLE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NO_NAME = re.compile(r"[\"'\n:!]|^\s*$")
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_IDS = ("id", "custom_id")
# What other programs call a sampling parameter of ours.
_ALIASES = {
    "max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens", "max_output_tokens": "max_new_tokens",
    "extra_body": "extra",
}
_PARAMS = frozenset(SamplingParams.model_fields) - {"extra"}
_ROW_KEYS = frozenset({"prompt", "messages", "system", "model", "metadata", *_IDS})
_BATCH_KEYS = frozenset({"method", "url", "body", *_IDS})
# Of a batch line's body: what the command decides (the model, whether to stream) and what makes the prompt.
_BODY_KEYS = frozenset({"model", "stream", "messages", "input", "prompt", "instructions"})


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt of a work list.

    ``index`` counts the rows from 0, ``line`` is the line in the file (from 1) on which the row ends. ``params`` are
    the sampling parameters that the row itself sets. ``error`` says why it cannot be sent: ``prompt`` is then None.
    """

    index: int
    line: int
    prompt: Conversation | None = None
    id: str | int | float | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    error: str | None = None


class RowError(Exception):
    """Why a row cannot be sent; ``id`` is the row's own, where it could still be read."""

    id: str | int | float | None = None


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A row as it was understood. ``prompt`` is a text or a list of message dicts."""

    prompt: str | list[Any]
    id: str | int | float | None = None
    system: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def conversation(self, system: str | None) -> Conversation:
        """The frozen prompt, with the row's own system message, or this one, before it where it has none."""
        try:
            made = as_conversation(self.prompt)
        except ConfigError as error:
            raise _failed(str(error), self.id) from None
        text = self.system if self.system is not None else system
        if text is None or any(message.role == "system" for message in made):
            return made
        return Conversation((Message.system(text), *made)).freeze()


class Template:
    """A prompt with holes: ``{name}`` is the row's field of that name, ``{{`` and ``}}`` are braces.

    Nothing else is understood: no attributes, no indexes, no formats, so that a template can show nothing but the row.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []
        for hole in _HOLE.finditer(text):
            if hole[0] in ("{{", "}}"):
                continue
            if hole[1] is None or _NO_NAME.search(hole[1]):
                where = f"{hole[0]!r} at character {hole.start() + 1}"
                raise ConfigError(f"template: {where} is no field; a brace is written {{{{ or }}}}")
            self.names.append(hole[1].strip())

    def filled(self, fields: Mapping[str, Any]) -> str:
        """The prompt for these fields; ``RowError`` names the first that is missing."""

        def put(hole: re.Match[str]) -> str:
            name = hole[1]
            return hole[0][0] if name is None else _said(fields.get(name.strip()), name.strip(), fields)

        return _HOLE.sub(put, self.text)


def _said(value: Any, name: str, fields: Mapping[str, Any]) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        why = "is null" if name in fields else "is missing; there are " + (", ".join(map(repr, fields)) or "none")
        raise RowError(f"field {name!r} {why}")
    return json.dumps(value, ensure_ascii=False)


def item_of_data(
    fields: Mapping[str, Any], column: str | None, form: Template | None, *, rest: bool = True
) -> WorkItem:
    """A row of data: the prompt from a column or a template, ``id``, and with ``rest`` all other fields as metadata."""
    id = _id_of(fields)
    try:
        if form is not None:
            prompt: Any = form.filled(fields)
        else:
            prompt = _said(fields.get(column or ""), column or "", fields)
    except RowError as error:
        raise _failed(str(error), id) from None
    if not prompt.strip():
        raise _failed("the prompt is empty", id)
    dropped = {*_IDS, column}
    return WorkItem(prompt, id, metadata={key: fields[key] for key in fields if key not in dropped} if rest else {})


def item_of_json(value: Any) -> WorkItem:
    """A row of JSONL as a request: a string, a list of messages, an object, or a line of a batch file."""
    if isinstance(value, (str, list)):
        return WorkItem(_prompt_of({"messages" if isinstance(value, list) else "prompt": value}, None))
    if not isinstance(value, dict):
        raise RowError("a prompt is a string, a list of messages or an object")
    id = _id_of(value)
    try:
        return _item_of_batch(value, id) if isinstance(value.get("body"), dict) else _item_of_object(value, id)
    except ConfigError as error:
        raise _failed(str(error).removeprefix("SamplingParams: "), id) from None


def _item_of_object(row: dict[str, Any], id: Any) -> WorkItem:
    prompt = _prompt_of(row, id)
    params, left = _params_of(row)
    metadata = {key: item for key, item in left.items() if key not in _ROW_KEYS}
    carried = row.get("metadata")
    if isinstance(carried, dict):
        metadata = {**carried, **metadata}
    elif carried is not None:
        metadata["metadata"] = carried
    return WorkItem(prompt, id, _text(row, "system"), metadata, _text(row, "model"), params)


def _item_of_batch(line: dict[str, Any], id: Any) -> WorkItem:
    body = line["body"]
    prompt = _prompt_of({"prompt": body["input"]} if "input" in body else body, id)
    params, left = _params_of(body)
    extra = {key: item for key, item in left.items() if key not in _BODY_KEYS}
    if extra:
        params = _checked({**params, "extra": {**params.get("extra", {}), **extra}})
    metadata = {key: item for key, item in line.items() if key not in _BATCH_KEYS}
    return WorkItem(prompt, id, _text(body, "instructions"), metadata, None, params)


def _prompt_of(row: Mapping[str, Any], id: Any) -> str | list[Any]:
    prompt, messages = row.get("prompt"), row.get("messages")
    if prompt is not None and messages is not None:
        raise _failed("prompt and messages: one of them", id)
    value = messages if prompt is None else prompt
    if value is None:
        raise _failed("no prompt and no messages; there are " + (", ".join(map(repr, row)) or "no fields"), id)
    if not isinstance(value, (str, list)):
        raise _failed("a prompt is a string or a list of messages", id)
    if not (value.strip() if isinstance(value, str) else value):
        raise _failed("the prompt is empty", id)
    return value


def _params_of(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sampling parameters that a row sets, checked, and everything else in it. A null sets nothing."""
    params: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for key, value in row.items():
        name = _ALIASES.get(key, key)
        if name not in _PARAMS and key not in _ALIASES:
            left[key] = value
        elif value is not None:
            params[name] = value
    form = left.pop("response_format", None)
    if isinstance(form, dict) and form.get("type") == "json_object":
        params["json_mode"] = True
    elif form is not None:
        params["extra"] = {**params.get("extra", {}), "response_format": form}
    return _checked(params), left


def _checked(params: dict[str, Any]) -> dict[str, Any]:
    if params:
        SamplingParams(**params)
    return params


def _id_of(row: Mapping[str, Any]) -> str | int | float | None:
    for key in _IDS:
        value = row.get(key)
        if isinstance(value, float) and not math.isfinite(value):
            raise RowError(f"{key} is {value}, which no record can hold")
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            return value
        if value is not None:
            raise RowError(f"{key} is a string or a number")
    return None


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{key} is a string")
    return value


def _failed(text: str, id: Any) -> RowError:
    error = RowError(text)
    error.id = id
    return error
