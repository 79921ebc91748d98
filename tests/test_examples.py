"""Every example runs, and the work list is what it says it is."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from processes import run

from deluge.worklist import read_rows

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(script: Path, tmp_path: Path) -> None:
    done = run(sys.executable, script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() and "Traceback" not in done.stderr and "failed:" not in done.stdout


def test_the_work_list_is_long_and_varied() -> None:
    rows = list(read_rows(EXAMPLES / "prompts.jsonl"))
    assert len(rows) >= 500 and [row.error for row in rows if row.error] == []
    assert len({row.prompt.fingerprint for row in rows if row.prompt}) == len(rows), "no prompt twice"
    shapes = Counter(" ".join(message.role for message in row.prompt.messages) for row in rows if row.prompt)
    assert shapes["user"] >= 100 and shapes["system user"] >= 50 and shapes["user assistant user"] >= 20
    assert sum(bool(row.params.get("json_mode")) for row in rows) >= 50
    assert sum(row.id is not None for row in rows) >= 100 and sum(bool(row.metadata) for row in rows) >= 100
    ids = [row.id for row in rows if row.id is not None]
    assert len(set(ids)) == len(ids)


def test_prompts_that_want_json_say_so() -> None:
    for line in (EXAMPLES / "prompts.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if isinstance(row, dict) and (row.get("json_mode") or "response_format" in row):
            assert "JSON" in line
