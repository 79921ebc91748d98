"""Requests of which one part is the same for all prompts of a call: it is made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deluge.dialects._headers import signer
from deluge.dialects._parts import json_bytes
from deluge.prompt import Text
from deluge.request import RequestContext, RequestTemplate
from deluge.wire import HttpCall, Note


@dataclass(frozen=True, slots=True)
class Fixed:
    """What does not depend on the prompt. ``head``: the body up to where the prompt begins, with a comma at its end."""

    head: bytes
    url: str
    headers: dict[str, str]
    notes: tuple[Note, ...]
    sign: str | None = None
    sign_args: Mapping[str, Any] | None = None

    def call(self, ctx: RequestContext, rest: bytes, notes: tuple[Note, ...] = ()) -> HttpCall:
        """The request with ``rest``, the end of its body; ``notes`` are those of the prompt."""
        return HttpCall(
            "POST", self.url, self.headers, self.head + rest, 0.0, ctx.stream, self.sign, self.sign_args,
            self.notes + notes if notes else self.notes,
        )


def fixed_call(
    template: RequestTemplate, body: Mapping[str, Any], notes: tuple[Note, ...], url: str, headers: dict[str, str],
) -> Fixed:
    """The fixed part of a request with this body; it is signed where there is no key for it."""
    sign, sign_args = (None, None) if "authorization" in headers else signer(template)
    return Fixed(json_bytes(body, "the body of the request")[:-1] + b",", url, headers, notes, sign, sign_args)


def plain_text(ctx: RequestContext) -> str | None:
    """The text of a prompt that is nothing but one text of the user's; None for any other, and where it is to be marked."""
    messages = ctx.prompt.messages
    if len(messages) != 1 or ctx.template.options.cache is not None:
        return None
    (message,) = messages
    if message.role != "user" or len(message.parts) != 1 or message.name is not None:
        return None
    (part,) = message.parts
    return part.text if type(part) is Text else None


def named(ctx: RequestContext) -> bool:
    """Whether a message of the prompt says who speaks."""
    return any(message.name is not None for message in ctx.prompt.messages)
