"""The record of one prompt: a flat dict for a JSON line, the same keys in the same order for every prompt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from deluge.prompt.log import messages_to_log
from deluge.prompt.parts import Text

if TYPE_CHECKING:
    from deluge.prompt import Conversation, Message, ToolCall
    from deluge.response import APIResponse

RECORD_VERSION = 1
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
    own = {
        "v": RECORD_VERSION,
        "index": response.index if index is None else index,
        "id": id,
        "key": key,
        "occurrence": occurrence,
        "metadata": dict(carried) if carried else None,
        "prompt": prompt_of(response.prompt) if prompts else None,
        "parsed": None if response.parsed is None else to_jsonable_python(response.parsed, fallback=repr),
        "tool_calls": [_tool_call(call) for call in response.tool_calls] or None,
        "model": response.model_internal or None,
        "attempts": len(response.attempts),
        "models_tried": list(dict.fromkeys(attempt.model for attempt in response.attempts)),
    }
    return {name: own[name] if name in own else getattr(response, name) for name in RECORD_KEYS}


def prompt_of(prompt: Conversation | None) -> str | list[dict[str, Any]] | None:
    """The prompt as a record shows it: the text of a lone user message, else a list of messages.

    A message is ``{role, content}`` where it is one text, so that it can be sent again as it stands; else ``{role,
    parts}``, with media by hash.
    """
    if prompt is None:
        return None
    messages = [_message(message) for message in prompt.messages]
    if len(messages) == 1 and messages[0]["role"] == "user" and "content" in messages[0]:
        return str(messages[0]["content"])
    return messages


def _message(message: Message) -> dict[str, Any]:
    part = message.parts[0] if len(message.parts) == 1 else None
    if type(part) is Text and message.name is None:
        return {"role": message.role, "content": part.text}
    return messages_to_log((message,), lossless=False)[0]


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": dict(call.arguments), "error": call.error}
