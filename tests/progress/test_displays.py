"""What displays draw on a terminal, in a log file, and where they may not draw at all."""

import io
import logging
import os
import subprocess
import sys
import textwrap

import pytest

from deluge import _plugins
from deluge.errors import ConfigError
from deluge.progress import Ticker, _terminal, display
from deluge.progress.manual import ManualDisplay
from deluge.progress.rich import RichDisplay
from deluge.progress.silent import SilentDisplay
from deluge.progress.tqdm import TqdmDisplay
from deluge.status import StatusSnapshot
from deluge.usage import Usage

EARLY = StatusSnapshot(client_name="nightly", total=500, started=500, running=225, queued=275, limiting_factor="slots")
HALF = StatusSnapshot(
    client_name="nightly", total=500, started=500, succeeded=247, failed=3, running=180, queued=66, backing_off=4,
    retries=26, usage=Usage(61_204, 248_113, 12_000), cost=0.42131, limiting_factor="tokens/min", seconds=62.5,
)
DONE = StatusSnapshot(
    client_name="nightly", total=500, started=500, succeeded=497, failed=3, retries=26, seconds=134.3,
    usage=Usage(61_204, 248_113), cost=0.42131,
)
FINE = StatusSnapshot(client_name="nightly", total=5, started=5, succeeded=5, seconds=1.25)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rich_draws_three_lines_and_leaves_one(terminal):
    shown = display("rich")
    shown.open(EARLY)
    assert terminal.screen == [
        "",
        "⠙ nightly  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  0/500  0 %",
        "  225 running · 275 queued · limited by slots",
    ]
    shown.show(HALF)
    assert terminal.screen == [
        "",
        "⠹ nightly  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  250/500  50 %  1:03 left",
        "  3 failed · 4.0 prompts/s · 180 running · 66 queued · 4 backing off · limited by tokens/min",
        "  $0.4213 · 61k in · 248k out · 12k cached · 26 retries",
    ]
    shown.close(DONE)
    assert terminal.screen == [
        "✗ nightly  497 of 500 answered · 3 failed · 134.3 s · 3.7 prompts/s · $0.4213 · 61k in · 248k out", "",
    ]
    assert sys.stderr is terminal.stream


def test_rich_shows_failures_in_red_and_a_clean_end_in_green(terminal):
    shown = RichDisplay(terminal.stream, width=100)
    shown.open(HALF)
    assert "\x1b[31m3 failed\x1b[0m" in terminal.read()
    shown.close(FINE)
    assert "\x1b[32m✓ \x1b[0m" in terminal.read()


def test_rich_without_a_total_has_no_bar(terminal):
    shown = RichDisplay(terminal.stream, width=100)
    shown.open(StatusSnapshot(client_name="n", started=40, succeeded=30, running=10, seconds=61.0))
    assert terminal.screen[1:] == ["⠙ n  30 done  1:01", "  29.5 prompts/min · 10 running"]
    shown.close(FINE)


@pytest.mark.parametrize("width", [1, 2, 5, 10, 20, 24, 33, 47, 60, 79, 80, 200])
def test_no_line_is_wider_than_the_terminal(terminal, width):
    shown = RichDisplay(terminal.stream, width=width)
    shown.open(HALF)
    shown.show(HALF)
    assert all(len(line) < max(2, width) for line in terminal.screen)
    assert len(terminal.screen) == 4, "the drawing never wraps"
    shown.close(DONE)
    assert all(len(line) < max(2, width) for line in terminal.screen) and len(terminal.screen) == 2


def test_what_others_print_stays_above_the_drawing(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal.second())
    out = sys.stdout
    log = logging.Handler.__new__(logging.StreamHandler)
    logging.StreamHandler.__init__(log, terminal.stream)  # made before the run, as basicConfig does
    shown = display("rich")
    shown.open(EARLY)
    for number in range(3):
        print("answer", number)
    log.emit(logging.LogRecord("app", logging.WARNING, "", 0, "a warning", (), None))
    shown.show(HALF)
    log.emit(logging.LogRecord("app", logging.WARNING, "", 0, "another", (), None))
    shown.show(HALF)
    print("half a li", end="")
    shown.show(HALF)  # waits: it would tear the line
    print("ne", file=sys.stdout)
    shown.show(HALF)
    assert terminal.screen[:7] == [
        "answer 0", "answer 1", "answer 2", "a warning", "another", "half a line", "",
    ]
    assert "250/500" in terminal.screen[7] and len(terminal.screen) == 10
    print("no newline", end="")
    shown.close(DONE)
    assert terminal.screen[6] == "no newline" and terminal.screen[7].startswith("✗ nightly")
    assert sys.stdout is out and sys.stderr is terminal.stream
    out.close()


