"""Streams of Gemini: pieces as they come, then the response that the unstreamed call would have given."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from deluge import _json
from deluge.dialects._problems import problem_of, status_in
from deluge.dialects._replies import error_response
from deluge.dialects._verdicts import cut_off, parse_verdict
from deluge.dialects.gemini.parts import call_id
from deluge.dialects.gemini.reply import answered, refused
from deluge.request import RequestContext
from deluge.response import APIResponse
from deluge.wire import HttpReply, ServerEvent, StreamDelta

_TEXT = frozenset({"text", "thought", "thoughtSignature"})


def streamed(ctx: RequestContext, events: Iterable[ServerEvent]) -> Generator[StreamDelta, None, APIResponse]:
    """The pieces, and the response as the generator's value. A stream has no end mark but its finish reason."""
    whole, reply = _Whole(), HttpReply(200)
    try:
        for event in events:
            text = event.data.strip()
            if not text or text == "[DONE]":
                continue
            chunk = _json.loads(text)
            chunk = chunk[0] if isinstance(chunk, list) and chunk else chunk
            if isinstance(chunk, dict):
                if chunk.get("error"):
                    return refused(ctx, reply, problem_of(chunk, 500), status_in(chunk), whole.reply())
                yield from whole.take(chunk)
    except (ValueError, RecursionError) as error:
        return error_response(ctx, reply, parse_verdict(f"the stream holds what is not JSON: {error}"))
    if whole.ended:
        return answered(ctx, reply, whole.reply())
    began = "was cut off before its end" if whole.began else "ended before it began"
    return error_response(ctx, reply, cut_off(f"the stream {began}"), raw=whole.reply())


class _Whole:
    """The reply that grows out of the chunks."""

    def __init__(self) -> None:
        self.began = False
        self.top: dict[str, Any] = {}
        self.candidate: dict[str, Any] = {}
        self.parts: list[dict[str, Any]] = []
        self.texts: list[list[str]] = []  # of each part, while it grows
        self.logprobs: dict[str, list[Any]] = {}
        self.calls = 0

    @property
    def ended(self) -> bool:
        """Whether the answer is whole, or there will be none."""
        return bool(self.candidate.get("finishReason")) or (not self.candidate and self._blocked)

    @property
    def _blocked(self) -> bool:
        feedback = self.top.get("promptFeedback")
        return isinstance(feedback, dict) and bool(feedback.get("blockReason"))

    def take(self, chunk: dict[str, Any]) -> Iterator[StreamDelta]:
        """What this chunk adds. Counts are sums so far: the last ones hold."""
        self.began = True
        self.top.update((name, value) for name, value in chunk.items() if name != "candidates" and value is not None)
        candidates = chunk.get("candidates")
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        if not isinstance(candidate, dict) or candidate.get("index") not in (0, None):
            return
        for name, value in candidate.items():
            if name == "logprobsResult":
                self._log(value)
            elif name != "content" and value is not None:
                self.candidate[name] = value
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                yield from self._add(part)

    def _log(self, result: Any) -> None:
        for name, items in result.items() if isinstance(result, dict) else ():
            if isinstance(items, list):
                self.logprobs.setdefault(name, []).extend(items)

    def _add(self, part: dict[str, Any]) -> Iterator[StreamDelta]:
        text = part.get("text")
        if isinstance(text, str):
            self._grow(part, text)
            if text:
                yield StreamDelta("thinking" if part.get("thought") is True else "text", text)
            return
        self.parts.append(part)
        self.texts.append([])
        function = part.get("functionCall")
        if "functionCall" in part:
            self.calls += 1
        if isinstance(function, dict):
            id, name, arguments = function.get("id"), function.get("name"), function.get("args")
            place = self.calls - 1
            yield StreamDelta(
                "tool_call", _json.dumps(arguments).decode("utf-8") if arguments is not None else "{}", place,
                id if isinstance(id, str) and id else call_id(self.top.get("responseId"), place),
                name if isinstance(name, str) else "",
            )

    def _grow(self, part: dict[str, Any], text: str) -> None:
        """Neighbouring pieces of text are one part; a signature ends it."""
        last = self.parts[-1] if self.parts else {}
        plain = _TEXT.issuperset(part) and _TEXT.issuperset(last)
        same = (last.get("thought") is True) == (part.get("thought") is True) and "thoughtSignature" not in last
        if not (plain and "text" in last and same):
            self.parts.append(dict(part))
            self.texts.append([text])
            return
        self.texts[-1].append(text)
        if "thoughtSignature" in part:
            last["thoughtSignature"] = part["thoughtSignature"]

    def reply(self) -> dict[str, Any]:
        """The reply as one object."""
        for part, texts in zip(self.parts, self.texts):
            if texts:
                part["text"] = "".join(texts)
        parts = [part for part in self.parts if part != {"text": ""}] or self.parts[:1]
        found = {**self.candidate, **({"logprobsResult": self.logprobs} if self.logprobs else {})}
        if parts:
            found["content"] = {"role": "model", "parts": parts}
        return {**self.top, **({"candidates": [found]} if found else {})}
