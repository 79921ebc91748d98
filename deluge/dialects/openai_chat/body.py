"""The body of a request, but for its messages: small fragments, each of which reads flags of the model."""

from __future__ import annotations

from typing import Any

from deluge.dialects import _settings
from deluge.request import RequestContext
from deluge.wire import Note

# What the user's own fields may not replace: they would no longer belong to this prompt or this model.
_OURS = ("model", "messages", "stream")


def fragments(ctx: RequestContext) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """The body without messages, and what the user asked for that is not in it."""
    notes: list[Note] = []
    template = ctx.template
    model, params = template.model, template.params
    effort, note = _settings.effort(template)
    sampling, more = _settings.sampling(template, _settings.reasons(template, effort))
    limit = "max_tokens" if model.has("uses_max_tokens") else "max_completion_tokens"
    body: dict[str, Any] = {"model": model.name, **sampling, limit: params.max_new_tokens}
    return body, tuple(notes)
