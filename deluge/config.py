"""A client's settings, checked; and the pool of models that they mean. Reads every YAML."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from deluge._plugins import load, names
from deluge._urls import public_url
from deluge.adaptation import Adaptation
from deluge.errors import ConfigError
from deluge.models.model import AUTO, Auto, Limit, Limits, Model
from deluge.models.registry import custom_model, get_model, resolve
from deluge.models.rowfile import register_rows
from deluge.params import CACHE_PATTERNS, ReasoningEffort, SamplingParams, Verbosity, describe

SCALARS = (
    "temperature", "top_p", "json_mode", "max_new_tokens", "reasoning_effort", "thinking_budget", "verbosity", "logprobs",
    "top_logprobs", "strict_tools",
)
_UNSAVED = ("cache", "postprocess", "retry", "api_key", "quota")
Positive = Union[float, int, None]


class ClientConfig(BaseModel):
    """Everything that ``LLMClient`` takes. Unknown names and values out of range are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    model_names: tuple[str, ...] = ("gpt-4.1-mini",)
    name: str | None = None
    max_requests_per_minute: Limit | None = 1_000
    max_tokens_per_minute: Limit | None = 100_000
    max_concurrent_requests: int | Auto = 225
    model_limits: Mapping[str, Limits] = Field(default_factory=dict)
    limit_mode: Literal["rolling", "bucket"] = "rolling"
    quota: Any = Field(None, repr=False)
    adaptation: Adaptation = Adaptation()
    sampling_params: tuple[SamplingParams, ...] = ()
    model_weights: Literal["uniform", "dynamic"] | tuple[float, ...] = "uniform"
    fallback_models: tuple[str, ...] = ()
    max_attempts: int = Field(5, ge=1)
    request_timeout: float = Field(30, gt=0, allow_inf_nan=False)
    stream_timeout: float | None = Field(None, gt=0, allow_inf_nan=False)
    background_timeout: float | None = Field(3_600, gt=0, allow_inf_nan=False)
    cache: Any = Field(None, repr=False)
    dedupe: bool | Literal["auto"] = "auto"
    extra_headers: Mapping[str, str | None] = Field(default_factory=dict, repr=False)
    extra_body: Mapping[str, Any] = Field(default_factory=dict)
    use_responses_api: bool = False
    background: bool = False
    temperature: float = Field(0.75, ge=0, le=2, allow_inf_nan=False)
    top_p: float = Field(1.0, ge=0, le=1, allow_inf_nan=False)
    json_mode: bool = False
    max_new_tokens: int = Field(512, ge=1)
    reasoning_effort: ReasoningEffort | None = None
    thinking_budget: int | None = Field(None, ge=0)
    verbosity: Verbosity | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    strict_tools: bool = True
    force_local_mcp: bool = False
    progress: str | None = "rich"
    postprocess: Callable[..., Any] | None = Field(None, repr=False)
    base_url: str | None = None
    api_key: Any = Field(None, repr=False, exclude=True)
    retry: Any = Field(None, repr=False)
    retry_timeouts: int = Field(2, ge=0)
    retry_possibly_billed: bool = True
    rate_limit_patience: float = Field(300, ge=0, allow_inf_nan=False)
    max_repairs: int = Field(1, ge=0)
    max_cost: float | None = Field(None, ge=0, allow_inf_nan=False)
    unknown_cost: float | None = Field(None, ge=0, allow_inf_nan=False)
    max_queued: int = Field(10_000, ge=1)
    keep_raw: bool = False
    allow_private_urls: bool = False

    @classmethod
    def checked(cls, settings: Mapping[str, Any]) -> ClientConfig:
        """The configuration; ``ConfigError`` with one clear line for everything that is wrong."""
        try:
            return cls(**settings)
        except ValidationError as error:
            raise ConfigError(describe(error, "LLMClient")) from None
        except TypeError as error:
            raise ConfigError(f"LLMClient: {error}") from None

    @field_validator("max_requests_per_minute", "max_tokens_per_minute", "max_cost", mode="before")
    @classmethod
    def _no_limit(cls, value: Any) -> Any:
        if value is None or value == math.inf:
            return None
        if value != AUTO and not (_is_number(value) and 0 < value < math.inf):
            raise ValueError('must be greater than 0, or "auto" (what the provider allows), or None (no limit)')
        return value

    @field_validator("max_concurrent_requests", mode="before")
    @classmethod
    def _some_slots(cls, value: Any) -> Any:
        if value != AUTO and not (_is_number(value) and value >= 1 and value == int(value)):
            raise ValueError('must be a whole number greater than or equal to 1, or "auto"')
        return value

    @field_validator("model_names", "fallback_models", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else value
        if names == ():
            return names
        return names

    @field_validator("model_names")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one model name is needed")
        return value

    @field_validator("sampling_params", mode="before")
    @classmethod
    def _params(cls, value: Any) -> Any:
        if value is None:
            return ()
        return (value,) if isinstance(value, (SamplingParams, Mapping)) else value

    @field_validator("model_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if isinstance(value, str):
            return value
        try:
            weights = tuple(float(weight) for weight in value)
        except TypeError:
            raise ValueError("give a list of numbers, one for each model") from None
        if any(not math.isfinite(weight) or weight < 0 for weight in weights):
            raise ValueError("weights must be numbers that are not negative")
        if not any(weights):
            raise ValueError("at least one weight must be above zero")
        return weights

    @field_validator("cache")
    @classmethod
    def _cache(cls, value: Any) -> Any:
        if isinstance(value, str):
            word = "a CachePattern" if value in CACHE_PATTERNS else "a string"
            raise ValueError(f"the constructor takes a cache object with get and put, not {word}: give that to the call")
        if isinstance(value, MutableMapping) and not callable(getattr(value, "put", None)):
            return load("caches", "mapping")(value)
        if value is not None and not (callable(getattr(value, "get", None)) and callable(getattr(value, "put", None))):
            raise ValueError("a cache needs the methods get(prompt) and put(prompt, response)")
        return value

    @field_validator("quota")
    @classmethod
    def _quota(cls, value: Any) -> Any:
        if isinstance(value, str):
            if not value.startswith(("file:", "redis://", "rediss://", "unix://")):
                raise ValueError('give FileQuota(path), RedisQuota(url), "file:/path" or "redis://host:6379/0"')
        elif value is not None and not callable(getattr(value, "exchange", None)):
            raise ValueError("give a FileQuota, a RedisQuota or the URL of one")
        return value

    @field_validator("progress")
    @classmethod
    def _progress(cls, value: str | None) -> str | None:
        if value is not None and value not in names("progress"):
            raise ValueError(f"there is no display {value!r}; there are: {', '.join(names('progress'))}")
        return value

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("a base_url begins with http:// or https://")
        return value.rstrip("/") if value is not None else None

    def saved(self) -> dict[str, Any]:
        """What was set, as plain data; keys, callables and caches are left out, a quota is its URL without password."""
        data = self.model_dump(mode="json", exclude=set(_UNSAVED), exclude_unset=True)
        quota = public_url(self.quota) if isinstance(self.quota, str) else getattr(self.quota, "url", None)
        if isinstance(quota, str):
            data["quota"] = quota
        if "sampling_params" in data:
            data["sampling_params"] = [params.model_dump(mode="json", exclude_unset=True) for params in self.sampling_params]
        return data

    def changed(self, **changes: Any) -> ClientConfig:
        """A checked copy; what was set before stays set."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        scalars = {name: changes[name] for name in SCALARS if name in changes}
        if scalars and self.sampling_params and "sampling_params" not in changes:
            kept["sampling_params"] = tuple(entry.replace(**scalars) for entry in self.sampling_params)
        return ClientConfig.checked({**kept, **changes})


def rates_of(config: ClientConfig) -> tuple[Limit | None, Limit | None]:
    """Requests and tokens per minute. Who leaves one of them to the provider does not mean the other's default."""
    given, requests, tokens = config.model_fields_set, config.max_requests_per_minute, config.max_tokens_per_minute
    if requests == AUTO and "max_tokens_per_minute" not in given:
        tokens = AUTO
    elif tokens == AUTO and "max_requests_per_minute" not in given:
        requests = AUTO
    return requests, tokens


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """One model of the pool, with its own parameters and weight (0: fallback only).

    ``key`` is its name inside the pool: the model's id, or what the user wrote where a model stands there several times
    (``gpt-5-low`` and ``gpt-5-high``).
    """

    model: Model
    params: SamplingParams
    weight: float
    key: str


def make_pool(config: ClientConfig) -> tuple[PoolEntry, ...]:
    """The models that a configuration means; ``ConfigError`` where they do not fit together."""
    picked = [resolved(name, config) for name in config.model_names]
    weights = _weights_of(config, len(picked))
    params = _params_of(config, len(picked))
    ids = [model.id for model, _ in picked]
    entries = [
        PoolEntry(model, _with_effort(sp, effort), weight, model.id if ids.count(model.id) == 1 else name)
        for name, (model, effort), sp, weight in zip(config.model_names, picked, params, weights)
    ]
    known = {entry.model.id for entry in entries}
    for name in config.fallback_models:
        model, effort = resolved(name, config)
        if model.id not in known:
            entries.append(PoolEntry(model, _with_effort(params[0], effort), 0.0, model.id))
            known.add(model.id)
    _check(config, entries)
    return tuple(entries)


def resolved(name: str, config: ClientConfig) -> tuple[Model, str | None]:
    """The model of a name; any name goes with a ``base_url``."""
    if config.base_url is None:
        return resolve(name)
    try:
        return resolve(name)
    except ConfigError:
        return custom_model(name, config.base_url), None


def _weights_of(config: ClientConfig, count: int) -> tuple[float, ...]:
    weights = config.model_weights
    if isinstance(weights, str):
        return (1.0,) * count
    if len(weights) != count:
        raise ConfigError(f"model_weights has {len(weights)} entries for {count} models")
    return weights


def _params_of(config: ClientConfig, count: int) -> list[SamplingParams]:
    """One per model. A scalar that was given to the client fills what an entry leaves open."""
    scalars = {name: getattr(config, name) for name in SCALARS if name in config.model_fields_set}
    given = config.sampling_params
    if not given:
        params = [SamplingParams(**scalars)] * count
    else:
        if len(given) not in (1, count):
            raise ConfigError(f"sampling_params has {len(given)} entries for {count} models: give one, or one for each")
        params = list(given) * count if len(given) == 1 else list(given)
        params = [_filled(entry, scalars) for entry in params]
    if any(entry.logprobs for entry in params):
        params = [entry if entry.logprobs else entry.replace(logprobs=True) for entry in params]
    return [entry.model_copy(deep=True) for entry in params]


def _filled(entry: SamplingParams, scalars: Mapping[str, Any]) -> SamplingParams:
    missing = {name: value for name, value in scalars.items() if not entry.is_set(name)}
    return entry.replace(**missing) if missing else entry


def _with_effort(params: SamplingParams, effort: str | None) -> SamplingParams:
    return params if effort is None else params.replace(reasoning_effort=effort)


def _check(config: ClientConfig, entries: Sequence[PoolEntry]) -> None:
    keys = [entry.key for entry in entries]
    if len(set(keys)) != len(keys) or _same_twice(entries):
        twice = sorted({entry.model.id for entry in entries if [e.model.id for e in entries].count(entry.model.id) > 1})
        raise ConfigError(f"a model stands in the pool twice: {', '.join(twice)}")
    if config.background and not config.use_responses_api:
        raise ConfigError("background=True needs use_responses_api=True")
    if config.top_logprobs is not None and not any(entry.params.logprobs for entry in entries):
        raise ConfigError("top_logprobs needs logprobs=True")
    for entry in entries:
        if entry.params.logprobs and not entry.model.has("supports_logprobs"):
            raise ConfigError(f"{entry.model.id} does not support logprobs; every model of the pool must")
        if entry.model.has("requires_responses") and not config.use_responses_api:
            raise ConfigError(f"{entry.model.id} is served by the Responses API only: set use_responses_api=True")
    for name in config.model_limits:
        get_model(name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value) and value < math.inf


def settings_of(settings: Any) -> dict[str, Any]:
    """A copy of a mapping of settings, its ``models`` and ``providers`` registered; ``ConfigError`` when it is none."""
    if not isinstance(settings, Mapping):
        raise ConfigError(f"settings are a mapping of the constructor's arguments, not {type(settings).__name__}")
    strange = [key for key in settings if not isinstance(key, str)]
    if strange:
        raise ConfigError(f"LLMClient: unknown argument {strange[0]!r}")
    rest = dict(settings)
    models, providers = rest.pop("models", None), rest.pop("providers", None)
    if isinstance(models, (str, Path)):
        load_models(models)
        models = None
    register_rows(models, providers)
    return rest


def load_models(path: str | Path) -> list[Model]:
    """The models of a YAML file, registered: its ``models`` and ``providers`` are rows for ``register_model`` and so on.

    ``ConfigError`` names the row that is wrong.
    """
    data = read_yaml(path)
    strange = sorted(map(str, data.keys() - {"models", "providers"}))
    if strange:
        raise ConfigError(f"{path}: a file of models has the keys models and providers, not {strange[0]!r}")
    return register_rows(data.get("models"), data.get("providers"))


def _same_twice(entries: Sequence[PoolEntry]) -> bool:
    """Whether two entries of one model ask for the same effort, so that they would be the same."""
    asked = [(entry.model.id, entry.params.reasoning_effort) for entry in entries]
    return len(set(asked)) != len(asked)


def params_for(config: ClientConfig, names: Sequence[str]) -> tuple[SamplingParams, ...]:
    """The parameters that were set, for another pool: they follow their model by id, new models get the first entry."""
    given = config.sampling_params
    if len(given) < 2:
        return given
    by_name = dict(zip(config.model_names, given))
    by_id: dict[str, SamplingParams] = {}
    for name, params in by_name.items():
        by_id.setdefault(resolved(name, config)[0].id, params)
    return tuple(by_name.get(name) or by_id.get(resolved(name, config)[0].id, given[0]) for name in names)


def shares_of(config: ClientConfig, dedupe: Any, params: Iterable[SamplingParams]) -> bool:
    """Whether equal prompts with these parameters are sent once; ``dedupe`` None leaves it to the client's setting."""
    dedupe = config.dedupe if dedupe is None else dedupe
    if dedupe not in (True, False, "auto"):
        raise ConfigError(f"dedupe is True, False or 'auto', not {dedupe!r}")
    if dedupe == "auto":
        return config.cache is not None or all(entry.temperature == 0 for entry in params)
    return bool(dedupe)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A mapping from a YAML file, read safely: tags that build objects are refused."""
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            data = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not plain YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping of settings, not {type(data).__name__}")
    if isinstance(data.get("models"), str):  # another file, beside this one
        data["models"] = str(Path(path).parent / data["models"])
    return data


def signature() -> inspect.Signature:
    """The client's signature with every setting by name, for help() and editors."""
    kinds = inspect.Parameter
    first = kinds("model_names", kinds.POSITIONAL_OR_KEYWORD, default="gpt-4.1-mini")
    rest = [
        kinds(name, kinds.KEYWORD_ONLY, default=field.get_default(call_default_factory=True))
        for name, field in ClientConfig.model_fields.items() if name != "model_names"
    ]
    return inspect.Signature([first, *rest])
