"""The summary, line by line."""

import pytest

from deluge.models.model import Limits
from deluge.status import Capacity, StatusSnapshot
from deluge.summary import ARGUMENTS, summary
from deluge.usage import Usage

DEFAULTS = Capacity(1_000, 100_000, 225, default=True)

WHOLE = StatusSnapshot(
    total=500, started=500, succeeded=498, cut=1, failed=2, duplicates=12, requests_sent=523, retries=26,
    retries_by_kind={"server": 5, "timeout": 2, "rate_limit": 19}, possibly_billed=2,
    usage=Usage(61_204, 248_113, 12_000, 0, 0, 31_002), cost=0.42131, unpriced=3, seconds=134.3,
    limited_by={"slots": 14.8, "tokens/min": 111.5, "cooldown": 5.4, "input": 0.1}, capacity=DEFAULTS,
    latency_p50=1.21, latency_p95=4.83, failed_by_kind={"bad_request": 1, "content_filter": 1},
)


def test_the_whole_block():
    assert summary(WHOLE, "deluge run … --retry-failed") == """\
prompts     500: 497 answered, 1 cut at length, 2 failed | 0 resumed, 12 duplicates
requests    523 sent, 26 retries (19 rate_limit, 5 server, 2 timeout), 2 possibly billed
tokens      61,204 in, 12,000 cached | 248,113 out (31,002 reasoning)
cost        $0.4213 (3 prompts unpriced)
speed       134.3 s, 3.7 prompts/s, p50 1.2 s, p95 4.8 s
limited by  tokens/min 83 %, slots 11 %, cooldown 4 %   (limits are the defaults; raise them with --rpm --tpm)
failed      1 bad_request, 1 content_filter
next        deluge run … --retry-failed
"""


def test_a_short_run_is_short():
    now = StatusSnapshot(total=1, started=1, succeeded=1, requests_sent=1, usage=Usage(3, 4), seconds=0.0541,
                         latency_p50=0.05, latency_p95=0.05)
    assert summary(now) == """\
prompts     1: 1 answered
requests    1 sent
tokens      3 in | 4 out
cost        $0
speed       0.1 s, 18.5 prompts/s, p50 50 ms, p95 50 ms
"""


def test_nothing_at_all():
    assert summary(StatusSnapshot()) == "prompts     0: 0 answered\n"


@pytest.mark.parametrize("fields, line", [
    ({"started": 3, "succeeded": 3, "resumed": 2}, "prompts     3: 3 answered | 2 resumed, 0 duplicates"),
    ({"started": 3, "succeeded": 3, "cache_hits": 3}, "prompts     3: 3 answered | 3 from the cache"),
    ({"started": 3, "succeeded": 3, "cache_hits": 1, "duplicates": 1},
     "prompts     3: 3 answered | 0 resumed, 1 duplicate, 1 from the cache"),
    ({"total": 9, "started": 5, "succeeded": 1, "cancelled": 3},
     "prompts     9: 1 answered, 3 cancelled, 5 unfinished"),
    ({"started": 1_234_567, "succeeded": 1_234_567}, "prompts     1,234,567: 1,234,567 answered"),
    ({"requests_sent": 2, "retries": 1, "retries_by_kind": {"parse": 1}}, "requests    2 sent, 1 retry (1 parse)"),
    ({"usage": Usage(1, 2, 3, 4)}, "tokens      1 in, 3 cached, 4 written to the cache | 2 out"),
    ({"unpriced": 1}, "cost        unknown (1 prompt unpriced)"),
    ({"cost": 1_234.5}, "cost        $1,234.50"),
    ({"cost": 12.349}, "cost        $12.35"),
    ({"cost": 0.0000123}, "cost        $0.000012"),
    ({"started": 9, "succeeded": 9, "seconds": 7_950.0}, "speed       2 h 12 min, 0.1 prompts/min"),
    ({"started": 60, "succeeded": 60, "seconds": 1_384.0}, "speed       23 min 4 s, 2.6 prompts/min"),
    ({"started": 9_000, "succeeded": 9_000, "seconds": 2.0}, "speed       2.0 s, 4,500 prompts/s"),
    ({"seconds": 10.0, "limited_by": {"slots": 9.0}}, "limited by  slots 90 %"),
    ({"seconds": 10.0, "limited_by": {"slots": 9.0}, "capacity": DEFAULTS},
     "limited by  slots 90 %   (limits are the defaults; raise them with --concurrency)"),
    ({"seconds": 10.0, "limited_by": {"requests/min": 9.0}, "capacity": DEFAULTS},
     "limited by  requests/min 90 %   (limits are the defaults; raise them with --rpm --tpm)"),
    ({"seconds": 10.0, "limited_by": {"cooldown": 9.0}, "capacity": DEFAULTS}, "limited by  cooldown 90 %"),
    ({"learned": {"m": Limits(3_000, 600_000), "n": Limits(None, "auto")}, "promised": {"m": Limits(1_000, 600_000)}},
     "account     m: 3,000 requests/min (1,000 given), 600,000 tokens/min"),
    ({"learned": {"m": Limits(output_tokens_per_minute=8_000)}}, "account     m: 8,000 output tokens/min"),
    ({"failed": 2, "cancelled": 5, "failed_by_kind": {"cancelled": 5, "auth": 2}}, "failed      2 auth"),
    ({"succeeded": 2, "cut": 2, "cut_at_default": 2},
     "cut         2 answers ended at the default of --max-tokens (512); raise it, above all for models that reason"),
])
def test_each_line(fields, line):
    assert line in summary(StatusSnapshot(**fields)).splitlines()


@pytest.mark.parametrize("fields, word", [
    ({"started": 2, "cancelled": 2, "failed_by_kind": {"cancelled": 2}}, "failed"),
    ({"succeeded": 2, "cut": 2}, "cut "),
    ({"seconds": 10.0, "limited_by": {"slots": 0.01}, "capacity": DEFAULTS}, "limited"),
    ({"succeeded": 2}, "requests"),
    ({"succeeded": 2}, "tokens"),
    ({"succeeded": 2}, "cost"),
    ({}, "next"),
])
def test_lines_with_nothing_to_say_are_left_out(fields, word):
    assert not any(line.startswith(word) for line in summary(StatusSnapshot(**fields)).splitlines())


def test_python_has_other_names_for_the_settings():
    text = summary(WHOLE, settings=ARGUMENTS)
    assert "raise them with max_requests_per_minute, max_tokens_per_minute)" in text and "--rpm" not in text