def test_output_into_a_file_is_not_touched(terminal, monkeypatch, tmp_path):
    with open(tmp_path / "out.jsonl", "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdout", file)
        shown = display("rich")
        shown.open(HALF)
        assert sys.stdout is file
        print("{}")
        shown.close(DONE)
    assert (tmp_path / "out.jsonl").read_text() == "{}\n"


def test_streams_that_somebody_replaced_meanwhile_stay_theirs(terminal, monkeypatch):
    shown = display("rich")
    shown.open(HALF)
    theirs = io.StringIO()
    monkeypatch.setattr(sys, "stderr", theirs)
    shown.close(DONE)
    assert sys.stderr is theirs and theirs.getvalue() == ""


def test_a_terminal_without_unicode_gets_ascii(monkeypatch, terminal):
    plain = io.TextIOWrapper(io.FileIO(terminal.stream.fileno(), "w", closefd=False), "ascii", line_buffering=True)
    shown = RichDisplay(plain, width=70)
    shown.open(HALF)
    assert terminal.screen[1] == "/ nightly  " + "#" * 12 + "-" * 12 + "  250/500  50 %  1:03 left"
    shown.close(DONE)
    assert terminal.read().isascii() and terminal.screen[0].startswith("! nightly  497 of 500 answered | 3 failed")


def test_names_cannot_break_the_drawing(terminal):
    shown = RichDisplay(terminal.stream, width=100)
    shown.open(StatusSnapshot(client_name="[red]a\nb\x1b[2J" + "x" * 90, total=2, started=2))
    assert len(terminal.screen) == 3 and "[red]a b" in terminal.screen[1]
    shown.close(FINE)


@pytest.mark.parametrize("name", ["rich", "tqdm"])
def test_a_terminal_that_does_not_say_its_size_has_eighty_columns(terminal, name):
    terminal.resize(0, 0)
    shown = display(name)
    shown.open(HALF)
    assert "50 %" in terminal.screen[1] if name == "rich" else "50%" in terminal.screen[0]
    assert all(len(line) <= 80 for line in terminal.screen)
    shown.close(DONE)


def test_rich_follows_the_size_of_its_terminal(terminal):
    shown = display("rich")
    shown.open(HALF)
    for columns in (40, 20, 100):
        terminal.resize(columns, 30)
        shown.show(HALF)
        assert len(terminal.screen) == 4 and all(len(line) < columns for line in terminal.screen)
    shown.close(DONE)


def test_tqdm_draws_one_line(terminal):
    shown = TqdmDisplay(terminal.stream, width=120)
    shown.open(EARLY)
    shown.show(HALF)
    [line] = terminal.screen
    assert line.startswith("nightly:  50%|") and "250/500 [01:02<01:02,  4.00 prompts/s" in line
    assert "3 failed" in line and "\x1b[31m3 failed\x1b[0m" in terminal.raw
    shown.close(DONE)
    assert "500/500" in terminal.screen[0] and "█" in terminal.screen[0]


def test_tqdm_starts_no_thread_and_honours_its_switch():
    code = """
        import os, pty, sys, threading
        master, slave = os.openpty()
        sys.stderr = os.fdopen(slave, "w")
        from deluge.progress import display
        from deluge.status import StatusSnapshot
        shown = display("tqdm")
        shown.open(StatusSnapshot(total=3))
        shown.show(StatusSnapshot(total=3, succeeded=1))
        assert threading.active_count() == 1, threading.enumerate()
        shown.close(StatusSnapshot(total=3, succeeded=3))
        os.set_blocking(master, False)
        try:
            print(len(os.read(master, 10000)))
        except BlockingIOError:
            print(0)
    """
    drawn = run(code, TERM="xterm")
    assert int(drawn) > 50
    assert int(run(code, TERM="xterm", TQDM_DISABLE="1")) == 0


