"""Streams of the Responses API: pieces as they come, then the response that the last event carries whole."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from deluge import _json
from deluge.dialects._problems import problem_of, status_in
from deluge.dialects._replies import error_response
from deluge.dialects._verdicts import cut_off, parse_verdict
from deluge.dialects.openai_responses.reply import answered, refused
from deluge.request import RequestContext
from deluge.response import APIResponse
from deluge.wire import HttpReply, ServerEvent, StreamDelta

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_ARGUMENTS = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
_THOUGHTS = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})


def streamed(ctx: RequestContext, events: Iterable[ServerEvent]) -> Generator[StreamDelta, None, APIResponse]:
    """The pieces, and the response as the generator's value."""
    whole, reply = _Whole(), HttpReply(200)
    try:
        for event in events:
            text = event.data.strip()
            if text == "[DONE]":
                break
            data = _json.loads(text) if text else None
            if not isinstance(data, dict):
                continue
            kind = data.get("type")
            kind = kind if isinstance(kind, str) and kind else event.event
            if kind in _LAST and isinstance(data.get("response"), dict):
                return answered(ctx, reply, whole.filled(data["response"]))
            if kind == "error" or (data.get("error") and not kind.startswith("response.")):
                return refused(ctx, reply, problem_of(_error(data), 500), status_in(data))
            yield from whole.take(kind, data)
    except (ValueError, RecursionError) as error:
        return error_response(ctx, reply, parse_verdict(f"the stream holds what is not JSON: {error}"))
    message = "the stream was cut off before its end" if whole.began else "the stream ended before it began"
    return error_response(ctx, reply, cut_off(message))


def _error(data: dict[str, Any]) -> dict[str, Any]:
    """The error in the event, or the event itself: its type is then no word of the problem's."""
    if data.get("error"):
        return data
    return {"error": {name: value for name, value in data.items() if name != "type"}}


class _Whole:
    """What has come so far."""

    def __init__(self) -> None:
        self.began = False
        self.items: dict[int, Any] = {}
        self.calls: dict[int, int] = {}

    def take(self, kind: str, data: dict[str, Any]) -> Iterator[StreamDelta]:
        """What this event adds."""
        self.began = True
        piece, place = data.get("delta"), _place(data)
        if isinstance(piece, str) and piece:
            if kind == "response.output_text.delta":
                yield StreamDelta("text", piece)
            elif kind in _THOUGHTS:
                yield StreamDelta("thinking", piece)
            elif kind == "response.refusal.delta":
                yield StreamDelta("refusal", piece)
            elif kind in _ARGUMENTS and place in self.calls:
                yield StreamDelta("tool_call", piece, self.calls[place])
        elif kind == "response.reasoning_summary_part.added" and data.get("summary_index"):
            yield StreamDelta("thinking", "\n\n")
        elif kind == "response.output_item.added":
            yield from self._begin(data.get("item"), place)
        elif kind == "response.output_item.done" and isinstance(data.get("item"), dict):
            self.items[place] = data["item"]

    def _begin(self, item: Any, place: int) -> Iterator[StreamDelta]:
        if isinstance(item, dict) and item.get("type") in ("function_call", "custom_tool_call"):
            index = self.calls.setdefault(place, len(self.calls))
            id, name = item.get("call_id"), item.get("name")
            yield StreamDelta("tool_call", "", index, id if isinstance(id, str) else "",
                              name if isinstance(name, str) else "")

    def filled(self, response: dict[str, Any]) -> dict[str, Any]:
        """The response; some hosts leave its output out at the end, having sent every item before."""
        if response.get("output") or not self.items:
            return response
        return {**response, "output": [self.items[place] for place in sorted(self.items)]}


def _place(data: dict[str, Any]) -> int:
    """Where in the output the event belongs."""
    index = data.get("output_index")
    return index if isinstance(index, int) else 0
