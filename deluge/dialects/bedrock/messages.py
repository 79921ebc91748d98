"""Messages as Converse takes them.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deluge.dialects._media import check_media
from deluge.dialects._origin import readable
from deluge.dialects._parts import result_parts
from deluge.dialects._turns import Turns
from deluge.dialects.bedrock.caching import mark_prompt
from deluge.dialects.bedrock.media import Media
from deluge.dialects.bedrock.parts import NAME, cited_text
from deluge.errors import InputError
from deluge.models.model import Model
from deluge.prompt import Audio, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.request import RequestContext
from deluge.wire import Note

_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_SAID = (Thinking, ToolCall, ToolResult)

Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """``body``: system and messages. ``called``: the names of the tools that the conversation has calls of."""

    body: Wire
    notes: tuple[Note, ...] = ()
    called: tuple[str, ...] = ()


def wire_prompt(ctx: RequestContext, marks: int) -> Prompt:
    """The conversation in Converse's words; ``marks``: the cache points that are taken already.

    ``InputError`` names what this format has no words for.
    """
    check_media(ctx.prompt, ctx.model)
    words = _worded(ctx)
    if not words.messages:
        raise InputError("Converse needs a message of the user's beside system messages")
    words.check_end()
    return _finished(ctx, words, marks)


def said(ctx: RequestContext, marks: int) -> Prompt:
    """The conversation in Converse's words, whether it could be sent like that or not."""
    return _finished(ctx, _worded(ctx), marks)


def _worded(ctx: RequestContext) -> _Words:
    words = _Words(ctx.model)
    words.take(readable(ctx.prompt.messages, ctx.model, NAME))
    for made in words.messages:
        if any("document" in block for block in made["content"]):
            _add_words(made["content"])
    return words


def _finished(ctx: RequestContext, words: _Words, marks: int) -> Prompt:
    mark_prompt(ctx.template, words.system, words.messages, marks, words.notes)
    system = {"system": words.system} if words.system else {}
    return Prompt({**system, "messages": words.messages}, tuple(words.notes), tuple(dict.fromkeys(words.called)))


class _Words(Turns):
    """Blocks of Converse. ``called``: the names of the tools that were called."""

    __slots__ = ("called", "media")

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.called: list[str] = []
        self.media = Media(self.notes)

    def is_result(self, block: Wire) -> bool:
        """Whether the block is what a tool gave back."""
        return "toolResult" in block

    def waits(self, content: list[Wire]) -> bool:
        """Whether the model's turn ends with a call."""
        return "toolUse" in content[-1]

    def blocks_of(self, message: Message, role: str) -> list[Wire]:
        """The blocks of one message, in its order. A text with its sources stands for the text alone before it."""
        blocks: list[Wire] = []
        for part in message.parts:
            if type(part) is ToolResult and not part.built_in:
                if role == "assistant":
                    raise InputError("the result of a tool call belongs into a message of the user's or the tool's")
                blocks.append(self._result(part))
            elif type(part) is Raw and part.provider == NAME and _cited(part) is not None:
                self._cite(blocks, part)
            else:
                blocks += self._blocks(part, role)
        return blocks

    def _cite(self, blocks: list[Wire], part: Raw) -> None:
        """A text with its sources stands for the text alone that came before it."""
        if blocks and blocks[-1] == {"text": _cited(part)}:
            blocks.pop()
        blocks.append(dict(part.data))

    def _blocks(self, part: Any, role: str) -> list[Wire]:
        """The blocks for one part: none for what is empty, or was meant for another provider."""
        kind = type(part)
        if kind is Text or kind is Refusal:
            return [{"text": part.text}] if part.text.strip() else []
        if kind in _SAID:
            return self._said(part) if role == "assistant" else []
        if role != "system" and kind in (Image, File, Audio):
            return [self.media.block(part)]
        if kind is Raw and part.provider == NAME and isinstance(part.data, Mapping):
            return [dict(part.data)]
        if kind is Raw and role == "assistant":
            return []
        what = f"a block of {part.provider}" if kind is Raw else f"a part of type {kind.__name__}"
        raise InputError(f"{what} cannot be sent in a Converse message of this role")

    def _said(self, part: Any) -> list[Wire]:
        """What only the model says: thoughts and calls, its provider's own as they came."""
        if type(part) is Thinking:
            block = _thought(part) if self.model.has("reasoning") else None
            return [] if block is None else [block]
        if part.built_in:
            name = "toolUse" if type(part) is ToolCall else "toolResult"
            return [dict(part.raw)] if isinstance(part.raw, Mapping) and name in part.raw else []
        arguments = {"unreadable": part.text or ""} if part.error is not None else dict(part.arguments)
        self.called.append(part.name)
        return [{"toolUse": {"toolUseId": _id(part.id), "name": part.name, "input": arguments}}]

    def _result(self, result: ToolResult) -> Wire:
        content = [block for part in result_parts(result) for block in self._blocks(part, "user")]
        made: Wire = {"toolUseId": _id(result.tool_call_id), "content": content}
        if result.is_error:
            made["status"] = "error"
        return {"toolResult": made}


def _cited(part: Raw) -> str | None:
    """The words of a block with sources; None for another block."""
    inner = part.data.get("citationsContent") if isinstance(part.data, Mapping) else None
    return cited_text(inner) if isinstance(inner, Mapping) else None


def _thought(part: Thinking) -> Wire | None:
    """Thoughts go back only to whom they came from, unchanged."""
    if part.provider == NAME and isinstance(part.raw, Mapping):
        return dict(part.raw)
    if part.provider in (None, NAME) and part.signature is not None and not part.redacted:
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
    return None


def _add_words(blocks: list[Wire]) -> None:
    """Beside a document there must be a text: its name, where the user gave none."""
    if not any("text" in block for block in blocks):
        document = next(block["document"] for block in blocks if "document" in block)
        blocks.append({"text": document["name"]})


def _id(id: str) -> str:
    """Ids of other providers may hold what is not taken here: the same id gives the same new one."""
    if _ID.fullmatch(id):
        return id
    return "tooluse_" + hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
