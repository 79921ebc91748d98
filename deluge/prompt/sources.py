"""Where media come from: a path, a URL, a data URL, base64, bytes, a file object, a picture of PIL's, a file id."""

from __future__ import annotations

import base64
import binascii
import io
import mimetypes
import os
import re
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, Union
from urllib.parse import unquote_to_bytes, urlsplit

from deluge.errors import ConfigError, InputError
from deluge.prompt.sniff import media_type_of

_URL = re.compile(r"(https?|s3|gs)://", re.I)
_FILE_ID = re.compile(r"file[-_][A-Za-z0-9_-]{4,}|files/[a-z0-9-]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_SHORTEST_BASE64 = 40  # characters; a shorter text is a name
_SAYS_NOTHING = ("application/octet-stream", "binary/octet-stream", "application/x-download", "application/force-download")
_SHOWN = 60  # characters of a source that an error shows
_WEAK = ("text/plain", "application/zip", None)  # what the name's ending may know better


class Picture(Protocol):
    """An image of PIL's: whatever can save itself."""

    def save(self, fp: Any, format: str | None = ...) -> Any:
        """Writes it."""


Source = Union[str, bytes, bytearray, memoryview, "os.PathLike[str]", IO[bytes], Picture]


class Found(NamedTuple):
    """What a source holds. ``shown`` names it in errors."""

    data: bytes | None = None
    url: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    name: str | None = None
    shown: str = "this"


def read_source(source: Any, media_type: str | None = None, name: str | None = None) -> Found:
    """The bytes, URL or id behind a source, and its media type as far as it can be told."""
    found = _found(source)
    if found.data == b"":
        raise InputError(f"{found.shown} is empty")
    name = name or found.name
    kind = media_type or found.media_type or kind_of(found, name)
    return found._replace(media_type=kind, name=name)


def _found(source: Any) -> Found:
    if isinstance(source, str):
        return _of_text(str(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Found(bytes(source), shown="what was given as bytes")
    if isinstance(source, os.PathLike):
        return _of_path(Path(source))
    if hasattr(source, "read"):
        return _of_file(source)
    if hasattr(source, "save") and hasattr(source, "size"):
        return _of_picture(source)
    raise ConfigError(
        f"media come from a path, URL, data URL, base64, bytes, file object, PIL image or file id, not {type(source).__name__}"
    )


def _of_text(text: str) -> Found:
    if text[:5].lower() == "data:":
        return _of_data_url(text)
    if _URL.match(text):
        return Found(url=text, name=None, shown=_short(text))
    if os.path.isfile(os.path.expanduser(text)):
        return _of_path(Path(text))
    if _FILE_ID.fullmatch(text):
        return Found(file_id=text, shown=text)
    packed = "".join(text.split())
    if len(packed) >= _SHORTEST_BASE64 and _BASE64.fullmatch(packed):
        data = decoded_base64(packed)
        if data is not None and media_type_of(data) is not None:
            return Found(data, shown="what was given as base64")
    raise InputError(f"there is no file {_short(text)!r}, and it is no URL, data URL, base64 or file id")


def _of_path(path: Path) -> Found:
    path = Path(os.path.expanduser(path))
    try:
        return Found(path.read_bytes(), name=path.name, shown=repr(str(path)))
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or type(error).__name__}") from None


def _of_file(file: Any) -> Found:
    data = file.read()
    if not isinstance(data, bytes):
        raise ConfigError(f"a file object has to be opened for bytes ('rb'); this one gives {type(data).__name__}")
    name = getattr(file, "name", None)
    name = os.path.basename(name) if isinstance(name, str) and name else None
    return Found(data, name=name, shown=repr(name) if name else "what the file object gives")


def _of_picture(picture: Any) -> Found:
    """A PNG, or a JPEG of what was read from one."""
    form = "JPEG" if getattr(picture, "format", None) == "JPEG" else "PNG"
    to = io.BytesIO()
    try:
        picture.save(to, format=form)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"the image cannot be written as {form}: {error}") from None
    return Found(to.getvalue(), media_type=f"image/{form.lower()}", shown="the image")


def _of_data_url(url: str) -> Found:
    head, comma, text = url[5:].partition(",")
    if not comma:
        raise InputError("a data URL has a comma before its data")
    words = head.split(";")
    data = decoded_base64("".join(text.split())) if "base64" in words[1:] else unquote_to_bytes(text)
    if data is None:
        raise InputError("a data URL holds data that is not base64")
    return Found(data, media_type=words[0].strip().lower() or None, shown="what the data URL holds")


def decoded_base64(text: str) -> bytes | None:
    """The bytes of standard or URL-safe base64, padded or not; None when it is neither."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def kind_of(found: Found, name: str | None) -> str | None:
    """What the bytes say; where they say little, what the name's ending says."""
    told = None if found.data is None else media_type_of(found.data)
    if told not in _WEAK:
        return told
    name = name or ("" if found.url is None else urlsplit(found.url).path)
    guessed = mimetypes.guess_type(name)[0] if name else None
    if told is not None and guessed is not None and guessed.startswith(("image/", "audio/", "video/")):
        return guessed if guessed == "image/svg+xml" else told
    return guessed or told


def fetched_type(data: bytes, said: str, declared: str, url: str) -> str:
    """The media type of what a URL led to: what the bytes say, else the server, else the name, else who gave the URL."""
    told = media_type_of(data)
    if told not in _WEAK:
        return str(told)
    said = said.partition(";")[0].strip().lower()
    if "/" in said and said not in _SAYS_NOTHING:
        return said
    return kind_of(Found(data, url=url), None) or declared


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN - 1] + "…"
