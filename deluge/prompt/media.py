"""Images, files and sound as frozen data: bytes, a URL, or the id of a file that the provider has already."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Image:
    """A picture. Exactly one of ``data``, ``url`` and ``file_id`` is set."""

    data: bytes | None = None
    url: str | None = None
    file_id: str | None = None
    media_type: str = "image/png"
    detail: str = "auto"
    name: str | None = None

    def digest(self) -> str:
        """The hash of the whole content, or of what names it."""
        return digest(self.data, self.url, self.file_id)


@dataclass(frozen=True, slots=True)
class File:
    """A document. Exactly one of ``data``, ``url`` and ``file_id`` is set."""

    data: bytes | None = None
    url: str | None = None
    file_id: str | None = None
    media_type: str = "application/pdf"
    name: str | None = None

    def digest(self) -> str:
        """The hash of the whole content, or of what names it."""
        return digest(self.data, self.url, self.file_id)


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound. ``data`` are the bytes of a wav or mp3 file."""

    data: bytes | None = None
    media_type: str = "audio/wav"
    url: str | None = None
    file_id: str | None = None
    name: str | None = None

    def digest(self) -> str:
        """The hash of the whole content."""
        return digest(self.data, self.url, self.file_id)


def digest(data: bytes | None, url: str | None, file_id: str | None) -> str:
    """A name for the content: of its bytes, its URL or its id."""
    if data is not None:
        return "sha256:" + hashlib.sha256(data).hexdigest()
    return f"url:{url}" if url is not None else f"file:{file_id}"


def data_url(media: Image | File | Audio) -> str:
    """The bytes as a ``data:`` URL."""
    return f"data:{media.media_type};base64,{base64.b64encode(media.data or b'').decode('ascii')}"
