"""A conversation as input items: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deluge.dialects._caching import marked
from deluge.dialects._media import check_media
from deluge.dialects._origin import readable
from deluge.dialects._parts import json_text, result_parts
from deluge.dialects.openai_responses.parts import IN_CALL, NAME
from deluge.errors import InputError
from deluge.prompt import Audio, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.prompt.media import data_url
from deluge.request import RequestContext
from deluge.wire import Note

Wire = dict[str, Any]


class Items:
    """The input items of one prompt. ``notes`` tells what they cannot say."""

    __slots__ = ("ctx", "system", "kinds", "notes", "made")

    def __init__(self, ctx: RequestContext) -> None:
        self.ctx = ctx
        self.system = "developer" if ctx.model.has("developer_role") else "system"
        if ctx.model.has("no_system_role"):
            self.system = "user"
        self.kinds: dict[str, str] = {}  # of the calls so far, by their id: their results have the same kind
        self.notes: list[Note] = []
        self.made: list[Wire] = []

    def of_prompt(self) -> list[Wire]:
        """All items, in order. ``InputError`` names what this format has no words for."""
        check_media(self.ctx.prompt, self.ctx.model)
        for message in readable(self.ctx.prompt.messages, self.ctx.model, NAME):
            if message.name is not None and not self.notes:
                self.notes.append(Note("name", "messages carry no names in the Responses API"))
            if message.role == "assistant":
                self._assistant(message)
            else:
                self._other(message)
        if self.ctx.options.cache is not None and self.ctx.model.has("supports_prompt_cache_options"):
            _mark(self.made, self.ctx.options.cache)
        return self.made

    def _other(self, message: Message) -> None:
        """Results first, each an item of its own; the rest is one message."""
        said: list[Any] = []
        for part in message.parts:
            if type(part) is ToolResult:
                self._result(part)
            elif type(part) is Raw and _is_item(part):
                self.made.append(dict(part.data))
            else:
                said.append(part)
        if said or not message.parts:
            role = self.system if message.role == "system" else "user"
            self.made.append({"role": role, "content": _content(tuple(said))})

    def _assistant(self, message: Message) -> None:
        """Thoughts, words and calls in the order in which they came, unchanged where they came from this API."""
        pictures: list[Any] = []
        drawn = False
        before = len(self.made)
        for part in message.parts:
            if type(part) is Text:
                self._say(part, before)
            elif type(part) is Refusal:
                self.made.append({"type": "message", "role": "assistant", "status": "completed",
                                  "content": [{"type": "refusal", "refusal": part.text}]})
            elif type(part) is Thinking:
                self._think(part)
            elif type(part) is ToolCall:
                drawn = drawn or part.type == "image_generation_call"
                self._call(part)
            elif type(part) is ToolResult and _is_output(part):
                self.made.append(dict(part.raw))
            elif type(part) is Raw and _is_item(part):
                self.made.append(dict(part.data))
            elif type(part) in (Image, File):
                pictures.append(part)
        if pictures and not drawn:  # the assistant's own items hold no pictures but those that it drew
            self.made.append({"role": "user", "content": _content((Text("The assistant's output:"), *pictures))})

    def _say(self, part: Text, before: int) -> None:
        """Neighbouring texts of one phase are one message."""
        phase = part.signature if part.provider == NAME else None
        last = self.made[-1] if len(self.made) > before else {}
        if last.get("role") == "assistant" and isinstance(last.get("content"), str) and last.get("phase") == phase:
            last["content"] += part.text
            return
        item: Wire = {"role": "assistant", "content": part.text}
        if phase is not None:
            item["phase"] = phase
        self.made.append(item)

    def _think(self, part: Thinking) -> None:
        if part.provider != NAME or not self.ctx.model.has("reasoning"):
            return
        if isinstance(part.raw, Mapping):
            self.made.append(dict(part.raw))
        elif part.signature is not None and part.id is not None:
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            self.made.append(
                {"type": "reasoning", "id": part.id, "summary": summary, "encrypted_content": part.signature}
            )

    def _call(self, call: ToolCall) -> None:
        ours = call.provider == NAME and isinstance(call.raw, Mapping)
        if ours or not call.built_in:
            self.kinds[call.id] = call.type
            self.made.append(dict(call.raw) if ours else _call_item(call))

    def _result(self, result: ToolResult) -> None:
        if isinstance(result.raw, Mapping) and IN_CALL in result.raw:
            return
        if _is_output(result):
            self.made.append(dict(result.raw))
        elif not result.built_in or result.tool_call_id in self.kinds:
            kind = self.kinds.get(result.tool_call_id, "function")
            self.made.append(_RESULTS.get(kind, _function_output)(result))


def _call_item(call: ToolCall) -> Wire:
    if call.type == "custom":
        return {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.text or ""}
    written = call.text
    if written is None:
        written = json_text(dict(call.arguments), f"the arguments of tool call {call.id!r}")
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": written}


def _output(result: ToolResult) -> str | list[Wire]:
    parts = result_parts(result)
    if all(type(part) is Text for part in parts):
        return "\n".join(part.text for part in parts)
    return [_part(part) for part in parts]


def _function_output(result: ToolResult) -> Wire:
    return {"type": "function_call_output", "call_id": result.tool_call_id, "output": _output(result)}


def _custom_output(result: ToolResult) -> Wire:
    return {"type": "custom_tool_call_output", "call_id": result.tool_call_id, "output": _output(result)}


def _screenshot(result: ToolResult) -> Wire:
    """What the screen shows after an action."""
    image = next((part for part in result_parts(result) if type(part) is Image), None)
    if image is None:
        raise InputError(f"the result of computer call {result.tool_call_id!r} must be an Image of the screen")
    picture: Wire = {"type": "computer_screenshot"}
    if image.file_id is not None:
        picture["file_id"] = image.file_id
    else:
        picture["image_url"] = image.url if image.data is None else data_url(image)
    return {"type": "computer_call_output", "call_id": result.tool_call_id, "output": picture}


def _shell_output(result: ToolResult) -> Wire:
    text, failed = _plain(result), result.is_error
    part = {"stdout": "" if failed else text, "stderr": text if failed else "",
            "outcome": {"type": "exit", "exit_code": int(failed)}}
    return {"type": "shell_call_output", "call_id": result.tool_call_id, "output": [part]}


def _patch_output(result: ToolResult) -> Wire:
    status = "failed" if result.is_error else "completed"
    return {"type": "apply_patch_call_output", "call_id": result.tool_call_id, "status": status,
            "output": _plain(result)}


def _plain(result: ToolResult) -> str:
    return "\n".join(part.text for part in result_parts(result) if type(part) is Text)


_RESULTS: dict[str, Callable[[ToolResult], Wire]] = {
    "custom": _custom_output, "computer_call": _screenshot, "shell_call": _shell_output,
    "apply_patch_call": _patch_output,
}


def _is_output(result: ToolResult) -> bool:
    """Whether it is what a tool of the provider's gave back, as an item of its own."""
    return isinstance(result.raw, Mapping) and str(result.raw.get("type")).endswith("_output")


