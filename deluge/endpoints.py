"""Where a model is asked and with which key: settings, then the environment, read when a prompt is first sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from deluge import _env
from deluge._plugins import load, names, room
from deluge.dialects import _settings
from deluge.errors import ConfigError, MissingAPIKeyError
from deluge.models import address
from deluge.models.model import Model, Provider
from deluge.params import SamplingParams
from deluge.request import RequestOptions, RequestTemplate, purpose_of

REHEARSAL = "rehearsal-echo"
# The formats that embed and rank, by the one in which the same provider chats; flags go before them.
_OTHERS: Mapping[str, Mapping[str, str]] = {
    "embed": {"cohere_v2": "cohere_embeddings", "openai_chat": "embeddings", "openai_responses": "embeddings",
              "gemini": "gemini_embeddings"},
    "rerank": {"openai_chat": "rerank", "openai_responses": "rerank"},
}
_CALLS = {
    "embedding": "gives embeddings: client.embed(texts, model={!r})",
    "reranking": "ranks documents: client.rerank(query, documents, model={!r})",
}


def base_url_of(model: Model, given: str | None) -> str:
    """The address: the user's, the model's or the provider's, with its ``{fields}`` filled from the environment."""
    if model.has("embedded") and given is None:
        embedded: str = room("testing.embedded").embedded_url()
        return embedded
    return address.base_url(model, _env.get, given=given)


def key_of(model: Model, given: Any, base_url: str | None) -> str | None:
    """The key: the user's (a string, a callable, or a mapping by provider), else the provider's variable.

    ``MissingAPIKeyError`` names the variable.
    """
    provider = model.provider
    key = _given(provider, given)
    if key is None:
        key = _env.get(*provider.key_env) if provider.key_env else None
    if key is None and not provider.key_optional and base_url is None:
        variables = " or ".join(provider.key_env) or "its key"
        raise MissingAPIKeyError(
            f"{model.id} needs a key of {provider.name}: set {variables}, or give api_key= "
            f"(to try without a key: {REHEARSAL})"
        )
    return key.strip() if key else None


def _given(provider: Provider, given: Any) -> str | None:
    if isinstance(given, Mapping):
        given = given.get(provider.name)
    if callable(given):
        given = given()
    if given is None or isinstance(given, str):
        return given
    raise ConfigError(f"api_key must be a string, a callable or a mapping by provider, not {type(given).__name__}")


def dialect_of(model: Model, options: RequestOptions, params: SamplingParams) -> tuple[str, str | None]:
    """The wire format for this call, and why it is not the one to be expected; None when it is.

    Chat completions give way to the Responses API where that was asked for, and where they refuse tools that it takes.
    ``ConfigError`` when the model cannot be asked in this way.
    """
    if options.purpose is not None:
        return _other_dialect(model, options.purpose.kind), None
    for flag, words in _CALLS.items():
        if model.has(flag):
            raise ConfigError(f"{model.id} does not chat, it {words.format(model.id)}")
    name, why = model.dialect or model.provider.dialect, None
    if name == "openai_chat":
        name, why = _openai_dialect(RequestTemplate(model, params, options, ""))
    elif options.use_responses_api and name != "openai_responses":
        why = "the model is not served by the Responses API: its own is used"
    if name not in names("dialects"):
        raise ConfigError(f"{model.id} speaks {name!r}, which this release cannot send yet")
    return name, why


def _other_dialect(model: Model, kind: str) -> str:
    """The format in which this model embeds or ranks."""
    spoken = model.dialect or model.provider.dialect
    others = _OTHERS[kind]
    name = next((other for flag, other in others.items() if model.has(flag)), others.get(spoken))
    if name is None and spoken in names("dialects") and purpose_of(load("dialects", spoken)) == kind:
        name = spoken
    if name is None or model.has("google_auth"):
        what = "embeddings" if kind == "embed" else "rankings"
        raise ConfigError(f"{model.id}: this release asks {model.provider.name} for no {what}")
    return name


def _openai_dialect(template: RequestTemplate) -> tuple[str, str | None]:
    model, options = template.model, template.options
    if options.use_responses_api:
        if model.has("supports_responses"):
            return "openai_responses", None
        return "openai_chat", "the model is not served by the Responses API: chat completions are used"
    if model.has("requires_responses"):
        raise ConfigError(_settings.chat_refuses(template))
    if not options.tools or not model.has("supports_responses"):
        return "openai_chat", None
    if model.has("requires_responses_for_tools"):
        return "openai_responses", "the model calls tools through the Responses API only: that is used"
    if model.has("no_tools_with_reasoning") and _settings.reasons(template, _settings.effort(template)[0]):
        why = "chat completions refuse tools while the model reasons: the Responses API is used"
        return "openai_responses", why
    return "openai_chat", None


def today() -> dt.date:
    """The day, for retirement notices."""
    return dt.datetime.now(dt.timezone.utc).date()
