"""Nothing that the user asks for is dropped in silence: every parameter, on every dialect, for every family of models.

A parameter either changes the body, or a note names it. Each is added to several requests, because thinking and tools
change what a model takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deluge import _plugins
from deluge.dialects import _settings
from deluge.errors import ConfigError, InputError
from deluge.models.model import Model
from deluge.models.registry import models
from deluge.params import CACHE_PATTERNS, EFFORTS, SERVICE_TIERS, SamplingParams
from deluge.prompt import Conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate, purpose_of
from deluge.tools import Tool
from deluge.wire import HttpCall

pytestmark = pytest.mark.slow

PROMPT = Conversation().system("Answer in JSON.").user("How high is Mont Blanc?")
SCHEMA = {"type": "object", "properties": {"metres": {"type": "integer"}}, "required": ["metres"]}
TOOL = Tool("look_up", "Looks a mountain up.", {
    "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": False,
})
VERBOSITIES = ("low", "medium", "high", "xhigh", "max")

EFFORT_WORDS = ("reasoning_effort", "verbosity", "global_effort")
ALSO_CALLED = {"global_effort": ("verbosity",)}

Wish = tuple[str, Any]
WISHES: list[Wish] = [
    ("temperature", 0.3), ("temperature", 1.7), ("top_p", 0.5), ("max_new_tokens", 5), ("max_new_tokens", 4_000),
    *(("reasoning_effort", level) for level in EFFORTS),
    ("thinking_budget", 0), ("thinking_budget", 300), ("thinking_budget", 4_000), ("thinking_budget", 100_000),
    *(("verbosity", level) for level in VERBOSITIES), *(("global_effort", level) for level in VERBOSITIES),
    ("json_mode", True), ("logprobs", True), ("top_logprobs", 5), ("strict_tools", True), ("strict_tools", False),
    ("seed", 7), ("stop", ("END",)), ("stop", (" ",)), ("stop", tuple("ABCDEFG")), ("extra", {"field": 1}),
    ("extra", {"model": "another"}),
    ("output_schema", SCHEMA), ("tools", (TOOL,)), ("extra_body", {"field": 1}), ("extra_body", {"stream": False}),
    *(("tool_choice", choice) for choice in ("auto", "none", "required", "look_up")),
    *(("cache", pattern) for pattern in CACHE_PATTERNS), ("cache_ttl", "5m"), ("cache_ttl", "1h"),
    *(("service_tier", tier) for tier in SERVICE_TIERS), ("background", True),
]
# The requests to which each wish is added.
BASES: dict[str, dict[str, Any]] = {
    "plain": {}, "thinking": {"reasoning_effort": "high"}, "with a budget": {"thinking_budget": 2_000},
    "unthinking": {"reasoning_effort": "none"}, "tools": {"tools": (TOOL,)}, "logprobs": {"logprobs": True},
    "thinking with tools": {"tools": (TOOL,), "reasoning_effort": "high"}, "terse": {"verbosity": "low"},
    "cached": {"cache": "system_and_tools", "tools": (TOOL,)}, "a schema": {"output_schema": SCHEMA},
}


def families() -> Iterator[tuple[str, Model]]:
    """One model of each combination of dialect, flags and efforts, on each dialect that it is served by."""
    seen = set()
    for model in models():
        if model.has("embedding") or model.has("reranking"):
            continue
        own = model.dialect or model.provider.dialect
        spoken = [] if own == "openai_chat" and model.has("requires_responses") else [own]
        if own == "openai_chat" and model.has("supports_responses"):
            spoken.append("openai_responses")
        for dialect in spoken:
            facts = (dialect, model.flags | model.provider.flags, model.efforts, model.default_effort,
                     model.provider.service_tiers)
            if facts not in seen:
                seen.add(facts)
                yield dialect, model


FAMILIES = list(families())


def built(dialect: str, model: Model, wishes: dict[str, Any], stream: bool = False) -> HttpCall:
    params = {name: value for name, value in wishes.items() if name in SamplingParams.model_fields}
    options = {name: value for name, value in wishes.items() if name not in params}
    template = RequestTemplate(
        model, SamplingParams(**params), RequestOptions(**options), "https://host.example", "a-key", dialect=dialect,
    )
    call: HttpCall = _plugins.load("dialects", dialect).build(RequestContext(PROMPT, template, stream=stream))
    return call


def granted(model: Model, plain: HttpCall, wishes: dict[str, Any], name: str, value: Any) -> bool:
    """Whether the model does what is asked without being told, or has it in the request already."""
    if name in EFFORT_WORDS and value in set(efforts_in(json.loads(plain.body))):
        return True
    if (name, value) in (("reasoning_effort", "none"), ("thinking_budget", 0)):
        return wishes.get("reasoning_effort") == "none" or "reasoning_effort" not in wishes and not thinks(model)
    if name == "service_tier":  # where nothing is said the provider chooses among what it has
        return value == "auto" or (value in ("default", "standard") and not model.provider.service_tiers)
    if name == "strict_tools":
        return value == (b'"strict":true' in plain.body)
    return name == "json_mode" and "output_schema" in wishes


def thinks(model: Model) -> bool:
    """Whether the model thinks when the request says nothing about it, as far as the catalog knows."""
    if model.efforts:
        return _settings.reasons(RequestTemplate(model, SamplingParams(), RequestOptions(), ""), None)
    return model.has("always_reasons") or model.has("thinks_by_default")


def efforts_in(data: Any) -> Iterator[str]:
    """The levels that a body asks for."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name in ("effort", "reasoning_effort", "thinkingLevel", "verbosity") and isinstance(value, str):
                yield value
            yield from efforts_in(value)


