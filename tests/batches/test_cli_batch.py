"""``deluge batch`` as a process: submitted, looked at, fetched in another process, cancelled."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from processes import run

from deluge.cli import main
from deluge.testing import RehearsalServer

DELUGE = (sys.executable, "-m", "deluge")


def deluge(*words: str) -> int:
    return main(["batch", *words])


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_of_prompts_there_and_back(
    server: RehearsalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [{"id": "a", "prompt": "What is 6 * 7?", "note": 1}, {"id": "b", "prompt": "[[fault 500 x1]] 1 + 1"},
             {"id": "c", "prompt": 5}]
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    url = ("--base-url", server.base_url)
    submit = ("submit", "in.jsonl", "-m", "rehearsed", *url, "-o", "job.json", "-q")
    assert deluge(*submit) == 0 and capsys.readouterr().out == "job.json\n"
    assert deluge(*submit) == 0 and server.batches.created == 1  # the same command sends nothing twice
    assert deluge("status", "job.json", *url) == 0
    assert "1/3 answered, 1 failed, 1 never sent" in capsys.readouterr().out
    assert deluge("fetch", "job.json", "-o", "out.jsonl", *url, "--poll", "0.01") == 1
    first, second, third = sorted(rows(Path("out.jsonl")), key=lambda row: str(row["id"]))
    assert first["completion"] == "42" and first["metadata"] == {"note": 1} and first["source"] == "batch"
    assert first["prompt"] == "What is 6 * 7?" and second["error_kind"] == "server" and third["error_kind"] == "input"
    again = ("fetch", "job.json", "-o", "out.jsonl", *url, "--poll", "0.01", "-q", "--retry-failed", "--resubmit")
    assert deluge(*again) == 1
    assert [row["is_error"] for row in sorted(rows(Path("out.jsonl")), key=lambda row: str(row["id"]))] == [False, False, True]
    assert server.batches.bought["What is 6 * 7?"] == 1


def test_a_job_that_is_not_there_yet_and_its_end(
    server: RehearsalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    server.batches.seconds = 3_600.0
    Path("in.txt").write_text("one\ntwo\n")
    url = ("--base-url", server.base_url)
    assert deluge("submit", "in.txt", "-m", "rehearsed", *url, "-q", "--batch-size", "1") == 0
    state = capsys.readouterr().out.strip()
    assert state.startswith("deluge-batch-") and Path(state).exists()
    assert deluge("status", state, *url) == 1
    assert deluge("fetch", state, "-o", "out.jsonl", *url, "--wait", "0.05", "--poll", "0.01") == 1
    assert "the same command fetches it later" in capsys.readouterr().err
    assert deluge("cancel", state, *url) == 0 and "2 cancelled" in capsys.readouterr().out
    assert deluge("fetch", state, "-o", "out.jsonl", *url, "--poll", "0.01", "-q") == 1
    assert deluge("status", "none.json") == 2
    assert deluge("status", state) == 2  # another address than it was submitted to


def test_what_there_was_no_money_for_is_said_once_with_the_way_on(
    server: RehearsalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("What is 6 * 7?\nWhat is 1 + 1?\n")
    url = ("--base-url", server.base_url)
    submit = ("submit", "in.txt", "-m", "rehearsal-echo", *url, "-o", "job.json", "--max-cost")
    fetch = ("fetch", "job.json", "-o", "out.jsonl", *url, "--poll", "0.01")
    assert deluge(*submit, "0.00015") == 0
    assert capsys.readouterr().err.count("WARNING deluge.batches max_cost is reached") == 1
    assert deluge(*fetch) == 1
    assert "next        1 prompts were not sent: deluge batch submit … -o job.json with a higher" in capsys.readouterr().err
    assert deluge(*submit, "1", "-q") == 0 and deluge(*fetch) == 0 and len(rows(Path("out.jsonl"))) == 2


@pytest.mark.slow
def test_in_processes_of_their_own(server: RehearsalServer, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("What is 6 * 7?\n")
    url = ("--base-url", server.base_url)
    done = run(*DELUGE, "batch", "submit", "in.txt", "-m", "rehearsed", *url, "-o", "job.json", cwd=tmp_path)
    assert done.returncode == 0 and "1 prompts in 1 batches" in done.stderr, done.stderr
    done = run(*DELUGE, "batch", "fetch", "job.json", "-o", "-", *url, "--poll", "0.01", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["completion"] == "42", done.stderr
