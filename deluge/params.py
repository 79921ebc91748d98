"""Sampling parameters and the words that calls use, checked when they are written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from deluge.errors import ConfigError

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Verbosity = Literal["low", "medium", "high", "xhigh", "max"]
CachePattern = Literal[
    "tools_only", "system_and_tools", "last_user_message", "last_2_user_messages", "last_3_user_messages", "automatic"
]
ServiceTier = Literal["auto", "default", "flex", "priority", "fast", "scale", "standard_only", "standard", "reserved"]

EFFORTS: tuple[str, ...] = get_args(ReasoningEffort)
CACHE_PATTERNS: tuple[str, ...] = get_args(CachePattern)
SERVICE_TIERS: tuple[str, ...] = get_args(ServiceTier)


class SamplingParams(BaseModel):
    """How the model is asked to answer. Frozen: ``replace`` gives a changed copy.

    ``temperature`` 0-2, ``top_p`` 0-1, ``max_new_tokens`` counts reasoning too. ``verbosity`` and ``global_effort`` are one
    setting under two names. ``top_logprobs`` 0-20 needs ``logprobs``. ``stop``: up to the provider's number of strings.
    ``extra`` is merged into the request body as it is. Which of them reach a model is decided by the model's flags;
    what you set and the model refuses is said in a warning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    temperature: float = Field(0.75, ge=0, le=2, allow_inf_nan=False)
    top_p: float = Field(1.0, ge=0, le=1, allow_inf_nan=False)
    json_mode: bool = False
    max_new_tokens: int = Field(512, ge=1)
    reasoning_effort: ReasoningEffort | None = None
    thinking_budget: int | None = Field(None, ge=0)
    verbosity: Verbosity | None = None
    global_effort: Verbosity | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    strict_tools: bool = True
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    extra: Mapping[str, Any] | None = None

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigError(describe(error, "SamplingParams")) from None

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop_is_a_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _one_effort(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        one, other = data.get("verbosity"), data.get("global_effort")
        if one is not None and other is not None and one != other:
            raise ValueError("verbosity and global_effort are one setting: give one of them")
        both = one if one is not None else other
        return data if both is None else {**data, "verbosity": both, "global_effort": both}

    def replace(self, **changes: Any) -> SamplingParams:
        """A checked copy with these fields changed; what was set before stays set."""
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        if "verbosity" in changes or "global_effort" in changes:
            kept.pop("verbosity", None)
            kept.pop("global_effort", None)
        return SamplingParams(**{**kept, **changes})

    def is_set(self, name: str) -> bool:
        """Whether the user set this field, even to its default."""
        return name in self.model_fields_set


def describe(error: ValidationError, what: str) -> str:
    """The errors of a pydantic validation in one line per field, without the values."""
    lines = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"]) or what
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown argument {where!r}")
        else:
            lines.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return f"{what}: " + "; ".join(lines)
