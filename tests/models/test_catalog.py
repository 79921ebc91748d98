"""Every row of the catalog is held against the rules that rows have."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from deluge import _plugins
from deluge.models import flags, registry
from deluge.models.catalog import _index, _prices
from deluge.params import EFFORTS

ROOT = Path(__file__).resolve().parents[2]
DIALECTS = {"openai_chat", "openai_responses", "anthropic", "gemini", "bedrock"}
MODELS = registry.models()
PROVIDERS = registry.providers()


def test_index_and_docs_equal_the_catalogs():
    check = subprocess.run([sys.executable, str(ROOT / ".ci" / "update_index.py"), "--check"], cwd=ROOT)
    assert check.returncode == 0, "run .ci/update_index.py"


def test_ids_and_aliases_are_unique():
    names = [name for model in MODELS for name in (model.id, *model.aliases)]
    assert sorted(names) == sorted(set(names))
    words = [word for provider in PROVIDERS for word in (provider.name, *provider.aliases)]
    assert sorted(words) == sorted(set(words))


def test_there_are_all_providers():
    names = {provider.name for provider in PROVIDERS}
    assert names >= {
        "openai", "anthropic", "google", "vertex", "azure", "azure-deployments", "bedrock", "openrouter", "groq",
        "together", "fireworks", "cerebras", "deepseek", "xai", "mistral", "cohere", "moonshot", "minimax", "zai",
        "meta", "inception", "arcee", "perplexity", "sambanova", "huggingface", "nvidia", "cloudflare", "voyage",
        "vllm", "sglang", "ollama", "llamacpp", "lmstudio", "tgi", "rehearsal",
    }
    assert len(MODELS) > 370


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_row(model):
    assert model.flags <= flags.FLAGS.keys()
    assert (model.dialect or model.provider.dialect) in DIALECTS
    assert all(effort in EFFORTS for effort in model.efforts)
    assert list(model.efforts) == sorted(model.efforts, key=EFFORTS.index)
    assert model.default_effort is None or model.default_effort in model.efforts
    assert "none" not in model.efforts or not model.has("always_reasons")
    assert not (model.efforts and not model.has("reasoning") and not model.has("budget_thinking"))
    assert model.id == model.id.strip() and ":" not in model.id
    assert (model.price.input is None) or model.prices_at is not None
    for number in (model.context_window, model.max_output_tokens):
        assert number is None or number > 0
    if model.has("requires_responses"):
        assert model.has("supports_responses")
    assert model.has("retired") == (model.retires is not None and model.retires <= dt.date.today())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_prices_are_never_negative_and_peaks_are_flagged(model):
    for price in (model.price, *model.service_prices.values()):
        while price is not None:
            for value in (price.input, price.output, price.cache_read, price.cache_write, price.cache_write_1h):
                assert value is None or value >= 0
            assert (price.above is None) == (price.tier is None)
            price = price.tier
    if "peak" in model.service_prices:
        assert model.has("peak_prices")
    if model.price.input == 0:
        assert model.name.endswith(":free")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_provider(provider):
    assert provider.flags <= flags.FLAGS.keys()
    assert provider.dialect in DIALECTS
    assert provider.base_url.startswith(("https://", "http://localhost:", "{endpoint}", "rehearsal:"))
    assert not provider.base_url.endswith("/")
    assert ("local" in provider.flags) == provider.base_url.startswith("http://localhost:")
    assert provider.key_optional or provider.key_env
    if "local" in provider.flags:
        assert provider.key_optional


def test_every_flag_has_a_meaning_and_a_use():
    used = {flag for model in MODELS for flag in model.flags} | {flag for who in PROVIDERS for flag in who.flags}
    assert used == flags.FLAGS.keys()
    assert all(meaning for meaning in flags.FLAGS.values())


def test_prices_are_of_models_that_exist():
    assert _prices.PRICES.keys() <= {model.id for model in MODELS}
    assert dt.date.fromisoformat(_prices.READ_ON) >= dt.date(2026, 11, 22)
    assert set(_index.CATALOGS) == {name for name in _plugins.names("models.catalog")}


@pytest.mark.parametrize("name, external, retires", [
    ("claude-3.5-sonnet", "claude-3-5-sonnet-20241022", "2025-10-28"),
    ("claude-3-haiku", "claude-3-haiku-20240307", "2026-04-20"),
    ("gemini-1.5-flash", "gemini-1.5-flash", "2025-09-29"),
    ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "2027-01-14"),
    ("o4-mini", "o4-mini-2025-04-16", "2026-10-23"),
    ("gpt-5", "gpt-5", "2026-12-11"),
    ("gpt-3.5-turbo", "gpt-3.5-turbo-0125", "2026-10-23"),
])
def test_names_of_the_manual_are_known_with_their_last_day(name, external, retires):
    model = registry.get_model(name)
    assert (model.name, str(model.retires)) == (external, retires)
    assert model.price.input is not None


@pytest.mark.parametrize("name, efforts", [
    ("gpt-6.2-astra", "low medium high xhigh max"),
    ("gpt-6-luna", "none low medium high xhigh max"),
    ("gpt-5.5", "none low medium high xhigh"),
    ("gpt-5.1", "none low medium high"),
    ("gpt-5-mini", "minimal low medium high"),
    ("gpt-5-pro", "high"),
    ("o3", "low medium high"),
    ("gpt-4.1", ""),
    ("claude-fable-5.2", "low medium high xhigh max"),
    ("claude-4.6-opus", "low medium high max"),
    ("claude-4.5-haiku", ""),
    ("gemini-3.8-flash", "low medium high"),
    ("gemini-3.5-flash", "minimal low medium high"),
    ("kimi-k3", "low high max"),
    ("glm-5.3", "low high max"),
    ("deepseek-v4-pro", "low high max"),
    ("grok-4.3", "none low medium high"),
])
def test_efforts(name, efforts):
    assert registry.get_model(name).efforts == tuple(efforts.split())


@pytest.mark.parametrize("name, has, has_not", [
    ("gpt-5", "sampling_fixed always_reasons no_stop supports_flex", "supports_logprobs uses_max_tokens"),
    ("gpt-5.1", "sampling_fixed_when_reasoning supports_logprobs", "always_reasons sampling_fixed"),
    ("gpt-6-luna", "no_tools_with_reasoning", "requires_responses_for_tools always_reasons"),
    ("gpt-6-astra", "requires_responses_for_tools always_reasons", "no_tools_with_reasoning"),
    ("codex-mini-latest", "requires_responses codex retired", ""),
    ("openai-computer-use-preview", "requires_responses computer_use", ""),
    ("claude-5.5-opus", "sampling_fixed adaptive_thinking always_reasons no_forced_tools", "budget_thinking"),
    ("claude-5.5-sonnet", "thinking_between_tools always_reasons", "thinking_disabled_ok"),
    ("claude-5-opus", "thinking_disabled_to_high thinks_by_default thinking_disabled_ok", "always_reasons"),
    ("claude-4.8-opus", "adaptive_thinking sampling_fixed", "thinks_by_default budget_thinking"),
    ("claude-4.5-sonnet", "temperature_xor_top_p budget_thinking native_mcp", "no_prefill adaptive_thinking"),
    ("claude-4.5-sonnet-bedrock", "temperature_xor_top_p sigv4", "native_mcp"),
    ("gemini-3.6-flash", "thinking_levels thought_signatures sampling_fixed", "budget_thinking"),
    ("gemini-2.5-pro", "budget_thinking always_reasons", "thinking_levels"),
    ("grok-4.7", "completion_excludes_reasoning no_stop supports_responses", "supports_background"),
    ("mistral-large", "random_seed uses_max_tokens strict_body", ""),
    ("rehearsal-echo", "embedded supports_logprobs supports_verbosity reasoning", "no_stop sampling_fixed"),
])
def test_families(name, has, has_not):
    model = registry.get_model(name)
    assert {flag for flag in has.split() if not model.has(flag)} == set()
    assert {flag for flag in has_not.split() if model.has(flag)} == set()


def test_names_that_are_in_use_are_known():
    names = (Path(__file__).parent / "known_names.txt").read_text("utf-8").split()
    assert len(names) > 320
    assert [name for name in names if name not in _index.MODELS] == []


@pytest.mark.parametrize("name", [
    "gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-luna", "gpt-5.4-nano", "claude-fable-5-2",
    "claude-mythos-5-2", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-4-6", "gemini-4-argon",
    "gemini-3.8-flash", "gemini-3.5-flash-lite", "grok-4.7", "grok-4.3", "deepseek-v4-pro", "deepseek-flash",
    "kimi-k3.1-pro", "kimi-k2.6", "minimax-m3.1-flash", "glm-5.3-flash", "mistral-large-4", "mistral-small-2603",
    "muse-wonder-1.0", "muse-spark-1.3", "gpt-oss-120b-groq", "qwen3.8-27b-groq", "command-a",
])
def test_models_of_today_have_prices_and_windows(name):
    model = registry.get_model(name)
    assert model.price.input is not None and model.price.output is not None and model.prices_at is not None
    assert model.context_window is not None