@pytest.mark.parametrize("missing, words", [
    ({"rich"}, "nightly:  50%|"), ({"rich", "tqdm"}, "[nightly] 497 of 500 answered"),
])
def test_without_its_library_the_next_display_is_used(missing, words):
    code = f"""
        import os, select, sys
        for name in {sorted(missing)!r}:
            sys.modules[name] = None
        master, slave = os.openpty()
        sys.stderr = os.fdopen(slave, "w")
        from deluge.progress import display
        from deluge.status import StatusSnapshot
        shown = display("rich")
        shown.open(StatusSnapshot(client_name="nightly", total=500, succeeded=250))
        shown.close(StatusSnapshot(client_name="nightly", total=500, succeeded=497, failed=3))
        written = b""
        while select.select([master], [], [], 1)[0]:  # a terminal hands over what was written piece by piece
            written += os.read(master, 10000)
        print(written.decode())
    """
    assert words in run(code, TERM="xterm")


def run(code: str, **variables: str) -> str:
    variables = {"PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1", **variables}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_libraries_load_only_when_they_draw():
    assert run("""
        import sys
        import deluge.progress, deluge.tracker, deluge.summary
        for name in ("rich", "tqdm", "manual", "silent"):
            deluge.progress.display(name)
        print([name for name in ("rich", "tqdm", "multiprocessing") if name in sys.modules])
    """) == "[]\n"


def test_manual_speaks_every_thirty_seconds(terminal):
    clock = Clock()
    shown = ManualDisplay(terminal.stream, clock=clock)
    shown.open(EARLY)
    for clock.now in (0.0, 29.9, 30.0, 31.0, 59.9, 60.1):
        shown.show(HALF)
    shown.close(DONE)
    line = ("[nightly] 250/500, 50 %, 1:03 left, 3 failed, 4.0 prompts/s, 180 running, 66 queued, 4 backing off, "
            "limited by tokens/min, $0.4213, 61k in, 248k out, 12k cached, 26 retries")
    assert terminal.screen == [
        line, line, "[nightly] 497 of 500 answered, 3 failed, 134.3 s, 3.7 prompts/s, $0.4213, 61k in, 248k out, "
        "26 retries", "",
    ]


@pytest.mark.parametrize("name", ["rich", "tqdm", "manual"])
def test_a_log_file_stays_clean(name, tmp_path, monkeypatch):
    with open(tmp_path / "log", "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stderr", file)
        shown = display(name)
        shown.open(EARLY)
        for _ in range(20):
            shown.show(HALF)
        shown.close(DONE)
    assert (tmp_path / "log").read_text() == ""


def test_off_a_terminal_it_speaks_through_logging_after_thirty_seconds(caplog):
    clock = Clock()
    shown = ManualDisplay(logged=True, clock=clock)
    with caplog.at_level(logging.INFO, logger="deluge"):
        shown.open(EARLY)
        for clock.now in (1.0, 29.0, 31.0, 32.0, 62.0):
            shown.show(HALF)
        shown.close(DONE)
    first, _, last = caplog.records
    assert first.name == "deluge.progress" and first.levelno == logging.INFO
    assert first.getMessage() == (
        "250/500, 50 %, 1:03 left, 3 failed, 4.0 prompts/s, 180 running, 66 queued, 4 backing off, limited by "
        "tokens/min, $0.4213, 61k in, 248k out, 12k cached, 26 retries client=nightly done=250 total=500 failed=3 "
        "running=180 queued=66 cost=0.421"
    )
    assert first.deluge["done"] == 250
    assert last.getMessage().startswith("497 of 500 answered, 3 failed")
    assert not any("\r" in record.getMessage() for record in caplog.records)


def test_a_short_run_off_a_terminal_says_nothing(caplog):
    shown = ManualDisplay(logged=True)
    with caplog.at_level(logging.INFO, logger="deluge"):
        shown.open(EARLY)
        shown.show(HALF)
        shown.close(DONE)
    assert not caplog.records


