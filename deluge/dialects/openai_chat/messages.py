"""Messages as chat completions take them."""

from __future__ import annotations

from typing import Any

from deluge.request import RequestContext


def wire_messages(ctx: RequestContext) -> list[dict[str, Any]]:
    """The conversation as a list of message dicts."""
    system = "developer" if ctx.model.has("developer_role") else "system"
    return [
        {"role": system if message.role == "system" else message.role, "content": message.completion or ""}
        for message in ctx.prompt.messages
    ]
