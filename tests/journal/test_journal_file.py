"""The journal's file: what is found in it, what is repaired, who may have it, what a clean end leaves."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import environment

from deluge import ConfigError
from deluge.journal import Journal, OneWay
from deluge.journal.answers import response_of
from deluge.journal.lines import entry_of, identity
from deluge.journal.table import Table
from deluge.prompt import Conversation, Message, Text, Thinking, ToolCall
from deluge.record import RECORD_KEYS, record
from deluge.response import APIResponse
from deluge.usage import Usage


@dataclass
class Prompt:
    key: str | None
    row_id: Any = None
    occurrence: int = 0
    mark: int = 0

    def __post_init__(self) -> None:
        if self.key is not None:
            self.mark = identity(self.key, self.row_id, self.occurrence)


def key_of(text: str, parameters: str = "a") -> str:
    return parameters * 16 + hashlib.sha256(text.encode()).hexdigest()[16:]


def answer(text: str, index: int = 0, **fields: Any) -> APIResponse:
    return APIResponse(**{
        "index": index, "model_internal": "m", "prompt": Conversation.of_text(text), "finish_reason": "stop",
        "content": Message.ai(f"answer to {text}"), "usage": Usage(3, 4), "cost": 0.5, **fields,
    })


def written(path: Path, *texts: str, **settings: Any) -> list[bytes]:
    """The lines of a journal of these prompts."""
    with_clean_end(path, *texts, **settings)
    return path.read_bytes().splitlines(keepends=True)


def with_clean_end(path: Path, *texts: str, clean: bool = True, **settings: Any) -> Journal:
    journal = Journal(path, **settings)
    for index, text in enumerate(texts):
        asked = Prompt(key_of(text))
        journal.place(asked)
        if journal.find(asked, index, None) is None:
            journal.keep([(asked, answer(text, index))])
    journal.close(clean)
    return journal


def done(path: Path, *texts: str, **settings: Any) -> list[bool]:
    """Which of these prompts a journal has."""
    journal = Journal(path, **settings)
    try:
        asked = [Prompt(key_of(text)) for text in texts]
        for one in asked:
            journal.place(one)
        return [journal.find(one, index, None) is not None for index, one in enumerate(asked)]
    finally:
        journal.close()


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


# -- what is in it ----------------------------------------------------------------------------------------------------

def test_a_table_is_a_map() -> None:
    table, known, numbers = Table(), {}, random.Random(5)
    for _ in range(6_000):
        key = numbers.choice((numbers.randrange(1, 1 << 64), numbers.randrange(1, 500) << 40 | 1))
        value = numbers.randrange(1 << 63)
        assert table.put(key, value) == known.get(key, -1)
        known[key] = value
    assert len(table) == len(known) and all(table.get(key) == value for key, value in known.items())
    assert table.get(7 << 50) == -1 and "entries" in repr(table)


def test_a_journal_is_records_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    written(path, "one", "two", "one")
    assert [(item["completion"], item["occurrence"]) for item in records(path)] == [
        ("answer to one", 0), ("answer to two", 0), ("answer to one", 1)]
    assert all(tuple(item) == RECORD_KEYS for item in records(path))
    assert os.listdir(tmp_path) == ["run.jsonl"], "lock and sidecars are gone after a clean end"
    assert done(path, "one", "one", "one", "three") == [True, True, False, False]


def test_ids_and_equals_are_told_apart(tmp_path: Path) -> None:
    path, key = tmp_path / "run.jsonl", key_of("x")
    rows = [Prompt(key, "1"), Prompt(key, 1), Prompt(key), Prompt(key), Prompt(key, "1")]
    journal = Journal(path)
    for asked in rows:
        journal.place(asked)
    assert [asked.occurrence for asked in rows] == [0, 0, 0, 1, 1]
    journal.keep([(asked, answer("x", index)) for index, asked in enumerate(rows)])
    journal.close(True)
    again = Journal(path)
    shuffled = [Prompt(key, "1"), Prompt(key), Prompt(key, 1), Prompt(key, "2"), Prompt(key, 1.5)]
    for asked in shuffled:
        again.place(asked)
    found = [again.find(asked, 0, None) for asked in shuffled]
    assert [None if item is None else item["id"] for item in found] == ["1", None, 1, None, None]
    assert found[1] is not None
    again.close()


def test_what_is_not_done_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = Journal(path)
    for number, kind in enumerate(("cancelled", "budget", "shutdown", "server", "timeout")):
        bad = answer("x", is_error=True, error_kind=kind, error_message=kind)
        journal.keep([(Prompt(key_of(f"{number}")), bad)])
    journal.close(True)
    assert [(item["error_kind"], item["output_tokens"], item["cost"]) for item in records(path)] == [
        ("server", 4, 0.5), ("timeout", 4, 0.5)], "failures that were billed are kept with their usage"
    assert done(path, *"01234") == [False, False, False, True, True]
    assert done(path, *"01234", retry_failed=True) == [False] * 5


def test_a_record_is_the_response_again() -> None:
    parts = (Thinking("hm"), Text("so"), ToolCall("c", "look", {"x": [1]}, error="odd"))
    made = answer("p", content=Message("assistant", parts), parsed={"a": 1}, finish_reason="length", status_code=200,
                  provider="openai", service_tier="flex", response_id="r", request_id="q", started_at=1.0, finished_at=2.5,
                  latency=1.5, queued=0.25)
    back = response_of(json.loads(json.dumps(record(made))), index=7)
    assert (back.completion, back.thinking, back.finish_reason, back.parsed) == ("so", "hm", "length", {"a": 1})
    assert back.tool_calls == (ToolCall("c", "look", {"x": [1]}, error="odd"),)
    assert (back.source, back.usage.total_tokens, back.cost, back.index) == ("journal", 0, 0.0, 7)
    for name in ("status_code", "provider", "service_tier", "response_id", "request_id", "started_at", "finished_at",
                 "latency", "queued", "model_internal", "is_error"):
        assert getattr(back, name) == getattr(made, name), name
    failed = response_of(record(APIResponse(is_error=True, error_kind="server", error_message="no")))
    assert failed.content is None and failed.error is not None and failed.error_kind == "server"
    for wrong in ({"completion": 3}, {"tool_calls": [{"id": 1}]}, {"status_code": "200"}):
        with pytest.raises(ValueError):
            response_of({**record(made), **wrong})


def test_a_secret_never_reaches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = Journal(path)
    journal.begin("a" * 16, ["very-private-token", "short"], lambda message: None)
    message = "Incorrect key very-private-token, and sk-proj-abcdefghijklmnop"
    journal.keep([(Prompt(key_of("x")), answer("x", is_error=True, error_kind="auth", error_message=message))])
    journal.close(True)
    assert records(path)[0]["error_message"] == "Incorrect key ***, and ***"


# -- what goes wrong --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_a_power_cut_anywhere_loses_no_whole_line(tmp_path: Path, step: int) -> None:
    path = tmp_path / "run.jsonl"
    texts = [f"prompt {n} ü" for n in range(6)]
    lines = written(path, *texts)
    whole = b"".join(lines)
    starts = [sum(map(len, lines[:count])) for count in range(len(lines) + 1)]
    for cut in {*range(starts[-4], len(whole), step), *starts[-4:], *(start - 1 for start in starts[-4:])}:
        path.write_bytes(whole[:cut])
        complete = sum(end <= cut + 1 for end in starts[1:])  # a line that lacks its newline only is whole
        assert done(path, *texts) == [n < complete for n in range(6)], cut
        assert path.read_bytes() == b"".join(lines[:complete]), cut


@pytest.mark.parametrize("keep", [0, 1, 5, 40, 200])
def test_the_first_line_may_be_cut_too(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "run.jsonl"
    line, = written(path, "only")
    path.write_bytes(line[:keep])
    assert done(path, "only") == [False] and path.read_bytes() == b""
    path.write_bytes(line + b"\0" * 3_000)  # what some file systems leave of a write that did not happen
    assert done(path, "only") == [True] and path.read_bytes() == line


@pytest.mark.parametrize("damage", [
    b"{", b"\xff\xfe", b"\0\0\0", b"{}", b'{"v":1}', b"[1]", b"hello", b'{"v":null,"key":"x"}', b"[" * 5_000,
    b'{"v":1,"id":null,"key":"%s","occurrence":0,"is_error":true,"error_kind":[]}' % (b"a" * 64),
    b'{"v":1,"id":null,"key":"%s","occurrence":"x","is_error":false,"error_kind":null}' % (b"a" * 64),
])
def test_a_damaged_line_is_set_aside_with_its_number(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.jsonl"
    lines = written(path, "a", "b", "c")
    path.write_bytes(lines[0] + damage + b"\n" + lines[2])
    assert done(path, "a", "b", "c") == [True, False, True]
    assert path.read_bytes() == lines[0] + lines[2]
    put_aside, = records(tmp_path / "run.jsonl.damaged")
    assert put_aside["line"] == 2 and put_aside["text"].encode()[:1] in (damage[:1], b"\\")
    assert "1 damaged line (2)" in caplog.text and ".damaged" in caplog.text
    caplog.clear()
    assert done(path, "a", "b", "c") == [True, False, True] and caplog.text == ""


def test_bytes_that_go_wrong_cost_their_own_line_only(tmp_path: Path) -> None:
    path, chance = tmp_path / "run.jsonl", random.Random(3)
    texts = [f"p{n}" for n in range(5)]
    lines = written(path, *texts)
    for _ in range(60):
        number = chance.randrange(5)
        line = bytearray(lines[number])
        for _ in range(chance.randrange(1, 30)):
            line[chance.randrange(len(line) - 1)] = chance.choice(b"\0\xff{}\"x\\")
        path.write_bytes(b"".join([*lines[:number], bytes(line), *lines[number + 1:]]))
        found = done(path, *texts)
        assert all(found[n] for n in range(5) if n != number)


def test_a_journal_of_another_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = written(path, "a", "b")
    path.write_bytes(lines[0] + lines[1].replace(b'{"v":1', b'{"v":2'))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="version 2, and this release reads version 1.*another file"):
        Journal(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.jsonl"]


@pytest.mark.parametrize("content", [b"notes", b"a,b\n1,2\n", b"{}\n", b"\xff" * 50, b"x\n" * 10_000, b'{"v":1}\n{"v":1,'])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="notes.txt exists already; --overwrite replaces it"):
        Journal(path)
    assert path.read_bytes() == content and os.listdir(tmp_path) == ["notes.txt"]


def test_paths_that_cannot_be_a_journal(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "run.jsonl", Path("/dev/null")):
        with pytest.raises(ConfigError, match="no regular file|cannot be written"):
            Journal(path)
    with pytest.raises(ConfigError, match="durable"):
        Journal(tmp_path / "x", durable="never")


def test_an_interrupted_first_run_without_answers_leaves_nothing(tmp_path: Path) -> None:
    Journal(tmp_path / "run.jsonl").close()
    assert os.listdir(tmp_path) == []
    Journal(tmp_path / "run.jsonl").close(True)
    assert (tmp_path / "run.jsonl").read_bytes() == b""


# -- who has it -------------------------------------------------------------------------------------------------------

HOLD = """
import os, sys
from deluge.journal import Journal
journal = Journal("run.jsonl")
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_one_process_at_a_time_and_the_owner_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), text=True) as owner:
        assert owner.stdout is not None
        pid = owner.stdout.readline().strip()
        with pytest.raises(ConfigError, match=f"run.jsonl is in use by process {pid};"):
            Journal("run.jsonl")
        os.symlink("run.jsonl", "link.jsonl")
        with pytest.raises(ConfigError, match=f"link.jsonl is in use by process {pid};"):
            Journal("link.jsonl")
        owner.kill()
    assert Path("run.jsonl.lock").exists(), "it died"
    Journal("run.jsonl").close()
    assert sorted(os.listdir()) == ["link.jsonl", "run.jsonl"]


