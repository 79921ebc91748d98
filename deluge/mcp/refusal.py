"""What it means when HTTP brings no reply: failures of the transport and statuses, as our exceptions."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import urljoin, urlsplit

from deluge.errors import MCPError
from deluge.mcp.pending import Lost
from deluge.mcp.protocol import Message, messages_in
from deluge.tools import MCPServer
from deluge.wire import HttpReply

_SHOWN = 300  # characters of a body
_WORDS = {
    401: ("auth", "wants authentication"), 403: ("permission", "does not permit this"),
    404: ("not_found", "is not at this url"), 405: ("not_found", "takes no messages at this url"),
    429: ("rate_limit", "has had too many requests"),
}


class Stopped(Exception):
    """The request was aborted by us."""


def fail(server: MCPServer, kind: str, message: str, *, sent: bool) -> NoReturn:
    """Raises what a failure of the transport means."""
    if kind == "timeout":
        raise TimeoutError
    if kind == "cancelled":
        raise Stopped
    if kind == "connection":
        raise Lost(server.redacted(message), sent=sent, over=False)
    raise MCPError(f"{server}: {server.redacted(message)}", server=server.name,
                   kind="parse" if kind == "too_large" else "connection")


def refusal_of(server: MCPServer, reply: HttpReply) -> MCPError:
    """What a status that is no 2xx means."""
    kind, words = _WORDS.get(reply.status, ("server" if reply.status >= 500 else "bad_request", "refuses the request"))
    if 300 <= reply.status < 400:
        words = f"redirects to {_host_of(server, reply)}; redirects are not followed, give the url itself"
    elif reply.status == 401:
        given = server.token is not None or any(name.lower() == "authorization" for name in server.headers or {})
        words = "refuses the token" if given else f"{words}: give it token= or headers="
    if server.withheld and reply.status in (401, 403):
        words += f" (it was unpickled, without its {', '.join(server.withheld)})"
    said = " ".join(reply.body[:4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
    detail = f": {server.redacted(said)}" if said and reply.status >= 400 else ""
    return MCPError(f"{server} {words} ({reply.status}){detail}", server=server.name, kind=kind, status_code=reply.status)


def error_in(body: bytes) -> Message | None:
    """The one JSON-RPC error that is the body; None when it is anything else."""
    try:
        messages = messages_in(body)
    except ValueError:
        return None
    return messages[0] if len(messages) == 1 and isinstance(messages[0].get("error"), dict) else None


def _host_of(server: MCPServer, reply: HttpReply) -> str:
    try:
        parts = urlsplit(urljoin(server.url or "", reply.headers.get("location", "")))
    except ValueError:
        return "another place"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
