"""The record of one prompt: a flat dict for a JSON line, the same keys in the same order for every prompt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json, to_jsonable_python

from deluge import _json
from deluge.prompt.log import messages_to_log
from deluge.prompt.message import Message
from deluge.prompt.parts import Text

if TYPE_CHECKING:
    from deluge.prompt import Conversation, ToolCall
    from deluge.response import APIResponse, Attempt

RECORD_VERSION = 1
_NOTHING = Message("assistant")
RECORD_KEYS = (
    "v", "index", "id", "key", "occurrence", "metadata", "prompt", "completion", "parsed", "thinking", "tool_calls",
    "finish_reason", "is_error", "error_kind", "error_message", "status_code", "model", "provider", "service_tier",
    "response_id", "request_id", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "cost", "attempts", "models_tried", "possibly_billed", "source", "started_at", "finished_at",
    "latency", "queued",
)
_EMPTY: dict[str, Any] = {**dict.fromkeys(RECORD_KEYS), "v": RECORD_VERSION}


def record(
    response: APIResponse, *, id: str | int | float | None = None, index: int | None = None, key: str | None = None,
    occurrence: int | None = None, metadata: Mapping[str, Any] | None = None, prompts: bool = True,
) -> dict[str, Any]:
    """The flat record of a response: ``RECORD_KEYS``, None where something is not known; times are epoch seconds (UTC).

    ``id``, ``index`` and ``metadata`` are the input row's (else the response's own), ``key`` is the hash of the request
    and ``occurrence`` counts the rows with this key from 0. ``prompt`` as ``prompt_of`` shows it; without ``prompts``
    None.
    """
    carried = response.metadata if metadata is None else metadata
    usage, attempts, parsed = response.usage, response.attempts, response.parsed
    made = _EMPTY.copy()  # and its values one by one: half the time of a display of so many
    made["index"] = response.index if index is None else index
    made["id"], made["key"], made["occurrence"] = id, key, occurrence
    if carried:
        made["metadata"] = dict(carried)
    if prompts:
        made["prompt"] = prompt_of(response.prompt)
    _put_content(made, response.content or _NOTHING)
    if parsed is not None:
        made["parsed"] = to_jsonable_python(parsed, fallback=repr)
    made["finish_reason"], made["is_error"] = response.finish_reason, response.is_error
    made["error_kind"], made["error_message"] = response.error_kind, response.error_message
    made["status_code"], made["model"] = response.status_code, response.model_internal or None
    made["provider"], made["service_tier"] = response.provider, response.service_tier
    made["response_id"], made["request_id"] = response.response_id, response.request_id
    made["input_tokens"], made["output_tokens"] = usage.input_tokens, usage.output_tokens
    made["cache_read_tokens"], made["cache_write_tokens"] = usage.cache_read_tokens, usage.cache_write_tokens
    made["reasoning_tokens"], made["cost"] = usage.reasoning_tokens, response.cost
    _put_attempts(made, attempts)
    made["source"], made["started_at"], made["finished_at"] = response.source, response.started_at, response.finished_at
    made["latency"], made["queued"] = response.latency, response.queued
    return made


def _put_content(made: dict[str, Any], content: Message) -> None:
    lone = content.parts[0] if len(content.parts) == 1 else None  # the usual answer is one text
    if type(lone) is Text:
        made["completion"] = lone.text
        return
    made["completion"], made["thinking"] = content.completion, content.thinking
    made["tool_calls"] = [_tool_call(call) for call in content.tool_calls] or None


def _put_attempts(made: dict[str, Any], attempts: tuple[Attempt, ...]) -> None:
    made["attempts"] = len(attempts)
    if len(attempts) == 1:
        made["models_tried"], made["possibly_billed"] = [attempts[0].model], attempts[0].possibly_billed
        return
    made["models_tried"] = list(dict.fromkeys([attempt.model for attempt in attempts]))
    made["possibly_billed"] = any(attempt.possibly_billed for attempt in attempts)


def record_line(data: Mapping[str, Any]) -> bytes:
    """A record as one line of JSON, with its newline. What JSON does not have becomes null (a number) or its ``str``."""
    try:
        return to_json(data, inf_nan_mode="null") + b"\n"
    except (ValueError, TypeError):  # a number that JSON does not have, or an object that a hook left in the answer
        return _json.dumps(_plain(data)) + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def prompt_of(prompt: Conversation | None) -> str | list[dict[str, Any]] | None:
    """The prompt as a record shows it: the text of a lone user message, else a list of messages.

    A message is ``{role, content}`` where it is one text, so that it can be sent again as it stands; else ``{role,
    parts}``, with media by hash.
    """
    if prompt is None:
        return None
    if len(prompt.messages) == 1:
        first = prompt.messages[0]
        if first.role == "user" and first.name is None and len(first.parts) == 1 and type(first.parts[0]) is Text:
            return first.parts[0].text
    return [_message(message) for message in prompt.messages]


def _message(message: Message) -> dict[str, Any]:
    part = message.parts[0] if len(message.parts) == 1 else None
    if type(part) is Text and message.name is None:
        return {"role": message.role, "content": part.text}
    return messages_to_log((message,), lossless=False)[0]


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": dict(call.arguments), "error": call.error}
