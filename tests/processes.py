"""Running our own commands as a newcomer does: as processes, without keys, anywhere on the disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import deluge

_SECRETS = re.compile(r"_API_KEY$|_TOKEN$|^AWS_|^AZURE_|^GOOGLE_|_PROXY$|^PYTEST", re.I)


def environment() -> dict[str, str]:
    """This process's variables without keys and proxies; our scripts and our package come first, warnings are errors."""
    kept = {name: value for name, value in os.environ.items() if not _SECRETS.search(name)}
    package, scripts = str(Path(deluge.__file__).parents[1]), str(Path(sys.executable).parent)
    return {
        **kept, "PYTHONPATH": package, "PATH": scripts + os.pathsep + kept.get("PATH", ""), "PYTHONWARNINGS": "error",
        "COLUMNS": "200",
    }


def run(*command: str | Path, cwd: Path, input: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """The command's end: exit code, stdout, stderr."""
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, input=input, timeout=timeout, env=environment(), capture_output=True,
        text=True,
    )
