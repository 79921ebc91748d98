"""How large media may be: what providers publish, by provider. One that has no row here is not checked.

Sources: https://platform.claude.com/docs/en/build-with-claude/vision and /api/overview#request-size-limits,
https://developers.openai.com/api/docs/guides/file-inputs, https://ai.google.dev/gemini-api/docs/file-input-methods,
https://docs.aws.amazon.com/bedrock/latest/userguide/inference-api-restrictions.html,
https://docs.x.ai/docs/guides/image-understanding
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

MB = 1_000_000
MIB = 1 << 20
_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Bytes that one image, file or sound may have (before base64); None where nothing is published.

    ``request``: bytes of all media of one request as they are sent, in base64. ``pixels``: the longest side of an image.
    ``images``: the types of image that are taken; empty where that is not known. ``by_type``: the limit of files of a
    type, where it is another than ``file``; 0 is none.
    """

    image: int | None = None
    file: int | None = None
    audio: int | None = None
    request: int | None = None
    pixels: int | None = None
    images: frozenset[str] = frozenset()
    by_type: Mapping[str, int] = field(default_factory=lambda: _NOTHING)


_FOUR = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
UNCHECKED = MediaLimits()
MEDIA_LIMITS: Mapping[str, MediaLimits] = MappingProxyType({
    "anthropic": MediaLimits(image=5 * MIB, request=32 * MB, pixels=8000, images=_FOUR),
    "openai": MediaLimits(file=50 * MB, images=_FOUR),
    "azure": MediaLimits(images=_FOUR),
    "google": MediaLimits(request=100 * MB, by_type={"application/pdf": 50 * MB}),
    "bedrock": MediaLimits(file=4_500_000, images=_FOUR, by_type={"application/pdf": 0, _DOCX: 0}),
    "xai": MediaLimits(image=20 * MIB),
})
