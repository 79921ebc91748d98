"""Models and providers of the user's own, from a YAML file or the settings of a client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deluge import LLMClient
from deluge.errors import ConfigError, UnknownModelError
from deluge.models import get_model, load_models
from deluge.models.registry import forget
from deluge.testing import RehearsalServer


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    forget("our-large", "our-small", "ours", "our", "big")


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_rows_in_both_shapes(tmp_path: Path) -> None:
    file = written(tmp_path / "models.yaml", """
providers:
  - {name: ours, base_url: "https://llm.example/v1", api_key_env: OUR_KEY, aliases: our}
models:
  our-large: {provider: ours, name: l-2, output_price: 2, aliases: [big], retires: 2099-01-31, supports_tools: true}
  our-small: {provider: ours, requests_per_minute: .inf, flags: [reasoning], efforts: [low, high]}
""")
    large, small = load_models(file)
    assert (large.name, large.provider.name, large.price.output, large.has("supports_tools")) == ("l-2", "ours", 2.0, True)
    assert str(large.retires) == "2099-01-31" and get_model("big") is large
    assert small.efforts == ("low", "high") and small.limits.requests_per_minute == float("inf")
    assert get_model("our:any").provider.key_env == ("OUR_KEY",)


def test_a_client_of_a_file_with_its_models_in_another(tmp_path: Path) -> None:
    with RehearsalServer(latency=0.0) as server:
        written(tmp_path / "models.yaml", f"models: {{our-large: {{base_url: '{server.base_url}', name: their-name}}}}")
        settings = written(tmp_path / "client.yaml", "model_names: our-large\nmodels: models.yaml\nprogress: null\n")
        with LLMClient.from_yaml(settings) as client:
            assert client.ask("What is 6 * 7?").completion == "42"
            assert "models" not in client.to_dict()
        assert server.requests[-1].body["model"] == "their-name"
    given: dict[str, Any] = {"model_names": "our-small", "models": [{"id": "our-small", "base_url": "http://localhost:1"}]}
    assert LLMClient.from_dict(given).models == ["our-small"] and len(given) == 2


@pytest.mark.parametrize("text, message", [
    ("models: {our-large: {base_url: 'https://h.example', color: red}}", "'our-large': unknown argument 'color'"),
    ("models: {our-large: {base_url: 'https://h.example', input_price: cheap}}", "'our-large': input_price is a number"),
    ("models: [{base_url: 'https://h.example'}]", "needs the key 'id'"),
    ("models: {our-large: 7}", "our-large"), ("models: 7", "list of mappings"), ("providers: {ours: {}}", "ours.*base_url"),
    ("model: {}", "not 'model'"), ("- 1", "must hold a mapping"), ("models: {our-large: {provider: nobody}}", "nobody"),
])
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_models(written(tmp_path / "models.yaml", text))
    with pytest.raises(UnknownModelError):
        get_model("our-large")
