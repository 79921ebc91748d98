"""What a server's tool gave back, as the content of a tool result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union
from urllib.parse import unquote, urlsplit

from deluge import _json
from deluge.errors import MCPError
from deluge.prompt import Audio, File, Image, Text
from deluge.prompt.sources import decoded_base64

ResultPart = Union[Text, Image, Audio, File]


def content_of(result: Mapping[str, Any]) -> str | list[ResultPart]:
    """A text, or parts where there is more than text. ``MCPError`` for data that is not base64.

    Structured content is added as JSON, unless a text says the same already.
    """
    blocks = result.get("content")
    rows = blocks if isinstance(blocks, list) else []
    parts = [_part(block) for block in rows if isinstance(block, Mapping)]
    structured = result.get("structuredContent")
    if structured is not None and not _said(parts, structured):
        parts.append(Text(_json.dumps(structured).decode("utf-8")))
    if all(isinstance(part, Text) for part in parts):
        return "\n".join(part.text for part in parts if isinstance(part, Text))
    return parts


def _part(block: Mapping[str, Any]) -> ResultPart:
    kind = block.get("type")
    if kind == "text":
        return Text(str(block.get("text", "")))
    if kind in ("image", "audio"):
        return _medium(_bytes(block.get("data")), str(block.get("mimeType") or f"{kind}/*"))
    if kind == "resource" and isinstance(block.get("resource"), Mapping):
        return _resource(block["resource"])
    rest = {key: value for key, value in block.items() if key not in ("_meta", "annotations", "icons")}
    return Text(_json.dumps(rest).decode("utf-8"))  # a link to a resource, or what is not known yet


def _resource(resource: Mapping[str, Any]) -> ResultPart:
    if "blob" not in resource:
        return Text(str(resource.get("text", "")))
    name = unquote(urlsplit(str(resource.get("uri", ""))).path.rpartition("/")[2]) or None
    return _medium(_bytes(resource["blob"]), str(resource.get("mimeType") or "application/octet-stream"), name)


def _medium(data: bytes, kind: str, name: str | None = None) -> ResultPart:
    if kind.startswith("image/"):
        return Image.of(data, None if kind.endswith("*") else kind, name=name)
    if kind.startswith("audio/"):
        return Audio.of(data, None if kind.endswith("*") else kind, name=name)
    return File(data, media_type=kind, name=name)


def _bytes(text: Any) -> bytes:
    data = decoded_base64(text) if isinstance(text, str) else None
    if data is None:
        raise MCPError("the tool gave back data that is not base64", kind="parse")
    return data


def _said(parts: list[ResultPart], structured: Any) -> bool:
    """Whether a text is this value, or the one value that servers wrap as ``{"result": …}``."""
    inner = structured["result"] if isinstance(structured, dict) and structured.keys() == {"result"} else structured
    texts = [part.text for part in parts if isinstance(part, Text)]
    if inner in texts or (isinstance(inner, list) and inner == texts):
        return True
    return any(value in (structured, inner) for value in map(_value, texts)) or (
        isinstance(inner, list) and bool(texts) and [_value(text) for text in texts] == inner)


def _value(text: str) -> Any:
    try:
        return _json.loads(text)
    except ValueError:
        return text