def moot(dialect: str, wishes: dict[str, Any], refused: set[str], name: str) -> bool:
    """Whether a wish says nothing here: what it goes with was not asked for, or is refused already."""
    needs = {"tool_choice": "tools", "strict_tools": "tools", "cache_ttl": "cache"}.get(name, "")
    goes_with = needs or ("logprobs" if name == "top_logprobs" else "")
    return (
        name in wishes or (needs != "" and needs not in wishes) or goes_with in refused
        or (name == "global_effort" and "verbosity" in wishes)
        or (name == "background" and dialect != "openai_responses")  # the client refuses it: it needs use_responses_api
    )


def dropped(dialect: str, model: Model) -> Iterator[str]:
    """What this model does not get and is not told."""
    for base, wishes in BASES.items():
        try:
            plain = built(dialect, model, wishes)
        except (ConfigError, InputError):
            continue
        before = set(plain.notes)
        refused = {note.parameter for note in plain.notes}
        for name, value in WISHES:
            if moot(dialect, wishes, refused, name):
                continue
            try:
                call = built(dialect, model, {**wishes, name: value})
            except (ConfigError, InputError):
                continue  # said loudly
            asked = set(value) if name in ("extra", "extra_body") else {name, *ALSO_CALLED.get(name, ())}
            said = any(note.parameter in asked for note in call.notes if note not in before)
            if call.body == plain.body and not said and not granted(model, plain, wishes, name, value):
                yield f"{base}: {name}={value!r}"


def case(item: tuple[str, Model]) -> str:
    return f"{item[0]}-{item[1].id}"


@pytest.mark.parametrize("family", FAMILIES, ids=case)
def test_a_parameter_changes_the_request_or_is_named(family: tuple[str, Model]) -> None:
    assert list(dropped(*family)) == []


@pytest.mark.parametrize("stream", [False, True])
def test_defaults_are_adapted_in_silence(stream: bool) -> None:
    noted = {
        case(family): call.notes for family in FAMILIES if (call := built(*family, {}, stream)).notes
    }
    assert noted == {}


def test_a_sampling_parameter_that_was_set_to_its_default_is_named_too_where_it_is_refused() -> None:
    refusing = [family for family in FAMILIES if family[1].has("sampling_fixed")]
    assert refusing
    for family in refusing:
        notes = [note.parameter for note in built(*family, {"temperature": 0.75}).notes]
        assert notes == ["temperature"], case(family)


def test_every_dialect_and_every_parameter_is_among_them() -> None:
    chats = {name for name in _plugins.names("dialects") if purpose_of(_plugins.load("dialects", name)) == "chat"}
    assert {dialect for dialect, _ in FAMILIES} == chats and len(FAMILIES) >= 25
    assert {name for name, _ in WISHES} >= SamplingParams.model_fields.keys()
    for family in FAMILIES:
        assert isinstance(json.loads(built(*family, {}).body), dict)
