"""Streams of chat completions: pieces as they come, then the response that the unstreamed call would have given."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

from deluge import _json
from deluge.dialects._problems import problem_of, status_in
from deluge.dialects._replies import error_response
from deluge.dialects._verdicts import cut_off, parse_verdict
from deluge.dialects.openai_chat.parts import thinking_text
from deluge.dialects.openai_chat.reply import answered, refused
from deluge.request import RequestContext
from deluge.response import APIResponse
from deluge.wire import HttpReply, ServerEvent, StreamDelta

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")


def streamed(ctx: RequestContext, events: Iterable[ServerEvent]) -> Generator[StreamDelta, None, APIResponse]:
    """The pieces, and the response as the generator's value."""
    whole, reply, done = _Whole(), HttpReply(200), False
    try:
        for event in events:
            text = event.data.strip()
            if text == "[DONE]":
                done = True
                break
            chunk = _json.loads(text) if text else None
            if isinstance(chunk, dict):
                broken = _error(chunk)
                if broken is not None:
                    return refused(ctx, reply, problem_of(broken, 500), status_in(broken), whole.reply(chunk))
                yield from whole.take(chunk)
    except (ValueError, RecursionError) as error:
        return error_response(ctx, reply, parse_verdict(f"the stream holds what is not JSON: {error}"))
    if not whole.began:
        verdict = parse_verdict("the stream has no message") if done else cut_off("the stream ended before it began")
        return error_response(ctx, reply, verdict)
    if not done and whole.finish is None:
        return error_response(ctx, reply, cut_off("the stream was cut off before its end"), raw=whole.reply())
    return answered(ctx, reply, whole.reply())


def _error(chunk: dict[str, Any]) -> dict[str, Any] | None:
    """The error in a chunk, where there is one: at the top, in its choice, or the chunk itself."""
    if chunk.get("error"):
        return chunk
    choices = chunk.get("choices")
    if isinstance(choices, list):
        choice = choices[0] if choices else None
        return choice if isinstance(choice, dict) and choice.get("error") else None
    return chunk if chunk.get("object") == "error" else None


class _Whole:
    """The reply that grows out of the chunks."""

    def __init__(self) -> None:
        self.began = False
        self.top: dict[str, Any] = {}
        self.usage: Any = None
        self.finish: Any = None
        self.content: list[Any] | None = None
        self.words: dict[str, list[str]] = {}
        self.details: list[dict[str, Any]] = []
        self.calls = _Calls()
        self.logprobs: dict[str, list[Any]] = {}
        self.others: dict[str, Any] = {}

    def take(self, chunk: dict[str, Any]) -> Iterator[StreamDelta]:
        """What this chunk adds."""
        for name in ("id", "model", "service_tier", "system_fingerprint", "created"):
            if chunk.get(name) is not None:
                self.top[name] = chunk[name]
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        choice = choice if isinstance(choice, dict) and choice.get("index") in (0, None) else {}
        self._count(chunk, choice)
        if choice.get("finish_reason") is not None:
            self.finish, self.began = choice["finish_reason"], True
        self._log(choice.get("logprobs"))
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else choice.get("message")
        if isinstance(delta, dict):
            self.began = True
            yield from self._add(delta)

    def _count(self, chunk: dict[str, Any], choice: dict[str, Any]) -> None:
        groq = chunk.get("x_groq")
        for source in (chunk, choice, groq):
            if isinstance(source, dict) and isinstance(source.get("usage"), dict):
                self.usage = source["usage"]
                return

    def _log(self, logprobs: Any) -> None:
        if isinstance(logprobs, dict):
            for name, items in logprobs.items():
                if isinstance(items, list):
                    self.logprobs.setdefault(name, []).extend(items)

    def _add(self, delta: dict[str, Any]) -> Iterator[StreamDelta]:
        yield from self._think(delta)
        content = delta.get("content")
        if isinstance(content, (str, list)):
            yield from self._say(content)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self.words.setdefault("refusal", []).append(refusal)
            yield StreamDelta("refusal", refusal)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                yield self.calls.take(call)
        old = delta.get("function_call")
        if isinstance(old, dict):
            yield self.calls.take({"index": 0, "function": old})
        for name in ("annotations", "images", "executed_tools"):
            if isinstance(delta.get(name), list):
                self.others.setdefault(name, []).extend(delta[name])
        if isinstance(delta.get("audio"), dict):
            _grow(self.others.setdefault("audio", {}), delta["audio"], ("data", "transcript"))

    def _think(self, delta: dict[str, Any]) -> Iterator[StreamDelta]:
        details = delta.get("reasoning_details")
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict):
                self._detail(detail)
        for name in _THOUGHTS:
            text = delta.get(name)
            if isinstance(text, str) and text:
                self.words.setdefault(name, []).append(text)
                yield StreamDelta("thinking", text)
                return
        for detail in details if isinstance(details, list) else ():
            text = (detail.get("text") or detail.get("summary")) if isinstance(detail, dict) else None
            if isinstance(text, str) and text:
                yield StreamDelta("thinking", text)

    def _detail(self, detail: dict[str, Any]) -> None:
        """Pieces of one block of reasoning have one type and index."""
        last = self.details[-1] if self.details else None
        if last is not None and all(last.get(name) == detail.get(name) for name in ("type", "index")):
            _grow(last, detail, ("text", "summary", "data"))
        else:
            self.details.append(dict(detail))

    def _say(self, content: str | list[Any]) -> Iterator[StreamDelta]:
        """Text, or blocks (Mistral): neighbours of one kind are one block in the whole reply."""
        self.content = [] if self.content is None else self.content
        for block in [content] if isinstance(content, str) else content:
            self.content.append(block)
            if isinstance(block, str):
                if block:
                    yield StreamDelta("text", block)
            elif isinstance(block, dict):
                kind = "thinking" if block.get("type") == "thinking" else "text"
                text = thinking_text(block) if kind == "thinking" else block.get("text")
                if isinstance(text, str) and text:
                    yield StreamDelta("thinking" if kind == "thinking" else "text", text)

    def reply(self, chunk: dict[str, Any] | None = None) -> dict[str, Any]:
        """The reply as one object; ``chunk`` is the last one, when it brought an error."""
        if chunk is not None:
            self._count(chunk, {})
        message: dict[str, Any] = {"role": "assistant", "content": _joined(self.content)}
        message.update((name, "".join(pieces)) for name, pieces in self.words.items())
        if self.details:
            message["reasoning_details"] = self.details
        if self.calls.found:
            message["tool_calls"] = self.calls.whole()
        message.update(self.others)
        choice = {"index": 0, "message": message, "finish_reason": self.finish, "logprobs": self.logprobs or None}
        return {**self.top, "choices": [choice], "usage": self.usage}


