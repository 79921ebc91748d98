"""Work lists in, records out."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deluge.errors import ConfigError
from deluge.prompt import Conversation, Image, Message, ToolCall
from deluge.record import prompt_of
from deluge.response import APIResponse, Attempt
from deluge.usage import Usage
from deluge.worklist import RECORD_KEYS, RecordWriter, Row, count_rows, read_rows, record

API_MD_KEYS = """
    v index id key occurrence metadata prompt completion parsed thinking tool_calls finish_reason is_error error_kind
    error_message status_code model provider service_tier response_id request_id input_tokens cache_read_tokens
    cache_write_tokens output_tokens reasoning_tokens cost attempts models_tried possibly_billed source started_at
    finished_at latency queued
""".split()


def rows_of(tmp_path: Path, text: str | bytes, name: str = "list.jsonl", **options: Any) -> list[Row]:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return list(read_rows(file, **options))


def text_of(row: Row) -> Any:
    assert row.error is None, row.error
    return prompt_of(row.prompt)


def jsonl(*values: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


# -- JSONL ------------------------------------------------------------------------------------------------------------

def test_every_shape_of_a_line(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, jsonl(
        "plain", {"prompt": "with fields", "id": 7, "topic": "x", "n": 1},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "id": "m"},
        [{"role": "user", "content": "a bare list"}], {"prompt": "own system", "system": "S"},
    ))
    assert [text_of(row) for row in rows] == [
        "plain", "with fields", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "a bare list", [{"role": "system", "content": "S"}, {"role": "user", "content": "own system"}],
    ]
    assert [(row.index, row.line, row.id, dict(row.metadata)) for row in rows[:3]] == [
        (0, 1, None, {}), (1, 2, 7, {"topic": "x", "n": 1}), (2, 3, "m", {}),
    ]


def test_a_row_may_bring_its_model_and_parameters(tmp_path: Path) -> None:
    row, = rows_of(tmp_path, jsonl({
        "prompt": "p", "model": "gpt-5", "temperature": 0.1, "max_tokens": 9, "top_p": None,
        "response_format": {"type": "json_object"}, "metadata": {"a": 1, "b": 2}, "b": 3,
    }))
    assert row.model == "gpt-5" and row.params == {"temperature": 0.1, "max_new_tokens": 9, "json_mode": True}
    assert row.metadata == {"a": 1, "b": 3}


def test_batch_lines(tmp_path: Path) -> None:
    chat, responses = rows_of(tmp_path, jsonl(
        {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": {
            "model": "gpt-4.1", "messages": [{"role": "user", "content": "x"}], "temperature": 0,
            "max_completion_tokens": 5, "user": "u",
        }},
        {"custom_id": "r-2", "note": "kept", "body": {
            "model": "gpt-5", "input": "y", "instructions": "S", "max_output_tokens": 6,
        }},
    ))
    assert text_of(chat) == "x" and chat.id == "r-1" and chat.metadata == {}
    assert chat.params == {"temperature": 0, "max_new_tokens": 5, "extra": {"user": "u"}}
    assert chat.model is None, "a batch line has to name a model; the command line decides"
    assert text_of(responses) == [{"role": "system", "content": "S"}, {"role": "user", "content": "y"}]
    assert responses.params == {"max_new_tokens": 6} and responses.metadata == {"note": "kept"}


@pytest.mark.parametrize("line, words", [
    ("not json", "not JSON"),
    ('{"prompt": "torn', "not JSON"),
    (b'{"prompt": "\xff"}', "not UTF-8"),
    ("17", "a string, a list of messages or an object"),
    ("null", "a string, a list of messages or an object"),
    ("{}", "no prompt and no messages; there are no fields"),
    ('{"text": "x", "label": 1}', "there are 'text', 'label'"),
    ('{"prompt": ""}', "empty"),
    ('{"messages": []}', "empty"),
    ('{"prompt": {"a": 1}}', "a string or a list of messages"),
    ('{"prompt": "a", "messages": [{"role": "user", "content": "b"}]}', "one of them"),
    ('{"messages": [{"role": "user"}]}', "content"),
    ('{"messages": [17]}', "message"),
    ('{"prompt": "a", "temperature": 9}', "temperature"),
    ('{"prompt": "a", "max_tokens": "many"}', "max_new_tokens"),
    ('{"prompt": "a", "model": 7}', "model is a string"),
    ('{"prompt": "a", "system": []}', "system is a string"),
    ('{"prompt": "a", "id": {}}', "id is a string or a number"),
    ('{"prompt": "a", "id": NaN}', "id is nan, which no record can hold"),
    ('{"prompt": "a", "id": 1e999}', "id is inf, which no record can hold"),
    ('{"custom_id": "x", "body": {}}', "no prompt"),
    ("[" * 100_000, "not JSON"),
], ids=lambda value: str(value)[:40])
def test_a_bad_line_fails_alone_and_is_named_by_its_number(tmp_path: Path, line: str | bytes, words: str) -> None:
    data = line if isinstance(line, bytes) else line.encode()
    rows = rows_of(tmp_path, b'"first"\n\n' + data + b'\n"last"\n')
    assert [row.error is None for row in rows] == [True, False, True]
    assert rows[1].prompt is None and (rows[1].error or "").startswith("line 3: ") and words in (rows[1].error or "")
    assert rows[2].index == 2 and rows[2].line == 4


def test_a_bad_row_keeps_its_id(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, jsonl({"id": "q", "prompt": ""}, {"id": 3, "prompt": "x", "top_p": 7}))
    assert [row.id for row in rows] == ["q", 3]


def test_odd_but_good_lines(tmp_path: Path) -> None:
    long = "x" * 3_000_000
    last = '"a\\ud800b"\n"no newline \u2028 at the end"'
    rows = rows_of(tmp_path, f'\ufeff"bom"\r\n   \n{json.dumps(long)}\n{last}')
    assert [text_of(row) for row in rows] == ["bom", long, "a\ud800b", "no newline \u2028 at the end"]


def test_limit_and_emptiness(tmp_path: Path) -> None:
    assert [text_of(row) for row in rows_of(tmp_path, jsonl("a", "b", "c"), limit=2)] == ["a", "b"]
    assert rows_of(tmp_path, "") == [] and rows_of(tmp_path, "\n\n") == []
    assert rows_of(tmp_path, "", "empty.csv", template="{a}") == []


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    with file.open("w") as out:
        for number in range(20_000):
            out.write(json.dumps({"prompt": f"{number} " + "x" * 500}) + "\n")
    tracemalloc.start()
    count = sum(1 for _ in read_rows(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000 and peak < 1_000_000, f"{peak} bytes for a file of {file.stat().st_size}"


def test_system_goes_where_there_is_none(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, jsonl("a", {"prompt": "b", "system": "own"}, {"messages": [
        {"role": "system", "content": "own"}, {"role": "user", "content": "c"}]}), system="given")
    assert [row.prompt.messages[0].completion for row in rows if row.prompt] == ["given", "own", "own"]


# -- CSV and text -----------------------------------------------------------------------------------------------------

def test_csv_with_quoted_newlines(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, 'id,review,stars\n1,"two\nlines, ""quoted""",5\n\n2,short,\n', "r.csv", column="review")
    assert [(row.id, text_of(row), row.line, dict(row.metadata)) for row in rows] == [
        ("1", 'two\nlines, "quoted"', 3, {"stars": "5"}), ("2", "short", 5, {"stars": ""}),
    ]


