"""A conversation as Gemini takes it: contents of users and the model in turn, and one system instruction."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from deluge.dialects._media import check_media, is_text
from deluge.dialects._origin import readable
from deluge.dialects._parts import json_bytes, result_parts
from deluge.errors import InputError
from deluge.prompt import Audio, File, Image, Message, Raw, Refusal, Text, Thinking, ToolCall, ToolResult
from deluge.request import RequestContext

NAME = "gemini"
# What is told about a whole answer: kept raw as blocks are, but never sent back.
ABOUT = ("groundingMetadata", "citationMetadata", "urlContextMetadata")
# The blocks of what the provider's own tools gave back.
RESULTS = ("codeExecutionResult", "toolResponse")
# What stands for the signature of a call that this API did not make, or made without one:
# https://ai.google.dev/gemini-api/docs/thought-signatures
UNSIGNED = "skip_thought_signature_validator"
# https://ai.google.dev/gemini-api/docs/function-calling#multimodal
_MEDIA_IN_RESULTS = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})

_GROUPS = ("text/", "image/", "audio/", "video/")
Wire = dict[str, Any]


def wire_contents(ctx: RequestContext) -> Wire:
    """``contents``, and ``systemInstruction`` where there is one. ``InputError`` names what this format cannot say."""
    check_media(ctx.prompt, ctx.model)
    made = said(ctx)
    if not made["contents"]:
        raise InputError("Gemini answers a message of the user: there is none beside the system message")
    return made


def said(ctx: RequestContext) -> Wire:
    """The conversation in Gemini's words, whether it could be sent like that or not."""
    words = _Words(ctx)
    for message in readable(ctx.prompt.messages, ctx.model, NAME):
        words.take(message)
    system: Wire = {"systemInstruction": {"parts": words.system}} if words.system else {}
    return {**system, "contents": words.contents}


