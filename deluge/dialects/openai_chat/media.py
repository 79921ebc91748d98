"""The parts of a message's content in the words of chat completions, and of Mistral where it has its own.

https://docs.mistral.ai/api (UserMessage): documents as ``document_url``, sound as bare base64.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from deluge.dialects._media import is_text, text_of
from deluge.dialects.openai_chat.parts import NAME
from deluge.errors import InputError
from deluge.prompt import Audio, File, Image, Raw, Refusal, Text, Thinking
from deluge.prompt.media import data_url

_AUDIO_FORMATS = {
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3",
    "audio/flac": "flac", "audio/ogg": "ogg", "audio/aac": "aac", "audio/mp4": "m4a", "audio/webm": "webm",
}

Wire = dict[str, Any]


def content(parts: tuple[Any, ...], chunks: bool = False) -> str | list[Wire]:
    """A string where there is one text, else a list of parts. ``chunks``: in Mistral's words."""
    if not parts:
        return ""
    if len(parts) == 1 and type(parts[0]) is Text:
        text: str = parts[0].text
        return text
    return [_part(part, chunks) for part in parts]


def is_own_block(part: Any) -> bool:
    """Whether it is a content part that this format gave us and no part of ours stands for."""
    return type(part) is Raw and part.provider == NAME and isinstance(part.data, Mapping) and "type" in part.data


def is_chunk(part: Any) -> bool:
    """Whether it is a thought that came as a chunk of the content, and goes back as one, with its signature."""
    return (
        type(part) is Thinking and part.provider == NAME and isinstance(part.raw, Mapping)
        and part.raw.get("type") == "thinking"
    )


def _part(part: Any, chunks: bool) -> Wire:
    if type(part) in (Text, Refusal):
        return {"type": "text", "text": part.text}
    if type(part) is Image:
        return _image(part)
    if type(part) is File:
        return _document(part) if chunks else _file(part)
    if type(part) is Audio:
        return _audio(part, chunks)
    if is_own_block(part):
        return dict(part.data)
    if chunks and is_chunk(part):
        return dict(part.raw)
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
    if is_text(file.media_type):  # there are no text files here: their words are sent
        return {"type": "text", "text": f"{file.name}:\n\n{text_of(file)}" if file.name else text_of(file)}
    name = file.name or ("file.pdf" if file.media_type == "application/pdf" else "file")
    return {"type": "file", "file": {"filename": name, "file_data": data_url(file)}}


def _document(file: File) -> Wire:
    if file.file_id is not None:
        return {"type": "file", "file_id": file.file_id}
    made: Wire = {"type": "document_url", "document_url": file.url if file.data is None else data_url(file)}
    return made if file.name is None else {**made, "document_name": file.name}


def _audio(audio: Audio, chunks: bool) -> Wire:
    if audio.data is None:
        if chunks and audio.url is not None:
            return {"type": "input_audio", "input_audio": audio.url}
        raise InputError("chat completions take sound with its bytes only")
    form = _AUDIO_FORMATS.get(audio.media_type, audio.media_type.rpartition("/")[2])
    data = base64.b64encode(audio.data).decode("ascii")
    return {"type": "input_audio", "input_audio": data if chunks else {"data": data, "format": form}}