def test_calls_of_one_process_do_not_share_it(tmp_path: Path) -> None:
    first = Journal(tmp_path / "run.jsonl")
    with pytest.raises(ConfigError, match="in use by another call of this process"):
        Journal(tmp_path / "run.jsonl")
    first.close()
    Journal(tmp_path / "run.jsonl").close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_inherits_neither_the_lock_nor_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    journal = Journal(path)
    journal.keep([(Prompt(key_of("a")), answer("a"))])
    with journal._lock:  # as a courier that writes just now
        child = os.fork()
        if not child:
            code = 1
            try:
                try:
                    Journal(path)
                except ConfigError as error:
                    code = 0 if f"process {os.getppid()};" in str(error) else 2
                journal.close(True)  # as a forgotten generator of the parent's would
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "run.jsonl.lock").exists()
    with pytest.raises(ConfigError, match="in use"):
        Journal(path)
    journal.keep([(Prompt(key_of("b")), answer("b"))])
    journal.close(True)
    assert done(path, "a", "b") == [True, True]


def test_a_forgotten_journal_lets_go(tmp_path: Path) -> None:
    Journal(tmp_path / "run.jsonl")  # collected at once
    Journal(tmp_path / "run.jsonl").close()


# -- a clean end ------------------------------------------------------------------------------------------------------