@pytest.mark.parametrize("name, text", [
    ("a.csv", "prompt;lang\nHallo, Welt;de\n"), ("a.csv", "\ufeffprompt,lang\n\"Hallo, Welt\",de\n"),
    ("a.tsv", "prompt\tlang\nHallo, Welt\tde\n"),
])
def test_csv_delimiters_and_the_column_prompt(tmp_path: Path, name: str, text: str) -> None:
    row, = rows_of(tmp_path, text, name)
    assert text_of(row) == "Hallo, Welt" and row.metadata == {"lang": "de"}


def test_csv_rows_that_are_wrong_fail_alone(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, b"q,n\na,1\nb,2,3\n,4\n\xff,5\nlast,6\n", "a.csv", column="q")
    assert [row.error for row in rows] == [
        None, "line 3: 3 cells under a header of 2", "line 4: the prompt is empty", "line 5: not UTF-8", None,
    ]


def test_csv_settings_are_no_parameters(tmp_path: Path) -> None:
    row, = rows_of(tmp_path, "prompt,model,temperature\nWhich car?,Model T,38\n", "cars.csv")
    assert row.model is None and row.params == {} and row.metadata == {"model": "Model T", "temperature": "38"}


def test_csv_prompts_may_be_long(tmp_path: Path) -> None:
    assert len(text_of(rows_of(tmp_path, "prompt\n" + "x" * 400_000 + "\n", "a.csv")[0])) == 400_000


