"""Images, files and sound as frozen data: bytes, a URL, or the id of a file that the provider has already."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from deluge.errors import InputError
from deluge.prompt.sniff import pixels_of
from deluge.prompt.sources import Source, read_source


@dataclass(frozen=True, slots=True)
class Image:
    """A picture. Exactly one of ``data``, ``url`` and ``file_id`` is set."""

    data: bytes | None = None
    url: str | None = None
    file_id: str | None = None
    media_type: str = "image/png"
    detail: str = "auto"
    name: str | None = None

    @classmethod
    def of(cls, source: Source | Image, media_type: str | None = None, detail: str = "auto", name: str | None = None) -> Image:
        """An image from a path, URL, data URL, base64, bytes, file object, PIL image or a provider's file id.

        Without ``media_type`` the first bytes tell it, or the name's ending. URLs are not fetched here.
        ``InputError`` for a file that is not there or is no image, ``ConfigError`` for what is no source.
        """
        if isinstance(source, Image):
            return source
        found = read_source(source, media_type, name)
        kind = found.media_type
        if media_type is None and found.data is not None and not str(kind).startswith("image/"):
            raise InputError(f"{found.shown} is no image (it is {kind or 'of no type that is known'})")
        return cls(found.data, found.url, found.file_id, kind or "image/png", detail, found.name)

    @property
    def size(self) -> int | None:
        """Bytes; None for what is not here (a URL, a file id)."""
        return None if self.data is None else len(self.data)

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height, where the bytes are here and tell them."""
        return None if self.data is None else pixels_of(self.data)

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

    @classmethod
    def of(cls, source: Source | File, media_type: str | None = None, name: str | None = None) -> File:
        """A document from a path, URL, data URL, base64, bytes, file object or a provider's file id.

        Without ``media_type`` the first bytes tell it, or the name's ending. URLs are not fetched here.
        ``InputError`` for a file that is not there, ``ConfigError`` for what is no source.
        """
        if isinstance(source, File):
            return source
        found = read_source(source, media_type, name)
        kind = found.media_type
        return cls(found.data, found.url, found.file_id, kind or _unknown(found.data), found.name)

    @property
    def size(self) -> int | None:
        """Bytes; None for what is not here (a URL, a file id)."""
        return None if self.data is None else len(self.data)

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

    @classmethod
    def of(cls, source: Source | Audio, media_type: str | None = None, name: str | None = None) -> Audio:
        """Sound from a path, URL, data URL, base64, bytes, file object or a provider's file id.

        Without ``media_type`` the first bytes tell it, or the name's ending. URLs are not fetched here.
        ``InputError`` for a file that is not there or is no sound, ``ConfigError`` for what is no source.
        """
        if isinstance(source, Audio):
            return source
        found = read_source(source, media_type, name)
        kind = found.media_type
        if media_type is None and found.data is not None and not str(kind).startswith("audio/"):
            raise InputError(f"{found.shown} is no sound (it is {kind or 'of no type that is known'})")
        return cls(found.data, kind or "audio/wav", found.url, found.file_id, found.name)

    @property
    def size(self) -> int | None:
        """Bytes; None for what is not here (a URL, a file id)."""
        return None if self.data is None else len(self.data)

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


def _unknown(data: bytes | None) -> str:
    """The media type of a file that does not tell it: what is not here is most often a PDF."""
    return "application/pdf" if data is None else "application/octet-stream"
