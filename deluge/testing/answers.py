"""Answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deluge.usage import Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says, before a protocol words it."""

    text: str = ""
    finish: Literal["stop", "length", "tool_calls", "content_filter"] = "stop"
    usage: Usage = Usage()
