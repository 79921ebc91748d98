"""Rate-limit headers of every family."""

from __future__ import annotations

import pytest

from deluge.dialects._rate_limits import NOTHING_SAID, Quota, rate_limits, seconds_until

NOW = 1_700_000_000.0  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize("text, seconds", [
    ("6ms", 0.006), ("1s", 1.0), ("1m3.5s", 63.5), ("6m0s", 360.0), ("2h30m", 9_000.0), ("1d", 86_400.0),
    ("500us", 0.0005),
    ("0s", 0.0), ("12.5", 12.5), ("60", 60.0), ("2023-11-14T22:13:30Z", 10.0), ("2023-11-14T22:13:30.123456789Z", 10.0),
    ("2023-11-14T23:13:30+01:00", 10.0), ("2023-11-14T22:00:00Z", 0.0), ("1700000007", 7.0), ("1700000007000", 7.0),
    ("", None), ("soon", None), ("-5", None), ("1e5", None), ("٣s", None), ("9" * 70, None), (None, None),
])
def test_seconds_until(text: str | None, seconds: float | None) -> None:
    found = seconds_until(text, NOW)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_openai() -> None:
    info = rate_limits({
        "x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-limit-tokens": "30000", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m3.5s",
    }, NOW)
    assert info.of("requests") == Quota("requests", 500, 499, pytest.approx(0.12))
    assert info.of("tokens") == Quota("tokens", 30_000, 0, 63.5)
    assert info.exhausted_for == 63.5


def test_anthropic() -> None:
    headers = {}
    remaining_of = {"requests": "49", "tokens": "90000", "input-tokens": "0", "output-tokens": "8000"}
    for counter, remaining in remaining_of.items():
        headers[f"anthropic-ratelimit-{counter}-limit"] = "100000"
        headers[f"anthropic-ratelimit-{counter}-remaining"] = remaining
        headers[f"anthropic-ratelimit-{counter}-reset"] = "2023-11-14T22:13:35Z"
    info = rate_limits(headers, NOW)
    assert [quota.counter for quota in info.quotas] == ["requests", "tokens", "input_tokens", "output_tokens"]
    assert info.exhausted_for == 15.0


def test_cerebras() -> None:
    info = rate_limits({
        "x-ratelimit-limit-requests-day": "14400", "x-ratelimit-remaining-requests-day": "0",
        "x-ratelimit-reset-requests-day": "33011.382867", "x-ratelimit-limit-tokens-minute": "60000",
        "x-ratelimit-remaining-tokens-minute": "60000", "x-ratelimit-reset-tokens-minute": "11.38",
    })
    assert info.of("requests") == Quota("requests", 14_400, 0, pytest.approx(33_011.38, abs=0.01), 86_400.0)
    assert info.of("tokens") == Quota("tokens", 60_000, 60_000, 11.38, 60.0)
    assert info.exhausted_for == pytest.approx(33_011.38, abs=0.01)


def test_openrouter_tells_an_epoch_in_milliseconds() -> None:
    headers = {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1700000060000"}
    assert rate_limits(headers, NOW).exhausted_for == 60.0
    assert rate_limits({**headers, "x-ratelimit-remaining": "1"}, NOW).exhausted_for is None


def test_nothing_and_nonsense() -> None:
    assert rate_limits({"content-type": "x"}) is NOTHING_SAID and not NOTHING_SAID
    info = rate_limits({"x-ratelimit-remaining-tokens": "many", "x-ratelimit-reset-tokens": "later"})
    assert info.of("tokens") == Quota("tokens") and info.exhausted_for is None and info.of("requests") is None
