"""Images, documents, sound and films as blocks of Converse: with their bytes, or by their place in S3."""

from __future__ import annotations

import base64
import re
from typing import Any

from deluge.dialects._notes import Notes
from deluge.errors import InputError
from deluge.prompt import Audio, File, Image

_IMAGES = ("png", "jpeg", "gif", "webp")
_DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html", "text/plain": "txt", "text/markdown": "md",
}
_VIDEOS = {
    "matroska": "mkv", "x-matroska": "mkv", "quicktime": "mov", "mp4": "mp4", "webm": "webm", "x-flv": "flv",
    "mpeg": "mpeg", "x-ms-wmv": "wmv", "3gpp": "three_gp",
}
_SOUNDS = {
    "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "mpeg": "mp3", "x-m4a": "m4a", "x-flac": "flac",
    "x-matroska": "mka",
}
_ENDINGS = frozenset({*_DOCUMENTS.values(), *_VIDEOS.values()})
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9\s()\[\]-]+|\s+")
_MAX_NAME = 200

Wire = dict[str, Any]


class Media:
    """Makes the blocks of one request, in which no two documents may have the same name."""

    __slots__ = ("notes", "names")

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.names: set[str] = set()

    def block(self, part: Image | File | Audio) -> Wire:
        """The block; ``InputError`` for what Converse takes in no form."""
        source = _source(part)
        if isinstance(part, Image):
            if part.detail != "auto":
                self.notes.add("detail", "images have no such setting here")
            return {"image": {"format": _image_format(part), "source": source}}
        group, _, kind = part.media_type.partition("/")
        if isinstance(part, Audio) or group == "audio":
            return {"audio": {"format": _SOUNDS.get(kind, kind), "source": source}}
        if group == "image":
            return {"image": {"format": _image_format(part), "source": source}}
        form = _file_format(part)
        if group == "video" or form in _VIDEOS.values():
            return {"video": {"format": form, "source": source}}
        return {"document": {"format": form, "name": self._name(part), "source": source}}

    def _name(self, file: File) -> str:
        """Letters, digits, single blanks, hyphens and brackets; without the ending, and numbered where it is taken."""
        given = (file.name or "").strip()
        stem, dot, ending = given.rpartition(".")
        base = stem if dot and stem and ending.lower() in _ENDINGS else given
        base = _NOT_IN_NAMES.sub(" ", base).strip()
        base = " ".join(base.split())[:_MAX_NAME - 8].strip() or "document"
        name, number = base, 2
        while name in self.names:
            name, number = f"{base} {number}", number + 1
        self.names.add(name)
        return name


def _source(part: Image | File | Audio) -> Wire:
    if part.data is not None:
        return {"bytes": base64.b64encode(part.data).decode("ascii")}
    if part.url is not None and part.url.startswith("s3://"):
        return {"s3Location": {"uri": part.url}}
    raise InputError(f"Converse takes {type(part).__name__.lower()}s with their bytes or from S3 (s3://…), not otherwise")


def _image_format(part: Image | File) -> str:
    form = part.media_type.partition("/")[2].replace("jpg", "jpeg")
    if form not in _IMAGES:
        raise InputError(f"Converse takes images of type {', '.join(_IMAGES)}, not {part.media_type}")
    return form


def _file_format(file: File) -> str:
    """The word for the file's type, which its name may tell better than its media type."""
    group, _, kind = file.media_type.partition(";")[0].strip().partition("/")
    if group == "video":
        return _VIDEOS.get(kind, kind)
    form = _DOCUMENTS.get(f"{group}/{kind}")
    ending = (file.name or "").rpartition(".")[2].lower()
    if (form is None or form == "txt") and ending in _ENDINGS:
        return ending
    if form is None and group == "text":
        return "txt"
    if form is None:
        raise InputError(f"Converse takes no files of type {file.media_type}")
    return form
