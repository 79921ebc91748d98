"""The page about a run: what it counts, that no record can break out of it, and that it never needs the network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_records import HOSTILE, TAGS, Page, made, written

from deluge.cli import main
from deluge.errors import ConfigError
from deluge.record import RECORD_KEYS
from deluge.report import RunNotes, read_notes, save_notes, write_report
from deluge.report.charts import Bar, bars, escaped
from deluge.report.gather import MOST_STEPS, Gathered, Timeline, read_records
from deluge.report.page import page
from deluge.testing import RehearsalServer, rehearsal
from deluge.tracker import StatusTracker

__all__ = ["rehearsal"]

WORDS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.lists(WORDS, max_size=2))


def read(text: str) -> Page:
    found = Page(text)
    assert found.tags <= TAGS, found.tags - TAGS
    names = {name for name, _ in found.attributes}
    assert not {name for name in names if name.startswith("on")} and not names & {"src", "href", "style", "srcdoc"}
    return found


def test_it_counts_what_the_records_say(tmp_path: Path) -> None:
    records = [made(n) for n in range(8)]
    records += [made(8, model="other", cost=None, finish_reason="length", latency=9.0, attempts=3, possibly_billed=True)]
    records += [made(9, is_error=True, error_kind="bad_request", error_message="no <b>", completion=None, cost=None,
                     input_tokens=0, output_tokens=0)]
    records += [made(10, source="cache", cost=0.0), "no record", 7]
    run = read_records(written(tmp_path / "run.jsonl", *records))
    assert (run.prompts, run.answered, run.failed, run.cut, run.damaged) == (11, 10, 1, 1, 2)
    assert (run.requests, run.retried, run.possibly_billed, run.unpriced) == (12, 1, 1, 1)
    assert run.cost == pytest.approx(0.008) and run.input_tokens == 90 and run.output_tokens == 180
    assert run.kinds == {"bad_request": 1} and set(run.models) == {"gpt-4.1-mini", "other"}
    assert run.slowest[0]["index"] == 8 and run.failures[0]["error_message"] == "no <b>"
    assert run.seconds == pytest.approx(10.0)


def test_the_page_says_it(tmp_path: Path) -> None:
    source = written(tmp_path / "run.jsonl", *(made(n) for n in range(5)), made(5, is_error=True, error_kind="server"))
    limited = {0: {"slots": 30.0}, 1: {"cooldown": 2.0}}
    notes = RunNotes(1_700_000_000.0, 65.0, 600.0, None, 10, 7, {"server": 2}, limited=limited)
    save_notes(source, notes)
    assert read_notes(source) == (notes,)
    write_report(source, tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text("utf-8")
    seen = " ".join(read(text).texts)
    for word in ("run.jsonl", "answered of 6", "limit 600 requests/min", "slots", "cooldown", "gpt-4.1-mini", "server",
                 "Slowest answers", "Failed prompts", "question 5", "p95"):
        assert word in seen, word
    assert "http" not in text.replace("http-equiv", "")


def test_a_run_that_nothing_limited_says_so() -> None:
    run = Gathered()
    run.add(made())
    assert "Nothing did, as far as its notes tell" in page("run", run, (RunNotes(1_700_000_000.0, 5.0, 600.0),))
    assert "The run left no notes about its limits" in page("run", run)


def test_notes_are_read_carefully(tmp_path: Path) -> None:
    source = written(tmp_path / "run.jsonl", made())
    assert read_notes(source) == ()
    (tmp_path / "run.jsonl.runs").write_bytes(b'\xff\n{"v": 9}\n{"v": 1}\n[]\n{"v": 1, "started_at": "x"}\n')
    good = '{"v":1,"started_at":5,"seconds":1,"requests_per_minute":9,"tokens_per_minute":null,"slots":1,"requests":1,' \
        '"retries":{"server":1},"rate_limit_errors":0,"possibly_billed":0,"limited":{"0":{"slots":3}}}\n'
    with open(tmp_path / "run.jsonl.runs", "a", encoding="utf-8") as file:
        for was, odd in ((':9,', ':1e999,'), (':9,', ':-1,'), (':5,', ':1e20,'), ('"0"', '"9e15"'), (':3}', ':NaN}'),
                         ('"requests":1', '"requests":1e999'), ('"server":1', '"server":1e300')):
            assert was in good
            file.write(good.replace(was, odd))
    save_notes(source, RunNotes(5.0))
    assert [notes.started_at for notes in read_notes(source)] == [5.0]
    write_report(source, tmp_path / "run.html")


def test_numbers_beyond_all_counting_are_left_out(tmp_path: Path) -> None:
    odd = [made(n, output_tokens=10 ** 308, attempts=10 ** 308, cost=1e308) for n in range(3)]
    assert write_report(written(tmp_path / "run.jsonl", *odd), tmp_path / "run.html").output_tokens == 0
    late = [made(n, is_error=True, latency=latency) for n, latency in enumerate((10 ** 400, -1, float("inf"), True, "x"))]
    assert write_report(written(tmp_path / "run.jsonl", *late), tmp_path / "run.html").failed == 5


def test_a_pipe_takes_the_page_and_stays_a_pipe_and_a_link_stays_a_link(tmp_path: Path) -> None:
    source, pipe, link = written(tmp_path / "run.jsonl", made()), tmp_path / "pipe", tmp_path / "link.html"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_report(source, pipe)
        assert os.read(reader, 1 << 16).startswith(b"<!DOCTYPE html>") and not pipe.is_file()
    finally:
        os.close(reader)
    link.symlink_to(tmp_path / "real.html")
    write_report(source, link)
    assert link.is_symlink() and (tmp_path / "real.html").read_text().startswith("<!DOCTYPE html>")


def test_wrong_input_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = written(tmp_path / "empty.jsonl")
    with pytest.raises(ConfigError, match="holds no records"):
        write_report(empty, tmp_path / "x.html")
    with pytest.raises(ConfigError, match="cannot be read"):
        write_report(tmp_path / "none.jsonl", tmp_path / "x.html")
    source = written(tmp_path / "run.jsonl", made())
    with pytest.raises(ConfigError, match="replace its own records"):
        write_report(source, source)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(source, tmp_path / "nowhere" / "x.html")
    assert main(["report", str(source)]) == 0 and (tmp_path / "run.html").exists()
    assert main(["report", str(tmp_path / "none.jsonl")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.jsonl", "run.html", "run.jsonl"]
    assert "Traceback" not in capsys.readouterr().err


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional={key: VALUES for key in RECORD_KEYS}), min_size=1, max_size=6), WORDS)
def test_no_record_breaks_out_of_the_page(records: list[dict[str, Any]], name: str) -> None:
    run = Gathered()
    for record in records:
        run.add({**made(), **record})
    read(page(name, run))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    run = Gathered()
    run.add(made(0, id=text, model=text, prompt=text, completion=text))
    run.add(made(1, is_error=True, error_kind=text, error_message=text, request_id=text))
    found = read(page(text, run))
    assert "script" not in found.tags and "img" not in found.tags
    shown = "".join(found.texts)
    assert re.sub(r"[\x00\x1b\u202e]", "\ufffd", text) in shown


def test_a_long_run_takes_no_more_room() -> None:
    timeline = Timeline()
    for second in range(0, 200_000, 7):
        timeline.add(made(finished_at=1_700_000_000.0 + second, latency=3.0))
    assert len(timeline.steps) <= MOST_STEPS and timeline.seconds == 512
    assert sum(step.answered for step in timeline.steps.values()) == len(range(0, 200_000, 7))
    assert sum(step.in_flight for step in timeline.steps.values()) == pytest.approx(3.0 * len(range(0, 200_000, 7)), rel=0.01)


def test_charts_have_round_axes_and_say_what_they_are() -> None:
    text = bars([Bar((("a", 730.0),), "first", "0:00")], label="a & b", limit=900.0, limit_label="limit")
    assert 'aria-label="a &amp; b"' in text and ">1k<" in text and ">500<" in text and 'class="limit"' in text
    assert escaped("\ud800") == "?"


def test_a_run_leaves_its_notes_and_its_page(tmp_path: Path, rehearsal: RehearsalServer) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text("".join(f"prompt {n}\n" for n in range(30)))
    out = tmp_path / "out.jsonl"
    command = ["run", str(rows), "-m", "m", "--base-url", rehearsal.base_url, "-o", str(out), "-q", "--rpm", "60000",
               "--concurrency", "2", "--report", str(tmp_path / "page.html")]
    assert main([*command, "--limit", "20"]) == 0 and main(command) == 0
    notes = read_notes(out)
    assert [note.requests for note in notes] == [20, 10] and notes[0].requests_per_minute == 60_000 and notes[0].slots == 2
    seen = " ".join(read((tmp_path / "page.html").read_text("utf-8")).texts)
    assert "answered of 30" in seen and "limit 60,000 requests/min" in seen
    assert main([*command, "--overwrite"]) == 0 and len(read_notes(out)) == 1
    assert main([*command[:7], "-", "--report", "x.html"]) == 2


def test_what_limits_a_run_is_counted_by_the_minute() -> None:
    now = [100.0]
    tracker = StatusTracker(clock=lambda: now[0])
    tracker.started(1)
    for factor, seconds in (("slots", 50.0), (None, 5.0), ("tokens/min", 20.0), ("cooldown", 100.0)):
        tracker.gauge(0, 1, 0, factor, now[0])  # type: ignore[arg-type]
        now[0] += seconds
    minutes = tracker.snapshot().limited_minutes
    assert minutes == {0: {"slots": 50.0, "tokens/min": 5.0}, 1: {"tokens/min": 15.0, "cooldown": 45.0}, 2: {"cooldown": 55.0}}
    assert {name: sum(m.get(name, 0.0) for m in minutes.values()) for name in ("slots", "tokens/min", "cooldown")} == \
        tracker.snapshot().limited_by