def test_text_has_one_prompt_per_line(tmp_path: Path) -> None:
    assert [text_of(row) for row in rows_of(tmp_path, "one\r\n\ntwo\n", "a.txt")] == ["one", "two"]
    assert [text_of(row) for row in rows_of(tmp_path, "one\n", "a.txt", template="Say {text}!")] == ["Say one!"]


# -- templates --------------------------------------------------------------------------------------------------------

def test_template_fills_fields(tmp_path: Path) -> None:
    first = {"id": 1, "a b": "x", "n": 2, "l": [1, "é"], "t": True}
    text = jsonl(first, {"a b": "y"}, {"a b": None, "n": 1}, "s")
    rows = rows_of(tmp_path, text, template="{{ {a b} }} {n} {l} {t}")
    assert text_of(rows[0]) == '{ x } 2 [1, "é"] true' and rows[0].id == 1 and rows[0].metadata["n"] == 2
    assert [row.error for row in rows[1:]] == [
        "line 2: field 'n' is missing; there are 'a b'", "line 3: field 'a b' is null",
        "line 4: field 'a b' is missing; there are 'prompt', 'text'",
    ]


def test_template_shows_nothing_but_fields(tmp_path: Path) -> None:
    row, = rows_of(tmp_path, jsonl({"a": "{b}", "b": "secret", "a.__class__": "a field"}), template="{a} {a.__class__}")
    assert text_of(row) == "{b} a field"


@pytest.mark.parametrize("template", ["{", "a } b", "{}", "{ }", 'as JSON {"a": 1}', "{a!r}", "{a:>9}", "{{a}"])
def test_template_mistakes_are_said_at_once(tmp_path: Path, template: str) -> None:
    with pytest.raises(ConfigError, match="a brace is written {{ or }}"):
        rows_of(tmp_path, "", template=template)


@pytest.mark.parametrize("name, text, options, words", [
    ("a.csv", "a,b\n1,2\n", {}, "which column is the prompt"),
    ("a.csv", "a,b\n1,2\n", {"column": "c"}, "has no column 'c'; there are 'a', 'b'"),
    ("a.csv", "a,a\n1,2\n", {"column": "a"}, "two columns of one name"),
    ("a.csv", "", {}, "which column"),
    ("a.json", "[\n{}\n]\n", {}, "one prompt per line"),
    ("a.jsonl", '"x"'.encode("utf-16"), {}, "UTF-16"),
    ("a.jsonl", "", {"column": "a", "template": "{a}"}, "not from both"),
])
def test_files_that_cannot_be_a_work_list(
    tmp_path: Path, name: str, text: str | bytes, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        rows_of(tmp_path, text, name, **options)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read: "):
            read_rows(path)


@given(st.binary(max_size=200))
def test_no_bytes_end_the_reading(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.jsonl"
    file.write_bytes(data)
    try:
        rows = list(read_rows(file))
    except ConfigError:
        return
    assert [row.index for row in rows] == list(range(len(rows)))
    assert all((row.prompt is None) == (row.error is not None) for row in rows)


# -- records ----------------------------------------------------------------------------------------------------------

def answer(**fields: Any) -> APIResponse:
    given = dict(
        id=3, index=2, model_internal="m", provider="p", prompt=Conversation.of_text("Hi"),
        content=Message.ai("Hello"), finish_reason="stop", status_code=200, usage=Usage(1, 2, 3, 4, 0, 1), cost=0.25,
        started_at=10.5, finished_at=11.0, latency=0.5, queued=0.0, metadata={"a": 1},
        attempts=(Attempt("n", 500, "server"), Attempt("m", 200)),
    )
    return APIResponse(**{**given, **fields})


def test_a_record_has_every_key_in_order() -> None:
    made = record(answer(), id="x", key="k", occurrence=0)
    assert list(made) == list(RECORD_KEYS) == API_MD_KEYS
    first = [made[key] for key in ("v", "index", "id", "key", "occurrence", "prompt", "completion")]
    assert first == [1, 2, "x", "k", 0, "Hi", "Hello"]
    assert made["attempts"] == 2 and made["models_tried"] == ["n", "m"] and made["metadata"] == {"a": 1}
    assert (made["input_tokens"], made["output_tokens"], made["cache_read_tokens"], made["cost"]) == (1, 2, 3, 0.25)
    assert list(record(APIResponse(is_error=True, error_kind="input"))) == API_MD_KEYS


def test_a_record_of_tools_and_media() -> None:
    prompt = Conversation().user("What is this?", image=Image(data=b"\x89PNG")).freeze()
    made = record(answer(prompt=prompt, content=Message("assistant", (ToolCall("c", "look", {"x": 1}),))))
    assert made["completion"] is None
    assert made["tool_calls"] == [{"id": "c", "name": "look", "arguments": {"x": 1}, "error": None}]
    image = made["prompt"][0]["parts"][1]
    assert image["omitted"].startswith("sha256:") and "data" not in image
    assert record(answer(), prompts=False)["prompt"] is None


def test_what_a_record_says_of_a_prompt_can_be_run_again(tmp_path: Path) -> None:
    prompt = Conversation().system("S").user("a").ai("b").user("c").freeze()
    row, = rows_of(tmp_path, jsonl({"messages": record(answer(prompt=prompt))["prompt"]}))
    assert row.prompt == prompt


def lines(path: Path) -> list[Any]:
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line, parse_constant=pytest.fail) for line in data.splitlines()]


