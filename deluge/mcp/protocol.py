"""The Model Context Protocol's messages and words, as values: no socket, no process, no clock.

https://modelcontextprotocol.io/specification. Up to 2025-11-25 a connection begins with ``initialize``; the revision of
2026-07-28 has no such beginning: every request carries version, client and capabilities in its ``_meta``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deluge import _json
from deluge._version import __version__

HANDSHAKES = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS = ("2026-07-28",)

METHOD_NOT_FOUND = -32601
UNSUPPORTED_VERSION = -32022
MAX_MESSAGE = 64 << 20  # bytes of one message

CLIENT_INFO = {"name": "deluge", "version": __version__}
_META = "io.modelcontextprotocol/"
_PLAIN_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?|")
_WRAPPED_VALUE = re.compile(r"=\?base64\?.*\?=")
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_MAX_DEPTH = 32

Message = dict[str, Any]


def request(id: int, method: str, params: Mapping[str, Any] | None = None) -> Message:
    """A message that wants a reply."""
    made: Message = {"jsonrpc": "2.0", "id": id, "method": method}
    return made if params is None else {**made, "params": dict(params)}


def notification(method: str, params: Mapping[str, Any] | None = None) -> Message:
    """A message that wants none."""
    made: Message = {"jsonrpc": "2.0", "method": method}
    return made if params is None else {**made, "params": dict(params)}


def initialize_params(version: str) -> Message:
    """What a handshake offers: a version; deluge has none of the capabilities that a server could ask for."""
    return {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT_INFO}


def enveloped(params: Mapping[str, Any] | None, version: str) -> Message:
    """The parameters with what every request of a stateless revision says about its client."""
    params = dict(params or {})
    meta = {f"{_META}protocolVersion": version, f"{_META}clientInfo": CLIENT_INFO, f"{_META}clientCapabilities": {}}
    return {**params, "_meta": {**params.get("_meta", {}), **meta}}


def messages_in(data: bytes | str) -> list[Message]:
    """The messages of one line, body or event: one, or a batch of them. ``ValueError`` when it is something else."""
    value = _json.loads(data)
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in found):
        raise ValueError("not a message of JSON-RPC")
    return found


def answer_to(message: Message) -> Message | None:
    """What a server's own request gets: a ping its pong, a question to the user a polite no, all else "not found"."""
    id, method = message.get("id"), message.get("method")
    if not isinstance(id, (str, int)) or isinstance(id, bool):
        return None
    if method == "ping":
        return {"jsonrpc": "2.0", "id": id, "result": {}}
    if method == "elicitation/create":
        return {"jsonrpc": "2.0", "id": id, "result": {"action": "decline"}}
    error = {"code": METHOD_NOT_FOUND, "message": f"deluge does not offer {str(method)[:80]}"}
    return {"jsonrpc": "2.0", "id": id, "error": error}


def answers_to_inputs(asked: Any) -> Message | None:
    """Answers to what a stateless server wants to know before it goes on; None when one of them cannot be given."""
    if not isinstance(asked, Mapping):
        return {} if asked is None else None
    if any(not isinstance(item, Mapping) or item.get("method") != "elicitation/create" for item in asked.values()):
        return None
    return {key: {"action": "decline"} for key in asked}


def routing_headers(method: str, params: Mapping[str, Any]) -> dict[str, str]:
    """The headers in which a stateless revision repeats what the body says."""
    name = params.get(_NAMED.get(method, ""))
    return {"Mcp-Method": method} | ({"Mcp-Name": header_value(name)} if isinstance(name, str) else {})


def argument_headers(schema: Any, arguments: Mapping[str, Any]) -> dict[str, str]:
    """The headers for those arguments whose schema says ``x-mcp-header``."""
    return {f"Mcp-Param-{name}": header_value(text) for name, text in _annotated(schema, arguments, _MAX_DEPTH)}


def _annotated(schema: Any, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not depth or not isinstance(properties, Mapping) or not isinstance(value, Mapping):
        return
    for key, inner in properties.items():
        item = value.get(key)
        header = inner.get("x-mcp-header") if isinstance(inner, Mapping) else None
        if isinstance(header, str) and isinstance(item, (str, int)):
            yield header, str(item).lower() if isinstance(item, bool) else str(item)
        yield from _annotated(inner, item, depth - 1)


def header_value(text: str) -> str:
    """The text as a header can carry it: as it is, or in base64 between marks."""
    if _PLAIN_VALUE.fullmatch(text) and not _WRAPPED_VALUE.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode('utf-8', 'surrogatepass')).decode('ascii')}?="
