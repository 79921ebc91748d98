"""Finding models by name, and adding some."""

import datetime as dt
import math
import subprocess
import sys
import threading

import pytest

from deluge.errors import ConfigError, UnknownModelError
from deluge.models import families, registry
from deluge.models.address import base_url
from deluge.models.find import find_models
from deluge.models.model import Model, Price, Provider
from deluge.models.register import register_model, register_provider
from deluge.models.rows import rows_of
from deluge.usage import Usage


@pytest.fixture
def forgotten():
    """Names to be taken out of the registry again."""
    names = []
    yield names
    registry.forget(*names)


def no_variables(*names):
    return None


def test_lookup_loads_one_catalog():
    code = (
        "import sys; from deluge.models.registry import get_model; get_model('gpt-4.1-mini');"
        "print([m for m in sys.modules if m.startswith('deluge.models.catalog.') and '._' not in m])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['deluge.models.catalog.openai']"


@pytest.mark.parametrize("name, id", [
    ("gpt-4.1-mini", "gpt-4.1-mini"),
    ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
    ("claude-sonnet-4-5", "claude-4.5-sonnet"),
    ("claude-opus-5-5", "claude-5.5-opus"),
    ("openai:gpt-4.1-mini", "gpt-4.1-mini"),
    ("anthropic:claude-sonnet-4-6", "claude-4.6-sonnet"),
    ("kimi:kimi-k3", "kimi-k3"),
    ("openrouter:openai/gpt-oss-120b:free", "gpt-oss-120b-free-openrouter"),
    ("azure:gpt-4.1", "gpt-4.1-azure"),
])
def test_ids_aliases_and_names_at_the_provider(name, id):
    assert registry.get_model(name).id == id


@pytest.mark.parametrize("name, provider, external", [
    ("openrouter:some/new-model:free", "openrouter", "some/new-model:free"),
    ("vllm:Qwen/Qwen3-8B", "vllm", "Qwen/Qwen3-8B"),
    ("together:anything", "together", "anything"),
    ("ollama:llama3.2:3b", "ollama", "llama3.2:3b"),
    ("claude:claude-next", "anthropic", "claude-next"),
    ("bedrock:us.anthropic.new-v1:0", "bedrock", "us.anthropic.new-v1:0"),
    ("azure-deployments:my-deployment", "azure-deployments", "my-deployment"),
])
def test_anything_of_a_provider(name, provider, external):
    model = registry.get_model(name)
    assert (model.id, model.provider.name, model.name) == (name, provider, external)
    assert model.price == Price() and model.cost(Usage(1, 1)) is None


def test_what_no_catalog_lists_refuses_nothing():
    model = registry.get_model("vllm:new")
    assert all(model.has(flag) for flag in ("supports_json", "supports_json_schema", "supports_tools"))
    assert model.efforts == ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    assert registry.custom_model("x", "http://localhost:9/v1/").provider.base_url == "http://localhost:9/v1"


@pytest.mark.parametrize("name, words", [
    ("gpt4.1-mini", "gpt-4.1-mini"),
    ("Claude-3-Haiku", "claude-3-haiku"),
    ("claude-opus-5.6", "claude-opus-5.5"),
    ("zzzzzz", "provider:model"),
    ("opnai:gpt-4o", "openai"),
    ("gpt-4.1-mini-hihg", "gpt-4.1-mini"),
    ("", "unknown model"),
    ("openai:", "unknown"),
])
def test_unknown_names_are_told_the_nearest(name, words):
    with pytest.raises(UnknownModelError, match=words.replace(".", r"\.")):
        registry.resolve(name)


@pytest.mark.parametrize("name, id, effort", [
    ("gpt-5-high", "gpt-5", "high"),
    ("gpt-5-mini-minimal", "gpt-5-mini", "minimal"),
    ("gpt-5.6-luna-none", "gpt-5.6-luna", "none"),
    ("claude-5.5-opus-max", "claude-5.5-opus", "max"),
    ("claude-sonnet-4-6-low", "claude-4.6-sonnet", "low"),
    ("openai:gpt-5-xhigh", "gpt-5", "xhigh"),
    ("openai:gpt-5", "gpt-5", None),
    ("gpt-5.1-codex-max", "gpt-5.1-codex-max", None),
    ("gpt-5.1-codex-max-high", "gpt-5.1-codex-max", "high"),
    ("vllm:my-model-high", "vllm:my-model-high", None),
])
def test_the_end_of_a_name_may_be_an_effort(name, id, effort):
    model, found = registry.resolve(name)
    assert (model.id, found) == (id, effort)


def test_a_name_with_an_effort_is_no_id():
    with pytest.raises(UnknownModelError):
        registry.get_model("gpt-5-high")


def test_register_model(forgotten):
    forgotten += ["acme-1", "acme"]
    model = register_model(
        "acme-1", base_url="https://api.acme.example/v1/", api_key_env="ACME_API_KEY", input_price=1, output_price=2.5,
        cached_input_price=0.1, context_window=32_000, supports_images=True, supports_json=False, efforts="low high",
        aliases="acme", requests_per_minute=math.inf, retires="2027-05-01",
    )
    assert registry.get_model("acme") is model and registry.resolve("acme-high") == (model, "high")
    assert model.flags == {"supports_images"} and model.provider.base_url == "https://api.acme.example/v1"
    assert model.provider.key_env == ("ACME_API_KEY",) and not model.provider.key_optional
    assert model.price == Price(1.0, 2.5, 0.1) and model.limits.requests_per_minute == math.inf
    assert model in registry.models() and model.retires == dt.date(2027, 5, 1)
    assert register_model("acme-1", provider="openrouter", name="acme/one").provider.name == "openrouter"
    assert registry.get_model("acme-1").name == "acme/one"


def test_register_model_at_a_known_provider_assumes_what_its_unlisted_models_have(forgotten):
    forgotten += ["opus-next", "gpt-4o"]
    model = register_model("opus-next", provider="anthropic", name="claude-opus-9")
    assert model.flags == families.CLAUDE_5_OPUS.flags and model.has("native_mcp")
    ours = register_model("gpt-4o", provider="openai", input_price=0.0, supports_tools=True)
    assert registry.get_model("gpt-4o") is ours and ours in registry.models()
    assert sum(found.id == "gpt-4o" for found in registry.models()) == 1
    assert registry.get_model("openai:gpt-4o") is ours and registry.get_model("azure:gpt-4o") is not ours


def test_register_model_keeps_the_provider_behind_another_address(forgotten):
    forgotten.append("proxied")
    model = register_model("proxied", provider="openai", base_url="https://proxy.example/v1", headers={"x-team": "a"})
    assert base_url(model, no_variables) == "https://proxy.example/v1"
    assert model.provider.name == "openai" and model.provider.headers == {"x-team": "a"}
    assert registry.get_provider("openai").base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize("fields, words", [
    ({"id": ""}, "id is a name"),
    ({"id": "x"}, "needs a known provider or a base_url"),
    ({"id": "x", "provider": "acme"}, "'acme' is no provider"),
    ({"id": "x", "provider": "openai", "input_prize": 1}, "did you mean input_price"),
    ({"id": "x", "provider": "openai", "supports_image": True}, "did you mean supports_images"),
    ({"id": "x", "provider": "openai", "supports_images": "yes"}, "true or false"),
    ({"id": "x", "provider": "openai", "flags": ["supports_jsn"]}, "unknown flag"),
    ({"id": "x", "provider": "openai", "input_price": -1}, "0 or more"),
    ({"id": "x", "provider": "openai", "input_price": float("nan")}, "0 or more"),
    ({"id": "x", "provider": "openai", "context_window": 0}, "above 0"),
    ({"id": "x", "provider": "openai", "requests_per_minute": True}, "above 0"),
    ({"id": "x", "provider": "openai", "dialect": "telepathy"}, "unknown dialect"),
    ({"id": "x", "base_url": "ftp://x"}, "https://"),
    ({"id": "x", "provider": "openai", "retires": "soon"}, "a day like"),
])
def test_register_model_refuses(fields, words):
    with pytest.raises(ConfigError, match=words):
        register_model(**fields)


def test_register_provider(forgotten):
    forgotten += ["acme", "ac"]
    register_provider("acme", "https://acme.example/v1", api_key_env=["ACME_KEY"], aliases="ac", flags=["random_seed"])
    model = registry.get_model("ac:model-1")
    assert (model.provider.name, model.name, model.has("random_seed")) == ("acme", "model-1", True)
    with pytest.raises(ConfigError, match="colon"):
        register_provider("a:b", "https://x.example")


def test_registering_from_many_threads(forgotten):
    forgotten += [f"threaded-{number}" for number in range(64)]
    start = threading.Barrier(8)

    def register(offset):
        start.wait()
        for number in range(offset, 64, 8):
            register_model(f"threaded-{number}", provider="openai")
            registry.get_model(f"threaded-{number}")

    threads = [threading.Thread(target=register, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"threaded-{number}" for number in range(64)} <= {model.id for model in registry.models()}


def test_the_first_lookup_from_many_threads_gives_everyone_the_same_row():
    code = """
import sys, threading
from deluge.models.registry import get_model
sys.setswitchinterval(1e-6)
start, found = threading.Barrier(16), []
def look():
    start.wait()
    found.append((get_model("claude-haiku-4-5"), get_model("gpt-4.1"), get_model("bedrock:us.amazon.nova-pro-v1:0")))
threads = [threading.Thread(target=look) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(found), len({tuple(map(id, row)) for row in found}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["16", "1"]


def test_find_models(forgotten):
    forgotten.append("priceless")
    register_model("priceless", provider="openai", supports_images=True)
    cheap = find_models("openai", max_input_price=0.5, supports_images=True, retired=False, sort_by="input_price")
    assert cheap and all(model.provider.name == "openai" and model.price.input <= 0.5 for model in cheap)
    assert [m.price.input for m in cheap] == sorted(m.price.input for m in cheap)
    assert "priceless" not in {model.id for model in cheap}
    assert find_models("openai", sort_by="-output_price")[-1].price.output is None
    assert {model.id for model in find_models(name_contains="REHEARSAL")} == {
        "rehearsal-echo", "rehearsal-slow", "rehearsal-flaky", "rehearsal-limited", "rehearsal-embed", "rehearsal-rerank",
    }
    assert len(find_models(limit=3)) == 3
    assert [model.id for model in find_models("claude", name_contains="haiku-4-5")] == ["claude-4.5-haiku"]
    assert all(model.context_window >= 900_000 for model in find_models(min_context_window=900_000))


def test_find_models_by_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GROQ_API_KEY", "gsk-test")
    assert find_models("groq", has_api_key=True) and not find_models("groq", has_api_key=False)
    assert find_models("openai", has_api_key=False) and not find_models("openai", has_api_key=True)
    assert len(find_models("rehearsal", has_api_key=True)) == 6


@pytest.mark.parametrize("fields, words", [
    ({"provider": "acme"}, "unknown provider"),
    ({"sort_by": "beauty"}, "sorted by id"),
    ({"supports_imges": True}, "supports_images"),
])
def test_find_models_refuses(fields, words):
    with pytest.raises(ConfigError, match=words):
        find_models(**fields)


def test_cost_counts_every_kind_of_token():
    price = Price(2.0, 10.0, 0.2, 2.5, 4.0)
    usage = Usage(1_000, 100, 10_000, cache_write_tokens=3_000, cache_write_1h_tokens=1_000)
    assert price.cost(usage) == pytest.approx((2_000 + 1_000 + 2_000 + 5_000 + 4_000) / 1e6)
    assert Price(2.0, None).cost(Usage(10, 0)) == pytest.approx(2e-5)
    assert Price(2.0, None).cost(Usage(10, 1)) is None
    assert Price().cost(Usage()) == 0.0
    assert Price(0.0, 0.0).cost(Usage(5, 5)) == 0.0


def test_cost_above_a_context_tier_holds_for_the_whole_request():
    model = registry.get_model("claude-5.5-haiku")
    assert model.price.above == 100_000
    assert model.cost(Usage(100_000, 0)) == pytest.approx(0.01)
    assert model.cost(Usage(90_000, 1_000, 10_001)) == pytest.approx((90_000 * 0.5 + 1_000 * 2.5 + 10_001 * 0.05) / 1e6)
    three = Price(1.0, above=10, tier=Price(2.0, above=100, tier=Price(3.0)))
    assert [three.cost(Usage(count)) * 1e6 for count in (10, 11, 101)] == pytest.approx([10, 22, 303])


def test_cost_of_service_tiers():
    model = registry.get_model("gpt-5.4")
    usage = Usage(1_000_000, 0, 0)
    small = Usage(100_000, 0)
    assert model.cost(small) == model.cost(small, "default") == model.cost(small, "auto") == pytest.approx(0.25)
    assert model.cost(small, "flex") == model.cost(small, "batch") == pytest.approx(0.125)
    assert model.cost(small, "priority") == pytest.approx(0.5) and model.cost(usage) == pytest.approx(5.0)
    assert registry.get_model("gpt-4.1-mini-azure").cost(small, "flex") is None
    echo = registry.get_model("rehearsal-echo")
    assert echo.cost(small, "priority") == 2 * echo.cost(small) == 4 * echo.cost(small, "flex")


def test_free_is_known_and_unknown_is_none():
    assert registry.get_model("gpt-oss-20b-free-openrouter").cost(Usage(10, 10)) == 0.0
    assert registry.get_model("gpt-oss-20b-nvidia").cost(Usage(10, 10)) is None


def test_an_announced_price_holds_from_its_day():
    row = rows_of(Provider("acme", "https://x.example"))("acme-1", "", families.GEMINI_4, 9.0, 9.0)
    table = {"acme-1": (500_000, {
        "": (2.0, 10.0), "batch": (1.0, 5.0), "@2026-12-01": (4.0, 20.0, 0.2, None, None, 1_000, (8.0, 40.0)),
        "batch@2027-01-01": (2.0, 10.0),
    })}
    days = (dt.date(2026, 11, 30), dt.date(2026, 12, 1), dt.date(2027, 1, 1))
    before, after, later = (registry.as_of(row, day, table) for day in days)
    assert (before.price.input, after.price.input) == (2.0, 4.0) and after.price.tier == Price(8.0, 40.0)
    assert [model.service_prices["batch"].input for model in (before, after, later)] == [1.0, 1.0, 2.0]
    assert before.context_window == 500_000 and before.prices_at is not None
    assert registry.as_of(Model("unheard", "unheard", row.provider), days[0], table).prices_at is None


def test_retirement_notice():
    model = registry.get_model("gpt-4.1-mini")
    assert registry.retirement_notice(model, dt.date(2026, 11, 14)) is None
    assert "on 2027-01-14 (in 60 days)" in registry.retirement_notice(model, dt.date(2026, 11, 15))
    assert "was shut down by openai on 2027-01-14" in registry.retirement_notice(model, dt.date(2027, 1, 14))
    assert registry.retirement_notice(registry.get_model("gpt-6-sol"), dt.date(2030, 1, 1)) is None
    first, last = (registry.as_of(model, dt.date(2027, 1, day)) for day in (13, 14))
    assert last.has("retired") and not first.has("retired")
    gone = Model("gone", "gone", model.provider, flags=frozenset({"retired"}))
    assert registry.retirement_notice(gone, dt.date(2026, 1, 1)) == "gone was shut down by openai"


def test_addresses():
    variables = {
        "CLOUDFLARE_ACCOUNT_ID": "acc", "AZURE_ENDPOINT": "https://me.openai.azure.com/", "AWS_REGION": "eu-west-1",
    }

    def lookup(*names):
        return next((variables[name] for name in names if name in variables), None)

    def url(name, **more):
        return base_url(registry.get_model(name), lookup, **more)

    assert url("cloudflare:x") == "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1"
    assert url("gpt-4.1-azure") == "https://me.openai.azure.com/openai/v1"
    assert url("azure-deployments:my dep") == "https://me.openai.azure.com/openai/deployments/my%20dep"
    assert url("nova-pro") == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert url("gpt-6-sol-bedrock") == "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1"
    assert url("rehearsal-echo") == "rehearsal:"
    assert url("gpt-4.1", given="http://localhost:1/v1/") == "http://localhost:1/v1"
    variables.clear()
    assert url("nova-pro") == "https://bedrock-runtime.us-east-1.amazonaws.com"
    with pytest.raises(ConfigError, match="CLOUDFLARE_ACCOUNT_ID"):
        url("cloudflare:x")


def test_rehearsal_models_carry_their_own_limits():
    assert registry.get_model("rehearsal-echo").limits.requests_per_minute == math.inf
    assert registry.get_model("rehearsal-limited").limits.requests_per_minute == 600
    assert registry.get_model("gpt-4.1").limits.requests_per_minute is None
