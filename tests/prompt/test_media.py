"""Where images, files and sound come from, and what they are."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deluge.errors import ConfigError, InputError
from deluge.prompt import Audio, Conversation, File, Image, Message, Text
from deluge.prompt.sniff import media_type_of, pixels_of

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 30, 20) + bytes(20)
GIF = b"GIF89a" + struct.pack("<HH", 30, 20) + bytes(8)
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc0\0\x0b\x08" + struct.pack(">HH", 20, 30) + b"\x01\x01\x11\0"
WEBP = b"RIFF\x20\0\0\0WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\x1d\0\0\x13\0\0"
LOSSLESS = b"RIFF\x20\0\0\0WEBPVP8L" + struct.pack("<I", 9) + b"\x2f" + (29 | 19 << 14).to_bytes(4, "little")
LOSSY = b"RIFF\x20\0\0\0WEBPVP8 " + struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 30, 20)
WAV, MP3, PDF = b"RIFF\x24\0\0\0WAVEfmt ", b"\xff\xfb\x90\0" + bytes(8), b"%PDF-1.7\n\xe2\xe3"


@pytest.mark.parametrize("data, wanted", [
    (PNG, "image/png"), (GIF, "image/gif"), (JPEG, "image/jpeg"), (WEBP, "image/webp"), (WAV, "audio/wav"),
    (MP3, "audio/mpeg"), (b"ID3\4\0", "audio/mpeg"), (PDF, "application/pdf"), (b"BM\x10\0\0\0\0\0\0\0\0\0\0\0", "image/bmp"),
    ("Grüße\n".encode(), "text/plain"), (b"BMW is a car maker", "text/plain"), (b"PK\3\4", "application/zip"),
    (b"fLaC", "audio/flac"), (b"OggS", "audio/ogg"), (b"\0\1\2", None), (b"", None), (b"\xff\xfe\0", None), (b"RIFF", None),
])
def test_bytes_tell_what_they_are(data: bytes, wanted: str | None) -> None:
    assert media_type_of(data) == wanted


@pytest.mark.parametrize("data", [PNG, GIF, JPEG, WEBP, LOSSLESS, LOSSY])
def test_pictures_tell_their_size(data: bytes) -> None:
    image = Image.of(data)
    assert image.pixels == (30, 20) and image.size == len(data)


@given(st.sampled_from([PNG, GIF, JPEG, WEBP, LOSSLESS, LOSSY, PDF, b""]), st.integers(0, 60), st.binary(max_size=12))
def test_torn_bytes_never_raise(data: bytes, end: int, more: bytes) -> None:
    pixels_of(data[:end] + more)


class Picture:
    """What PIL's images look like from outside."""

    size = (30, 20)

    def __init__(self, format: str | None, data: bytes) -> None:
        self.format, self.data = format, data

    def save(self, fp: Any, format: str | None = None) -> None:
        if format == "JPEG" and self.format != "JPEG":
            raise OSError("cannot write mode RGBA as JPEG")
        fp.write(self.data)


def test_images_from_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(PNG)
    text = base64.b64encode(PNG).decode()
    named = Image(PNG, media_type="image/png", name="a.jpg")
    assert Image.of(path) == Image.of(str(path)) == named
    with path.open("rb") as file:
        assert Image.of(file) == named
    plain = Image(PNG)
    safe = base64.urlsafe_b64encode(PNG).decode()
    for source in (PNG, bytearray(PNG), memoryview(PNG), io.BytesIO(PNG), text, text.rstrip("="), safe, Picture(None, PNG),
                   f"data:image/png;base64,{text}", plain):
        assert Image.of(source) == plain, source
    assert Image.of(Picture("JPEG", JPEG)).media_type == "image/jpeg"
    assert Image.of("https://i.example/a.webp?x=1", detail="low") == Image(
        url="https://i.example/a.webp?x=1", media_type="image/webp", detail="low")
    assert Image.of("gs://bucket/a") == Image(url="gs://bucket/a") and Image.of("file-abc123") == Image(file_id="file-abc123")
    assert Image.of(b"anything", media_type="image/avif") == Image(b"anything", media_type="image/avif")


