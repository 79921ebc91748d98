"""Anthropic's format on other hosts: where each is asked, with which key, and what goes into the body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deluge._plugins import load
from deluge.dialects.anthropic import DIALECT
from deluge.models.address import base_url
from deluge.models.registry import get_model
from deluge.params import SamplingParams
from deluge.prompt.coerce import as_conversation
from deluge.request import RequestContext, RequestOptions, RequestTemplate
from deluge.wire import HttpCall

ENV = {"AWS_REGION": "eu-west-1", "ANTHROPIC_FOUNDRY_RESOURCE": "ours", "GOOGLE_CLOUD_PROJECT": "p"}


def call(name: str, key: str | None = "k", **params: Any) -> HttpCall:
    row = get_model(name)
    url = base_url(row, lambda *names: next((ENV[one] for one in names if one in ENV), None))
    template = RequestTemplate(row, SamplingParams(**params), RequestOptions(), url, key, dialect="anthropic")
    return DIALECT.build(RequestContext(as_conversation("Hi"), template))


@pytest.mark.parametrize("name, url, model, header", [
    ("claude-5.5-opus-mantle", "https://bedrock-mantle.eu-west-1.api.aws/anthropic/v1/messages", "anthropic.claude-opus-5-5",
     ("authorization", "Bearer k")),
    ("claude-aws:claude-opus-5-5", "https://aws-external-anthropic.eu-west-1.api.aws/v1/messages", "claude-opus-5-5",
     ("x-api-key", "k")),
    ("claude-5.5-opus-foundry", "https://ours.services.ai.azure.com/anthropic/v1/messages", "claude-opus-5-5",
     ("x-api-key", "k")),
    ("foundry:my-deployment", "https://ours.services.ai.azure.com/anthropic/v1/messages", "my-deployment",
     ("x-api-key", "k")),
    ("deepseek-v4-pro-anthropic-compat", "https://api.deepseek.com/anthropic/v1/messages", "deepseek-v4-pro",
     ("authorization", "Bearer k")),
    ("kimi-k3-anthropic-compat", "https://api.moonshot.ai/anthropic/v1/messages", "kimi-k3", ("authorization", "Bearer k")),
    ("minimax-m3-anthropic-compat", "https://api.minimax.io/anthropic/v1/messages", "MiniMax-M3",
     ("authorization", "Bearer k")),
    ("glm-5.3-anthropic-compat", "https://api.z.ai/api/anthropic/v1/messages", "glm-5.3", ("authorization", "Bearer k")),
])
def test_where_a_host_is_asked(name: str, url: str, model: str, header: tuple[str, str]) -> None:
    made = call(name)
    assert made.url == url and json.loads(made.body)["model"] == model and made.headers[header[0]] == header[1]
    assert made.headers["anthropic-version"] == ("2026-10-21" if "claude" in model or "my-" in model else "2023-06-01")


@pytest.mark.parametrize("name, service", [
    ("claude-5.5-opus-mantle", "bedrock-mantle"), ("claude-aws:claude-opus-5-5", "aws-external-anthropic"),
])
def test_without_a_key_aws_signs(name: str, service: str) -> None:
    made = call(name, key=None)
    assert (made.sign, made.sign_args) == ("aws", {"service": service})


def test_models_are_asked_where_they_are_served_unless_told() -> None:
    def url(name: str, region: str | None = None) -> str:
        return base_url(get_model(name), lambda *names: region if "AWS_REGION" in names else None)

    assert url("gpt-oss-120b-bedrock") == "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1"
    assert url("claude-5.5-opus-bedrock") == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert url("gpt-oss-120b-bedrock", "eu-west-1") == "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1"


@pytest.mark.parametrize("name, service", [("gpt-6-luna-mantle", "bedrock-mantle"), ("gpt-6-luna-bedrock", "bedrock")])
@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses"])
def test_openai_on_aws_is_signed_for_its_host(name: str, service: str, dialect: str) -> None:
    row = get_model(name)
    template = RequestTemplate(row, SamplingParams(), RequestOptions(), base_url(row, lambda *names: None), dialect=dialect)
    made = load("dialects", dialect).build(RequestContext(as_conversation("Hi"), template))
    assert (made.sign, made.sign_args) == ("aws", {"service": service}) and "/openai/v1/" in made.url


@pytest.mark.parametrize("name, effort, wanted", [
    ("kimi-k3-anthropic-compat", "medium", {"output_config": {"effort": "low"}}),
    ("kimi-k3-anthropic-compat", "none", {"output_config": {"effort": "low"}}),
    ("kimi-k2.6-anthropic-compat", "none", {"thinking": {"type": "disabled"}}),
    ("glm-4.7-anthropic-compat", "high", {"thinking": {"type": "enabled", "budget_tokens": 16_384}}),
    ("glm-5.3-anthropic-compat", "none", {}),
    ("deepseek-v4-pro-anthropic-compat", "max", {"output_config": {"effort": "max"}, "thinking": {
        "type": "enabled", "budget_tokens": 49_152}}),
])
def test_thinking(name: str, effort: str, wanted: dict[str, Any]) -> None:
    body = json.loads(call(name, reasoning_effort=effort).body)
    assert {key: body[key] for key in ("thinking", "output_config") if key in body} == wanted
