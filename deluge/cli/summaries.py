"""``--summary-json``: the summary for programs."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from typing import Any

from deluge.errors import ConfigError
from deluge.estimates import Estimate
from deluge.status import StatusSnapshot


def writable(path: str | None) -> None:
    """``ConfigError`` when this file cannot be written, said before anything is sent."""
    if path is not None:
        try:
            there = os.path.exists(path)
            open(path, "ab").close()
            if not there:
                os.unlink(path)  # an empty file would be no summary, if nothing comes of the run
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def write_summary(path: str, now: StatusSnapshot, estimate: Estimate | None = None) -> None:
    """The counters as one JSON object; what is unknown or without limit is null."""
    data = asdict(now)
    data.update(done=now.done, prompts_per_second=now.prompts_per_second, limited_share=now.limited_share)
    data["estimate"] = None if estimate is None else asdict(estimate)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(_finite(data), file, indent=2)
        file.write("\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
