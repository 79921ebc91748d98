"""The rehearsal models' answers: functions of the prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deluge.testing.answers import Ask, Call, Tool, Turn, answered, pieces, prefixes, tokens
from deluge.testing.arithmetic import worked_out

WEATHER = Tool("get_weather", {"properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                               "required": ["city", "days"]})
ADD = Tool("add", {"properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]})


def ask(text: str, *more: Turn, **settings: Any) -> Ask:
    return Ask("rehearsal-echo", (Turn("user", text), *more), **settings)


@pytest.mark.parametrize("prompt, text", [
    ("hello", "hello"),
    ("", ""),
    ("What is 17 * 23?", "391"),
    ("Calculate 2^10", "1024"),
    ("how much is 1,200 + 34.5 ?", "1234.5"),
    ("What is 7 divided by 2?", "3.5"),
    ("(2 + 3) × 4 =", "20"),
    ("What is 1/0?", "What is 1/0?"),
    ("What is 2026?", "What is 2026?"),
    ("9**9**9**9", "9**9**9**9"),
    ("[[say yes\nno]] please", "yes\nno"),
    ("Write 5 words about rain", "rain falls on quiet hills"),
])
def test_texts(prompt: str, text: str) -> None:
    answer = answered(ask(prompt))
    assert (answer.text, answer.finish) == (text, "stop")
    assert answer.usage.output_tokens == tokens(text)
    assert answered(ask(prompt)) == answer


def test_a_long_text_is_cut_at_the_maximum() -> None:
    answer = answered(ask("Write 500 words", max_tokens=10))
    assert (len(answer.text), answer.finish, answer.usage.output_tokens) == (40, "length", 10)
    assert len(answered(ask("Write 500 words", max_tokens=5000)).text.split()) == 500
    assert answered(ask("Write 9000000 words", max_tokens=10)).text == answer.text


def test_stop_sequences() -> None:
    assert answered(ask("one. two. three", stop=("two", ". t"))).text == "one"


def test_refusal_and_filter() -> None:
    assert answered(ask("[[refuse]] x")).refusal.startswith("I'm sorry")
    assert answered(ask("[[filter]] x")).finish == "content_filter"


def test_reasoning_takes_tokens_of_the_maximum() -> None:
    efforts = [answered(ask("think", effort=effort)).usage.reasoning_tokens
               for effort in ("none", "low", "medium", "high")]
    assert efforts == sorted(set(efforts)) and efforts[0] == 0
    cut = answered(ask("think", effort="high", max_tokens=5))
    assert (cut.text, cut.finish, cut.usage.output_tokens, cut.usage.reasoning_tokens) == ("", "length", 5, 5)


def test_json_mode() -> None:
    assert json.loads(answered(ask("What is 2+2?", json_mode=True)).text) == {"answer": "4"}
    sketch = 'Rate it as JSON {"score": int, "aspect": string, "sure": true, "mood": "calm"|"cross"}.'
    value = json.loads(answered(ask(sketch, json_mode=True)).text)
    assert value == {"score": 0, "aspect": sketch, "sure": True, "mood": "calm"}


def test_a_schema_is_filled_with_the_sum() -> None:
    schema = {"type": "object", "properties": {"result": {"type": "integer"}}, "required": ["result"]}
    assert json.loads(answered(ask("What is 17 * 23?", schema=schema)).text) == {"result": 391}


def test_usage_adds_up() -> None:
    answer = answered(ask("hello there", effort="low"), cached=4)
    usage = answer.usage
    assert usage.total_input_tokens == ask("hello there").input_tokens == 3 + 3 + 3
    assert usage.cache_read_tokens == 4 and usage.input_tokens == 5
    assert usage.output_tokens == tokens(answer.thinking) + tokens(answer.text)


@pytest.mark.parametrize("prompt, settings, calls", [
    ("hi", {}, []),
    ("use get_weather for Oslo, 3 days", {}, [("get_weather", {"city": "Oslo", "days": 3})]),
    ("get weather in Oslo, then add 2 and 3.5", {},
     [("get_weather", {"city": "Oslo", "days": 2}), ("add", {"a": 2, "b": 3.5})]),
    ("add 2 and 3, get weather", {"parallel": False}, [("get_weather", None)]),
    ("[[call add {\"a\": 1, \"b\": 2}]]", {}, [("add", {"a": 1, "b": 2})]),
    ("hi", {"choice": "required"}, [("get_weather", None)]),
    ("hi", {"choice": "=add"}, [("add", None)]),
    ("add 1 and 2", {"choice": "none"}, []),
    ("please use a tool", {}, [("get_weather", None)]),
])
def test_calls(prompt: str, settings: dict[str, Any], calls: list[tuple[str, Any]]) -> None:
    answer = answered(ask(prompt, tools=(WEATHER, ADD), **settings))
    assert [call.name for call in answer.calls] == [name for name, _ in calls]
    assert len({call.id for call in answer.calls}) == len(calls)
    for call, (_, arguments) in zip(answer.calls, calls):
        assert arguments is None or json.loads(call.arguments) == arguments
    assert answer.finish == ("tool_calls" if calls else "stop")


def test_results_are_quoted() -> None:
    called = Turn("assistant", calls=(Call("c1", "add", "{}"), Call("c2", "add", "{}")))
    answer = answered(ask("add 1 and 2", called, Turn("tool", "3", call_id="c1"), Turn("tool", "4", call_id="c2"),
                          tools=(ADD,)))
    assert answer.text == "The tool says: 3; 4" and not answer.calls


def test_rounds() -> None:
    turns: tuple[Turn, ...] = (Turn("user", "add 1 and 2 [[rounds 3]]"),)
    for _ in range(3):
        answer = answered(Ask("m", turns, tools=(ADD,)))
        assert len(answer.calls) == 1
        turns += (Turn("assistant", calls=answer.calls), Turn("tool", "3", call_id=answer.calls[0].id))
    assert len({call.id for turn in turns for call in turn.calls}) == 3
    assert answered(Ask("m", turns, tools=(ADD,))).text == "The tool says: 3"


def test_a_call_without_room_is_cut() -> None:
    answer = answered(ask("add 1 and 2", tools=(ADD,), max_tokens=2))
    assert (answer.calls, answer.finish) == ((), "length")


def test_pieces_make_the_text() -> None:
    assert pieces("abcdefghij") == ["abcd", "efgh", "ij"]


def test_prefixes_grow() -> None:
    totals = [total for total, _ in prefixes(ask("a" * 40, Turn("assistant", "b" * 40)))]
    assert totals == [0, 13, 26]


def test_turns_have_names_of_their_own() -> None:
    assert ask("hi").prompt == "hi"
    assert ask("hi", Turn("assistant", "a"), Turn("user", "hi")).prompt == "hi (turn 3)"


@pytest.mark.parametrize("text",
                         ["__import__('os')", "1 if 1 else 2", "2" * 400, "a + 1", "What is (1?", "1e999 * 10", "-5"])
def test_what_is_no_sum(text: str) -> None:
    assert worked_out(text) is None