class _Words:
    """Contents as they grow. ``called``: by the id of a call its tool's name, and whether the API knows the id."""

    __slots__ = ("system", "contents", "called", "system_is_user", "signed", "media_in_results", "files")

    def __init__(self, ctx: RequestContext) -> None:
        model = ctx.model
        self.system: list[Wire] = []
        self.contents: list[Wire] = []
        self.called: dict[str, tuple[str, bool]] = {}
        self.system_is_user = model.has("no_system_role")
        self.signed = model.has("thought_signatures")
        self.media_in_results = model.has("media_in_tool_results")
        self.files = ctx.template.base_url.partition("?")[0].rstrip("/")

    def take(self, message: Message) -> None:
        """Adds one message; neighbours of one role are one content."""
        if message.role == "system" and not self.system_is_user:
            self.system += [self._system(part) for part in message.parts]
        elif message.role == "assistant":
            self._add("model", self._model(message))
        else:
            results = [part for part in message.parts if type(part) is ToolResult]
            rest = [part for part in message.parts if type(part) is not ToolResult]
            made = self._results(results) + [self._part(part) for part in rest]
            self._add("user", made if made or message.role == "tool" else [{"text": ""}])

    def _add(self, role: str, parts: list[Wire]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})

    def _system(self, part: Any) -> Wire:
        if type(part) is not Text:
            raise InputError(f"a system message for Gemini holds text only, not {type(part).__name__}")
        return {"text": part.text}

    # -- the model's own words ---------------------------------------------------------------------------------------

    def _model(self, message: Message) -> list[Wire]:
        parts: list[Wire] = []
        for part in message.parts:
            made = self._own(part)
            if made is not None and made.keys() == {"thoughtSignature"} and parts:
                parts[-1].update(made)  # the seal of a picture
            elif made is not None:
                parts.append(made)
        if self.signed:
            call = next((part for part in parts if "functionCall" in part), None)
            if call is not None:  # of parallel calls the API signs the first
                call.setdefault("thoughtSignature", UNSIGNED)
        return parts

    def _own(self, part: Any) -> Wire | None:
        """One part of an answer. What another provider alone can read is left out."""
        kind = type(part)
        if kind is Text:
            return _sealed({"text": part.text}, part)
        if kind is Thinking:
            return _sealed({"text": part.text, "thought": True}, part) if part.provider == NAME else None
        if kind is ToolCall:
            return self._call(part)
        if kind is ToolResult:
            ours = isinstance(part.raw, Mapping) and any(name in part.raw for name in RESULTS)
            return dict(part.raw) if ours else None
        if kind is Raw:
            ours = part.provider == NAME and isinstance(part.data, Mapping) and not any(name in part.data for name in ABOUT)
            return dict(part.data) if ours else None
        return self._part(part)

    def _call(self, call: ToolCall) -> Wire | None:
        block = call.raw if call.provider == NAME and isinstance(call.raw, Mapping) else None
        if call.built_in:
            return None if block is None else dict(block)
        function: Any = block.get("functionCall") if block is not None else None
        known = not isinstance(function, Mapping) or isinstance(function.get("id"), str)
        self.called[call.id] = (call.name, known)
        arguments = {"unreadable": call.text or ""} if call.error is not None else dict(call.arguments)
        made: Wire = {**function} if isinstance(function, Mapping) else {}
        made.update({"id": call.id} if known else {}, name=call.name, args=arguments)
        return _sealed({**(block or {}), "functionCall": made}, call)

    # -- what tools gave back ----------------------------------------------------------------------------------------

    def _results(self, results: list[ToolResult]) -> list[Wire]:
        """A response for each call; media that it cannot hold follow after all of them."""
        made: list[Wire] = []
        after: list[Wire] = []
        for result in results:
            if result.built_in:
                continue
            name, known = self.called.get(result.tool_call_id, (None, True))
            name = result.name or name
            if name is None:
                raise InputError(
                    f"the result of tool call {result.tool_call_id!r} answers no call of this conversation: give its name"
                )
            response, media, others = self._response(result)
            if others:
                after += [{"text": f"Output of tool call {result.tool_call_id} ({name}):"}, *others]
            made.append({"functionResponse": {
                **({"id": result.tool_call_id} if known else {}), "name": name, "response": response,
                **({"parts": media} if media else {}),
            }})
        return made + after

    def _response(self, result: ToolResult) -> tuple[Wire, list[Wire], list[Wire]]:
        """The response object, the media inside it, and those that have to follow it."""
        content: Any = result.content
        key = "error" if result.is_error else "output"
        if isinstance(content, Mapping):
            json_bytes(content, f"the result of tool call {result.tool_call_id!r}")
            return {key: dict(content)} if result.is_error else dict(content), [], []
        parts = result_parts(result)
        texts = [part.text for part in parts if type(part) is Text]
        media = [part for part in parts if type(part) is not Text]
        within = [part for part in media if self.media_in_results and part.media_type in _MEDIA_IN_RESULTS]
        others = [self._part(part) for part in media if part not in within]
        text = "\n".join(texts) if texts or not others else "(the output follows)"
        return {key: text}, [self._part(part) for part in within], others

    # -- texts and media ---------------------------------------------------------------------------------------------

    def _part(self, part: Any) -> Wire:
        kind = type(part)
        if kind is Text or kind is Refusal:
            return {"text": part.text}
        if kind is Image or kind is File or kind is Audio:
            return self._media(part)
        if kind is Raw and part.provider == NAME and isinstance(part.data, Mapping):
            return dict(part.data)
        what = f"a block of {part.provider}" if kind is Raw else f"a part of type {kind.__name__}"
        raise InputError(f"{what} cannot be sent to Gemini in a message of this role")

    def _media(self, media: Image | File | Audio) -> Wire:
        if media.data is not None:
            data = base64.b64encode(media.data).decode("ascii")
            return {"inlineData": {"mimeType": _taken(media), "data": data}}
        if media.url is not None:
            return {"fileData": {"mimeType": media.media_type, "fileUri": media.url}}
        if media.file_id is None:
            raise InputError(f"{type(media).__name__} without data, url or file_id")
        if "://" in media.file_id:
            uploaded = "/files/" in media.file_id  # the API knows the type of what was uploaded to it
            return {"fileData": {**({} if uploaded else {"mimeType": media.media_type}), "fileUri": media.file_id}}
        name = media.file_id if media.file_id.startswith("files/") else f"files/{media.file_id}"
        return {"fileData": {"fileUri": f"{self.files}/{name}"}}


def _taken(media: Image | File | Audio) -> str:
    """The type under which this is sent: all text is plain text where the API may not know its own type."""
    kind = media.media_type.partition(";")[0].strip().lower()
    if type(media) is not File or kind == "application/pdf" or kind.startswith(_GROUPS):
        return media.media_type
    if is_text(kind):
        return "text/plain"
    raise InputError(f"Gemini takes PDF and text files, images, sound and films, not {media.media_type}")


def _sealed(made: Wire, part: Text | Thinking | ToolCall) -> Wire:
    """The part with its signature, where it came from this API."""
    if part.signature is not None and part.provider == NAME:
        made["thoughtSignature"] = part.signature
    return made