@pytest.mark.parametrize("name", ["rich", "tqdm", "manual"])
@pytest.mark.parametrize("other", ["rich", "tqdm", "manual"])
def test_two_displays_at_once_do_not_disturb_each_other(terminal, name, other):
    first, second = display(name), display(other)
    first.open(HALF)
    second.open(HALF)
    second.show(HALF)
    first.show(HALF)
    second.close(DONE)
    first.show(HALF)
    first.close(DONE)
    assert sum("497 of 500" in line or "500/500" in line for line in terminal.screen) == 2
    third = display(name)
    third.open(FINE)
    third.close(FINE)
    assert "5 of 5" in terminal.screen[-2] or "5/5" in terminal.screen[-1] or "5/5" in terminal.screen[-2]


@pytest.mark.parametrize("name", ["rich", "tqdm", "manual"])
def test_a_terminal_that_hangs_up_breaks_nothing(terminal, name):
    shown = display(name)
    shown.open(EARLY)
    terminal.hang_up()
    shown.show(HALF)
    shown.show(HALF)
    shown.close(DONE)


@pytest.mark.parametrize("name", ["rich", "tqdm", "manual"])
@pytest.mark.parametrize("stream", [None, "closed"])
def test_no_standard_error_breaks_nothing(monkeypatch, name, stream):
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    shown = display(name)
    shown.open(EARLY)
    shown.show(HALF)
    shown.close(DONE)


def test_a_stream_closed_during_the_run_breaks_nothing(terminal):
    shown = display("rich")
    shown.open(EARLY)
    terminal.stream.close()
    shown.show(HALF)
    shown.close(DONE)
    assert _terminal.claim(shown), "the terminal is free again"
    _terminal.release(shown)


def test_a_notebook_gets_tqdm(monkeypatch):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stderr", stream)
    shown = display("rich")
    shown.open(EARLY)
    shown.show(HALF)
    shown.close(DONE)
    assert "\rnightly:  50%" in stream.getvalue() and "\x1b[A" not in stream.getvalue()


def test_dumb_terminals_get_no_drawing(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    shown = display("rich")
    shown.open(EARLY)
    shown.show(HALF)
    shown.close(DONE)
    assert terminal.screen == [""]


def test_none_is_silent(capsys):
    for shown in (display(None), display("silent")):
        assert isinstance(shown, SilentDisplay)
        shown.open(EARLY)
        shown.show(HALF)
        shown.close(DONE)
    assert capsys.readouterr() == ("", "")


def test_an_unknown_display_names_the_known_ones():
    with pytest.raises(ConfigError, match="manual, rich, silent, tqdm"):
        display("sparkles")


def test_a_display_is_one_new_file(tmp_path, monkeypatch):
    import deluge.progress

    (tmp_path / "dots.py").write_text(textwrap.dedent('''
        """Counts in dots."""

        class Dots:
            def __init__(self): self.text = ""
            def open(self, now): self.text += "<"
            def show(self, now): self.text += "." * now.done
            def close(self, now): self.text += ">"

        DISPLAY = Dots
    '''))
    monkeypatch.setattr(deluge.progress, "__path__", [*deluge.progress.__path__, str(tmp_path)])
    assert "dots" in _plugins.names("progress")
    try:
        shown = display("dots")
    finally:
        sys.modules.pop("deluge.progress.dots", None)
    shown.open(EARLY)
    shown.show(FINE)
    shown.close(DONE)
    assert shown.text == "<.....>"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_prints_while_the_parent_draws(terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal.second())
    ticker = Ticker(display("rich"), lambda: HALF)
    ticker.open()
    ticker.refresh()
    with ticker._lock, ticker._display._inner._lock:  # as if it were drawing at this very moment
        child = os.fork()
        if child == 0:
            print("from the child", flush=True)
            os._exit(int(ticker._display is not None))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "from the child" in terminal.screen
    ticker.close()
    sys.stdout.close()


def test_a_forgotten_display_gives_its_streams_back(terminal):
    shown = display("rich")
    shown.open(HALF)
    assert sys.stderr is not terminal.stream
    shown.forget()
    assert sys.stderr is terminal.stream
    shown.show(HALF)
    shown.close(DONE)
