"""A few prompts to each provider, over the real network, where its key is in the environment; skipped where it is not.

``pytest -m integration tests/integration/test_live_smoke.py -k groq`` costs a fraction of a cent. Another model than the
cheapest is asked when it is named: ``DELUGE_SMOKE_MODELS="openai:gpt-4.1-mini vllm:Qwen/Qwen3-8B"``. Servers of your own
are asked only when they are named so, and need no key.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator

import pytest

from deluge import LLMClient
from deluge.models.model import Model, Provider
from deluge.models.registry import get_model, models, providers, resolve
from deluge.response import APIResponse

pytestmark = pytest.mark.integration

NAMED = dict(name.split(":", 1) for name in os.environ.get("DELUGE_SMOKE_MODELS", "").split())
# Hosts whose models are not in the catalog.
CHOSEN = {"huggingface": "openai/gpt-oss-20b", "sambanova": "Meta-Llama-3.3-70B-Instruct", **NAMED}
# Variables that an address needs beside the key.
ADDRESSES = {who.name: [names.split() for field, names in who.url_env.items() if field not in who.url_defaults]
             for who in providers()}
KEYED = [who for who in providers() if who.key_env]
# Large enough for models that think before they answer.
ROOM = 4_000
QUESTION = "What is 6 * 7?"


def skip_without_access(who: Provider) -> None:
    open_to_all = "local" in who.flags and who.name in NAMED
    if not open_to_all and not any(os.environ.get(name) for name in who.key_env):
        pytest.skip(f"needs {' or '.join(who.key_env)}")
    for names in ADDRESSES[who.name]:
        if not any(os.environ.get(name) for name in names):
            pytest.skip(f"needs {' or '.join(names)}")


def cheapest(who: Provider, *flags: str) -> Model | None:
    """The provider's cheapest model that answers in text and has these flags; None where the catalog knows none."""
    today = dt.datetime.now(dt.timezone.utc).date()
    fitting = [
        model for model in models() if model.provider.name == who.name and all(model.has(flag) for flag in flags)
        and not any(model.has(word) for word in ("embedding", "reranking", "retired", "requires_responses"))
        and (model.retires is None or model.retires > today)
    ]
    return min(fitting, key=lambda model: model.price.output or 1e9, default=None)


def asked(who: Provider) -> str:
    """The name of the model to ask."""
    if who.name in CHOSEN:
        return f"{who.name}:{CHOSEN[who.name]}"
    model = cheapest(who)
    if model is None:
        pytest.skip(f"name one of {who.name}'s models in DELUGE_SMOKE_MODELS")
    return model.id


@pytest.fixture(params=KEYED, ids=lambda who: who.name)
def provider(request: pytest.FixtureRequest) -> Provider:
    who: Provider = request.param
    skip_without_access(who)
    return who


@pytest.fixture
def client(provider: Provider) -> Iterator[LLMClient]:
    with LLMClient(asked(provider), max_new_tokens=ROOM, request_timeout=120, max_attempts=3, progress=None) as made:
        yield made


def check_answer(answer: APIResponse, who: Provider) -> None:
    """An answer is right, whole, and counted."""
    answer.raise_for_error()
    assert "42" in (answer.completion or "")
    assert answer.finish_reason == "stop"
    assert answer.provider == who.name and answer.status_code == 200 and answer.source == "api"
    assert 0 < answer.usage.total_input_tokens < 5_000
    assert 0 < answer.output_tokens <= ROOM
    row = get_model(answer.model_internal)
    if row.price.input is not None and row.price.output is not None:
        assert answer.cost is not None and 0 < answer.cost < 0.2


def test_a_provider_answers(client: LLMClient, provider: Provider) -> None:
    check_answer(client.ask(QUESTION), provider)


def test_a_provider_streams_what_it_answers(client: LLMClient, provider: Provider) -> None:
    *pieces, last = client.stream_chat(QUESTION)
    assert isinstance(last, APIResponse)
    check_answer(last, provider)
    assert "".join(piece.text for piece in pieces if not isinstance(piece, APIResponse) and piece.kind == "text") == \
        last.completion


def test_a_provider_calls_a_tool(provider: Provider) -> None:
    model = cheapest(provider, "supports_tools")
    if model is None:
        pytest.skip("no model of the catalog that calls functions")

    def temperature_in(city: str) -> str:
        """The temperature in a city, in degrees."""
        return "21"

    with LLMClient(model.id, max_new_tokens=ROOM, request_timeout=120, max_attempts=3, progress=None) as client:
        answer = client.ask("How warm is it in Lima now? Use the tool.", tools=[temperature_in]).raise_for_error()
    assert [call.name for call in answer.tool_calls] == ["temperature_in"]
    assert "lima" in str(answer.tool_calls[0].arguments).lower()
    assert answer.finish_reason == "tool_calls"


def test_a_wrong_key_is_an_error_of_its_own(provider: Provider) -> None:
    if provider.key_optional:
        pytest.skip("asks for no key, or takes other credentials")
    with LLMClient(asked(provider), api_key="sk-not-a-key", max_attempts=1, request_timeout=60, progress=None) as client:
        answer = client.ask("Hello")
    assert answer.is_error and answer.error_kind in ("auth", "permission", "bad_request")
    assert "sk-not-a-key" not in str(answer.error_message)


def test_every_provider_with_a_key_has_a_model_to_ask() -> None:
    """Needs no key: the choice itself is right."""
    for who in KEYED:
        if who.name in CHOSEN or cheapest(who) is not None:
            assert resolve(asked(who))[0].provider.name == who.name
        else:  # embeddings only, a deployment of the user's, or a server of the user's
            assert who.name in ("voyage", "azure-deployments") or "local" in who.flags
