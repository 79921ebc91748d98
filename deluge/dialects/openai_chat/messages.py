"""Messages as chat completions take them: https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from deluge.dialects._caching import marked
from deluge.dialects._media import check_media
from deluge.dialects._origin import readable
from deluge.dialects._parts import json_text, only_texts, result_parts
from deluge.dialects.openai_chat.parts import NAME
from deluge.errors import InputError
from deluge.prompt import Audio, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.media import data_url
from deluge.request import RequestContext

_AUDIO_FORMATS = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3",
    "audio/flac": "flac", "audio/ogg": "ogg", "audio/aac": "aac", "audio/mp4": "m4a", "audio/webm": "webm",
}

Wire = dict[str, Any]


def wire_messages(ctx: RequestContext) -> list[Wire]:
    """The conversation as a list of message dicts. ``InputError`` names what this format has no words for."""
    check_media(ctx.prompt, ctx.model)
    words = _Words(ctx)
    result: list[Wire] = []
    for message in readable(ctx.prompt.messages, ctx.model, NAME):
        result += words.of(message)
    result += words.held_back()
    if ctx.options.cache is not None and ctx.model.has("supports_prompt_cache_options"):
        _mark(result, ctx.options.cache)
    return result


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

    __slots__ = ("system", "thinks_back", "details_back", "signed", "short_ids", "strict", "held")

    def __init__(self, ctx: RequestContext) -> None:
        model = ctx.model
        self.system = "developer" if model.has("developer_role") else "system"
        if model.has("no_system_role"):
            self.system = "user"
        self.thinks_back = model.has("reasoning_content_back")
        self.details_back = model.has("reasoning_object")
        self.signed = model.has("thought_signatures")
        self.short_ids = model.has("short_tool_ids")
        self.strict = model.has("strict_body")
        self.held: list[Any] = []

    def of(self, message: Message) -> list[Wire]:
        """One message of ours is one of theirs, but for tool results: they are a message each."""
        results = message.tool_results
        if results and (message.role != "assistant" or not all(result.built_in for result in results)):
            self.held += [part for part in message.parts if type(part) is not ToolResult]
            return [self._result(result) for result in results if not result.built_in]
        made = self.held_back()
        if message.role == "assistant":
            made.append(_named(self._assistant(message), message))
        else:
            role = self.system if message.role == "system" else "user"
            made.append(_named({"role": role, "content": _content(message.parts)}, message))
        return made

    def held_back(self) -> list[Wire]:
        """What came with tool results and no tool message can hold: every call is answered first."""
        if not self.held:
            return []
        made: list[Wire] = [{"role": "user", "content": _content(tuple(self.held))}]
        self.held = []
        return made

    def _assistant(self, message: Message) -> Wire:
        said = tuple(part for part in message.parts if type(part) in (Text, Image, File) or _own_block(part))
        refusal, calls = message.refusal, [call for call in message.tool_calls if not call.built_in]
        made: Wire = {"role": "assistant"}
        if said:
            made["content"] = message.completion if only_texts(said) else _content(said)
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
        if media:
            self.held += [Text(f"Output of tool call {id}:"), *media]
        text = "\n".join(texts) if texts else "(the output follows in the next user message)"
        return {"role": "tool", "tool_call_id": id, "content": text}

    def _id(self, id: str) -> str:
        """Some hosts take nothing but nine letters and digits: the same id gives the same nine."""
        if not self.short_ids or (len(id) == 9 and id.isascii() and id.isalnum()):
            return id
        return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:9]


def _named(made: Wire, message: Message) -> Wire:
    if message.name is not None:
        made["name"] = message.name
    return made


def _content(parts: tuple[Any, ...]) -> str | list[Wire]:
    """A string where there is one text, else a list of parts."""
    if not parts:
        return ""
    if len(parts) == 1 and type(parts[0]) is Text:
        text: str = parts[0].text
        return text
    return [_part(part) for part in parts]


def _own_block(part: Any) -> bool:
    """Whether it is a content part that this format gave us and no part of ours stands for."""
    return (
        type(part) is Raw and part.provider == NAME and isinstance(part.data, Mapping) and "type" in part.data
    )


def _part(part: Any) -> Wire:
    if type(part) is Text:
        return {"type": "text", "text": part.text}
    if type(part) is Image:
        return _image(part)
    if type(part) is File:
        return _file(part)
    if type(part) is Audio:
        return _audio(part)
    if _own_block(part):
        return dict(part.data)
    if type(part) is Refusal:
        return {"type": "text", "text": part.text}
    what = f"a block of {part.provider}" if type(part) is Raw else f"a part of type {type(part).__name__}"
    raise InputError(f"{what} cannot be sent in a chat completions message of this role")


def _image(image: Image) -> Wire:
    if image.data is None and image.url is None:
        raise InputError("chat completions take images by URL or with their bytes, not by file id")
    url: Wire = {"url": image.url if image.data is None else data_url(image)}
    if image.detail != "auto":
        url["detail"] = image.detail
    return {"type": "image_url", "image_url": url}


def _file(file: File) -> Wire:
    if file.file_id is not None:
        return {"type": "file", "file": {"file_id": file.file_id}}
    if file.data is None:
        raise InputError("chat completions take files with their bytes or by file id, not by URL")
    name = file.name or ("file.pdf" if file.media_type == "application/pdf" else "file")
    return {"type": "file", "file": {"filename": name, "file_data": data_url(file)}}


def _audio(audio: Audio) -> Wire:
    if audio.data is None:
        raise InputError("chat completions take sound with its bytes only")
    form = _AUDIO_FORMATS.get(audio.media_type, audio.media_type.rpartition("/")[2])
    data = base64.b64encode(audio.data).decode("ascii")
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def _arguments(call: ToolCall) -> str:
    """The JSON that the model wrote. What could not be read is wrapped: many servers parse the arguments again."""
    if call.error is not None:
        return json_text({"unreadable": call.text or ""}, "a tool call")
    if call.text is not None:
        return call.text
    return json_text(dict(call.arguments), f"the arguments of tool call {call.id!r}")
