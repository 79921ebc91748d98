"""The body of a request, but for system and messages: small fragments, each of which reads flags of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deluge.dialects import _settings
from deluge.request import RequestContext, RequestTemplate
from deluge.wire import Note

Fragment = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fragments:
    """The body without system and messages; ``betas`` are for the header, ``marks`` its cache breakpoints."""

    body: Fragment
    notes: tuple[Note, ...] = ()
    betas: tuple[str, ...] = ()
    marks: int = 0


def fragments(ctx: RequestContext) -> Fragments:
    """What all prompts of a call have in common."""
    template = ctx.template
    values, notes = _settings.sampling(template, False)
    body = {
        "model": template.model.name, "max_tokens": template.params.max_new_tokens,
        **{name: value for name, value in values.items() if value != 1.0}, **_stream(ctx), **_own_fields(template),
    }
    return Fragments(body, tuple(notes))


def _stream(ctx: RequestContext) -> Fragment:
    return {"stream": True} if ctx.stream else {}


def _own_fields(template: RequestTemplate) -> Fragment:
    return {**(template.params.extra or {}), **template.options.extra_body}