def test_records_are_whole_lines(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "o.jsonl") as writer:
        writer.write(record(answer()), record(answer(content=Message.ai("line\nbreak \u2028 \ud800"))))
        odd = {"x": float("inf"), "o": {1}, 2: b"b"}
        writer.write(record(answer(cost=float("nan"), metadata=odd, parsed=[float("nan")])))
        writer.write()
        assert writer.records == 3
    first, second, third = lines(tmp_path / "o.jsonl")
    assert list(first) == API_MD_KEYS and second["completion"] == "line\nbreak \u2028 \ud800"
    assert third["cost"] is None and third["metadata"]["x"] is None and third["parsed"] == [None]


def test_an_existing_file_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    path.write_text("precious\n")
    with pytest.raises(ConfigError, match="exists already; --overwrite"):
        RecordWriter(path)
    assert path.read_text() == "precious\n"
    with RecordWriter(path, overwrite=True) as writer:
        writer.write({"a": 1})
    assert lines(path) == [{"a": 1}]


def test_nothing_is_lost_to_a_run_that_does_not_begin(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_text("precious\n")
    for path in (old, new):
        with pytest.raises(KeyError), RecordWriter(path, overwrite=True):
            assert path.exists()
            raise KeyError
    assert old.read_text() == "precious\n" and not new.exists()
    for path in (old, new):
        with RecordWriter(path, overwrite=True):
            pass
        assert path.read_text() == ""


@pytest.mark.parametrize("name, text, count", [
    ("a.jsonl", '"a"\n\n"b"', 2), ("a.txt", "\n", 0), ("a.csv", 'q\n"a\nb"\n\nc\n', 2), ("a.csv", "", 0),
])
def test_counting_rows(tmp_path: Path, name: str, text: str, count: int) -> None:
    (tmp_path / name).write_text(text)
    assert count_rows(tmp_path / name) == count
    assert count_rows("-") is None


def test_a_path_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "dir.jsonl", tmp_path):
        with pytest.raises(ConfigError, match="cannot be written: "):
            RecordWriter(path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error_and_dev_null_is_a_file() -> None:
    with RecordWriter("/dev/full") as writer, pytest.raises(OSError):
        writer.write({"a": 1})
    assert writer.records == 0
    with RecordWriter("/dev/null") as writer:
        writer.write({"a": 1})


def test_stdout_is_a_file_too(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with open(1, "w", closefd=False) as out:
        monkeypatch.setattr("sys.stdout", out)
        with RecordWriter("-") as writer:
            writer.write({"a": 1}, {"b": 2})
    assert capfdbinary.readouterr().out == b'{"a":1}\n{"b":2}\n'


def test_stdin_is_a_work_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text, options in (("\"one\"\n", {}), ("q,n\none,1\n", {"column": "q"}), ('{"q": "one"}\n', {"column": "q"})):
        (tmp_path / "in").write_text(text)
        with open(tmp_path / "in") as source:
            monkeypatch.setattr("sys.stdin", source)
            assert [text_of(row) for row in read_rows("-", **options)] == ["one"]
