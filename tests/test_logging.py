"""Logging: known words only, values beside the text, repeats folded."""

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deluge import _log
from deluge._log import Folder

ROOM = _log.logger("retry")


def said(caplog, level=logging.WARNING, message="", **values):
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="deluge"):
        _log.event(ROOM, level, message, **values)
    [record] = caplog.records
    return record


def test_the_line_and_its_values(caplog):
    record = said(caplog, request_id="req_x", retry_in=1.8, status=429, kind="rate_limit", attempt="2/5", id="q-17",
                  model="gpt-4.1-mini", task=17, client="nightly")
    assert f"{record.levelname} {record.name} {record.getMessage()}" == (
        "WARNING deluge.retry client=nightly task=17 id=q-17 model=gpt-4.1-mini attempt=2/5 kind=rate_limit status=429 "
        "retry_in=1.8 request_id=req_x"
    )
    assert record.deluge == {
        "client": "nightly", "task": 17, "id": "q-17", "model": "gpt-4.1-mini", "attempt": "2/5", "kind": "rate_limit",
        "status": 429, "retry_in": 1.8, "request_id": "req_x",
    }
    assert record.funcName == "said"


@pytest.mark.parametrize("values, text", [
    ({"status": None, "task": 1}, "task=1"),
    ({"seconds": 134.31234}, "seconds=134.312"),
    ({"seconds": 2.0}, "seconds=2"),
    ({"id": "two words"}, 'id="two words"'),
    ({"id": 'a"b'}, "id=\"a'b\""),
    ({"id": "a\nWARNING forged"}, 'id="a WARNING forged"'),
    ({"id": "\x1b[2J"}, 'id=" [2J"'),
    ({"id": "x" * 500}, "id=" + "x" * 197 + "..."),
    ({"id": ["a", "prompt"]}, "id=list"),
    ({"id": ""}, 'id=""'),
])
def test_how_values_are_written(caplog, values, text):
    assert said(caplog, **values).getMessage() == text


SECRETS = ["sk-proj-abcdefghijkl0123", "sk-ant-api03-abcdefghijkl", "AIzaSyA1234567890abcdefghijk",
           "gsk_abcdefghijklmnop", "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "Bearer abc.def-ghi",
           "xai-abcdefghijklmnop", "hf_abcdefghijklmnop", "ya29.a0AfB_abcdefghijk",
           "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_never_shows(caplog, secret):
    record = said(caplog, message=f"refused {secret} today", reason=f"wrong key {secret}", id=secret, api_key=secret,
                  headers={"authorization": secret})
    shown = record.getMessage() + repr(record.deluge) + repr(vars(record))
    assert secret not in shown and secret.split()[-1] not in shown and "***" in record.getMessage()


def test_a_prompt_never_shows(caplog):
    record = said(caplog, message="failed", prompt="once upon a time", messages=["once upon a time"],
                  completion="once upon a time", body=b"once upon a time", error="once upon a time",
                  id={"text": "once upon a time"}, task=object(), kind="server")
    assert "once" not in repr(vars(record))
    assert record.getMessage() == "failed task=object id=dict kind=server"
    assert not {"prompt", "messages", "completion", "content", "body", "error", "api_key", "headers"} & set(_log.KEYS)


@given(st.dictionaries(st.sampled_from(_log.KEYS), st.text() | st.integers() | st.floats() | st.none()), st.text())
def test_every_record_is_one_line(values, message):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    log = logging.Logger("deluge.test")
    log.addHandler(handler)
    _log.event(log, logging.INFO, message, **values)
    [record] = records
    assert len(record.getMessage().splitlines()) <= 1 and record.getMessage().isprintable()


def test_nothing_is_made_for_a_level_that_is_off():
    class Costly(str):
        def isprintable(self):
            raise AssertionError("rendered")

    log = logging.Logger("deluge.off", logging.ERROR)
    _log.event(log, logging.DEBUG, Costly("x"), id=Costly("y"))


def test_percent_signs_are_text(caplog):
    assert said(caplog, message="100 %s done %d").getMessage() == "100 %s done %d"


def test_the_library_is_quiet_until_logging_is_set_up():
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("deluge").handlers)
    assert _log.logger().name == "deluge" and _log.logger("retry").parent is _log.logger()


def test_the_handler_follows_standard_error(capsys):
    handler = _log.StderrHandler()
    log = logging.Logger("deluge.test")
    log.addHandler(handler)
    _log.event(log, logging.INFO, "hello", task=3)
    assert capsys.readouterr() == ("", "hello task=3\n") and handler.stream is sys.stderr


def test_folding():
    fold = Folder(every=10.0)
    assert fold.add("a", "a1", 0.0) == [("a1", 1)]
    assert fold.next_at is None
    assert fold.add("a", "a2", 1.0) == []
    assert fold.add("b", "b1", 2.0) == [("b1", 1)], "another key is another matter"
    assert fold.add("a", "a3", 9.9) == []
    assert fold.next_at == 10.0
    assert fold.due(9.99) == []
    assert fold.due(10.0) == [("a3", 2)], "what repeated is said once, with its count"
    assert fold.add("a", "a4", 12.0) == []
    assert fold.add("b", "b2", 20.0) == [("a4", 1), ("b2", 1)], "b was quiet for a whole period"
    assert fold.due(40.0) == [] and fold.next_at is None
    assert fold.add("a", "a5", 41.0) == [("a5", 1)]


def test_flushing_says_what_is_left():
    fold = Folder()
    for number in range(5):
        fold.add(("m", "server"), number, 0.0)
    fold.add(("m", "timeout"), 9, 0.0)
    assert fold.flush() == [(4, 4)] and fold.flush() == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=80))
def test_every_repeat_is_counted_once(happenings):
    fold, now, said = Folder(), 0.0, []
    for key, wait in happenings:
        now += wait
        said += fold.add(key, key, now)
    said += fold.flush()
    for key in "abc":
        assert sum(count for item, count in said if item == key) == sum(other == key for other, _ in happenings)
