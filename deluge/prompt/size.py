"""How large a prompt is, for estimates: UTF-8 bytes of its text, and a flat rate for media."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deluge.prompt.media import Audio, File, Image
from deluge.prompt.parts import Text

if TYPE_CHECKING:
    from deluge.prompt.conversation import Conversation

FIRST_RATIO = 0.25  # tokens per UTF-8 byte of text, before a model's own counts are known
LEAST_BYTES_PER_TOKEN = 2.5  # where a limit of the provider must not be met: digits and other scripts
OVERHEAD = 8  # tokens around a prompt that no character pays for: roles, separators
IMAGE_SIZE = 4_000  # bytes of text that cost about as much as an image
BYTES_PER_TOKEN_OF_FILE = 8  # a document's bytes against the bytes of the text in it


def size_of(conversation: Conversation) -> int:
    """Bytes of text, media included at a flat rate."""
    total = 0
    for message in conversation.messages:
        for part in message.parts:
            total += _text(part.text) if type(part) is Text else _size(part)
    return total


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _size(part: Any) -> int:
    if isinstance(part, Image):
        return IMAGE_SIZE
    if isinstance(part, (File, Audio)):
        return IMAGE_SIZE if part.data is None else max(IMAGE_SIZE, len(part.data) // BYTES_PER_TOKEN_OF_FILE)
    content = getattr(part, "content", None)
    if isinstance(content, tuple):
        return sum(_size(item) for item in content)
    texts = (getattr(part, name, None) for name in ("text", "content", "arguments", "data"))
    return sum(_text(value if isinstance(value, str) else str(value)) for value in texts if value)