def test_files_and_sound(tmp_path: Path) -> None:
    table, page, unknown = tmp_path / "a.csv", tmp_path / "page", tmp_path / "x.bin"
    table.write_text("a,b\n")
    page.write_text("hello")
    unknown.write_bytes(b"\0\1")
    assert File.of(table) == File(b"a,b\n", media_type="text/csv", name="a.csv")
    assert File.of(page, name="p.txt") == File(b"hello", media_type="text/plain", name="p.txt")
    assert File.of(unknown).media_type == "application/octet-stream" and File.of(PDF) == File(PDF)
    assert File.of("https://d.example/a.pdf") == File(url="https://d.example/a.pdf")
    assert File.of("data:text/plain,Hi%20there") == File(b"Hi there", media_type="text/plain")
    assert File.of("files/abc-1").file_id == "files/abc-1"
    assert Audio.of(MP3) == Audio(MP3, "audio/mpeg") and Audio.of(WAV).media_type == "audio/wav"
    assert File.of(PDF).size == len(PDF) and Audio(url="https://s.example/a").size is None


@pytest.mark.parametrize("make, error, words", [
    (lambda: Image.of("no/such.png"), InputError, "there is no file 'no/such.png', and it is no URL"),
    (lambda: Image.of(Path("no/such.png")), InputError, "'no/such.png' cannot be read: No such file or directory"),
    (lambda: Image.of(Path("/")), InputError, "cannot be read: Is a directory"),
    (lambda: Image.of(b""), InputError, "is empty"), (lambda: Image.of(""), InputError, "there is no file"),
    (lambda: Image.of(PDF), InputError, "is no image (it is application/pdf)"),
    (lambda: Image.of(b"\0\1"), InputError, "is no image (it is of no type that is known)"),
    (lambda: Audio.of(PNG), InputError, "is no sound (it is image/png)"),
    (lambda: Image.of("data:image/png;base64,???"), InputError, "not base64"),
    (lambda: Image.of("data:image/png"), InputError, "comma"),
    (lambda: Image.of("x" * 500), InputError, "there is no file 'xxx"),
    (lambda: Image.of(7), ConfigError, "not int"),  # type: ignore[arg-type]
    (lambda: Image.of(io.StringIO("x")), ConfigError, "opened for bytes"),  # type: ignore[arg-type]
    (lambda: Image.of(Picture("BAD", b"")), InputError, "is empty"),
])
def test_what_is_no_medium_is_named(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert words in str(caught.value) and len(str(caught.value)) < 250


def test_messages_take_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    message = Message.user("See", image=str(path), file=PDF, audio=WAV)
    assert [type(part) for part in message.parts] == [Text, Image, File, Audio]
    grown = Message.user("See").with_image(path).with_file(PDF).with_audio(WAV)
    assert grown == message == Conversation().user("See", image=path, file=io.BytesIO(PDF), audio=WAV).messages[0]
    assert Message.user().with_image(b"x", "image/png", "low").parts == (Image(b"x", detail="low"),)


def test_media_are_shown_without_their_bytes() -> None:
    assert repr(Image(PNG, name="a.png")).startswith("<Image 'a.png' image/png ")
    assert repr(File(url="https://h.example/a.pdf?sig=secret")) == "<File https://h.example/a.pdf application/pdf>"
    assert repr(Audio(b"ID3" + b"x" * 2000)) == "<Audio audio/mpeg 2,003 bytes>"


@pytest.mark.parametrize("make", [Image, File, Audio, lambda: Image("a.png", url="https://h.example/a.png")])
def test_a_medium_has_one_source(make: Any) -> None:
    with pytest.raises(ConfigError, match="takes one of data, url and file_id"):
        make()
