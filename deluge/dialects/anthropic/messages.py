"""Messages as Anthropic takes them: https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deluge.errors import InputError
from deluge.prompt import Text
from deluge.request import RequestContext
from deluge.wire import Note

Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """``body``: system and messages. ``old``: only the first version of the API takes them."""

    body: Wire
    notes: tuple[Note, ...] = ()
    old: bool = False


def wire_prompt(ctx: RequestContext, marks: int) -> Prompt:
    """The conversation in Anthropic's words."""
    system: list[str] = []
    messages: list[Wire] = []
    for message in ctx.prompt.messages:
        if not all(type(part) is Text for part in message.parts):
            raise InputError("only text can be sent")
        text = message.completion or ""
        if message.role == "system":
            system.append(text)
        else:
            messages.append({"role": "assistant" if message.role == "assistant" else "user", "content": text})
    head = {"system": "\n\n".join(system)} if system else {}
    return Prompt({**head, "messages": messages})