def test_a_clean_end_leaves_one_line_per_prompt(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = written(path, "a", "b", "c")
    bad = json.dumps({**json.loads(lines[1]), "is_error": True, "error_kind": "server", "completion": None}).encode() + b"\n"
    path.write_bytes(lines[0] + bad + lines[0] + lines[1] + lines[2] + bad)
    os.chmod(path, 0o640)
    with_clean_end(path, "a", "b", "c", clean=False)
    assert len(path.read_bytes().splitlines()) == 6, "only a clean end tidies"
    with_clean_end(path, "a", "b", "c")
    assert sorted(path.read_bytes().splitlines(keepends=True)) == sorted(lines), "an error replaces no answer"
    assert os.stat(path).st_mode & 0o777 == 0o640


def test_calls_may_take_turns_on_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with_clean_end(path, "a", "b")
    with_clean_end(path, "c")
    assert with_clean_end(path, "a", "b", "c").resumed == 3


def test_the_journal_of_one_input_holds_that_input(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with_clean_end(path, "a", "b", "c", exact=True)
    with_clean_end(path, "c", "d", exact=True)
    assert sorted((item["index"], item["completion"][-1]) for item in records(path)) == [(0, "c"), (1, "d")]
    assert len(records(tmp_path / "run.jsonl.aside")) == 2, "paid for, and kept"
    back = with_clean_end(path, "b", "a", "d", "e", exact=True)
    assert (back.resumed, back.written) == (3, 1), "three lines with a new index are no new answers"
    assert sorted((item["index"], item["completion"][-1]) for item in records(path)) == [
        (0, "b"), (1, "a"), (2, "d"), (3, "e")]
    assert [item["completion"][-1] for item in records(tmp_path / "run.jsonl.aside")] == ["c"]
    assert with_clean_end(path, "a", "b", "c", "d", "e", exact=True).resumed == 5
    assert not (tmp_path / "run.jsonl.aside").exists(), "nothing is in it any more"


def test_metadata_is_that_of_the_latest_input(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with_clean_end(path, "a")
    journal = Journal(path)
    assert journal.find(Prompt(key_of("a")), 0, {"topic": "x"}) is not None
    journal.close(True)
    assert [item["metadata"] for item in records(path)] == [{"topic": "x"}]


def test_a_journal_that_is_moved_meanwhile_is_said_and_what_took_its_place_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "run.jsonl"
    written(path, "a", "b")
    journal = Journal(path)
    for index, text in enumerate(("b", "a")):
        assert journal.find(Prompt(key_of(text)), index, None) is not None
    path.rename(tmp_path / "moved.jsonl")
    others = b"".join(written(tmp_path / "other.jsonl", "c", "d"))
    path.write_bytes(others)
    journal.close(True)
    assert path.read_bytes() == others and len(records(tmp_path / "moved.jsonl")) == 4
    assert "was moved or removed while it was written" in caplog.text


def test_overwrite_keeps_the_old_one_until_there_is_a_new_record(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("precious\n")
    (tmp_path / "run.jsonl.aside").write_text("old\n")
    Journal(path, overwrite=True).close()
    assert path.read_text() == "precious\n"
    with_clean_end(path, "a", overwrite=True)
    assert len(records(path)) == 1 and os.listdir(tmp_path) == ["run.jsonl"]
    Journal(path, overwrite=True).close(True)
    assert path.read_bytes() == b""


def test_answers_for_other_parameters_are_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "run.jsonl"
    with_clean_end(path, "a", "b", "c")
    journal = Journal(path)
    journal.begin("b" * 16, (), lambda message: None)
    journal.close()
    assert "3 answers in the journal are for other parameters" in caplog.text
    caplog.clear()
    journal = Journal(path)
    journal.begin("a" * 16, (), lambda message: None)
    journal.close()
    assert caplog.text == ""


# -- writing ----------------------------------------------------------------------------------------------------------

@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_write_that_fails_is_said_once_and_the_rest_is_counted() -> None:
    told: list[str] = []
    out = OneWay("/dev/full")
    out.begin("a" * 16, (), told.append)
    for number in range(3):
        out.keep([(Prompt(key_of(f"{number}")), answer("x"))])
    assert out.failure is not None and (out.written, out.unwritten) == (0, 3)
    assert told == ["/dev/full cannot be written any more: No space left on device"]
    out.close()


def test_a_file_that_may_not_grow_keeps_whole_lines(tmp_path: Path) -> None:
    script = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r}); sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from test_journal_file import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))
journal = Journal("run.jsonl")
for n in range(6):
    journal.keep([(Prompt(key_of(str(n))), answer(str(n), n))])
print(journal.written, journal.unwritten, journal.failure.strerror)
journal.close()
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    count, lost, reason = ran.stdout.split(" ", 2)
    assert int(count) > 1 and int(count) + int(lost) == 6 and reason == "File too large\n", ran.stderr
    assert len(records(tmp_path / "run.jsonl")) == int(count)


def test_odd_values_make_whole_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Cross:
        def __str__(self) -> str:
            raise RuntimeError("no")

    path = tmp_path / "run.jsonl"
    journal = Journal(path)
    odd = answer("x \ud800 \u2028\n", metadata={"nan": float("nan"), 3: {1}}, cost=float("inf"))
    journal.keep([(Prompt(key_of("a")), odd), (Prompt(key_of("b")), answer("y", metadata={"x": Cross()}))])
    journal.close(True)
    assert [entry_of(line + b"\n").failed for line in path.read_bytes().splitlines()] == [False]
    assert "could not be recorded: RuntimeError" in caplog.text and caplog.records[0].levelno == logging.ERROR
    assert done(path, "a") == [True]
