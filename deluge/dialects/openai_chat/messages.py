"""Messages as chat completions take them: https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from deluge.dialects._caching import marked
from deluge.dialects._media import check_media
from deluge.dialects._origin import readable
from deluge.dialects._parts import json_text, only_texts, result_parts
from deluge.dialects.openai_chat.media import content, is_chunk, is_own_block
from deluge.dialects.openai_chat.parts import NAME
from deluge.prompt import Audio, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from deluge.request import RequestContext
from deluge.wire import Note

Wire = dict[str, Any]


def wire_messages(ctx: RequestContext) -> tuple[list[Wire], tuple[Note, ...]]:
    """The conversation as a list of message dicts, and what is not in it.

    ``InputError`` names what this format has no words for.
    """
    check_media(ctx.prompt, ctx.model)
    words = _Words(ctx)
    result: list[Wire] = []
    for message in readable(ctx.prompt.messages, ctx.model, NAME):
        result += words.of(message)
    result += words.held_back()
    if words.chunks:
        result = _bridged(result)
    if ctx.options.cache is not None and ctx.model.has("supports_prompt_cache_options"):
        _mark(result, ctx.options.cache)
    return result, tuple(words.notes)


def _bridged(messages: list[Wire]) -> list[Wire]:
    """Mistral refuses a message of the user's right after a tool's ("Unexpected role 'user' after role 'tool'")."""
    made: list[Wire] = []
    for message in messages:
        if made and made[-1]["role"] == "tool" and message["role"] == "user":
            made.append({"role": "assistant", "content": "OK."})
        made.append(message)
    return made


def _mark(messages: list[Wire], pattern: str) -> None:
    """Marks the end of what is to be cached; a text becomes a part, so that it can carry the mark."""
    roles = ["system" if message["role"] == "developer" else message["role"] for message in messages]
    for place in marked(pattern, roles):
        message = messages[place]
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        if message["content"]:
            message["content"][-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}


class _Words:
    """How this model wants its messages."""

    __slots__ = ("system", "thinks_back", "details_back", "signed", "short_ids", "strict", "chunks", "held", "notes")

    def __init__(self, ctx: RequestContext) -> None:
        model = ctx.model
        self.system = "developer" if model.has("developer_role") else "system"
        if model.has("no_system_role"):
            self.system = "user"
        self.thinks_back = model.has("reasoning_content_back")
        self.details_back = model.has("reasoning_object") or model.has("reasoning_split")
        self.signed = model.has("thought_signatures")
        self.short_ids = model.has("short_tool_ids")
        self.strict = model.has("strict_body")
        self.chunks = model.has("mistral_chunks")
        self.held: list[Any] = []
        self.notes: list[Note] = []

    def of(self, message: Message) -> list[Wire]:
        """One message of ours is one of theirs, but for tool results: they are a message each."""
        results = message.tool_results
        if results and (message.role != "assistant" or not all(result.built_in for result in results)):
            self.held += [part for part in message.parts if type(part) is not ToolResult]
            return [self._result(result) for result in results if not result.built_in]
        made = self.held_back()
        if message.role == "assistant":
            made.append(self._named(self._assistant(message), message))
        else:
            role = self.system if message.role == "system" else "user"
            made.append(self._named({"role": role, "content": content(message.parts, self.chunks)}, message))
        return made

    def held_back(self) -> list[Wire]:
        """What came with tool results and no tool message can hold: every call is answered first."""
        if not self.held:
            return []
        made: list[Wire] = [{"role": "user", "content": content(tuple(self.held), self.chunks)}]
        self.held = []
        return made

    def _assistant(self, message: Message) -> Wire:
        said = tuple(
            part for part in message.parts
            if type(part) in (Text, Image, File) or is_own_block(part) or (self.chunks and is_chunk(part))
        )
        refusal, calls = message.refusal, [call for call in message.tool_calls if not call.built_in]
        made: Wire = {"role": "assistant"}
        if said:
            made["content"] = message.completion if only_texts(said) else content(said, self.chunks)
        elif refusal is not None and self.strict:
            made["content"], refusal = refusal, None
        else:
            made["content"] = None if refusal is not None or calls else ""
        if refusal is not None and not self.strict:
            made["refusal"] = refusal
        if calls:
            made["tool_calls"] = [self._call(call) for call in calls]
        voice = next((part.file_id for part in message.parts if type(part) is Audio and part.file_id), None)
        if voice is not None:
            made["audio"] = {"id": voice}
        self._think(made, message)
        return made

    def _named(self, made: Wire, message: Message) -> Wire:
        if message.name is not None and not self.chunks:
            made["name"] = message.name
        elif message.name is not None and not self.notes:
            self.notes.append(Note("name", "messages carry no names here"))
        return made

    def _think(self, made: Wire, message: Message) -> None:
        """Thoughts go back only where they are wanted, and as they came."""
        thoughts = [part for part in message.parts if type(part) is Thinking and part.provider in (None, NAME)]
        details = [part.raw for part in thoughts if isinstance(part.raw, Mapping)]
        if self.details_back and details:
            made["reasoning_details"] = details
        elif self.thinks_back:
            text = "".join(part.text for part in thoughts)
            if text or "tool_calls" in made:
                made["reasoning_content"] = text

    def _call(self, call: ToolCall) -> Wire:
        if call.type == "custom":
            return {"id": self._id(call.id), "type": "custom", "custom": {"name": call.name, "input": call.text or ""}}
        function = {"name": call.name, "arguments": _arguments(call)}
        made: Wire = {"id": self._id(call.id), "type": "function", "function": function}
        if self.signed and call.signature is not None and call.provider == NAME:
            made["extra_content"] = {"google": {"thought_signature": call.signature}}
        return made

    def _result(self, result: ToolResult) -> Wire:
        parts, id = result_parts(result), self._id(result.tool_call_id)
        texts = [part.text for part in parts if type(part) is Text]
        media = [part for part in parts if type(part) is not Text]
        if media and self.chunks:
            return {"role": "tool", "tool_call_id": id, "content": content(parts, True)}
        if media:
            self.held += [Text(f"Output of tool call {id}:"), *media]
        text = "\n".join(texts) if texts else "(the output follows in the next user message)"
        return {"role": "tool", "tool_call_id": id, "content": text}

    def _id(self, id: str) -> str:
        """Some hosts take nothing but nine letters and digits: the same id gives the same nine."""
        if not self.short_ids or (len(id) == 9 and id.isascii() and id.isalnum()):
            return id
        return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:9]


def _arguments(call: ToolCall) -> str:
    """The JSON that the model wrote. What could not be read is wrapped: many servers parse the arguments again."""
    if call.error is not None:
        return json_text({"unreadable": call.text or ""}, "a tool call")
    if call.text is not None:
        return call.text
    return json_text(dict(call.arguments), f"the arguments of tool call {call.id!r}")
