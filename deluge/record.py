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
    content = response.content or _NOTHING
    lone = content.parts[0] if len(content.parts) == 1 else None  # the usual answer is one text, after one attempt
    text = lone.text if type(lone) is Text else content.completion
    calls = () if type(lone) is Text else content.tool_calls
    return {
        "v": RECORD_VERSION, "index": response.index if index is None else index, "id": id, "key": key,
        "occurrence": occurrence, "metadata": dict(carried) if carried else None,
        "prompt": prompt_of(response.prompt) if prompts else None,
        "completion": text,
        "parsed": None if parsed is None else to_jsonable_python(parsed, fallback=repr),
        "thinking": None if type(lone) is Text else content.thinking,
        "tool_calls": [_tool_call(call) for call in calls] if calls else None,
        "finish_reason": response.finish_reason, "is_error": response.is_error, "error_kind": response.error_kind,
        "error_message": response.error_message, "status_code": response.status_code,
        "model": response.model_internal or None, "provider": response.provider, "service_tier": response.service_tier,
        "response_id": response.response_id, "request_id": response.request_id,
        "input_tokens": usage.input_tokens, "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens, "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens, "cost": response.cost,
        "attempts": len(attempts), "models_tried": _tried(attempts),
        "possibly_billed": response.possibly_billed, "source": response.source,
        "started_at": response.started_at, "finished_at": response.finished_at, "latency": response.latency,
        "queued": response.queued,
    }


def _tried(attempts: tuple[Attempt, ...]) -> list[str]:
    return [attempts[0].model] if len(attempts) == 1 else list(dict.fromkeys([attempt.model for attempt in attempts]))


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