class _Calls:
    """Tool calls as they grow. Some servers number them all 0, or not at all: then a new id begins a new call."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self.places: list[Any] = []
        self.pieces: list[list[str]] = []

    def take(self, piece: dict[str, Any]) -> StreamDelta:
        """The delta for one piece of a call."""
        at = self._place(piece)
        call = self.found[at]
        name, text = "", ""
        for key, value in piece.items():
            if key in ("function", "custom") and isinstance(value, dict):
                inner = call.setdefault(key, {})
                name = self._name(inner, value)
                text = self._text(at, value.get("arguments" if key == "function" else "input"))
            elif key != "index" and value is not None and (value != "" or key not in call):
                call[key] = value
        id = piece.get("id")
        return StreamDelta("tool_call", text, at, id if isinstance(id, str) else "", name)

    def whole(self) -> list[dict[str, Any]]:
        """The calls as an unstreamed reply has them."""
        for call, pieces in zip(self.found, self.pieces):
            key = "input" if "custom" in call else "arguments"
            inner = call.setdefault("custom" if "custom" in call else "function", {})
            inner[key] = "".join(pieces)
        return self.found

    def _place(self, piece: dict[str, Any]) -> int:
        index, id = piece.get("index"), piece.get("id")
        for at in range(len(self.found) - 1, -1, -1):
            known = self.found[at].get("id")
            if id and known == id:
                return at
            if index is not None and self.places[at] == index and not (id and known and id != known):
                return at
            if index is None and not id:
                return at
        self.found.append({})
        self.places.append(index)
        self.pieces.append([])
        return len(self.found) - 1

    def _name(self, inner: dict[str, Any], value: dict[str, Any]) -> str:
        name = value.get("name")
        if not isinstance(name, str) or not name:
            return ""
        inner["name"] = name
        return name

    def _text(self, at: int, value: Any) -> str:
        if isinstance(value, dict):  # Ollama and others send the object itself
            value = _json.dumps(value).decode("utf-8")
        if not isinstance(value, str):
            return ""
        self.pieces[at].append(value)
        return value


def _grow(whole: dict[str, Any], piece: dict[str, Any], growing: tuple[str, ...]) -> None:
    for name, value in piece.items():
        if name in growing and isinstance(value, str) and isinstance(whole.get(name), str):
            whole[name] += value
        elif value is not None:
            whole[name] = value


def _joined(content: list[Any] | None) -> Any:
    """The content of the whole reply: a string, or blocks with neighbours of one kind put together."""
    if content is None:
        return None
    if all(isinstance(block, str) for block in content):
        return "".join(content)
    blocks: list[Any] = []
    for block in content:
        block = {"type": "text", "text": block} if isinstance(block, str) else block
        last = blocks[-1] if blocks else None
        if not isinstance(block, dict) or not isinstance(last, dict) or last.get("type") != block.get("type"):
            blocks.append(dict(block) if isinstance(block, dict) else block)
        elif block.get("type") == "text" and isinstance(last.get("text"), str) and isinstance(block.get("text"), str):
            last["text"] += block["text"]
        elif block.get("type") == "thinking":
            text = thinking_text(last) + thinking_text(block)
            last.update((name, value) for name, value in block.items() if value is not None)  # the signature comes last
            last["thinking"] = [{"type": "text", "text": text}]
        else:
            blocks.append(dict(block))
    return [block for block in blocks if block != {"type": "text", "text": ""}]
