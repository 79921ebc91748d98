"""Images, files and sound as frozen data: bytes, a URL, or the id of a file that the provider has already."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from deluge.errors import ConfigError, InputError
from deluge.prompt.sniff import pixels_of
from deluge.prompt.sources import Found, Source, kind_of, read_source


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: from a path, URL, data URL, base64, bytes, file object, PIL image or a provider's file id.

    ``Image("chart.png")`` reads it at once; URLs are not fetched here. What it holds is in one of ``data`` (bytes), ``url``
    and ``file_id``. Without ``media_type`` the first bytes tell it, or the name's ending. ``detail``: low, high or auto,
    where a provider takes it. ``InputError`` for a file that is not there or is no image, ``ConfigError`` for what is no
    source.
    """

    data: bytes | None
    url: str | None
    file_id: str | None
    media_type: str
    detail: str
    name: str | None

    def __init__(
        self, data: Source | None = None, url: str | None = None, file_id: str | None = None,
        media_type: str | None = None, detail: str = "auto", name: str | None = None,
    ) -> None:
        found = _found("Image", data, url, file_id, media_type, name)
        kind = _kind(found, media_type, "image/", "no image", strict=type(data) is not bytes)
        _fill(self, found, media_type=kind or "image/png", detail=detail)

    @classmethod
    def of(cls, source: Source | Image, media_type: str | None = None, detail: str = "auto", name: str | None = None) -> Image:
        """``Image(source)``, but what is an Image already is given back, and bytes that are no image are refused."""
        if isinstance(source, Image):
            return source
        return cls(None if source is None else _as_source(source), None, None, media_type, detail, name)

    def __repr__(self) -> str:
        return _shown(self)

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
    """A document: from a path, URL, data URL, base64, bytes, file object or a provider's file id.

    ``File("report.pdf")`` reads it at once; URLs are not fetched here. What it holds is in one of ``data`` (bytes), ``url``
    and ``file_id``. Without ``media_type`` the first bytes tell it, or the name's ending. ``InputError`` for a file that is
    not there, ``ConfigError`` for what is no source.
    """

    data: bytes | None
    url: str | None
    file_id: str | None
    media_type: str
    name: str | None

    def __init__(
        self, data: Source | None = None, url: str | None = None, file_id: str | None = None,
        media_type: str | None = None, name: str | None = None,
    ) -> None:
        found = _found("File", data, url, file_id, media_type, name)
        # What is not here is most often a PDF.
        kind = found.media_type or ("application/pdf" if found.data is None else "application/octet-stream")
        _fill(self, found, media_type=kind)

    @classmethod
    def of(cls, source: Source | File, media_type: str | None = None, name: str | None = None) -> File:
        """``File(source)``, but what is a File already is given back."""
        return source if isinstance(source, File) else cls(_as_source(source), None, None, media_type, name)

    def __repr__(self) -> str:
        return _shown(self)

    @property
    def size(self) -> int | None:
        """Bytes; None for what is not here (a URL, a file id)."""
        return None if self.data is None else len(self.data)

    def digest(self) -> str:
        """The hash of the whole content, or of what names it."""
        return digest(self.data, self.url, self.file_id)


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound (wav, mp3 …): from a path, URL, data URL, base64, bytes, file object or a provider's file id.

    ``Audio("call.mp3")`` reads it at once; URLs are not fetched here. Without ``media_type`` the first bytes tell it, or
    the name's ending. ``InputError`` for a file that is not there or is no sound, ``ConfigError`` for what is no source.
    """

    data: bytes | None
    media_type: str
    url: str | None
    file_id: str | None
    name: str | None

    def __init__(
        self, data: Source | None = None, media_type: str | None = None, url: str | None = None,
        file_id: str | None = None, name: str | None = None,
    ) -> None:
        found = _found("Audio", data, url, file_id, media_type, name)
        kind = _kind(found, media_type, "audio/", "no sound", strict=type(data) is not bytes)
        _fill(self, found, media_type=kind or "audio/wav")

    @classmethod
    def of(cls, source: Source | Audio, media_type: str | None = None, name: str | None = None) -> Audio:
        """``Audio(source)``, but what is an Audio already is given back, and bytes that are no sound are refused."""
        return source if isinstance(source, Audio) else cls(_as_source(source), media_type, name=name)

    def __repr__(self) -> str:
        return _shown(self)

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


def _shown(media: Image | File | Audio) -> str:
    """What it is, without its bytes, and without the query of a URL, which may be a signature."""
    place = media.file_id if media.url is None else media.url.partition("?")[0]
    pixels = media.pixels if isinstance(media, Image) else None
    facts = [
        repr(media.name) if media.name else None, place, media.media_type,
        f"{pixels[0]}x{pixels[1]}" if pixels else None, None if media.data is None else f"{len(media.data):,} bytes",
    ]
    return f"<{type(media).__name__} {' '.join(fact for fact in facts if fact)}>"


def _as_source(source: Any) -> Any:
    """Bytes of whatever kind as a view of them: they are looked at, not taken as they are."""
    return memoryview(source) if type(source) is bytes else source


def _found(what: str, data: Any, url: str | None, file_id: str | None, media_type: str | None, name: str | None) -> Found:
    """What the one source among these holds; bytes may have an id beside them (sound that a model has spoken)."""
    given = (data is not None) + (url is not None) + (file_id is not None)
    if given != 1 and not (given == 2 and url is None):
        raise ConfigError(f"{what} takes one of data, url and file_id; {given or 'none'} of them are given")
    if type(data) is bytes:  # as they are, even when they are empty
        found = Found(data, None, file_id, media_type, name, "what was given as bytes")
        return found if media_type is not None else found._replace(media_type=kind_of(found, name))
    if file_id is not None:
        return Found(file_id=file_id, media_type=media_type, name=name)
    return read_source(data if url is None else url, media_type, name)


def _kind(found: Found, given: str | None, group: str, what: str, *, strict: bool) -> str | None:
    """The media type, where it is one of this group. ``InputError`` when the bytes are something else."""
    kind = found.media_type
    if given is not None or (kind is not None and kind.startswith(group)):
        return kind
    if strict and found.data is not None:
        raise InputError(f"{found.shown} is {what} (it is {kind or 'of no type that is known'})")
    return kind if found.data is None and kind is not None else None


def _fill(media: Any, found: Found, **more: Any) -> None:
    for field, value in (
        ("data", found.data), ("url", found.url), ("file_id", found.file_id), ("name", found.name), *more.items(),
    ):
        object.__setattr__(media, field, value)
