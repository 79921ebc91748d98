"""Streams of Converse: pieces as they come, then the response that the unstreamed call would have given.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from deluge import _json
from deluge.dialects._replies import error_response
from deluge.dialects._verdicts import cut_off, parse_verdict
from deluge.dialects.bedrock.parts import decoded_bytes
from deluge.dialects.bedrock.reply import answered, problem_in, refused, status_of
from deluge.request import RequestContext
from deluge.response import APIResponse
from deluge.wire import HttpReply, ServerEvent, StreamDelta

_STOP = ("stopReason", "additionalModelResponseFields")
_LAST = ("usage", "trace", "performanceConfig", "serviceTier", "metrics")


def streamed(ctx: RequestContext, events: Iterable[ServerEvent]) -> Generator[StreamDelta, None, APIResponse]:
    """The pieces, and the response as the generator's value."""
    whole, reply = _Whole(), HttpReply(200)
    try:
        for event in events:
            headers = event.headers or {}
            data = _json.loads(event.data) if event.data else {}
            if headers.get(":message-type") in ("exception", "error") or event.event.endswith("Exception"):
                message = headers.get(":error-message") or f"the stream ended in {event.event or 'an error'}"
                return refused(ctx, reply, problem_in(data, event.event, message), status_of(event.event), whole.reply())
            if isinstance(data, dict):
                yield from whole.take(event.event, data)
    except (ValueError, RecursionError) as error:
        return error_response(ctx, reply, parse_verdict(f"the stream cannot be read: {error}"))
    if not whole.began:
        return error_response(ctx, reply, cut_off("the stream ended before it began"))
    if "stopReason" not in whole.top:
        return error_response(ctx, reply, cut_off("the stream was cut off before its end"), raw=whole.reply())
    return answered(ctx, reply, whole.reply())


class _Whole:
    """The reply that grows out of the events."""

    def __init__(self) -> None:
        self.began = False
        self.top: dict[str, Any] = {}
        self.blocks: dict[int, _Block] = {}
        self.calls = 0

    def take(self, kind: str, data: dict[str, Any]) -> Iterator[StreamDelta]:
        """What this event adds."""
        if kind == "messageStart":
            self.began = True
        elif kind == "contentBlockStart":
            yield from self._open(data)
        elif kind == "contentBlockDelta":
            delta, block = data.get("delta"), self._block(data)
            if isinstance(delta, dict):
                yield from block.take(delta)
        elif kind == "messageStop":
            self.began = True
            self.top.update((name, data[name]) for name in _STOP if data.get(name) is not None)
        elif kind == "metadata":
            self.top.update((name, data[name]) for name in _LAST if data.get(name) is not None)

    def reply(self) -> dict[str, Any]:
        """The reply as one object."""
        content = [made for index in sorted(self.blocks) if (made := self.blocks[index].whole())]
        return {**self.top, "output": {"message": {"role": "assistant", "content": content}}}

    def _open(self, data: dict[str, Any]) -> Iterator[StreamDelta]:
        block, start = self._block(data), data.get("start")
        if not isinstance(start, dict):
            return
        for name, value in start.items():
            block.begun[name] = dict(value) if isinstance(value, dict) else value
        call = start.get("toolUse")
        if isinstance(call, dict) and call.get("type") is None:
            block.place = self.calls
            self.calls += 1
            yield StreamDelta(
                "tool_call", "", block.place, str(call.get("toolUseId") or ""), str(call.get("name") or "")
            )

    def _block(self, data: dict[str, Any]) -> _Block:
        self.began = True
        index = data.get("contentBlockIndex")
        index = index if isinstance(index, int) else max(self.blocks, default=0)
        return self.blocks.setdefault(index, _Block())


