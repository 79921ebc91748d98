"""A record back as the response that it was made of. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deluge.prompt import Message, Text, Thinking, ToolCall
from deluge.response import APIResponse

_TEXTS = ("completion", "thinking", "finish_reason", "error_kind", "error_message", "model", "provider", "service_tier",
          "response_id", "request_id")
_NUMBERS = ("status_code", "started_at", "finished_at", "latency", "queued")


def response_of(data: Mapping[str, Any], **own: Any) -> APIResponse:
    """The response, with ``source="journal"``; nothing was spent for it now. ``own``: fields of the prompt that it is for.

    ``ValueError`` for a record that somebody has made unreadable. What a record does not hold is not there: logprobs,
    headers, signatures of thoughts, the attempts one by one.
    """
    texts = {name: _checked(data.get(name), str) for name in _TEXTS}
    numbers = {name: _checked(data.get(name), (int, float)) for name in _NUMBERS}
    return APIResponse(
        model_internal=texts["model"] or "", provider=texts["provider"], is_error=data.get("is_error") is True,
        error_kind=texts["error_kind"], error_message=texts["error_message"], content=_content(data, texts),
        parsed=data.get("parsed"), finish_reason=texts["finish_reason"], service_tier=texts["service_tier"],
        response_id=texts["response_id"], request_id=texts["request_id"], cost=0.0, source="journal", **numbers, **own,
    )


def _content(data: Mapping[str, Any], texts: Mapping[str, Any]) -> Message | None:
    parts: list[Any] = []
    if texts["thinking"] is not None:
        parts.append(Thinking(texts["thinking"]))
    if texts["completion"] is not None:
        parts.append(Text(texts["completion"]))
    parts += [_tool_call(item) for item in _checked(data.get("tool_calls"), list) or ()]
    return Message("assistant", tuple(parts)) if parts or not data.get("is_error") else None


def _tool_call(item: Any) -> ToolCall:
    try:
        return ToolCall(str(item["id"]), str(item["name"]), dict(item["arguments"]), error=item["error"])
    except (TypeError, KeyError, ValueError):
        raise ValueError("a tool call without id, name and arguments") from None


def _checked(value: Any, kind: Any) -> Any:
    if value is None or isinstance(value, kind):
        return value
    raise ValueError(f"a {type(value).__name__} where a record has something else")
