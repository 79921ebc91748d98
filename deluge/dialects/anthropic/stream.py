"""Streams of the Messages API: pieces as they come, then the response that the unstreamed call would have given.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from deluge import _json
from deluge.dialects._replies import error_response
from deluge.dialects._verdicts import cut_off, parse_verdict
from deluge.dialects.anthropic.reply import answered, explanation_of, problem_in, refused, status_within
from deluge.request import RequestContext
from deluge.response import APIResponse
from deluge.wire import HttpReply, ServerEvent, StreamDelta

# Pieces that grow a field of their block: the piece's type, its field, the block's field.
_GROWING = {"text_delta": "text", "thinking_delta": "thinking"}


def streamed(ctx: RequestContext, events: Iterable[ServerEvent]) -> Generator[StreamDelta, None, APIResponse]:
    """The pieces, and the response as the generator's value."""
    whole, reply = _Whole(), HttpReply(200)
    try:
        for event in events:
            text = event.data.strip()
            data = _json.loads(text) if text and text != "[DONE]" else None
            if not isinstance(data, dict):
                continue
            kind = data.get("type")
            if kind == "error" or data.get("error"):
                status = status_within(data)
                return refused(ctx, reply, problem_in(data, status), status, {**whole.message(), **_request_id(data)})
            if kind == "message_stop":
                whole.done = True
                break
            yield from whole.take(data)
    except (ValueError, RecursionError) as error:
        return error_response(ctx, reply, parse_verdict(f"the stream holds what is not JSON: {error}"))
    if not whole.began:
        if whole.done:
            return error_response(ctx, reply, parse_verdict("the stream has no message"))
        return error_response(ctx, reply, cut_off("the stream ended before it began"))
    if not whole.done and whole.top.get("stop_reason") is None:
        return error_response(ctx, reply, cut_off("the stream was cut off before its end"), raw=whole.message())
    return answered(ctx, reply, whole.message())


def _request_id(data: dict[str, Any]) -> dict[str, Any]:
    return {"request_id": data["request_id"]} if data.get("request_id") else {}


class _Whole:
    """The message that grows out of the events."""

    def __init__(self) -> None:
        self.began = self.done = False
        self.top: dict[str, Any] = {}
        self.usage: dict[str, Any] | None = None
        self.blocks: dict[int, _Block] = {}
        self.calls = 0

    def take(self, data: dict[str, Any]) -> Iterator[StreamDelta]:
        """What this event adds."""
        kind = data.get("type")
        if kind == "message_start":
            message = data.get("message")
            if isinstance(message, dict):
                self.began = True
                self._count(message.get("usage"))
                self.top = {name: value for name, value in message.items() if name not in ("usage", "content")}
        elif kind == "content_block_start":
            yield from self._open(data)
        elif kind == "content_block_delta":
            block, delta = self._block(data), data.get("delta")
            if block is not None and isinstance(delta, dict):
                yield from block.take(delta)
        elif kind == "message_delta":
            yield from self._end(data)

    def message(self) -> dict[str, Any]:
        """The message as an unstreamed reply has it."""
        content = [self.blocks[index].whole() for index in sorted(self.blocks)]
        return {**self.top, "content": content, "usage": self.usage}

    def _open(self, data: dict[str, Any]) -> Iterator[StreamDelta]:
        block, index = data.get("content_block"), data.get("index")
        if not isinstance(block, dict) or not isinstance(index, int):
            return
        call = block.get("type") == "tool_use"
        made = self.blocks[index] = _Block(dict(block), self.calls)
        self.calls += call
        yield from made.opened()

    def _block(self, data: dict[str, Any]) -> _Block | None:
        index = data.get("index")
        return self.blocks.get(index) if isinstance(index, int) else None

    def _end(self, data: dict[str, Any]) -> Iterator[StreamDelta]:
        delta = data.get("delta")
        self._count(data.get("usage"))
        if isinstance(delta, dict):
            self.top.update((name, value) for name, value in delta.items() if value is not None)
            explanation = explanation_of(delta.get("stop_details"))
            if explanation and delta.get("stop_reason") == "refusal":
                yield StreamDelta("refusal", explanation)

    def _count(self, usage: Any) -> None:
        """The counts of the last event hold; what it leaves out was said before."""
        if isinstance(usage, dict):
            self.usage = {**(self.usage or {}), **{name: value for name, value in usage.items() if value is not None}}


class _Block:
    """One content block as it grows. ``place``: which tool call it is, if it is one."""

    def __init__(self, block: dict[str, Any], place: int) -> None:
        self.block = block
        self.place = place
        self.pieces: dict[str, list[str]] = {}
        self.json: list[str] = []

    def opened(self) -> Iterator[StreamDelta]:
        """What the block brings along when it begins."""
        kind, block = self.block.get("type"), self.block
        if kind == "tool_use":
            yield StreamDelta("tool_call", "", self.place, str(block.get("id") or ""), str(block.get("name") or ""))
            if isinstance(block.get("input"), dict) and block["input"]:
                yield StreamDelta("tool_call", _json.dumps(block["input"]).decode("utf-8"), self.place)
        elif kind in ("text", "thinking"):
            text = block.get(kind)
            if isinstance(text, str) and text:
                yield StreamDelta("text" if kind == "text" else "thinking", text)

    def take(self, delta: dict[str, Any]) -> Iterator[StreamDelta]:
        """What one piece adds."""
        kind = str(delta.get("type"))
        if kind == "input_json_delta":
            text = delta.get("partial_json")
            if isinstance(text, str) and text:
                self.json.append(text)
                if self.block.get("type") == "tool_use":
                    yield StreamDelta("tool_call", text, self.place)
        elif kind in _GROWING:
            name = _GROWING[kind]
            text = delta.get(name)
            if isinstance(text, str) and text:
                self.pieces.setdefault(name, []).append(text)
                if self.block.get("type") == name:
                    yield StreamDelta("text" if name == "text" else "thinking", text)
        elif kind == "citations_delta":
            self.block["citations"] = [*(self.block.get("citations") or ()), delta.get("citation")]
        else:  # signature_delta, and what is new: the field as it is
            self.block.update((name, value) for name, value in delta.items() if name != "type")

    def whole(self) -> dict[str, Any]:
        """The block as an unstreamed reply has it."""
        made = dict(self.block)
        for name, pieces in self.pieces.items():
            begun = made.get(name)
            made[name] = (begun if isinstance(begun, str) else "") + "".join(pieces)
        if self.json:
            made["input"] = _read("".join(self.json))
        return made


def _read(text: str) -> Any:
    """The input of a call; the text itself when it was cut off."""
    try:
        value = _json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text