class _Block:
    """One content block as it grows. ``place``: which tool call it is, -1 for none that the caller answers."""

    def __init__(self) -> None:
        self.begun: dict[str, Any] = {}
        self.place = -1
        self.texts: dict[str, list[str]] = {}
        self.blobs: dict[str, list[str]] = {}
        self.citations: list[Any] = []
        self.results: list[Any] = []
        self.others: dict[str, Any] = {}

    def take(self, delta: dict[str, Any]) -> Iterator[StreamDelta]:
        """What one piece adds."""
        for name, value in delta.items():
            if name == "text" and isinstance(value, str):
                yield from self._grow("text", value, "text")
            elif name == "reasoningContent" and isinstance(value, dict):
                yield from self._think(value)
            elif name == "toolUse" and isinstance(value, dict):
                yield from self._call(value.get("input"))
            elif name == "citation" and isinstance(value, dict):
                self.citations.append(value)
            elif name == "toolResult" and isinstance(value, list):
                self.results += value
            elif name == "image" and isinstance(value, dict):
                source = value.get("source")
                self._blob("image", source.get("bytes") if isinstance(source, dict) else None)
            elif value is not None:
                self.others[name] = value

    def whole(self) -> dict[str, Any]:
        """The block as an unstreamed reply has it; empty when nothing is known of it."""
        begun, texts = self.begun, {name: "".join(pieces) for name, pieces in self.texts.items()}
        if "toolUse" in begun or "input" in texts:
            return {"toolUse": {**self._start("toolUse"), "input": _read(texts.get("input", ""))}}
        if "toolResult" in begun or self.results:
            return {"toolResult": {**self._start("toolResult"), "content": _joined(self.results)}}
        if "thinking" in texts or "signature" in texts:
            words = {"text": texts.get("thinking", "")}
            signature = {"signature": texts["signature"]} if "signature" in texts else {}
            return {"reasoningContent": {"reasoningText": {**words, **signature}}}
        if "redacted" in self.blobs:
            return {"reasoningContent": {"redactedContent": _one(self.blobs["redacted"])}}
        if "image" in self.blobs:
            return {"image": {**self._start("image"), "source": {"bytes": _one(self.blobs["image"])}}}
        if self.citations:
            return {"citationsContent": {"content": [{"text": texts.get("text", "")}], "citations": self.citations}}
        return {"text": texts["text"]} if "text" in texts else {**begun, **self.others}

    def _start(self, name: str) -> dict[str, Any]:
        begun = self.begun.get(name)
        return begun if isinstance(begun, dict) else {}

    def _grow(self, name: str, text: str, kind: Any) -> Iterator[StreamDelta]:
        self.texts.setdefault(name, []).append(text)
        if text:
            yield StreamDelta(kind, text)

    def _think(self, piece: dict[str, Any]) -> Iterator[StreamDelta]:
        text, signature = piece.get("text"), piece.get("signature")
        if isinstance(text, str):
            yield from self._grow("thinking", text, "thinking")
        if isinstance(signature, str):
            self.texts.setdefault("signature", []).append(signature)
        self._blob("redacted", piece.get("redactedContent"))

    def _call(self, text: Any) -> Iterator[StreamDelta]:
        if isinstance(text, dict):
            text = _json.dumps(text).decode("utf-8")
        if isinstance(text, str):
            self.texts.setdefault("input", []).append(text)
            if text and self.place >= 0:
                yield StreamDelta("tool_call", text, self.place)

    def _blob(self, name: str, value: Any) -> None:
        if isinstance(value, str):
            self.blobs.setdefault(name, []).append(value)


def _read(text: str) -> Any:
    """The input of a call; the text itself when it cannot be read."""
    if not text:
        return {}
    try:
        value = _json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _one(pieces: list[str]) -> str:
    """Bytes that came in pieces, each of them base64 by itself."""
    if len(pieces) == 1:
        return pieces[0]
    return base64.b64encode(b"".join(decoded_bytes(piece) or b"" for piece in pieces)).decode("ascii")


def _joined(results: list[Any]) -> list[Any]:
    """Pieces of what a tool gave back: neighbouring texts are one."""
    made: list[Any] = []
    for item in results:
        text = item.get("text") if isinstance(item, dict) else None
        if isinstance(text, str) and made and isinstance(made[-1], dict) and isinstance(made[-1].get("text"), str):
            made[-1] = {"text": made[-1]["text"] + text}
        else:
            made.append(item)
    return made
