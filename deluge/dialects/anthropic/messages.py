"""Messages as Anthropic takes them: https://platform.claude.com/docs/en/build-with-claude/working-with-messages"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deluge.dialects._media import check_media
from deluge.dialects._origin import readable
from deluge.dialects._parts import result_parts
from deluge.dialects._turns import Turns
from deluge.dialects.anthropic.caching import mark_prompt
from deluge.dialects.anthropic.parts import NAME
from deluge.errors import InputError
from deluge.models.model import Model
from deluge.prompt import Audio, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt._foreign import is_beside
from deluge.request import RequestContext
from deluge.wire import Note

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_PAUSED = frozenset({"server_tool_use", "mcp_tool_use"})

Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """``body``: system and messages. ``old``: only the first version of the API takes them."""

    body: Wire
    notes: tuple[Note, ...] = ()
    old: bool = False


def wire_prompt(ctx: RequestContext, marks: int) -> Prompt:
    """The conversation in Anthropic's words; ``marks``: the cache breakpoints that are taken already.

    ``InputError`` names what this format has no words for.
    """
    check_media(ctx.prompt, ctx.model)
    words = _worded(ctx)
    if not words.messages:
        raise InputError("the Messages API needs a message of the user's beside system messages")
    words.check_end()
    return _finished(ctx, words, marks)


def said(ctx: RequestContext, marks: int) -> Prompt:
    """The conversation in Anthropic's words, whether it could be sent like that or not."""
    return _finished(ctx, _worded(ctx), marks)


def _worded(ctx: RequestContext) -> _Words:
    words = _Words(ctx.model)
    words.take(readable(ctx.prompt.messages, ctx.model, NAME))
    return words


def _finished(ctx: RequestContext, words: _Words, marks: int) -> Prompt:
    mark_prompt(ctx.template, words.system, words.messages, marks, words.notes)
    body: Wire = {"system": _content(words.system)} if words.system else {}
    body["messages"] = [{**message, "content": _content(message["content"])} for message in words.messages]
    return Prompt(body, tuple(words.notes), words.old)


class _Words(Turns):
    """Anthropic's blocks. ``old``: only the first version of the API takes them."""

    __slots__ = ("old",)

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.old = False

    def is_result(self, block: Wire) -> bool:
        """Whether the block is what a tool gave back."""
        return block.get("type") == "tool_result"

    def waits(self, content: list[Wire]) -> bool:
        """Whether the model's turn was paused in the middle of the provider's own tools."""
        return any(block.get("type") in _PAUSED for block in content)

    def blocks_of(self, message: Message, role: str) -> list[Wire]:
        """The blocks of one message, in its order. What belongs to the block before it goes there."""
        if role == "assistant" and any(type(part) is ToolResult and not part.built_in for part in message.parts):
            raise InputError("the result of a tool call belongs into a message of the user's or the tool's")
        blocks: list[Wire] = []
        for part in message.parts:
            if type(part) is Raw and part.provider == NAME and is_beside(part.data):
                _add_beside(blocks, part.data)
            elif type(part) is ToolResult and not part.built_in:
                blocks.append(self._result(part))
            else:
                blocks += self._blocks(part, role)
        return blocks

    def _blocks(self, part: Any, role: str) -> list[Wire]:
        """The blocks for one part: none for what is empty, or was meant for another provider."""
        kind = type(part)
        if kind is Text or kind is Refusal:
            return [{"type": "text", "text": part.text}] if part.text.strip() else []
        if role == "assistant" and kind in (Thinking, ToolCall, ToolResult):
            return self._said(part)
        if kind is Thinking:
            return []
        if role != "system" and kind is Image:
            return [self._image(part)]
        if role != "system" and kind is File:
            self.old |= role == "assistant"
            return [_document(part)]
        if kind is Raw and part.provider == NAME and _has_type(part.data):
            block = dict(part.data)
            self.old |= role == "assistant" and block["type"] == "document"
            self.old |= role == "user" and block["type"] == "text" and bool(block.get("citations"))
            return [block]
        if kind is Raw and role == "assistant":
            return []
        if kind is Audio:
            raise InputError("the Messages API takes no sound")
        what = f"a block of {part.provider}" if kind is Raw else f"a part of type {kind.__name__}"
        raise InputError(f"{what} cannot be sent in a Messages API message of this role")

    def _said(self, part: Any) -> list[Wire]:
        """What only the model says: thoughts and calls, its provider's own as they came."""
        if type(part) is Thinking:
            block = _thought(part)
            return [] if block is None else [block]
        own = _has_type(part.raw)
        if type(part) is ToolResult:
            return [dict(part.raw)] if own and part.raw["type"].endswith("_tool_result") else []
        if part.built_in:
            return [dict(part.raw)] if own and part.provider == NAME else []
        arguments = {"unreadable": part.text or ""} if part.error is not None else dict(part.arguments)
        block = dict(part.raw) if own and part.provider == NAME else {"type": "tool_use"}
        return [{**block, "id": _id(part.id), "name": part.name, "input": arguments}]

    def _result(self, result: ToolResult) -> Wire:
        made: Wire = {"type": "tool_result", "tool_use_id": _id(result.tool_call_id)}
        content = [block for part in result_parts(result) for block in self._blocks(part, "user")]
        if content:
            made["content"] = _content(content)
        if result.is_error:
            made["is_error"] = True
        return made

    def _image(self, image: Image) -> Wire:
        if image.detail != "auto":
            self.notes.add("detail", "images have no such setting here")
        return {"type": "image", "source": _source(image)}


def _has_type(block: Any) -> bool:
    return isinstance(block, Mapping) and isinstance(block.get("type"), str)


def _add_beside(blocks: list[Wire], data: Mapping[str, Any]) -> None:
    if blocks:
        text = blocks[-1].get("type") == "text"
        blocks[-1].update({name: value for name, value in data.items() if text or name != "citations"})


def _content(blocks: list[Wire]) -> str | list[Wire]:
    """A string where there is one text and nothing else to be said about it."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        text: str = blocks[0]["text"]
        return text
    return blocks


def _thought(part: Thinking) -> Wire | None:
    """Thoughts go back only to whom they came from, unchanged."""
    if part.provider == NAME and isinstance(part.raw, Mapping):
        return dict(part.raw)
    if part.provider in (None, NAME) and part.signature is not None and not part.redacted:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _source(media: Image | File) -> Wire:
    if media.data is not None:
        data = base64.b64encode(media.data).decode("ascii")
        return {"type": "base64", "media_type": media.media_type, "data": data}
    if media.url is not None:
        return {"type": "url", "url": media.url}
    return {"type": "file", "file_id": media.file_id}


def _document(file: File) -> Wire:
    """A PDF as it is; everything else that is text as text."""
    source = _source(file)
    if source["type"] == "base64" and file.media_type != "application/pdf":
        try:
            text = (file.data or b"").decode("utf-8")
            if "\0" in text:
                raise ValueError("a text has no such character")
        except ValueError:  # a UnicodeDecodeError is one
            raise InputError(f"the Messages API takes PDF and text files, not {file.media_type}") from None
        source = {"type": "text", "media_type": "text/plain", "data": text}
    made: Wire = {"type": "document", "source": source}
    if file.name is not None:
        made["title"] = file.name
    return made


def _id(id: str) -> str:
    """Ids of other providers may hold what is not taken here: the same id gives the same new one."""
    if _ID.fullmatch(id):
        return id
    return "toolu_" + hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
