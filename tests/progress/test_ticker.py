"""The thread behind a display: when it draws, and what cannot stop it or be stopped by it."""

import logging
import os
import threading
import time
from itertools import pairwise

import pytest

from deluge.progress import Ticker, display
from deluge.progress.silent import SilentDisplay
from deluge.status import StatusSnapshot

NOW = StatusSnapshot(total=3, started=3)


class Recorder:
    interval = 0.1

    def __init__(self, breaks: str = "") -> None:
        self.calls: list[str] = []
        self.times: list[float] = []
        self.breaks = breaks
        self.forgotten = False
        self.enough = threading.Event()

    def note(self, verb: str) -> None:
        self.calls.append(verb)
        self.times.append(time.monotonic())
        if len(self.calls) >= 4:
            self.enough.set()
        if verb == self.breaks:
            self.enough.set()
            raise RuntimeError("sk-proj-abcdefghijklmnop is in the way")

    def open(self, now):
        self.note("open")

    def show(self, now):
        self.note("show")

    def close(self, now):
        self.note("close")

    def forget(self):
        self.forgotten = True


def test_draws_from_its_own_thread_until_it_is_closed():
    shown = Recorder()
    ticker = Ticker(shown, lambda: NOW)
    ticker.open()
    ticker.open()
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("deluge-progress") == 1
    assert shown.enough.wait(20)
    ticker.close()
    ticker.close()
    assert shown.calls[:3] == ["open", "show", "show"] and shown.calls[-1] == "close"
    assert shown.calls.count("close") == 1
    assert "deluge-progress" not in [thread.name for thread in threading.enumerate()]
    drawn = [at for call, at in zip(shown.calls, shown.times) if call == "show"]
    assert all(later - earlier > 0.09 for earlier, later in pairwise(drawn)), "at most ten a second"


def test_a_run_that_is_over_at_once_still_shows_how_it_ended():
    shown = Recorder()
    ticker = Ticker(shown, lambda: NOW)
    ticker.open()
    ticker.close()
    assert shown.calls == ["open", "close"]


def test_refresh_draws_now_and_never_after_the_end():
    shown = Recorder()
    ticker = Ticker(shown, lambda: NOW)
    ticker.refresh()
    ticker.close()
    ticker.refresh()
    assert shown.calls == ["open", "show", "close"]


def test_a_silent_display_needs_no_thread():
    ticker = Ticker(SilentDisplay(), lambda: NOW)
    before = threading.active_count()
    ticker.open()
    assert threading.active_count() == before
    ticker.close()


def test_no_thread_before_it_is_opened_nor_after_it_is_closed():
    before = threading.active_count()
    ticker = Ticker(Recorder(), lambda: NOW)
    assert threading.active_count() == before
    ticker.close()
    ticker.open()
    assert threading.active_count() == before


@pytest.mark.parametrize("breaks", ["open", "show", "close"])
def test_a_display_that_raises_is_reported_once_and_left_alone(breaks, caplog):
    shown = Recorder(breaks)
    ticker = Ticker(shown, lambda: NOW)
    with caplog.at_level(logging.DEBUG, logger="deluge"):
        ticker.refresh()
        ticker.refresh()
        ticker.close()
    [record] = caplog.records
    assert record.levelno == logging.ERROR and "error_class=RuntimeError" in record.getMessage()
    assert "sk-proj" not in caplog.text and shown.calls.count(breaks) == 1 and shown.forgotten


def test_a_snapshot_that_raises_ends_the_display_not_the_run(caplog):
    def broken():
        raise KeyError("no")

    ticker = Ticker(Recorder(), broken)
    ticker.refresh()
    ticker.close()
    assert len(caplog.records) == 1


def test_displays_may_be_slower_than_the_ticker():
    slow = Recorder()
    slow.interval = 1.0
    ticker = Ticker(slow, lambda: NOW, interval=0.1)
    assert ticker._pause() == 0.1
    ticker.refresh()
    assert ticker._pause() == 1.0
    ticker.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_no_display_and_may_not_wait_for_one():
    shown = Recorder()
    ticker = Ticker(shown, lambda: NOW)
    ticker.open()
    with ticker._lock:  # as if the thread were drawing at this very moment
        child = os.fork()
        if child == 0:
            ticker.refresh()
            ticker.close()
            os._exit(0 if shown.forgotten and "close" not in shown.calls else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ticker.close()
    assert shown.calls[-1] == "close" and not shown.forgotten


def test_ticks_a_real_display_on_a_terminal(terminal):
    ticker = Ticker(display("rich"), lambda: NOW)
    ticker.open()
    ticker.refresh()
    ticker.close()
    assert terminal.screen[0].startswith("✓ LLMClient  0 of 3 answered")