def _is_item(part: Raw) -> bool:
    """Whether it is an item that this format gave us and no part of ours stands for."""
    return part.provider == NAME and isinstance(part.data, Mapping) and "type" in part.data


def _content(parts: tuple[Any, ...]) -> str | list[Wire]:
    """A string where there is one text, else a list of parts."""
    if not parts:
        return ""
    if len(parts) == 1 and type(parts[0]) is Text:
        text: str = parts[0].text
        return text
    return [_part(part) for part in parts]


def _part(part: Any) -> Wire:
    if type(part) in (Text, Refusal):
        return {"type": "input_text", "text": part.text}
    if type(part) is Image:
        return _image(part)
    if type(part) is File:
        return _file(part)
    if type(part) is Audio:
        raise InputError("the Responses API takes no sound")
    what = f"a block of {part.provider}" if type(part) is Raw else f"a part of type {type(part).__name__}"
    raise InputError(f"{what} cannot be sent in a message of this role to the Responses API")


def _image(image: Image) -> Wire:
    made: Wire = {"type": "input_image", "detail": image.detail}
    if image.file_id is not None:
        made["file_id"] = image.file_id
    else:
        made["image_url"] = image.url if image.data is None else data_url(image)
    return made


def _file(file: File) -> Wire:
    if file.file_id is not None:
        return {"type": "input_file", "file_id": file.file_id}
    if file.data is None:
        return {"type": "input_file", "file_url": file.url}
    name = file.name or ("file.pdf" if file.media_type == "application/pdf" else "file")
    return {"type": "input_file", "filename": name, "file_data": data_url(file)}


def _mark(items: list[Wire], pattern: str) -> None:
    """Marks the end of what is to be cached; a text becomes a part, so that it can carry the mark."""
    roles = ["system" if item.get("role") == "developer" else str(item.get("role")) for item in items]
    for place in marked(pattern, roles):
        item = items[place]
        if isinstance(item["content"], str):
            item["content"] = [{"type": "input_text", "text": item["content"]}]
        if item["content"]:
            item["content"][-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
