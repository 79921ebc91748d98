"""Figures in words."""

import pytest

from deluge.models.model import Limits
from deluge.progress import _words
from deluge.status import StatusSnapshot


@pytest.mark.parametrize("count, text", [
    (0, "0"), (999, "999"), (1_000, "1.0k"), (1_240, "1.2k"), (9_949, "9.9k"), (9_960, "10k"), (248_113, "248k"),
    (999_400, "999k"), (999_600, "1.0M"), (3_140_000, "3.1M"), (12_300_000, "12M"), (4.2e9, "4.2G"), (5e12, "5,000G"),
])
def test_short(count, text):
    assert _words.short(count) == text


@pytest.mark.parametrize("dollars, text", [
    (0, "$0"), (0.42131, "$0.4213"), (9.99, "$9.9900"), (12.349, "$12.35"), (1234.5, "$1,234.50"), (0.001, "$0.0010"),
    (0.0009, "$0.00090"), (0.0000123, "$0.000012"), (1e-20, "$0.000000000000"),
])
def test_money(dollars, text):
    assert _words.money(dollars) == text


@pytest.mark.parametrize("seconds, text", [
    (0, "0.0 s"), (134.31, "134.3 s"), (599.9, "599.9 s"), (600, "10 min 0 s"), (3_725, "62 min 5 s"),
    (7_200, "2 h 0 min"), (93_600, "26 h 0 min"),
])
def test_seconds(seconds, text):
    assert _words.seconds(seconds) == text


@pytest.mark.parametrize("seconds, text", [(0, "0:00"), (51.9, "0:51"), (723, "12:03"), (3_723, "1:02:03")])
def test_clock(seconds, text):
    assert _words.clock(seconds) == text


@pytest.mark.parametrize("width, kept", [(0, []), (2, []), (3, ["abc"]), (8, ["abc"]), (9, ["abc", "def"])])
def test_fit_keeps_what_comes_first(width, kept):
    assert [text for text, _ in _words.fit([("abc", ""), ("def", ""), ("g", "")], width)] == kept


@pytest.mark.parametrize("learned, promised, said", [
    ({"m": Limits(3_000, 600_000)}, {}, ["account has 3.0k requests/min, 600k tokens/min"]),
    ({"m": Limits(3_000, 600_000)}, {"m": Limits(1_000, 600_000)}, ["account has 3.0k requests/min"]),
    ({"m": Limits(3_000)}, {"m": Limits(3_000)}, []),
    ({"m": Limits(60), "n": Limits(None, "auto"), "o": Limits(output_tokens_per_minute=8_000)}, {},
     ["m has 60 requests/min", "o has 8.0k output tokens/min"]),
])
def test_what_an_account_turned_out_to_have_is_said_where_it_was_not_given(learned, promised, said):
    parts = _words.traffic(StatusSnapshot(learned=learned, promised=promised))
    assert [text for text, _ in parts] == ["0 running", *said]
