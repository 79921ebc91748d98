"""What a function gave back, as the content of a tool result."""

from __future__ import annotations

from typing import Any, Union

from pydantic_core import to_json

from deluge.errors import ToolError
from deluge.prompt import Audio, File, Image, Text
from deluge.prompt.sniff import media_type_of

ResultPart = Union[Text, Image, File]
_PARTS = (Text, Image, File, Audio)


class ToolFailure(ToolError):
    """A tool's own word that it failed. ``content`` is what the model sees: a text or parts."""

    def __init__(self, content: Any) -> None:
        self.content = result_content(content)
        texts = [self.content] if isinstance(self.content, str) else [
            part.text for part in self.content if isinstance(part, Text)]
        super().__init__("\n".join(texts) or "the tool failed")

    def __reduce__(self) -> tuple[Any, ...]:
        return ToolFailure, (self.content,)


def result_content(value: Any) -> str | tuple[ResultPart, ...]:
    """A text or parts for a str, any JSON type, dataclass, pydantic model, bytes, picture, part, or a list of parts.

    Bytes are told by how they begin: an image, a document, or text in UTF-8. A list with a part in it is a list of parts,
    any other is JSON. ``ToolError`` for what cannot be written as JSON.
    """
    if isinstance(value, str):
        return str(value)
    if _is_part(value):
        return (_part(value),)
    if isinstance(value, (list, tuple)) and any(_is_part(item) for item in value):
        return tuple(_part(item) for item in value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _of_bytes(bytes(value))
    return _text(value)


def _is_part(value: Any) -> bool:
    return isinstance(value, _PARTS) or _is_picture(value)


def _is_picture(value: Any) -> bool:
    """An image of PIL's."""
    return type(value).__module__.partition(".")[0] == "PIL" and hasattr(value, "save")


def _part(value: Any) -> Any:
    if isinstance(value, _PARTS):
        return value
    if _is_picture(value):
        return Image.of(value)
    content = result_content(value)
    return Text(content) if isinstance(content, str) else content[0]


def _of_bytes(data: bytes) -> str | tuple[ResultPart, ...]:
    kind = media_type_of(data)
    if kind == "text/plain":
        return data.decode("utf-8")
    if kind is not None and kind.startswith("image/"):
        return (Image(data, media_type=kind),)
    return (File(data, media_type=kind or "application/octet-stream"),)


def _text(value: Any) -> str:
    try:
        return to_json(value, inf_nan_mode="constants", fallback=_plain).decode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise ToolError(f"the tool gave back what is no JSON ({type(value).__name__}): {reason}") from None


def _plain(value: Any) -> Any:
    """What numpy and pandas give back, as plain values."""
    for name in ("tolist", "to_dict", "model_dump"):
        method = getattr(value, name, None)
        if callable(method):
            return method()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
