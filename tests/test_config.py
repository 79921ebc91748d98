"""Settings: from constructor, mapping and file, and back; and the pool that they mean."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from rehearsing import our_threads

from deluge import ConfigError, Limits, LLMClient, SamplingParams


def quiet(*names: Any, **settings: Any) -> LLMClient:
    return LLMClient(*names, **{"progress": None, **settings})


def test_the_defaults_are_those_of_the_manual() -> None:
    before = our_threads()
    given = LLMClient(
        model_names=["gpt-4.1-mini"], max_requests_per_minute=1_000, max_tokens_per_minute=100_000,
        max_concurrent_requests=225, sampling_params=[SamplingParams(temperature=0.75, max_new_tokens=512)], max_attempts=5,
        request_timeout=30, use_responses_api=False, progress="rich",
    )
    bare = LLMClient()
    assert given.models == bare.models == ["gpt-4.1-mini"]
    assert given.sampling_params == bare.sampling_params == [SamplingParams()]
    for name in ("max_requests_per_minute", "max_tokens_per_minute", "max_concurrent_requests", "max_attempts",
                 "request_timeout", "use_responses_api", "progress", "model_weights", "retry_timeouts", "max_queued",
                 "rate_limit_patience", "limit_mode"):
        assert getattr(given.config, name) == getattr(bare.config, name), name
    assert SamplingParams() == SamplingParams(temperature=0.75, max_new_tokens=512, top_p=1.0)
    assert set(our_threads()) <= set(before)  # a constructor starts none


SETTINGS: dict[str, Any] = {
    "model_names": ["claude-3.5-sonnet"], "sampling_params": {"temperature": 0.4, "max_new_tokens": 300},
    "max_concurrent_requests": 400,
}


def test_from_dict_takes_the_manuals_mapping_and_leaves_it_alone() -> None:
    before = copy.deepcopy(SETTINGS)
    client = LLMClient.from_dict(SETTINGS)
    assert SETTINGS == before
    assert client.config.max_concurrent_requests == 400
    assert client.sampling_params == [SamplingParams(temperature=0.4, max_new_tokens=300)]
    client.with_model("gpt-4.1")
    assert SETTINGS == before


FULL: dict[str, Any] = {
    "model_names": ["gpt-4.1-mini", "gpt-4.1"], "name": "nightly", "max_requests_per_minute": 50,
    "max_tokens_per_minute": None, "max_concurrent_requests": 7, "model_weights": [3, 1], "fallback_models": ["gpt-4o"],
    "sampling_params": [SamplingParams(temperature=0.1, stop="END"), SamplingParams(max_new_tokens=9)],
    "model_limits": {"gpt-4.1": Limits(10, None, 3)}, "max_attempts": 2, "request_timeout": 1.5, "stream_timeout": 9.5,
    "extra_headers": {"X-A": "b", "X-None": None}, "extra_body": {"user": {"n": [1, 2]}}, "json_mode": True,
    "retry_timeouts": 0, "limit_mode": "bucket", "keep_raw": True, "progress": None, "base_url": "http://127.0.0.1:1/v1/",
}


def test_every_setting_survives_dict_json_yaml_and_pickle(tmp_path: Path) -> None:
    client = LLMClient(**FULL)
    saved = client.to_dict()
    assert json.loads(json.dumps(saved)) == saved
    path = tmp_path / "client.yaml"
    path.write_text(yaml.safe_dump(saved))
    again = [LLMClient.from_dict(saved), LLMClient.from_yaml(path), LLMClient.from_yaml(str(path)),
             pickle.loads(pickle.dumps(client)), client.copy()]
    for other in again:
        assert other.to_dict() == saved
        assert other.config == client.config
        assert other.models == client.models and other.sampling_params == client.sampling_params
        assert other.sampling_params[0].stop == ("END",) and other.config.base_url == "http://127.0.0.1:1/v1"
        assert other.config.model_limits["gpt-4.1"] == Limits(10, None, 3)


def test_only_what_was_set_is_saved() -> None:
    assert LLMClient().to_dict() == {"model_names": ["gpt-4.1-mini"]}
    assert LLMClient("gpt-4.1", max_attempts=5).to_dict() == {"model_names": ["gpt-4.1"], "max_attempts": 5}


class Memory:
    def get(self, prompt: Any) -> None: ...

    def put(self, prompt: Any, response: Any) -> None: ...


def test_keys_callables_and_caches_are_left_out() -> None:
    client = LLMClient(api_key="sk-very-secret", postprocess=print, cache=Memory(), progress=None)
    for text in (repr(client), str(client), json.dumps(client.to_dict()), repr(client.config), str(client.config),
                 repr(pickle.dumps(client)), repr(client.model_dump()), str(client.config.model_dump()),
                 client.config.model_dump_json(exclude={"cache", "postprocess", "retry"})):
        assert "sk-very-secret" not in text
    assert {"api_key", "postprocess", "cache"}.isdisjoint(client.to_dict())
    assert pickle.loads(pickle.dumps(client)).config.api_key is None
    assert client.copy(temperature=0).config.api_key == "sk-very-secret"
    assert client.copy(temperature=0).config.cache is client.config.cache


def test_a_key_in_a_mistake_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        LLMClient(api_key="sk-very-secret", max_attempts=0, extra_headers={"authorization": 7})
    assert "sk-very-secret" not in str(caught.value)


# ---------------------------------------------------------------------- parameters

def test_one_entry_is_copied_for_each_model() -> None:
    given = SamplingParams(temperature=0.2, extra={"a": [1]})
    client = quiet(["gpt-4.1", "gpt-4o"], sampling_params=given)
    first, second = client.sampling_params
    assert first == second == given and first is not second and first is not given
    assert first.extra is not second.extra


def test_scalars_build_the_parameters_and_fill_what_entries_leave_open() -> None:
    client = quiet(temperature=0.1, max_new_tokens=77, json_mode=True, reasoning_effort="low")
    assert client.sampling_params == [
        SamplingParams(temperature=0.1, max_new_tokens=77, json_mode=True, reasoning_effort="low")]
    client = quiet(sampling_params=SamplingParams(temperature=1.0), temperature=0.1, max_new_tokens=77)
    assert client.sampling_params == [SamplingParams(temperature=1.0, max_new_tokens=77)]


def test_logprobs_are_set_for_every_entry() -> None:
    client = quiet(["gpt-4.1", "gpt-4o"], logprobs=True, top_logprobs=3,
                   sampling_params=[SamplingParams(temperature=0.1), SamplingParams(temperature=0.2)])
    assert all(entry.logprobs and entry.top_logprobs == 3 for entry in client.sampling_params)
    client = quiet(["gpt-4.1", "gpt-4o"], sampling_params=[SamplingParams(logprobs=True), SamplingParams()])
    assert all(entry.logprobs for entry in client.sampling_params)


def test_an_effort_at_the_end_of_the_name() -> None:
    client = quiet("gpt-5-high")
    assert client.models == ["gpt-5"] and client.sampling_params[0].reasoning_effort == "high"
    client = quiet("gpt-5-low", sampling_params=SamplingParams(reasoning_effort="high", max_new_tokens=9))
    assert client.sampling_params == [SamplingParams(reasoning_effort="low", max_new_tokens=9)]
    assert LLMClient.from_dict(client.to_dict()).sampling_params == client.sampling_params


def test_parameters_follow_their_model_by_id() -> None:
    client = quiet(["gpt-4.1", "gpt-4o"], sampling_params=[SamplingParams(temperature=0.1), SamplingParams(temperature=0.2)])
    client.with_models(["openai:gpt-4o", "gpt-4.1-mini", "gpt-4.1"])
    assert client.models == ["gpt-4o", "gpt-4.1-mini", "gpt-4.1"]
    assert [entry.temperature for entry in client.sampling_params] == [0.2, 0.1, 0.1]
    assert LLMClient.from_dict(client.to_dict()).sampling_params == client.sampling_params


def test_an_effort_of_the_name_does_not_stick_to_the_next_model() -> None:
    client = quiet("gpt-5-high", sampling_params=SamplingParams(max_new_tokens=9))
    assert client.with_model("gpt-5").sampling_params[0].reasoning_effort is None
    assert client.with_model("gpt-5-low").sampling_params[0].reasoning_effort == "low"


def test_with_model_of_a_client_built_from_scalars() -> None:
    client = quiet("gpt-4.1", temperature=0.3, logprobs=True)
    assert client.with_model("gpt-4o").sampling_params == [SamplingParams(temperature=0.3, logprobs=True)]
    with pytest.raises(ConfigError, match="logprobs"):
        client.with_model("claude-3-haiku")


def test_weights_are_normalised_and_stay_with_a_pool_of_the_same_length() -> None:
    client = quiet(["gpt-4.1", "gpt-4o"], model_weights=[30, 10])
    assert client._router.shares == (0.75, 0.25)
    client.with_models(["gpt-4o", "gpt-4.1-mini"])
    assert client._router.shares == (0.75, 0.25)
    client.with_models(["gpt-4o", "gpt-4.1-mini", "gpt-4.1"])
    assert client.config.model_weights == "uniform"


def test_fallback_models_carry_no_weight() -> None:
    client = quiet("gpt-4.1", fallback_models=["gpt-4o", "gpt-4.1"])
    assert client.models == ["gpt-4.1", "gpt-4o"]
    assert {client._select_model()[0] for _ in range(10)} == {"gpt-4.1"}


def test_tuples_and_a_single_name_are_pools_too() -> None:
    assert quiet(("gpt-4.1", "gpt-4o")).models == ["gpt-4.1", "gpt-4o"]
    assert quiet("gpt-4.1").models == ["gpt-4.1"]


def test_infinite_and_absent_limits_mean_none() -> None:
    assert quiet(max_requests_per_minute=None, max_tokens_per_minute=None).config.max_requests_per_minute is None


def test_the_seeds_own_models_construct() -> None:
    client = LLMClient(
        ["gpt-4.1-mini", "claude-3-haiku", "gemini-1.5-flash"], model_weights=[0.6, 0.2, 0.2],
        sampling_params=[SamplingParams(temperature=0.2, max_new_tokens=200),
                         SamplingParams(temperature=0.8, max_new_tokens=150),
                         SamplingParams(temperature=1.0, max_new_tokens=300)],
    )
    assert client._select_model()[0] in client.models


def test_several_efforts_of_one_model_make_a_pool() -> None:
    client = quiet(["gpt-5-low", "gpt-5-high"])
    assert [entry.reasoning_effort for entry in client.sampling_params] == ["low", "high"]
    assert {client._select_model()[1].reasoning_effort for _ in range(4)} == {"low", "high"}
    with pytest.raises(ConfigError, match="twice"):
        quiet(["gpt-5-low", "gpt-5-low"])
